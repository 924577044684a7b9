"""What generate and chat share: their checks, and the way from a prompt to an answer."""

from aiohttp import web

from homeport.domain.constraint import Constraint
from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import GenerationRequest, Prompt
from homeport.domain.models import ModelInfo
from homeport.server.answering import answer
from homeport.server.constraints import json_constraint, schema_constraint
from homeport.server.dialects import json_response
from homeport.server.keep_alive import read_keep_alive
from homeport.server.ollama.calls import Piece
from homeport.server.ollama.chunks import ChunkEncoder, Form
from homeport.server.option_fields import model_options, read_options
from homeport.server.options import Options
from homeport.server.privileges import require_admin
from homeport.server.quoting import quoted, shown
from homeport.server.request_ids import generation_id
from homeport.server.schemas.ollama import InferenceRequest
from homeport.server.state import ARRIVED_AT, OWNER, RUNTIME
from homeport.server.streaming import NDJSON
from homeport.server.terms import read_terms


def read_format(value: object) -> Constraint | None:
    """Read ``format``: the word ``json``, a JSON Schema, or nothing.

    Raises:
        InvalidRequestError: It is anything else, or too large.
    """
    if value is None or value == "":
        return None
    if value == "json":
        return json_constraint()
    if isinstance(value, dict):
        return schema_constraint("format", value)
    message = f'invalid format: {quoted(shown(value))}; expected "json" or a valid JSON Schema object'
    raise InvalidRequestError(message, field="format")


def options_of(body: InferenceRequest, model: ModelInfo) -> Options:
    """Read ``options`` over those of the model; a request that only loads has its own checked too.

    Raises:
        InvalidRequestError: One has the wrong type or is out of range.
    """
    return read_options(body.options).over(model_options(model))


async def load_or_unload(
    request: web.Request, model: str, keep_alive_seconds: float | None, form: Form
) -> web.Response:
    """Answer a request without a prompt: load the model, or unload it where ``keep_alive`` is 0.

    Raises:
        ForbiddenError: The key is not for that.
    """
    require_admin(request, "loading or unloading a model")
    gateway = request.app[RUNTIME].gateway
    chunk = form(model, Piece())
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
    options: Options,
    prompt: Prompt,
    encoder: ChunkEncoder,
    *,
    constraint: Constraint | None,
) -> web.StreamResponse:
    """Answer a request that has a prompt.

    Raises:
        HomeportError: What failed before the first byte.
    """
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
        constraint=constraint,
    )
    return await answer(request, [generation], encoder, framing=None if body.stream is False else NDJSON)


def encoder_of(request: web.Request, model: str, form: Form, *, returns_context: bool = True) -> ChunkEncoder:
    """Build the encoder of one answer."""
    return ChunkEncoder(
        model=model, form=form, arrived_at=request[ARRIVED_AT], returns_context=returns_context
    )
