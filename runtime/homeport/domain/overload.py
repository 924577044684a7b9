"""The errors of limits: too much at once, too much in a while, or too long."""

from datetime import datetime
from typing import ClassVar

from homeport.domain.errors import HomeportError


class OverloadedError(HomeportError):
    """More work than the host, or a backend, takes now; try again after ``retry_after_seconds``."""

    code = "overloaded"
    status = 503
    is_retried = True
    trips_breaker = False
    public_text: ClassVar[str | None] = "server busy, please try again.  maximum pending requests exceeded"

    def __init__(self, message: str, *, retry_after_seconds: int = 1, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class DrainingError(OverloadedError):
    """The host is stopping."""

    code = "draining"


class CoolingError(OverloadedError):
    """A model that failed to load lately, or too often; it is tried again after a pause."""

    code = "loading"
    is_retried = False
    public_text = None


class NoRoomError(OverloadedError):
    """A model that does not fit into memory beside what is in use there.

    Args:
        needed_bytes: What it would take.
        free_bytes: What could be had.
    """

    code = "no_room"
    public_text = None
    is_retried = False

    def __init__(self, needed_bytes: int, free_bytes: int, *, hint: str | None = None) -> None:
        needed, free = (f"{count / 1024**3:.1f} GiB" for count in (needed_bytes, max(free_bytes, 0)))
        text = f"model requires more system memory ({needed}) than is available ({free})"
        super().__init__(text, retry_after_seconds=5, hint=hint)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class TooManyModelsError(OverloadedError):
    """As many models in memory as may be, and none of them leaves.

    Args:
        most: How many may be loaded.
    """

    code = "too_many_models"
    public_text = None
    is_retried = False

    def __init__(self, most: int) -> None:
        text = f"no more models may be in memory than {most}, and none of those that are there can leave now"
        hint = "See them with: homeport ps; [models] most_loaded says how many may be there"
        super().__init__(text, retry_after_seconds=5, hint=hint)


class RateLimitedError(HomeportError):
    """More than one caller may ask for; try again after ``retry_after_seconds``."""

    code = "rate_limited"
    status = 429
    public_text = "rate limit exceeded"
    falls_back = False
    trips_breaker = False

    def __init__(self, message: str, *, retry_after_seconds: int = 1, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class BudgetError(HomeportError):
    """A budget that has no room for an attempt.

    Args:
        message: Names scope, cap, what is spent and when it begins anew; only what the caller may know.
        resets_at: When the budget begins anew, in UTC; None is never.
    """

    code = "insufficient_quota"
    status = 429
    public_text = None
    trips_breaker = False

    def __init__(self, message: str, *, resets_at: datetime | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.resets_at = resets_at


class DeadlineError(HomeportError):
    """The time that a request, or one stage of it, may take is over.

    Args:
        stage: Where it was: queue, load, first token, stall, total.
        seconds: What it was allowed.
    """

    code = "timeout"
    status = 504
    public_text = None
    is_retried = True

    def __init__(self, stage: str, seconds: float, *, hint: str | None = None) -> None:
        super().__init__(f"timeout: {stage} took longer than {seconds:g} s", hint=hint)
        self.stage = stage
