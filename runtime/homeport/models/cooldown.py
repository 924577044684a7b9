"""The pause after a load that failed, so that a model that cannot be loaded costs others nothing."""

import math

import attrs

from homeport.domain.overload import CoolingError

FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 300.0


@attrs.define
class _Failures:
    count: int
    until: float
    revision: int


class Cooldown:
    """Says when models may be loaded again: one try per pause, and pauses that double.

    Moments are on the clock of the event loop, in seconds.
    """

    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def check(self, name: str, digest: str, *, now: float) -> None:
        """Refuse a model that failed a short while ago.

        Raises:
            CoolingError: With the time left.
        """
        failed = self._failures.get(digest)
        if failed is not None and now < failed.until:
            left = failed.until - now
            message = f"{name} could not be loaded a short while ago; it is tried again in {left:.0f} s"
            hint = "Where the server runs, `homeport doctor` and its log name the cause"
            raise CoolingError(message, retry_after_seconds=math.ceil(left), hint=hint)

    def note_revision(self, revision: int) -> None:
        """Forget failures with a store that has changed since: their models may have been mended."""
        self._failures = {
            digest: failed for digest, failed in self._failures.items() if failed.revision == revision
        }

    def note_failure(self, digest: str, *, now: float, revision: int) -> None:
        """Begin a pause, twice as long as the last.

        Args:
            digest: Of the model.
            now: The moment.
            revision: Of the store when the load began.
        """
        failed = self._failures.get(digest)
        count = 1 if failed is None else failed.count + 1
        pause = min(FIRST_PAUSE_SECONDS * (1 << min(count - 1, 16)), LONGEST_PAUSE_SECONDS)
        self._failures[digest] = _Failures(count, now + pause, revision)

    def note_success(self, digest: str) -> None:
        """Forget the failures of a model that could be loaded."""
        self._failures.pop(digest, None)
