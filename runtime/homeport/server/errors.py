"""The outermost middleware: names the request, and turns every error into its dialect's answer."""

import asyncio
import time
from collections.abc import Iterator

from aiohttp import web
from aiohttp.typedefs import Handler
from loguru import logger

from homeport.domain.errors import HomeportError, PluginError
from homeport.server.dialects import dialect_of
from homeport.server.failure import ClientGoneError, Failure, failure_of
from homeport.server.request_ids import request_id_of
from homeport.server.state import ARRIVED_AT, REQUEST_ID, nanoseconds_since

_CLIENT_GONE = 499
"""For the log: nobody reads the response."""
_NANOSECONDS_PER_MILLISECOND = 1_000_000


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors in the dialect of the path; log their cause under the request id."""
    request[ARRIVED_AT] = time.monotonic()
    request[REQUEST_ID] = request_id_of(request)
    try:
        response = await handler(request)
    except asyncio.CancelledError:
        _log_access(request, _CLIENT_GONE)
        raise
    except ClientGoneError:
        response = web.Response(status=_CLIENT_GONE)
    except Exception as error:  # noqa: BLE001 - the last resort: logged with its cause, answered opaquely
        failure = failure_of(error, request[REQUEST_ID])
        log_failure(request, failure, error)
        response = dialect_of(request.path).response(failure)
    _log_access(request, response.status)
    return response


def log_failure(request: web.Request, failure: Failure, error: Exception) -> None:
    """Write down a failure under the request id, and whence it came.

    Errors raised on purpose are one line with their causes; a traceback is for those of plugins, and for all
    others.
    """
    name = request[REQUEST_ID]
    if not failure.is_ours:
        logger.debug("request {} refused with {}: {!r}", name, failure.status, failure.text)
        return
    told = "".join(_told(error))
    if isinstance(error, HomeportError) and not isinstance(error, PluginError):
        logger.error("request {} failed: {}", name, told)
        return
    cause = error.__cause__ if isinstance(error, HomeportError) else error
    logger.opt(exception=cause).error("request {} failed: {}", name, told)


def _told(error: Exception) -> Iterator[str]:
    """Tell an error raised on purpose with its causes, none of them twice; of others the traceback does."""
    last = str(error)
    yield f"{type(error).__name__}: {last!r}"
    cause = error.__cause__ if isinstance(error, HomeportError) else None
    while cause is not None:
        text = cause.message if isinstance(cause, HomeportError) else str(cause)
        if not text or text not in last:
            last = text
            yield f", caused by {type(cause).__name__}: {text!r}"
        cause = cause.__cause__


def _log_access(request: web.Request, status: int) -> None:
    # The raw path: a decoded one could forge lines.
    logger.debug(
        "{} {} {} in {} ms ({})",
        request.method,
        request.rel_url.raw_path,
        status,
        nanoseconds_since(request[ARRIVED_AT]) // _NANOSECONDS_PER_MILLISECOND,
        request[REQUEST_ID],
    )
