"""Who is let in, decided before any body is read: Host, then Origin, then key."""

import attrs
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from loguru import logger

from homeport.config.settings import ServerSettings
from homeport.domain.errors import ForbiddenError, UnauthorizedError
from homeport.server.dialects import ANTHROPIC, dialect_of
from homeport.server.hosts import HostPolicy
from homeport.server.keys import STRANGER, Caller, KeyRing
from homeport.server.origins import PREFLIGHT_HEADERS, OriginPolicy, cors_headers
from homeport.server.request_ids import ANTHROPIC_HEADER, anthropic_id, request_id_of
from homeport.server.request_ids import HEADER as REQUEST_ID_HEADER
from homeport.server.routes import scope_of
from homeport.server.scopes import Scope
from homeport.server.state import ALLOWED_ORIGIN, CALLER, OWNER, REQUEST_ID

_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_SERVER = "homeport"
_CROSS_SITE = "cross-site"
_SHOWN_CHARACTERS = 100


@attrs.frozen(kw_only=True)
class Gate:
    """The three checks of one server."""

    hosts: HostPolicy
    origins: OriginPolicy
    keys: KeyRing

    @classmethod
    def of(cls, settings: ServerSettings, keys: KeyRing) -> "Gate":
        """Build the checks that settings ask for."""
        return cls(
            hosts=HostPolicy(settings.allowed_hosts),
            origins=OriginPolicy(settings.allowed_origins),
            keys=keys,
        )


GATE: web.AppKey[Gate] = web.AppKey("gate", Gate)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse forged hosts and foreign pages with a bare 403, missing keys with 401, wrong ones with 403."""
    gate = request.app[GATE]
    if not _is_welcome(request, gate):
        logger.warning(
            "refused {} {}: Host {!r}, Origin {!r} (see server.allowed_hosts and server.allowed_origins)",
            request.method,
            request.path,
            request.headers.get(hdrs.HOST, "")[:_SHOWN_CHARACTERS],
            request.headers.get(hdrs.ORIGIN, "")[:_SHOWN_CHARACTERS],
        )
        return web.Response(status=403)
    if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
        return web.Response(status=204, headers=PREFLIGHT_HEADERS)
    caller = await gate.keys.caller(request.headers)
    _admit(caller, scope_of(request))
    request[CALLER] = caller or STRANGER
    request[OWNER] = request[CALLER].owner
    return await handler(request)


def _admit(caller: Caller | None, scope: Scope) -> None:
    """Let a caller pass who may use the matched route.

    Raises:
        UnauthorizedError: It needs a key, and none of ours was sent.
        ForbiddenError: The key is for less.
    """
    if scope is Scope.PUBLIC:
        return
    if caller is None:
        raise UnauthorizedError("no or unknown API key")
    if scope not in caller.scopes:
        raise ForbiddenError(f"this route needs a key with the scope {scope.value}")


async def mark_response(request: web.Request, response: web.StreamResponse) -> None:
    """Add the request id, and what a browser needs, to every response."""
    # What aiohttp refuses by itself, an Expect header it does not know, never met the middlewares.
    name = request.get(REQUEST_ID) or request_id_of(request)
    response.headers[REQUEST_ID_HEADER] = name
    if dialect_of(request.path) is ANTHROPIC:
        response.headers[ANTHROPIC_HEADER] = anthropic_id(name)
    response.headers[hdrs.SERVER] = _SERVER
    if ALLOWED_ORIGIN in request:
        response.headers.update(cors_headers(request[ALLOWED_ORIGIN]))


def _is_welcome(request: web.Request, gate: Gate) -> bool:
    hosts = request.headers.getall(hdrs.HOST, [""])
    if len(hosts) != 1 or not gate.hosts.allows(hosts[0]):
        return False
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        is_foreign = request.headers.get("Sec-Fetch-Site", "").lower() == _CROSS_SITE
        return not is_foreign or request.method in _READING
    if not gate.origins.allows(origin, hosts[0]):
        return False
    request[ALLOWED_ORIGIN] = origin
    return True
