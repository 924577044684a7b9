"""When another attempt is worth it: the delay before it, and the budget that all of them share."""

import asyncio
import random

from homeport.config.gateway_settings import RetrySettings
from homeport.domain.errors import HomeportError, WorkerDiedError
from homeport.domain.overload import OverloadedError

WINDOW_SECONDS = 60


class RetryBudget:
    """Bounds retries to a share of the requests of the last minute; fallbacks count and are not refused.

    Counts stand in a ring of seconds, so that memory and time do not depend on the traffic.

    Args:
        settings: The share, and how many are always allowed.
    """

    def __init__(self, settings: RetrySettings) -> None:
        self._settings = settings
        self._requests = [0] * WINDOW_SECONDS
        self._extras = [0] * WINDOW_SECONDS
        self._second: int | None = None

    def note_request(self) -> None:
        """Count a request that arrived."""
        self._requests[self._place()] += 1

    def take(self) -> bool:
        """Count a further attempt if there is room for it; False where there is none."""
        place = self._place()
        if self.spent >= self.allowed:
            return False
        self._extras[place] += 1
        return True

    def note_fallback(self) -> None:
        """Count an attempt on another backend, which leaves less for retries."""
        self._extras[self._place()] += 1

    @property
    def spent(self) -> int:
        """Further attempts of the last minute."""
        self._place()
        return sum(self._extras)

    @property
    def left(self) -> int:
        """How many further attempts there may be now."""
        return max(self.allowed - self.spent, 0)

    @property
    def allowed(self) -> int:
        """How many further attempts the last minute may have."""
        self._place()
        share = int(self._settings.traffic_share * sum(self._requests))
        return max(self._settings.least_per_minute, share)

    def reconfigure(self, settings: RetrySettings) -> None:
        """Use other settings from now on; what was counted stays."""
        self._settings = settings

    def _place(self) -> int:
        """Clear the seconds that went by since the last call and give the place of this one."""
        now = int(asyncio.get_running_loop().time())
        last = now if self._second is None else self._second
        for second in range(last + 1, min(now, last + WINDOW_SECONDS) + 1):
            self._requests[second % WINDOW_SECONDS] = 0
            self._extras[second % WINDOW_SECONDS] = 0
        self._second = max(now, last)
        return self._second % WINDOW_SECONDS


def delay_seconds(
    settings: RetrySettings, number: int, error: BaseException, generator: random.Random
) -> float | None:
    """Say how long to wait before the same backend is asked again.

    Full jitter: anything from nothing to a bound that doubles each time (Brooker 2015, "Exponential Backoff
    And Jitter"), behind the Retry-After that the backend asked for.

    Args:
        settings: Delays and how many attempts there may be.
        number: Of the retry, from 1.
        error: What the attempt before it failed with.
        generator: Gives the jitter.

    Returns:
        Seconds, or None where it is not worth waiting: the error stays, the attempts are used up, or the
        backend wants to be left alone for longer than the settings allow.
    """
    if not isinstance(error, HomeportError) or not error.is_retried or number > settings.extra_attempts:
        return None
    if isinstance(error, WorkerDiedError) and number > 1:
        return None
    bound = min(settings.most_delay_seconds, settings.first_delay_seconds * 2.0 ** (number - 1))
    jitter = generator.uniform(0.0, bound)
    asked = max(error.retry_after_seconds, 0) if isinstance(error, OverloadedError) else 0
    return None if asked > settings.most_retry_after_seconds else asked + jitter
