"""Routes and what a caller must be allowed to use them."""

from collections.abc import Awaitable, Callable, Iterable

import attrs
from aiohttp import hdrs, web

from homeport.domain.errors import ConfigError
from homeport.server.scopes import Scope
from homeport.server.wire import Wire

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.frozen
class Endpoint:
    """A verb on a path, who may call it, and what answers. A GET answers HEAD too.

    Attributes:
        method: Of HTTP.
        path: With variable parts in braces.
        scope: What a key must allow.
        handler: The first line of its docstring says what the route does.
        wire: What it takes and gives; None where only a plugin knows.
    """

    method: str
    path: str
    scope: Scope
    handler: Handler
    wire: Wire | None = None


RouteKey = tuple[str, str]
"""Verb and canonical path of a registered route."""

SCOPES: web.AppKey[dict[RouteKey, Scope]] = web.AppKey("scopes", dict)


def add_endpoints(app: web.Application, endpoints: Iterable[Endpoint]) -> None:
    """Register endpoints together with their scopes."""
    scopes = app.setdefault(SCOPES, {})
    for endpoint in endpoints:
        resource = app.router.add_resource(endpoint.path)
        verbs = (hdrs.METH_GET, hdrs.METH_HEAD) if endpoint.method == hdrs.METH_GET else (endpoint.method,)
        for verb in verbs:
            resource.add_route(verb, endpoint.handler)
            scopes[verb, resource.canonical] = endpoint.scope


def scope_of(request: web.Request) -> Scope:
    """Look up the scope of the matched route; to learn that nothing matched takes a key too."""
    route = request.match_info.route
    if route.resource is None:
        return Scope.INFER
    return request.app[SCOPES].get((route.method, route.resource.canonical), Scope.ADMIN)


async def check_scopes(app: web.Application) -> None:
    """Stop the start of an application that has a route without a scope.

    Raises:
        ConfigError: Naming the route.
    """
    for route in app.router.routes():
        path = route.resource.canonical if route.resource is not None else "*"
        if (route.method, path) not in app[SCOPES]:
            message = f"route {route.method} {path} has no scope"
            raise ConfigError(message, hint="Register it with homeport.server.routes.add_endpoints")
