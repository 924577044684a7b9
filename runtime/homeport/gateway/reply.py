"""What the gateway hands back: events, and the trace of how they were obtained."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import attrs

from homeport.domain.embedding import EmbeddingResult
from homeport.domain.generation import GenerationEvent

_HEADER_BYTES = 512
_HEADER_SAFE = "/:.-_@+ "


@attrs.frozen(kw_only=True)
class RouteTrace:
    """Who served a request, and why.

    Attributes:
        backend: Name of the backend.
        model: Display name of the model that ran.
        reason: ``only`` candidate, or the name of the router that put it first, or ``order``.
        attempts: Backends tried, this one included.
        queue_ms: Milliseconds from arrival to the first attempt.
    """

    backend: str
    model: str
    reason: str
    attempts: int
    queue_ms: int

    def header(self) -> str:
        """Render the value of ``x-homeport-route``: ASCII, at most 512 bytes, no hosts or paths."""
        text = (
            f"backend={self.backend}; model={quote(self.model, safe=_HEADER_SAFE)}; reason={self.reason}; "
            f"attempts={self.attempts}; queue_ms={self.queue_ms}"
        )
        return text[:_HEADER_BYTES]


class Reply:
    """The running answer to a generation request.

    Iterate it once; the first event is there as soon as the model accepted the prompt.
    """

    def __init__(self, route: RouteTrace, events: AsyncIterator[GenerationEvent]) -> None:
        self.route = route
        self._events = events

    def __aiter__(self) -> AsyncIterator[GenerationEvent]:
        return self._events


@attrs.frozen
class EmbeddingReply:
    """The answer to an embedding request, and the trace of how it was obtained."""

    result: EmbeddingResult
    route: RouteTrace
