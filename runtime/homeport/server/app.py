"""The application: every route with its scope, the middlewares, and what they share."""

from importlib.metadata import version

from aiohttp import web

from homeport.runtime import Runtime
from homeport.server import admin, breakers, health, metrics, reload, replica, routing, stats
from homeport.server.draining import READINESS, Readiness, turn_away
from homeport.server.errors import answer_errors
from homeport.server.ollama import chat, embed, generate, pull, show
from homeport.server.ollama import models as ollama_models
from homeport.server.openai import chat as openai_chat
from homeport.server.openai import completions
from homeport.server.openai import embeddings as openai_embeddings
from homeport.server.openai import models as openai_models
from homeport.server.plugin_routes import plugin_endpoints
from homeport.server.routes import Endpoint, Scope, add_endpoints, check_scopes
from homeport.server.security import GATE, Gate, guard, mark_response
from homeport.server.state import PING_SECONDS, RUNTIME, VERSION

DEFAULT_PING_SECONDS = 15.0

ENDPOINTS = (
    Endpoint("GET", "/", Scope.PUBLIC, ollama_models.greet),
    Endpoint("GET", "/healthz", Scope.PUBLIC, health.healthz),
    Endpoint("GET", "/readyz", Scope.PUBLIC, health.readyz),
    Endpoint("GET", "/health", Scope.PUBLIC, health.readyz),
    Endpoint("GET", "/metrics", Scope.MONITOR, metrics.metrics),
    Endpoint("GET", "/api/version", Scope.INFER, ollama_models.version),
    Endpoint("GET", "/api/tags", Scope.INFER, ollama_models.tags),
    Endpoint("GET", "/api/ps", Scope.INFER, ollama_models.ps),
    Endpoint("POST", "/api/show", Scope.INFER, show.show),
    Endpoint("POST", "/api/generate", Scope.INFER, generate.generate),
    Endpoint("POST", "/api/chat", Scope.INFER, chat.chat),
    Endpoint("POST", "/api/embed", Scope.INFER, embed.embed),
    Endpoint("POST", "/api/embeddings", Scope.INFER, embed.embeddings),
    Endpoint("POST", "/api/pull", Scope.ADMIN, pull.pull),
    Endpoint("DELETE", "/api/delete", Scope.ADMIN, ollama_models.delete),
    Endpoint("GET", "/v1/models", Scope.INFER, openai_models.models),
    Endpoint("GET", "/v1/models/{id:.+}", Scope.INFER, openai_models.model),
    Endpoint("POST", "/v1/chat/completions", Scope.INFER, openai_chat.chat_completions),
    Endpoint("POST", "/v1/completions", Scope.INFER, completions.completions),
    Endpoint("POST", "/v1/embeddings", Scope.INFER, openai_embeddings.embeddings),
    Endpoint("GET", "/v1/routes", Scope.INFER, routing.routes),
    Endpoint("POST", "/v1/routes/explain", Scope.INFER, routing.explain),
    Endpoint("GET", "/v1/replica", Scope.INFER, replica.replica),
    Endpoint("GET", "/v1/stats", Scope.MONITOR, stats.stats),
    Endpoint("GET", "/v1/plugins", Scope.ADMIN, admin.plugins),
    Endpoint("POST", "/v1/config/reload", Scope.ADMIN, reload.reload),
    Endpoint("GET", "/v1/breakers", Scope.ADMIN, breakers.breakers),
    Endpoint("POST", "/v1/breakers", Scope.ADMIN, breakers.command),
)


def build_app(runtime: Runtime, *, ping_seconds: float = DEFAULT_PING_SECONDS) -> web.Application:
    """Build the application of a runtime.

    Args:
        runtime: Serves the requests; stays open as long as the application runs.
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
    app[GATE] = Gate.of(server)
    app[metrics.METRICS] = metrics.Metrics(runtime)
    app.cleanup_ctx.append(metrics.keep_metrics)
    add_endpoints(app, ENDPOINTS)
    add_endpoints(app, plugin_endpoints(runtime.routes, runtime.registry.routes, ENDPOINTS))
    app.on_response_prepare.append(mark_response)
    app.on_startup.append(check_scopes)
    return app
