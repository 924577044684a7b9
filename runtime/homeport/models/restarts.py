"""How soon a worker is started again after others of its model died."""

import math

from homeport.domain.overload import CoolingError

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
WINDOW_SECONDS = 600.0
"""How long a death is remembered, and how long a model is left alone after too many."""
MOST_DEATHS = 5


class Restarts:
    """Counts the deaths of workers by the digest of their model.

    Moments are on the clock of the event loop, in seconds.
    """

    def __init__(self) -> None:
        self._deaths: dict[str, list[float]] = {}

    def note_death(self, digest: str, *, now: float) -> None:
        """Take note that a worker died."""
        self._deaths[digest] = [*self._recent(digest, now), now]

    def delay_seconds(self, name: str, digest: str, *, now: float) -> float:
        """Say how long to wait before the next start: 1, 2, 4 ... 30 s after the last death.

        Raises:
            CoolingError: Five died within ten minutes; the model is left alone for as long.
        """
        deaths = self._recent(digest, now)
        if not deaths:
            return 0.0
        if len(deaths) >= MOST_DEATHS:
            left = deaths[-1] + WINDOW_SECONDS - now
            message = f"the worker of {name} died {len(deaths)} times; it is started again in {left:.0f} s"
            raise CoolingError(
                message, retry_after_seconds=math.ceil(left), hint="See the log for its last words"
            )
        delay = min(FIRST_DELAY_SECONDS * (1 << (len(deaths) - 1)), LONGEST_DELAY_SECONDS)
        return max(deaths[-1] + delay - now, 0.0)

    def _recent(self, digest: str, now: float) -> list[float]:
        """Give the deaths that count: of the ten minutes before the last one, for ten minutes after it."""
        deaths = self._deaths.get(digest, [])
        if not deaths or deaths[-1] <= now - WINDOW_SECONDS:
            self._deaths.pop(digest, None)
            return []
        return [moment for moment in deaths if moment > deaths[-1] - WINDOW_SECONDS][-MOST_DEATHS:]
