"""The one tree of errors; those of limits, which pass by themselves, are in ``overload``.

Each class carries a stable ``code``, the HTTP ``status`` it becomes, and ``public_text``: what a remote
client may read when the message itself could name paths, hosts or causes. A class without a
``public_text`` has messages made only of values that the client sent, and shows them as they are, with
their hints. Where the message is hidden so is the hint, unless ``has_public_hint`` says that it names
neither paths nor hosts.

Three more marks say what the gateway does after one: ``is_retried`` (the same backend may do better the next
time), ``falls_back`` (another one may) and ``trips_breaker`` (it counts against the backend).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import attrs

if TYPE_CHECKING:
    from homeport.domain.generation import Usage


class HomeportError(Exception):
    """Root of all errors that homeport raises on purpose.

    Args:
        message: What failed, with its value, and what is allowed.
        hint: How to mend it, as a command where there is one.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    public_text: ClassVar[str | None] = "internal server error"
    has_public_hint: ClassVar[bool] = False
    is_retried: ClassVar[bool] = False
    falls_back: ClassVar[bool] = True
    trips_breaker: ClassVar[bool] = True

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.partial: Usage | None = None
        """What was used before it, where a part of the answer had been sent."""

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    @property
    def public_message(self) -> str:
        """What a remote client may read."""
        return self.message if self.public_text is None else self.public_text

    @property
    def public_hint(self) -> str | None:
        """The hint, where a remote client may read it."""
        return self.hint if self.has_public_hint or self.public_text is None else None


class InvalidRequestError(HomeportError):
    """A request that no retry can mend: wrong type, out of range, unknown role.

    Args:
        message: What is wrong, naming field and value.
        field: The request field at fault, as the client spelt it.
    """

    code = "invalid_request"
    status = 400
    public_text = None
    falls_back = False
    trips_breaker = False

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class RequestTooLargeError(HomeportError):
    """A body above the configured bound."""

    code = "request_too_large"
    status = 413
    falls_back = False
    trips_breaker = False
    public_text = "request body too large"


class ContextOverflowError(InvalidRequestError):
    """A prompt longer than the window of the model; one with a larger window may do."""

    code = "context_overflow"
    falls_back = True


class UnsupportedError(InvalidRequestError):
    """A capability that the model at hand lacks, such as embeddings from a chat model."""

    code = "unsupported"


@attrs.frozen
class Refusal:
    """Why a candidate cannot serve a request.

    Attributes:
        backend: Name of the backend.
        model: Display name of the model.
        reason: In a few words, with figures.
        passes: Whether it can be otherwise in a while: memory, a breaker, a queue.
    """

    backend: str
    model: str
    reason: str
    passes: bool = False


class NoRouteError(InvalidRequestError):
    """No candidate can serve the request, now or later.

    Args:
        model: The name as the client sent it.
        refusals: Why each candidate fell out.
    """

    code = "no_route"

    def __init__(self, model: str, refusals: Sequence[Refusal]) -> None:
        listed = "; ".join(f"{each.model} on {each.backend}: {each.reason}" for each in refusals)
        super().__init__(f"no model can serve this request for {model!r}: {listed}", field="model")
        self.refusals = tuple(refusals)


class ModelNotFoundError(HomeportError):
    """No installed or offered model bears the name.

    Args:
        model: The name as the client sent it.
        suggestions: Up to three known names that are spelt alike.
        hint: How to get it, as a command.
    """

    code = "model_not_found"
    status = 404
    public_text = None
    falls_back = False
    trips_breaker = False

    def __init__(self, model: str, *, suggestions: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(f"model '{model}' not found", hint=hint)
        self.model = model
        self.suggestions = tuple(suggestions)


class BlobNotFoundError(HomeportError):
    """No uploaded file has the digest.

    Args:
        digest: SHA-256, 64 hexadecimal digits.
    """

    code = "blob_not_found"
    status = 404
    public_text = None
    falls_back = False
    trips_breaker = False

    def __init__(self, digest: str) -> None:
        super().__init__(f'blob "sha256:{digest}" not found')


class UnauthorizedError(HomeportError):
    """A missing or unknown API key."""

    code = "unauthorized"
    status = 401
    public_text = "unauthorized"
    falls_back = False
    trips_breaker = False


class ForbiddenError(HomeportError):
    """A known key that is not made for what it was used for; the message names the scope that is wanting."""

    code = "forbidden"
    status = 403
    public_text = "forbidden"
    falls_back = False
    trips_breaker = False

    @property
    def public_hint(self) -> str | None:
        """The message, which holds words of ours only."""
        return self.message


class RefusedError(HomeportError):
    """A guard refused the attempt, or a validator the answer; the reason is for the client."""

    code = "refused"
    status = 403
    public_text = None
    trips_breaker = False


class GenerationError(HomeportError):
    """A generation that began and failed inside the model."""

    code = "generation_failed"
    public_text = "an error was encountered while running the model"


class WorkerDiedError(GenerationError):
    """The worker process ended, or did not move any more, while requests were running."""

    code = "worker_died"
    is_retried = True
    has_public_hint = True


class BackendError(HomeportError):
    """A remote backend could not be reached or answered nonsense."""

    code = "backend_unreachable"
    status = 502
    public_text = "remote model is unavailable"
    is_retried = True


class BackendRefusedError(BackendError):
    """A remote backend does not let us in: a wrong key, a quota that is spent."""

    code = "backend_refused"
    is_retried = False
    trips_breaker = False


class LoadError(HomeportError):
    """A model that is installed but could not be loaded."""

    code = "load_failed"
    public_text = "the model could not be loaded"

    @property
    def public_hint(self) -> str | None:
        """The hint, or where to look for the cause, which is for those who run the host."""
        return super().public_hint or "Where the server runs, `homeport doctor` and its log name the cause"


class StoreError(LoadError):
    """A model store entry that is damaged or cannot be written; the hint names commands, never paths."""

    code = "store_corrupt"
    has_public_hint = True


class NoBackendError(LoadError):
    """An installed model that no usable backend can run."""

    code = "no_backend"
    public_text = "no backend here can run this model"
    has_public_hint = True

    def __init__(self, model: str) -> None:
        super().__init__(
            f"model {model!r} is installed, but no usable backend can run it",
            hint="See what is missing or blocked with: homeport plugins",
        )


class PullError(HomeportError):
    """A model that could not be fetched or converted."""

    code = "pull_failed"
    public_text = None


class ConfigError(HomeportError):
    """A setting that is unknown, of the wrong type, or impossible."""

    code = "config"


class PluginError(HomeportError):
    """A plugin that breaks the contract; another backend does not mend that."""

    code = "plugin"
    falls_back = False
    trips_breaker = False
