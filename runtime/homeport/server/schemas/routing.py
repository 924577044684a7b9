"""``/v1/routes``: what names stand for, and why a request would go where."""

import msgspec

from homeport.server.schemas.openai import ChatRequest


class ExplainRequest(ChatRequest, kw_only=True):
    """``POST /v1/routes/explain``: a chat completion request, or one with a text, or texts to embed."""

    prompt: str | None = None
    input: str | list[str] | None = None


class RouteTarget(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A model on a backend, and what was written beside it."""

    backend: str
    model: str
    note: str = ""


class RouteCandidate(RouteTarget, kw_only=True):
    """A target, and how it stands; times in seconds, null where unknown."""

    tier: str
    in_flight: int
    waiting: int
    slots: int
    latency_seconds: float | None
    success_rate: float
    is_resident: bool
    is_remote: bool
    weight: float
    served_before: bool


class RouteRefusal(msgspec.Struct, kw_only=True):
    """Why a model on a backend is no candidate, and whether that passes with time."""

    backend: str
    model: str
    reason: str
    passes: bool


class RouteStep(msgspec.Struct, kw_only=True):
    """What one step made of the order; ``failure`` names what it failed with."""

    name: str
    order: list[RouteTarget]
    failure: str


class Explanation(msgspec.Struct, kw_only=True):
    """The answer of ``POST /v1/routes/explain``; ``chosen`` is null where nobody could serve."""

    object: str = "route.explanation"
    model: str
    seed: int
    reason: str
    tier: str
    route: str
    chosen: RouteTarget | None
    candidates: list[RouteCandidate]
    refusals: list[RouteRefusal]
    steps: list[RouteStep]
    fallbacks: list[RouteTarget]
    context_fallbacks: list[RouteTarget]
    content_fallbacks: list[RouteTarget]
    shadow: RouteTarget | None
    canary: bool


class RouteName(msgspec.Struct, kw_only=True):
    """A name that is no model: who serves it now, best first, and who does not."""

    name: str
    kind: str
    candidates: list[RouteCandidate]
    refusals: list[RouteRefusal]
    fallbacks: list[RouteTarget]


class RouteList(msgspec.Struct, kw_only=True):
    """``GET /v1/routes``."""

    object: str = "list"
    data: list[RouteName]
