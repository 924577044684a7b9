"""What monitors are told."""

from enum import StrEnum

import attrs

from homeport.domain.generation import Priority, Usage


@attrs.frozen(kw_only=True)
class RequestStarted:
    """An attempt was sent to a backend."""

    request_id: str
    model: str
    backend: str


@attrs.frozen(kw_only=True)
class RequestFinished:
    """An attempt ended; ``error_code`` is None when it ended well and ``cancelled`` when the client left.

    Attributes:
        seconds: From the arrival of the request at the gateway.
        usage: None for embeddings and failures.
    """

    request_id: str
    model: str
    backend: str
    seconds: float
    error_code: str | None = None
    usage: Usage | None = None


@attrs.frozen(kw_only=True)
class RequestEnded:
    """A whole request ended, after all its attempts.

    Attributes:
        asked: The model, route or tier that the client named.
        backend: Who served it last; empty where nobody did.
        model: Which model did; empty where none did.
        status: ``ok``, the code of its error, or ``cancelled`` when the client left.
        attempts: How many backends were asked, one as often as it was; 0 where it never got so far.
        queue_seconds: Waited for places, over all attempts.
        first_token_seconds: From its arrival to its first token; None where there was none.
        seconds: From its arrival to its end.
        usage: Tokens of the answer; None for embeddings and where nothing is known.
        priority: Its class.
    """

    request_id: str
    asked: str
    backend: str = ""
    model: str = ""
    status: str
    attempts: int
    queue_seconds: float
    first_token_seconds: float | None = None
    seconds: float
    usage: Usage | None = None
    priority: Priority


@attrs.frozen(kw_only=True)
class RequestRejected:
    """A request was turned away before any backend was asked; ``reason`` is the code of its error."""

    reason: str
    priority: Priority


@attrs.frozen(kw_only=True)
class ModelLoaded:
    """A worker is ready to serve a model.

    Attributes:
        seconds: From the start of its process.
        computes: What it computes in, as ``TokenModelFacts.computes`` tells it.
    """

    model: str
    backend: str
    seconds: float
    computes: str = ""


@attrs.frozen(kw_only=True)
class ModelLoadFailed:
    """A worker did not get ready; memory that could not be had is not counted."""

    model: str
    backend: str


@attrs.frozen(kw_only=True)
class ModelUnloaded:
    """A worker ended; ``reason`` is expired, requested, replaced, died or closed."""

    model: str
    backend: str
    reason: str


class BreakerState(StrEnum):
    """Whether a model on a backend is called: as usual, not for a while, or once to see whether it works."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@attrs.frozen(kw_only=True)
class BreakerChanged:
    """The breaker of a model on a backend went to another state; ``reason`` says why in a few words."""

    backend: str
    model: str
    state: BreakerState
    reason: str


Event = (
    RequestStarted
    | RequestFinished
    | RequestEnded
    | RequestRejected
    | ModelLoaded
    | ModelLoadFailed
    | ModelUnloaded
    | BreakerChanged
)
