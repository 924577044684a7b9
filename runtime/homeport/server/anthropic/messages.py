"""``POST /v1/messages`` and ``/v1/messages/count_tokens``: the next turn, and how long its prompt is."""

import uuid

import attrs
from aiohttp import web

from homeport.domain.errors import InvalidRequestError, UnsupportedError
from homeport.domain.generation import Sampling
from homeport.domain.models import Capability, ModelInfo
from homeport.server.answering import answer
from homeport.server.anthropic.generation import generation_of
from homeport.server.anthropic.message_events import MessageEncoder
from homeport.server.bodies import read_body
from homeport.server.dialects import json_response
from homeport.server.generations import running
from homeport.server.limits import MAX_INTEGER, MAX_STOPS, at_most
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.openai.options import DEFAULTS, bounded
from homeport.server.option_fields import model_options
from homeport.server.options import Options
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas import anthropic as schema
from homeport.server.state import RUNTIME
from homeport.server.streaming import NAMED_SSE

_FRAMING = attrs.evolve(NAMED_SSE, ping=b'event: ping\ndata: {"type":"ping"}\n\n')
_ID_DIGITS = 24
_LEAST_REPEAT_PENALTY = 1e-6


class CannotCountError(UnsupportedError):
    """A model elsewhere whose server does not count without answering."""

    code = "cannot_count"
    status = 501


async def messages(request: web.Request) -> web.StreamResponse:
    """Answer a conversation."""
    body = await read_body(request, schema.MessagesRequest)
    name = required(body.model)
    if body.max_tokens is None or body.max_tokens < 1:
        raise InvalidRequestError("max_tokens is required and must be positive", field="max_tokens")
    model = await _find(request, body, name)
    options = _options(body).over(model_options(model)).over(DEFAULTS)
    wanted = generation_of(request, body, model, options.sampling(top_logprobs=None))
    encoder = MessageEncoder(id=f"msg_{uuid.uuid4().hex[:_ID_DIGITS]}", model=name)
    return await answer(request, [wanted], encoder, framing=_FRAMING if body.stream else None)


async def count_tokens(request: web.Request) -> web.StreamResponse:
    """Count the tokens of a conversation as its model reads it; nothing is computed."""
    body = await read_body(request, schema.CountRequest)
    name = required(body.model)
    model = await _find(request, body, name)
    wanted = attrs.evolve(generation_of(request, body, model, Sampling(max_tokens=0)), truncate=False)
    try:
        async with running(request.app[RUNTIME].gateway, [wanted]) as generations:
            (outcome,) = await generations.outcomes()
    except InvalidRequestError as error:
        if error.field == "max_tokens":
            raise _cannot_count(name) from error
        raise
    tokens = outcome.finished.usage.prompt_tokens
    if not tokens:
        raise _cannot_count(name)
    return json_response(schema.CountAnswer(tokens), headers=generations.headers)


async def _find(request: web.Request, body: schema.CountRequest, name: str) -> ModelInfo:
    """Look up the model, and check that it can do what the request needs."""
    if not body.messages:
        raise InvalidRequestError("messages is required", field="messages")
    model = await find_model(request, name)
    require_generation(model, name, "chat")
    if body.tools and Capability.TOOLS not in model.capabilities:
        raise lacks_capability(name, "tools", field="tools")
    return model


def _options(body: schema.MessagesRequest) -> Options:
    stops = tuple(body.stop_sequences or ())
    at_most("stop_sequences", len(stops), MAX_STOPS, "texts")
    penalty = body.repetition_penalty if body.repeat_penalty is None else body.repeat_penalty
    return Options(
        num_predict=bounded("max_tokens", body.max_tokens, 1, MAX_INTEGER),
        temperature=bounded("temperature", body.temperature, 0, 2),
        top_p=bounded("top_p", body.top_p, 0, 1),
        top_k=bounded("top_k", body.top_k, -1, MAX_INTEGER),
        min_p=bounded("min_p", body.min_p, 0, 1),
        repeat_penalty=bounded("repeat_penalty", penalty, _LEAST_REPEAT_PENALTY, float("inf")),
        stop=stops or None,
    )


def _cannot_count(name: str) -> CannotCountError:
    return CannotCountError(f"{shown(name)} cannot count tokens: its server does not tell", field="model")
