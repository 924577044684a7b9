"""How long requests hold their places, smoothed, and what follows for those that wait."""

import math

_WEIGHT = 0.1
"""Of the latest request; of the first ones it is what makes a plain mean."""
_SOUND_COUNT = 20
"""Requests before anything is refused for its sake."""
_LEAST_RETRY_SECONDS = 1
_MOST_RETRY_SECONDS = 120


class ServiceTime:
    """Smoothed mean and mean deviation, as TCP keeps them of round trips (Jacobson 1988)."""

    def __init__(self) -> None:
        self._count = 0
        self._deviation = 0.0
        self.mean_seconds = 0.0
        """0 where nothing is known."""

    def observe(self, seconds: float) -> None:
        """Count a request."""
        self._count += 1
        if self._count == 1:
            self.mean_seconds = seconds
            return
        weight = max(_WEIGHT, 1 / self._count)
        error = seconds - self.mean_seconds
        self.mean_seconds += weight * error
        self._deviation += weight * (abs(error) - self._deviation)

    def least_wait_seconds(self, ahead: int, limit: int) -> float:
        """Bound from below how long a request waits behind others; 0 where too little is known.

        Args:
            ahead: Those that are served before it.
            limit: How many are served at once.
        """
        if self._count < _SOUND_COUNT:
            return 0.0
        return ahead // limit * max(self.mean_seconds - 2 * self._deviation, 0.0)

    def most_waiting(self, limit: int, seconds: float) -> float:
        """Tell how many may wait so that all are served in time; infinity where too little is known.

        Args:
            limit: How many are served at once.
            seconds: How long the last of them may wait.
        """
        if self._count < _SOUND_COUNT or not self.mean_seconds:
            return math.inf
        return max(limit * seconds / self.mean_seconds, 1.0)

    def retry_seconds(self, waiting: int, limit: int) -> float:
        """Tell when a place may be free for one who comes behind all that wait."""
        return (waiting + 1) * self.mean_seconds / limit


def whole_retry_seconds(seconds: float) -> int:
    """Round up to what a ``Retry-After`` may say: 1 to 120."""
    return math.ceil(min(max(seconds, _LEAST_RETRY_SECONDS), _MOST_RETRY_SECONDS))
