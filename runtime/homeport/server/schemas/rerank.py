"""``/v1/rerank``: documents put in the order of their use for a query."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from homeport.server.schemas.openai import EmbeddingUsage
from homeport.server.schemas.terms import RequestTerms


class SentDocument(msgspec.Struct):
    """A document as an object."""

    text: str


class RerankRequest(msgspec.Struct, kw_only=True):
    """``POST /v1/rerank``."""

    model: str | None = None
    query: str | None = None
    documents: list[str | SentDocument] | None = None
    top_n: int | None = None
    return_documents: bool | None = None
    keep_alive: Any = None
    num_ctx: int | None = None
    homeport: RequestTerms | None = None


class Ranked(msgspec.Struct, kw_only=True):
    """A document by its place in the request, and how much it is worth, from 0 to 1."""

    index: int
    relevance_score: float
    document: SentDocument | UnsetType = UNSET


class RerankAnswer(msgspec.Struct, kw_only=True):
    """The documents, best first."""

    model: str
    results: list[Ranked]
    usage: EmbeddingUsage
