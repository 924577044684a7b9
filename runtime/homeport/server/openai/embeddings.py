"""``POST /v1/embeddings``: vectors of texts."""

import base64
import struct

from aiohttp import web

from homeport.domain.embedding import EmbeddingRequest
from homeport.domain.errors import InvalidRequestError
from homeport.domain.models import Capability
from homeport.server.bodies import read_body
from homeport.server.dialects import json_response
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import MAX_DIMENSIONS, MAX_EMBEDDING_INPUTS, at_most, bounded
from homeport.server.lookup import NOT_PULLED, find_model, required
from homeport.server.openai.inputs import read_inputs
from homeport.server.privileges import bounded_keep_alive
from homeport.server.quoting import shortened
from homeport.server.request_ids import generation_id
from homeport.server.schemas import openai as schema
from homeport.server.state import OWNER, RUNTIME
from homeport.server.terms import read_terms

_FLOAT = "float"
_BASE64 = "base64"


async def embeddings(request: web.Request) -> web.StreamResponse:
    """Embed texts, normalised."""
    body = await read_body(request, schema.EmbeddingRequest)
    name = required(body.model)
    encoding = _FLOAT if body.encoding_format is None else body.encoding_format
    if encoding not in (_FLOAT, _BASE64):
        sent = shortened(encoding)
        message = f"Invalid value for 'encoding_format' = {sent}. Supported values: ['float', 'base64']."
        raise InvalidRequestError(message, field="encoding_format")
    inputs = read_inputs("input", body.input)
    if not inputs or not all(inputs):
        raise InvalidRequestError("invalid input", field="input")
    at_most("input", len(inputs), MAX_EMBEDDING_INPUTS, "texts")
    model = await find_model(request, name, missing=NOT_PULLED, wanted=Capability.EMBEDDING)
    asked = read_terms(request, body.homeport)
    wanted = EmbeddingRequest(
        id=generation_id(request),
        model=name,
        inputs=tuple(inputs),
        dimensions=bounded("dimensions", body.dimensions, 1, model.embedding_length or MAX_DIMENSIONS),
        keep_alive_seconds=bounded_keep_alive(request, read_keep_alive(body.keep_alive)),
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
    )
    reply = await request.app[RUNTIME].gateway.embed(wanted)
    tokens = reply.result.prompt_tokens
    answer = schema.EmbeddingAnswer(
        data=[
            schema.Embedding(index=index, embedding=_encoded(vector, encoding))
            for index, vector in enumerate(reply.result.vectors)
        ],
        model=name,
        usage=schema.EmbeddingUsage(tokens, tokens),
    )
    return json_response(answer, headers={"x-homeport-route": reply.route.header()})


def _encoded(vector: tuple[float, ...], encoding: str) -> tuple[float, ...] | str:
    if encoding == _FLOAT:
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
