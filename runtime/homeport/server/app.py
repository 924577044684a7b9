"""The application: its routes, the middlewares, and what they share."""

from importlib.metadata import version

from aiohttp import web

from homeport.runtime import Runtime
from homeport.server import metrics
from homeport.server.draining import READINESS, Readiness, turn_away
from homeport.server.endpoints import ENDPOINTS
from homeport.server.errors import answer_errors
from homeport.server.keys import KeyRing
from homeport.server.openapi import DESCRIPTION, Description
from homeport.server.plugin_routes import plugin_endpoints
from homeport.server.routes import add_endpoints, check_scopes
from homeport.server.security import GATE, Gate, guard, mark_response
from homeport.server.state import PING_SECONDS, RUNTIME, VERSION

DEFAULT_PING_SECONDS = 15.0


def build_app(
    runtime: Runtime, *, keys: KeyRing | None = None, ping_seconds: float = DEFAULT_PING_SECONDS
) -> web.Application:
    """Build the application of a runtime.

    Args:
        runtime: Serves the requests; stays open as long as the application runs.
        keys: Who is let in; None knows the key of the settings alone.
        ping_seconds: Longest silence on an SSE stream before a comment is sent.

    Raises:
        PluginError: A plugin adds a route whose path is taken.
    """
    server = runtime.settings.server
    app = web.Application(
        middlewares=[metrics.count_requests, answer_errors, guard, turn_away],
        client_max_size=server.max_body_bytes,
    )
    app[RUNTIME] = runtime
    app[VERSION] = version("homeport")
    app[PING_SECONDS] = ping_seconds
    app[READINESS] = Readiness()
    app[GATE] = Gate.of(server, keys or KeyRing(server.api_key))
    app[metrics.METRICS] = metrics.Metrics(runtime)
    app.cleanup_ctx.append(metrics.keep_metrics)
    endpoints = (*ENDPOINTS, *plugin_endpoints(runtime.routes, runtime.registry.routes, ENDPOINTS))
    add_endpoints(app, endpoints)
    app[DESCRIPTION] = Description(endpoints, app[VERSION])
    app.on_response_prepare.append(mark_response)
    app.on_startup.append(check_scopes)
    return app
