"""What the scope of a route does not decide: fields of a request that only some keys may use."""

from aiohttp import web

from homeport.domain.durations import keep_alive_seconds
from homeport.domain.errors import ForbiddenError
from homeport.server.scopes import Scope
from homeport.server.state import CALLER, RUNTIME


def may(request: web.Request, scope: Scope) -> bool:
    """Tell whether whoever asks has a scope."""
    return scope in request[CALLER].scopes


def require_admin(request: web.Request, deed: str) -> None:
    """Let administrators pass.

    Args:
        request: Being answered.
        deed: What needs it, as the subject of a sentence.

    Raises:
        ForbiddenError: The key is for less.
    """
    if not may(request, Scope.ADMIN):
        raise ForbiddenError(f"{deed} needs a key with the scope {Scope.ADMIN.value}")


def bounded_keep_alive(request: web.Request, seconds: float | None) -> float | None:
    """Keep others than administrators from deciding over memory.

    They hold no model for longer than the settings say, and send none away that others use.

    Args:
        request: Being answered.
        seconds: What it asks for; None is nothing.
    """
    if seconds is None or may(request, Scope.ADMIN):
        return seconds
    configured = request.app[RUNTIME].reload.settings.models.keep_alive
    return min(seconds, keep_alive_seconds(configured)) or None
