"""What generate and chat share: their checks, and the way from a prompt to an answer."""

from aiohttp import web

from homeport.domain.errors import InvalidRequestError, UnsupportedError
from homeport.domain.generation import GenerationRequest, Prompt
from homeport.domain.models import ModelInfo
from homeport.server.answering import answer
from homeport.server.dialects import json_response
from homeport.server.keep_alive import read_keep_alive
from homeport.server.ollama.chunks import ChunkEncoder, Form
from homeport.server.option_fields import model_options, read_options
from homeport.server.quoting import quoted, shown
from homeport.server.request_ids import generation_id
from homeport.server.schemas.ollama import InferenceRequest
from homeport.server.state import ARRIVED_AT, OWNER, RUNTIME
from homeport.server.streaming import NDJSON
from homeport.server.terms import read_terms

_THINK_LEVELS = ("high", "medium", "low", "max")


def check_think(value: object, model: str) -> None:
    """Check ``think``; no model thinks yet.

    Raises:
        InvalidRequestError: It is no boolean and no level.
        UnsupportedError: It is asked for.
    """
    if value is None or value is False:
        return
    if value is not True and value not in _THINK_LEVELS:
        allowed = ", ".join(quoted(level) for level in _THINK_LEVELS)
        message = f"invalid think value: {shown(value)} (must be {allowed}, true, or false)"
        raise InvalidRequestError(message, field="think")
    raise UnsupportedError(f'"{model}" does not support thinking', field="think")


def check_format(value: object) -> None:
    """Check ``format``; constrained answers are not built yet.

    Raises:
        InvalidRequestError: It is given.
    """
    if value is None or value == "":
        return
    if value == "json" or isinstance(value, dict):
        raise InvalidRequestError(f"format is not supported yet, got {shown(value)}", field="format")
    message = f'invalid format: {quoted(shown(value))}; expected "json" or a valid JSON Schema object'
    raise InvalidRequestError(message, field="format")


async def load_or_unload(
    request: web.Request, model: str, keep_alive_seconds: float | None, form: Form
) -> web.Response:
    """Answer a request without a prompt: load the model, or unload it where ``keep_alive`` is 0."""
    gateway = request.app[RUNTIME].gateway
    chunk = form(model, "")
    chunk.done = True
    if keep_alive_seconds == 0:
        await gateway.unload(model)
        chunk.done_reason = "unload"
    else:
        await gateway.load(model, keep_alive_seconds)
        chunk.done_reason = "load"
    return json_response(chunk)


async def infer(
    request: web.Request,
    body: InferenceRequest,
    model: ModelInfo,
    prompt: Prompt,
    encoder: ChunkEncoder,
) -> web.StreamResponse:
    """Answer a request that has a prompt.

    Raises:
        HomeportError: What failed before the first byte.
    """
    options = read_options(body.options).over(model_options(model))
    asked = read_terms(request, body.homeport)
    generation = GenerationRequest(
        id=generation_id(request),
        model=encoder.model,
        prompt=prompt,
        sampling=options.sampling(top_logprobs=(body.top_logprobs or 0) if body.logprobs else None),
        context_length=options.context_length,
        truncate=body.truncate is not False,
        keep_alive_seconds=read_keep_alive(body.keep_alive),
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
    )
    return await answer(request, [generation], encoder, framing=None if body.stream is False else NDJSON)


def encoder_of(request: web.Request, model: str, form: Form, *, returns_context: bool = True) -> ChunkEncoder:
    """Build the encoder of one answer."""
    return ChunkEncoder(
        model=model, form=form, arrived_at=request[ARRIVED_AT], returns_context=returns_context
    )
