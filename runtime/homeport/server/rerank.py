"""``POST /v1/rerank``: documents in the order of their use for a query.

An embedding model compares vectors: the score is (1 + cosine) / 2. A model that writes text is asked of each
document whether it helps to answer the query: the score is the probability of yes.
"""

import math
from collections.abc import Mapping, Sequence

import attrs
from aiohttp import web

from homeport.domain.embedding import EmbeddingRequest
from homeport.domain.errors import InvalidRequestError
from homeport.domain.models import Capability
from homeport.server.bodies import read_body
from homeport.server.decisions.judging import judge
from homeport.server.decisions.questions import yes_or_no
from homeport.server.dialects import json_response
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import MAX_EMBEDDING_INPUTS, MAX_INTEGER, at_most, bounded
from homeport.server.lookup import NOT_PULLED, find_model, required
from homeport.server.privileges import bounded_keep_alive
from homeport.server.request_ids import generation_id
from homeport.server.schemas import rerank as schema
from homeport.server.schemas.openai import EmbeddingUsage
from homeport.server.state import OWNER, RUNTIME
from homeport.server.terms import read_terms

MAX_JUDGED_DOCUMENTS = 400
"""As many as questions of a decision; each is a prompt of its own."""


@attrs.frozen
class _Scores:
    """How much each document is worth, in order, and what it took to know."""

    each: Sequence[float]
    tokens: int
    headers: Mapping[str, str]


async def rerank(request: web.Request) -> web.StreamResponse:
    """Score documents and give the best first; of equals, the first one sent."""
    body = await read_body(request, schema.RerankRequest)
    name = required(body.model)
    if not body.query:
        raise InvalidRequestError("query is required", field="query")
    texts = [each if isinstance(each, str) else each.text for each in body.documents or []]
    if not texts or not all(texts):
        message = "documents must hold at least one text, and none that is empty"
        raise InvalidRequestError(message, field="documents")
    count = bounded("top_n", body.top_n, 1, MAX_INTEGER)
    model = await find_model(request, name, missing=NOT_PULLED, wanted=Capability.EMBEDDING)
    embeds = Capability.EMBEDDING in model.capabilities
    scored = await (_compared if embeds else _judged)(request, body, name, body.query, texts)
    order = sorted(range(len(texts)), key=lambda place: -scored.each[place])
    results = [schema.Ranked(index=place, relevance_score=scored.each[place]) for place in order[:count]]
    if body.return_documents:
        for result in results:
            result.document = schema.SentDocument(texts[result.index])
    usage = EmbeddingUsage(scored.tokens, scored.tokens)
    answer = schema.RerankAnswer(model=name, results=results, usage=usage)
    return json_response(answer, headers=dict(scored.headers))


async def _compared(
    request: web.Request, body: schema.RerankRequest, name: str, query: str, texts: Sequence[str]
) -> _Scores:
    """Compare vectors of length 1."""
    at_most("documents", len(texts), MAX_EMBEDDING_INPUTS - 1, "texts")
    asked = read_terms(request, body.homeport)
    wanted = EmbeddingRequest(
        id=generation_id(request),
        model=name,
        inputs=(query, *texts),
        keep_alive_seconds=bounded_keep_alive(request, read_keep_alive(body.keep_alive)),
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
    )
    reply = await request.app[RUNTIME].gateway.embed(wanted)
    sought, *found = reply.result.vectors
    scores = [min(max((1 + _dot(sought, vector)) / 2, 0.0), 1.0) for vector in found]
    return _Scores(scores, reply.result.prompt_tokens, {"x-homeport-route": reply.route.header()})


async def _judged(
    request: web.Request, body: schema.RerankRequest, name: str, query: str, texts: Sequence[str]
) -> _Scores:
    """Ask of each document whether it helps."""
    at_most("documents", len(texts), MAX_JUDGED_DOCUMENTS, "texts")
    questions = [
        yes_or_no(f"Does this document help to answer the search query?\n\n{text}") for text in texts
    ]
    verdicts = await judge(request, body, name, f"Search query: {query}", questions, field="documents")
    tokens = sum(verdict.usage.prompt_tokens for verdict in verdicts.each)
    return _Scores([verdict.probabilities[0] for verdict in verdicts.each], tokens, verdicts.headers)


def _dot(first: Sequence[float], second: Sequence[float]) -> float:
    return math.fsum(one * other for one, other in zip(first, second, strict=True))
