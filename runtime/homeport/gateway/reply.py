"""What the gateway hands back: events, and the trace of how they were obtained."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import attrs

from homeport.domain.embedding import EmbeddingResult
from homeport.domain.generation import ReplyEvent, Usage

_HEADER_BYTES = 512
_HEADER_SAFE = "/:.-_@+ "


@attrs.frozen(kw_only=True)
class RouteTrace:
    """Who served a request, and why.

    Attributes:
        backend: Name of the backend.
        model: Display name of the model that ran.
        reason: As ``Decision.reason`` tells it, or ``fallback`` where the first one failed.
        attempts: Tries, this one included.
        queue_ms: Milliseconds spent waiting for places, over all tries.
        seed: With which the decision can be made again.
    """

    backend: str
    model: str
    reason: str
    attempts: int
    queue_ms: int
    seed: int

    def header(self) -> str:
        """Render the value of ``x-homeport-route``: ASCII, at most 512 bytes, no hosts or paths."""
        backend, model = (quote(name, safe=_HEADER_SAFE) for name in (self.backend, self.model))
        text = (
            f"backend={backend}; model={model}; reason={self.reason}; "
            f"attempts={self.attempts}; queue_ms={self.queue_ms}; seed={self.seed}"
        )
        return text[:_HEADER_BYTES]


@attrs.define
class Progress:
    """How far a request has come.

    Attributes:
        route: Of the attempt that runs or ran last; None before the first event.
        attempts: How often a backend was asked.
        waited_seconds: Spent waiting for places.
        first_token_at: When the first piece of the answer came, on the loop's clock.
        usage: Of the answer, when it is whole.
        is_over: Whether it is.
    """

    route: RouteTrace | None = None
    attempts: int = 0
    waited_seconds: float = 0.0
    first_token_at: float | None = None
    usage: Usage | None = None
    is_over: bool = False


class Reply:
    """The running answer to a generation request.

    Iterate it once; the first event is there as soon as a model accepted the prompt.
    """

    def __init__(self, progress: Progress, events: AsyncIterator[ReplyEvent]) -> None:
        self._progress = progress
        self._events = events

    @property
    def route(self) -> RouteTrace | None:
        """Who serves the request; known when the first event is."""
        return self._progress.route

    def __aiter__(self) -> AsyncIterator[ReplyEvent]:
        return self._events


@attrs.frozen
class EmbeddingReply:
    """The answer to an embedding request, and the trace of how it was obtained."""

    result: EmbeddingResult
    route: RouteTrace
