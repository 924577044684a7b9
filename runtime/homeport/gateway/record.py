"""What monitors are told of a whole request, after all its attempts."""

import asyncio
import http
from collections.abc import Iterator
from contextlib import contextmanager

from homeport.domain.errors import HomeportError
from homeport.domain.events import RequestEnded, RequestRejected
from homeport.gateway.events import EventBus
from homeport.gateway.reply import Progress
from homeport.plugin.protocols import Request

OK = "ok"
CANCELLED = "cancelled"
_REJECTIONS = (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE)


def code_of(error: BaseException) -> str:
    """Name an error; one that is not of homeport's tree is a fault of ours or of a plugin."""
    if not isinstance(error, Exception):
        return CANCELLED
    return error.code if isinstance(error, HomeportError) else HomeportError.code


@contextmanager
def recorded(request: Request, progress: Progress, bus: EventBus) -> Iterator[None]:
    """Tell the bus how a request ended, and which one was turned away before any backend was asked.

    Args:
        request: From its arrival on.
        progress: How far it came.
        bus: Told at its end.
    """
    began_at = _now()
    status = OK
    try:
        yield
    except BaseException as error:
        is_gone = progress.is_over and not isinstance(error, Exception)
        status = OK if is_gone else code_of(error)
        if not progress.attempts and isinstance(error, HomeportError) and error.status in _REJECTIONS:
            bus.emit(RequestRejected(reason=status, priority=request.priority))
        raise
    finally:
        bus.emit(_ended(request, progress, status, began_at))


def _ended(request: Request, progress: Progress, status: str, began_at: float) -> RequestEnded:
    route, first = progress.route, progress.first_token_at
    return RequestEnded(
        request_id=request.id,
        asked=request.model,
        backend="" if route is None else route.backend,
        model="" if route is None else route.model,
        status=status,
        attempts=progress.attempts,
        queue_seconds=progress.waited_seconds,
        first_token_seconds=None if first is None else first - began_at,
        seconds=_now() - began_at,
        usage=progress.usage,
        priority=request.priority,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
