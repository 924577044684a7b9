"""Every route of homeport itself: who may call it, what answers, and what goes over the wire."""

from collections.abc import Mapping
from typing import Any

from homeport.server import admin, breakers, health, metrics, openapi, reload, replica, rerank, routing, stats
from homeport.server.anthropic import messages as anthropic_messages
from homeport.server.decisions import decide, systemone
from homeport.server.ollama import blobs, chat, cloud, create, embed, generate, pull, show
from homeport.server.ollama import models as ollama_models
from homeport.server.openai import chat as openai_chat
from homeport.server.openai import completions
from homeport.server.openai import embeddings as openai_embeddings
from homeport.server.openai import models as openai_models
from homeport.server.openai.responses import create as openai_responses
from homeport.server.routes import Endpoint
from homeport.server.schemas import anthropic as anthropic_schema
from homeport.server.schemas import breakers as breakers_schema
from homeport.server.schemas import decisions as decisions_schema
from homeport.server.schemas import ollama as ollama_schema
from homeport.server.schemas import openai as openai_schema
from homeport.server.schemas import openai_forms, operations
from homeport.server.schemas import reload as reload_schema
from homeport.server.schemas import replica as replica_schema
from homeport.server.schemas import rerank as rerank_schema
from homeport.server.schemas import responses as responses_schema
from homeport.server.schemas import routing as routing_schema
from homeport.server.schemas import stats as stats_schema
from homeport.server.scopes import Scope
from homeport.server.wire import BYTES, SSE, TEXT, Wire

_MODEL = "smollm2:135m"
_QUESTION = "Why is the sky blue?"
_TURNS = [{"role": "user", "content": _QUESTION}]
_NOUL = {"type": "noul", "instructions": "Is the sky blue?"}
_PREDICATE = {"type": "predicate", "instructions": "The sky is blue."}


def _example(**fields: object) -> Mapping[str, Any]:
    return {"model": _MODEL, **fields}


_READINESS = Wire(answer=operations.ReadinessAnswer, others={503: operations.ReadinessAnswer})

_NO_CLOUD = Wire(answer=ollama_schema.ErrorAnswer, status=404)
_NO_PUSH = Wire(answer=ollama_schema.ErrorAnswer, status=501)
_EXPERIMENTAL = r"/api/experimental/{tail:[\s\S]*}"
_UPLOAD = Wire(status=201, others={200: None}, sends=BYTES)

_OPERATIONS = (
    Endpoint("GET", "/", Scope.PUBLIC, ollama_models.greet, Wire(media_type=TEXT)),
    Endpoint("GET", "/healthz", Scope.PUBLIC, health.healthz, Wire(answer=operations.Health)),
    Endpoint("GET", "/readyz", Scope.PUBLIC, health.readyz, _READINESS),
    Endpoint("GET", "/health", Scope.PUBLIC, health.readyz, _READINESS),
    Endpoint("GET", "/metrics", Scope.MONITOR, metrics.metrics, Wire(media_type=TEXT)),
    Endpoint("GET", "/openapi.json", Scope.INFER, openapi.openapi, Wire(answer=operations.OpenApi)),
)

_OLLAMA = (
    Endpoint(
        "GET", "/api/version", Scope.INFER, ollama_models.version,
        Wire(answer=ollama_schema.VersionAnswer),
    ),
    Endpoint("GET", "/api/tags", Scope.INFER, ollama_models.tags, Wire(answer=ollama_schema.ListAnswer)),
    Endpoint("GET", "/api/ps", Scope.INFER, ollama_models.ps, Wire(answer=ollama_schema.ProcessAnswer)),
    Endpoint(
        "POST", "/api/show", Scope.INFER, show.show,
        Wire(request=ollama_schema.ShowRequest, answer=ollama_schema.ShowAnswer, example=_example()),
    ),
    Endpoint(
        "POST", "/api/generate", Scope.INFER, generate.generate,
        Wire(
            request=ollama_schema.GenerateRequest,
            answer=ollama_schema.GenerateChunk,
            chunks=(ollama_schema.GenerateChunk, ollama_schema.ErrorAnswer),
            example=_example(prompt=_QUESTION, stream=False),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/api/chat", Scope.INFER, chat.chat,
        Wire(
            request=ollama_schema.ChatRequest,
            answer=ollama_schema.ChatChunk,
            chunks=(ollama_schema.ChatChunk, ollama_schema.ErrorAnswer),
            example=_example(messages=_TURNS, stream=False),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/api/embed", Scope.INFER, embed.embed,
        Wire(
            request=ollama_schema.EmbedRequest,
            answer=ollama_schema.EmbedAnswer,
            example=_example(input=[_QUESTION]),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/api/embeddings", Scope.INFER, embed.embeddings,
        Wire(
            request=ollama_schema.EmbeddingsRequest,
            answer=ollama_schema.EmbeddingsAnswer,
            example=_example(prompt=_QUESTION),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/api/pull", Scope.ADMIN, pull.pull,
        Wire(
            request=ollama_schema.PullRequest,
            answer=ollama_schema.ProgressLine,
            chunks=(ollama_schema.ProgressLine, ollama_schema.ErrorAnswer),
            example=_example(),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/api/create", Scope.ADMIN, create.create,
        Wire(
            request=ollama_schema.CreateRequest,
            answer=ollama_schema.ProgressLine,
            chunks=(ollama_schema.ProgressLine, ollama_schema.ErrorAnswer),
            example={"model": "brief", "from": _MODEL, "system": "Answer in one sentence."},
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/api/copy", Scope.ADMIN, ollama_models.copy,
        Wire(request=ollama_schema.CopyRequest, example={"source": _MODEL, "destination": "small"}),
    ),
    Endpoint("HEAD", "/api/blobs/{digest}", Scope.ADMIN, blobs.find_blob, Wire()),
    Endpoint("POST", "/api/blobs/{digest}", Scope.ADMIN, blobs.upload_blob, _UPLOAD),
    Endpoint("POST", "/api/push", Scope.ADMIN, cloud.push, _NO_PUSH),
    Endpoint("GET", "/api/status", Scope.INFER, cloud.status, Wire(answer=ollama_schema.StatusAnswer)),
    Endpoint("POST", "/api/me", Scope.INFER, cloud.refuse, _NO_CLOUD),
    Endpoint("POST", "/api/signout", Scope.INFER, cloud.refuse, _NO_CLOUD),
    Endpoint("DELETE", "/api/user/keys/{key}", Scope.INFER, cloud.refuse, _NO_CLOUD),
    Endpoint("GET", _EXPERIMENTAL, Scope.INFER, cloud.refuse, _NO_CLOUD),
    Endpoint("POST", _EXPERIMENTAL, Scope.INFER, cloud.refuse, _NO_CLOUD),
    Endpoint(
        "DELETE", "/api/delete", Scope.ADMIN, ollama_models.delete,
        Wire(request=ollama_schema.NamedRequest, example=_example()),
    ),
)  # fmt: skip

_OPENAI = (
    Endpoint("GET", "/v1/models", Scope.INFER, openai_models.models, Wire(answer=openai_schema.ModelList)),
    Endpoint("GET", "/v1/models/{id:.+}", Scope.INFER, openai_models.model, Wire(answer=openai_schema.Model)),
    Endpoint(
        "POST", "/v1/chat/completions", Scope.INFER, openai_chat.chat_completions,
        Wire(
            request=openai_schema.ChatRequest,
            answer=openai_forms.ChatCompletion,
            chunks=(openai_forms.ChatCompletionChunk, openai_schema.ErrorAnswer),
            streams_as=SSE,
            example=_example(messages=_TURNS),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/v1/completions", Scope.INFER, completions.completions,
        Wire(
            request=openai_schema.CompletionRequest,
            answer=openai_forms.TextCompletion,
            chunks=(openai_forms.TextCompletion, openai_schema.ErrorAnswer),
            streams_as=SSE,
            example=_example(prompt=_QUESTION),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/v1/embeddings", Scope.INFER, openai_embeddings.embeddings,
        Wire(
            request=openai_schema.EmbeddingRequest,
            answer=openai_schema.EmbeddingAnswer,
            example=_example(input=_QUESTION),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/v1/responses", Scope.INFER, openai_responses.create,
        Wire(
            request=responses_schema.ResponseRequest,
            answer=responses_schema.Response,
            chunks=(
                responses_schema.ResponseEvent,
                responses_schema.ItemEvent,
                responses_schema.PartEvent,
                responses_schema.TextDeltaEvent,
                responses_schema.TextDoneEvent,
                responses_schema.ArgumentsDeltaEvent,
                responses_schema.ArgumentsDoneEvent,
                responses_schema.SummaryPartEvent,
                responses_schema.SummaryDeltaEvent,
                responses_schema.SummaryDoneEvent,
                responses_schema.RestartEvent,
                openai_schema.ErrorAnswer,
            ),
            streams_as=SSE,
            example=_example(input=_QUESTION),
            infers=True,
        ),
    ),
)  # fmt: skip

_ANTHROPIC = (
    Endpoint(
        "POST", "/v1/messages", Scope.INFER, anthropic_messages.messages,
        Wire(
            request=anthropic_schema.MessagesRequest,
            answer=anthropic_schema.MessageAnswer,
            chunks=(
                anthropic_schema.MessageStart,
                anthropic_schema.BlockStart,
                anthropic_schema.BlockDelta,
                anthropic_schema.BlockStop,
                anthropic_schema.MessageDelta,
                anthropic_schema.MessageStop,
                anthropic_schema.RestartMark,
                anthropic_schema.ErrorAnswer,
            ),
            streams_as=SSE,
            example=_example(messages=_TURNS, max_tokens=64),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/v1/messages/count_tokens", Scope.INFER, anthropic_messages.count_tokens,
        Wire(
            request=anthropic_schema.CountRequest,
            answer=anthropic_schema.CountAnswer,
            example=_example(messages=_TURNS),
            infers=True,
        ),
    ),
)  # fmt: skip

_DECISIONS = (
    Endpoint(
        "POST", "/v1/systemone", Scope.INFER, systemone.systemone,
        Wire(
            request=decisions_schema.SystemOneRequest,
            answer=decisions_schema.SystemOneAnswer,
            example=_example(state="The sky is blue.", questions={"blue": _NOUL}),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/v1/decisions", Scope.INFER, decide.decide,
        Wire(
            request=decisions_schema.DecisionRequest,
            answer=decisions_schema.Decision,
            example=_example(input="The sky is blue.", questions=[_PREDICATE]),
            infers=True,
        ),
    ),
    Endpoint(
        "POST", "/v1/rerank", Scope.INFER, rerank.rerank,
        Wire(
            request=rerank_schema.RerankRequest,
            answer=rerank_schema.RerankAnswer,
            example=_example(query=_QUESTION, documents=["Air scatters blue light.", "Grass is green."]),
            infers=True,
        ),
    ),
)  # fmt: skip

_HOMEPORT = (
    Endpoint("GET", "/v1/routes", Scope.INFER, routing.routes, Wire(answer=routing_schema.RouteList)),
    Endpoint(
        "POST", "/v1/routes/explain", Scope.INFER, routing.explain,
        Wire(
            request=routing_schema.ExplainRequest,
            answer=routing_schema.Explanation,
            example=_example(prompt=_QUESTION),
            infers=True,
        ),
    ),
    Endpoint("GET", "/v1/replica", Scope.INFER, replica.replica, Wire(answer=replica_schema.Replica)),
    Endpoint("GET", "/v1/stats", Scope.MONITOR, stats.stats, Wire(answer=stats_schema.Stats)),
    Endpoint("GET", "/v1/plugins", Scope.ADMIN, admin.plugins, Wire(answer=operations.PluginList)),
    Endpoint(
        "POST", "/v1/config/reload", Scope.ADMIN, reload.reload,
        Wire(answer=reload_schema.ReloadAnswer, others={409: reload_schema.ReloadRefusal}),
    ),
    Endpoint("GET", "/v1/breakers", Scope.ADMIN, breakers.breakers, Wire(answer=breakers_schema.BreakerList)),
    Endpoint(
        "POST", "/v1/breakers", Scope.ADMIN, breakers.command,
        Wire(
            request=breakers_schema.BreakerCommand,
            answer=breakers_schema.Breaker,
            example={"backend": "transformers-cpu", "model": _MODEL, "action": "reset"},
        ),
    ),
)  # fmt: skip

ENDPOINTS = (*_OPERATIONS, *_OLLAMA, *_OPENAI, *_ANTHROPIC, *_DECISIONS, *_HOMEPORT)
