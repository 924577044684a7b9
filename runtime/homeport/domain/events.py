"""What monitors are told."""

import attrs

from homeport.domain.generation import Usage


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
class ModelUnloaded:
    """A worker ended; ``reason`` is expired, requested, replaced, died or closed."""

    model: str
    backend: str
    reason: str


Event = RequestStarted | RequestFinished | ModelLoaded | ModelUnloaded
