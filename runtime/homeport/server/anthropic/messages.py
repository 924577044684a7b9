"""``POST /v1/messages`` and ``/v1/messages/count_tokens``: the next turn, and how long its prompt is."""

import uuid

import attrs
from aiohttp import web

from homeport.domain.errors import InvalidRequestError, UnsupportedError
from homeport.domain.models import Capability, ModelInfo
from homeport.server.answering import answer
from homeport.server.anthropic.generation import generation_of
from homeport.server.anthropic.message_events import MessageEncoder
from homeport.server.bodies import read_body
from homeport.server.dialects import json_response
from homeport.server.generations import running
from homeport.server.limits import MAX_INTEGER, MAX_STOPS, at_most, bounded
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.option_fields import model_options
from homeport.server.options import Options
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.sampling_fields import DEFAULTS, read_sampling, read_window
from homeport.server.schemas import anthropic as schema
from homeport.server.state import RUNTIME
from homeport.server.streaming import NAMED_SSE

_FRAMING = attrs.evolve(NAMED_SSE, ping=b'event: ping\ndata: {"type":"ping"}\n\n')
_ID_DIGITS = 24
_FIELDS = {"format": "output_config.format", "prompt": "messages"}
"""What the client calls what the backend's errors name."""


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
    wanted = generation_of(request, body, model, options)
    encoder = MessageEncoder(id=f"msg_{uuid.uuid4().hex[:_ID_DIGITS]}", model=name)
    framing = _FRAMING if body.stream else None
    return await answer(request, [wanted], encoder, framing=framing, fields=_FIELDS)


async def count_tokens(request: web.Request) -> web.StreamResponse:
    """Count the tokens of a conversation as its model reads it; nothing is computed."""
    body = await read_body(request, schema.CountRequest)
    name = required(body.model)
    model = await _find(request, body, name)
    options = Options(num_predict=0, num_ctx=read_window(body.num_ctx)).over(model_options(model))
    wanted = attrs.evolve(generation_of(request, body, model, options), truncate=False)
    try:
        async with running(request.app[RUNTIME].gateway, [wanted], _FIELDS) as generations:
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
    wanted = Capability.TOOLS if body.tools else Capability.COMPLETION
    model = await find_model(request, name, wanted=wanted)
    require_generation(model, name, "chat")
    if body.tools and Capability.TOOLS not in model.capabilities:
        raise lacks_capability(name, "tools", field="tools")
    return model


def _options(body: schema.MessagesRequest) -> Options:
    stops = tuple(body.stop_sequences or ())
    at_most("stop_sequences", len(stops), MAX_STOPS, "texts")
    max_tokens = bounded("max_tokens", body.max_tokens, 1, MAX_INTEGER)
    return attrs.evolve(read_sampling(body, max_tokens), stop=stops or None)


def _cannot_count(name: str) -> CannotCountError:
    return CannotCountError(f"{shown(name)} cannot count tokens: its server does not tell", field="model")
