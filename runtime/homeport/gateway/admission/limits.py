"""How many requests a backend takes at once, found out by asking more of it until it refuses."""

from homeport.domain.overload import DeadlineError, OverloadedError, RateLimitedError
from homeport.gateway.deadline import TOTAL

FIRST_LIMIT = 2
LEAST_LIMIT = 1
MOST_LIMIT = 256
_CUT = 0.5


class AdaptiveLimit:
    """Additive increase, multiplicative decrease (Chiu and Jain 1989), in requests.

    One more after as many successes as the limit allows at once; half of it, once for all calls that were
    under way together, after a refusal or a timeout. A success counts only where at least half of the limit
    was in use: what is not asked for proves nothing.
    """

    def __init__(self) -> None:
        self._limit = FIRST_LIMIT
        self._successes = 0
        self._epoch = 0

    @property
    def limit(self) -> int:
        """Requests at once, now."""
        return self._limit

    @property
    def epoch(self) -> int:
        """How often it was cut; a call remembers the one that it began in."""
        return self._epoch

    def note(self, error: BaseException | None, *, epoch: int, in_flight: int) -> None:
        """Learn from the end of a call.

        Args:
            error: What it failed with, None where it did well.
            epoch: When it began.
            in_flight: Calls under way until now, this one included.
        """
        if error is None:
            self._succeed(in_flight)
        elif _is_overload(error) and epoch == self._epoch:
            self._limit = max(int(self._limit * _CUT), LEAST_LIMIT)
            self._successes = 0
            self._epoch += 1

    def _succeed(self, in_flight: int) -> None:
        if 2 * in_flight < self._limit or self._limit >= MOST_LIMIT:
            return
        self._successes += 1
        if self._successes >= self._limit:
            self._limit += 1
            self._successes = 0


def _is_overload(error: BaseException) -> bool:
    """Tell what the backend had too much of; the short deadline of a caller is no fault of it."""
    if isinstance(error, DeadlineError):
        return error.stage != TOTAL
    return isinstance(error, OverloadedError | RateLimitedError)
