"""The one tree of errors.

Each class carries a stable ``code``, the HTTP ``status`` it becomes, and ``public_text``: what a remote
client may read when the message itself could name paths, hosts or causes. A class without a
``public_text`` has messages made only of values that the client sent, and shows them as they are, with
their hints. Where the message is hidden so is the hint, unless ``has_public_hint`` says that it names
neither paths nor hosts.
"""

from collections.abc import Sequence
from typing import ClassVar


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

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

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

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class RequestTooLargeError(HomeportError):
    """A body above the configured bound."""

    code = "request_too_large"
    status = 413
    public_text = "request body too large"


class ContextOverflowError(InvalidRequestError):
    """A prompt longer than the window of the model."""

    code = "context_overflow"


class UnsupportedError(InvalidRequestError):
    """A capability that the model at hand lacks, such as embeddings from a chat model."""

    code = "unsupported"


class ModelNotFoundError(HomeportError):
    """No installed or offered model bears the name.

    Args:
        model: The name as the client sent it.
        suggestions: Up to three known names that are spelt alike.
    """

    code = "model_not_found"
    status = 404
    public_text = None

    def __init__(self, model: str, *, suggestions: Sequence[str] = ()) -> None:
        super().__init__(f"model '{model}' not found")
        self.model = model
        self.suggestions = tuple(suggestions)


class UnauthorizedError(HomeportError):
    """A missing or unknown API key."""

    code = "unauthorized"
    status = 401
    public_text = "unauthorized"


class OverloadedError(HomeportError):
    """More work than the host takes now; try again after ``retry_after_seconds``."""

    code = "overloaded"
    status = 503
    public_text = "server busy, please try again.  maximum pending requests exceeded"

    def __init__(self, message: str, *, retry_after_seconds: int = 1, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class RefusedError(HomeportError):
    """A guard refused the attempt, or a validator the answer; the reason is for the client."""

    code = "refused"
    status = 403
    public_text = None


class GenerationError(HomeportError):
    """A generation that began and failed inside the model."""

    code = "generation_failed"
    public_text = "an error was encountered while running the model"


class WorkerDiedError(GenerationError):
    """The worker process ended while requests were running."""

    code = "worker_died"


class BackendError(HomeportError):
    """A remote backend could not be reached or answered nonsense."""

    code = "backend_unreachable"
    status = 502
    public_text = "remote model is unavailable"


class LoadError(HomeportError):
    """A model that is installed but could not be loaded."""

    code = "load_failed"
    public_text = "the model could not be loaded"


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
    """A plugin that breaks the contract."""

    code = "plugin"
