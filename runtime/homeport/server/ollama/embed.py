"""``POST /api/embed`` and the older ``POST /api/embeddings``: vectors of texts."""

from aiohttp import web

from homeport.domain.embedding import EmbeddingRequest
from homeport.domain.errors import InvalidRequestError
from homeport.domain.models import Capability
from homeport.server.bodies import read_body
from homeport.server.dialects import json_response
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import MAX_DIMENSIONS, MAX_EMBEDDING_INPUTS, at_most, within
from homeport.server.lookup import NOT_PULLED, find_model, required
from homeport.server.option_fields import read_options
from homeport.server.privileges import bounded_keep_alive, may, require_admin
from homeport.server.request_ids import generation_id
from homeport.server.schemas import ollama as schema
from homeport.server.scopes import Scope
from homeport.server.state import ARRIVED_AT, OWNER, RUNTIME, nanoseconds, nanoseconds_since
from homeport.server.terms import read_terms


async def embed(request: web.Request) -> web.StreamResponse:
    """Embed texts, normalised; load the model where there is none."""
    body = await read_body(request, schema.EmbedRequest)
    keep_alive_seconds = bounded_keep_alive(request, read_keep_alive(body.keep_alive))
    inputs = _inputs(body.input)
    name = body.model or ""
    model = await find_model(request, name, missing=NOT_PULLED, wanted=Capability.EMBEDDING)
    dimensions = within("dimensions", body.dimensions or 0, 0, model.embedding_length or MAX_DIMENSIONS)
    read_options(body.options)
    if not inputs:
        return await _load(request, name, keep_alive_seconds)
    asked = read_terms(request, body.homeport)
    wanted = EmbeddingRequest(
        id=generation_id(request),
        model=name,
        inputs=inputs,
        truncate=body.truncate is not False,
        dimensions=dimensions or None,
        keep_alive_seconds=keep_alive_seconds,
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
    )
    reply = await request.app[RUNTIME].gateway.embed(wanted)
    answer = schema.EmbedAnswer(
        model=name,
        embeddings=reply.result.vectors,
        total_duration=nanoseconds_since(request[ARRIVED_AT]),
        load_duration=nanoseconds(reply.result.load_seconds),
        prompt_eval_count=reply.result.prompt_tokens,
    )
    return json_response(answer, headers={"x-homeport-route": reply.route.header()})


async def embeddings(request: web.Request) -> web.StreamResponse:
    """Embed one text, not normalised; load the model where there is none."""
    body = await read_body(request, schema.EmbeddingsRequest)
    keep_alive_seconds = bounded_keep_alive(request, read_keep_alive(body.keep_alive))
    name = required(body.model)
    await find_model(request, name, missing=NOT_PULLED, wanted=Capability.EMBEDDING)
    read_options(body.options)
    if not body.prompt:
        require_admin(request, "loading a model")
        await request.app[RUNTIME].gateway.load(name, keep_alive_seconds)
        return json_response(schema.EmbeddingsAnswer(()))
    asked = read_terms(request, body.homeport)
    wanted = EmbeddingRequest(
        id=generation_id(request),
        model=name,
        inputs=(body.prompt,),
        normalize=False,
        keep_alive_seconds=keep_alive_seconds,
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
    )
    reply = await request.app[RUNTIME].gateway.embed(wanted)
    headers = {"x-homeport-route": reply.route.header()}
    return json_response(schema.EmbeddingsAnswer(reply.result.vectors[0]), headers=headers)


async def _load(request: web.Request, name: str, keep_alive_seconds: float | None) -> web.Response:
    if may(request, Scope.ADMIN):
        await request.app[RUNTIME].gateway.load(name, keep_alive_seconds)
    elapsed = nanoseconds_since(request[ARRIVED_AT])
    answer = schema.EmbedAnswer(
        model=name, embeddings=(), total_duration=elapsed, load_duration=elapsed, prompt_eval_count=0
    )
    return json_response(answer)


def _inputs(value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidRequestError("invalid input type", field="input")
    at_most("input", len(texts), MAX_EMBEDDING_INPUTS, "texts")
    return tuple(texts)
