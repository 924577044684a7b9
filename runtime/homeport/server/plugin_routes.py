"""Routes that plugins add: closed by default, bounded like all others, and told apart from our own."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from aiohttp import hdrs, web

from homeport.domain.errors import HomeportError, InvalidRequestError, PluginError
from homeport.plugin.manager import describe
from homeport.plugin.protocols import Route, RouteCall
from homeport.plugin.records import RouteSpec
from homeport.plugin.registry import Registered
from homeport.server.bodies import read_value
from homeport.server.quoting import quoted
from homeport.server.routes import Endpoint, Handler
from homeport.server.scopes import Scope
from homeport.server.state import OWNER


def plugin_endpoints(
    routes: Mapping[str, Route],
    registered: Mapping[str, Registered[RouteSpec]],
    taken: Iterable[Endpoint],
) -> tuple[Endpoint, ...]:
    """Make an endpoint of each route that was built.

    Args:
        routes: By name.
        registered: Their records, by name.
        taken: Endpoints that are there already.

    Raises:
        PluginError: A path is taken; names the distribution.
    """
    known = tuple(taken)
    claimed: dict[tuple[str, str], Registered[RouteSpec]] = {}
    endpoints = []
    for name, route in routes.items():
        entry = registered[name]
        record = entry.record
        _check_path(entry, known, claimed.setdefault((record.method, record.path), entry))
        endpoints.append(
            Endpoint(record.method, record.path, Scope(record.scope.value), _handler(entry, route))
        )
    return tuple(endpoints)


def _check_path(
    entry: Registered[RouteSpec], known: Iterable[Endpoint], first: Registered[RouteSpec]
) -> None:
    """Refuse a path that somebody else answers, or would answer first."""
    path = entry.record.path
    owner = next((f"homeport itself ({own.path})" for own in known if _covers(own.path, path)), "")
    if not owner and first is not entry:
        owner = f"{first.plugin!r} ({first.distribution})"
    if not owner:
        return
    message = (
        f"route {entry.record.name!r} of plugin {entry.plugin!r} ({entry.distribution}) wants "
        f"{entry.record.method} {path}, which {owner} answers"
    )
    raise PluginError(message, hint=f"Block it with: homeport -p no:{entry.plugin} ...")


def _covers(pattern: str, path: str) -> bool:
    """Tell whether a path of ours, which may end in a variable part, answers a fixed one."""
    fixed, variable, _ = pattern.partition("{")
    return path.startswith(fixed) if variable else path == pattern


def _handler(entry: Registered[RouteSpec], route: Route) -> Handler:
    """Give what aiohttp calls."""

    async def answer(request: web.Request) -> web.StreamResponse:
        call = RouteCall(
            query=dict(_parameters(request)),
            body=await read_value(request) if request.method == hdrs.METH_POST else None,
            owner=request[OWNER],
        )
        try:
            encoded = msgspec.json.encode(await route.answer(call))
        except HomeportError:
            raise
        except Exception as error:
            message = (
                f"route {entry.record.name!r} of plugin {entry.plugin!r} ({entry.distribution}) failed: "
                f"{describe(error)}"
            )
            raise PluginError(message) from error
        return web.Response(body=encoded, content_type="application/json", charset="utf-8")

    answer.__doc__ = entry.record.summary
    return answer


def _parameters(request: web.Request) -> Iterator[tuple[str, str]]:
    """List the parameters of the URL.

    Raises:
        InvalidRequestError: One stands there twice.
    """
    seen = set()
    for name, value in request.query.items():
        if name in seen:
            raise InvalidRequestError(f"parameter {quoted(name)} is given more than once", field=name)
        seen.add(name)
        yield name, value
