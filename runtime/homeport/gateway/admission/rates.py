"""How much a caller may ask for in a minute."""

import math

import attrs

_SECONDS_PER_MINUTE = 60.0
_MOST_BUCKETS = 1024
"""Buckets that are kept before the full ones are forgotten."""


@attrs.define
class _Bucket:
    """A store that fills up with time; ``level`` may be negative, which is a debt."""

    level: float
    filled_at: float

    def fill(self, per_minute: int, now: float) -> None:
        gained = (now - self.filled_at) * per_minute / _SECONDS_PER_MINUTE
        self.level = min(self.level + max(gained, 0.0), per_minute)
        self.filled_at = max(now, self.filled_at)


class Rate:
    """A token bucket per caller: a minute's worth at once, then as it comes.

    Args:
        per_minute: What a caller may take in a minute; 0 sets no bound.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: dict[str, _Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_seconds(self, owner: str, now: float, *, least: float) -> float:
        """Tell how long it is until a caller has ``least`` to take; 0 is now, at most a minute and a debt."""
        if not self._per_minute:
            return 0.0
        missing = min(least, self._per_minute) - self._bucket(owner, now).level
        return max(missing, 0.0) * _SECONDS_PER_MINUTE / self._per_minute

    def take(self, owner: str, amount: float, now: float) -> None:
        """Take what is there, or run into debt."""
        if self._per_minute and math.isfinite(amount) and amount > 0:
            self._bucket(owner, now).level -= amount

    def reconfigure(self, per_minute: int, now: float) -> None:
        """Count by another rate from now on; debts remain."""
        for bucket in self._buckets.values():
            bucket.fill(self._per_minute, now)
            bucket.level = min(bucket.level, per_minute)
        if not per_minute:
            self._buckets.clear()
        self._per_minute = per_minute

    def _bucket(self, owner: str, now: float) -> _Bucket:
        bucket = self._buckets.get(owner)
        if bucket is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._forget_full(now)
            bucket = self._buckets[owner] = _Bucket(self._per_minute, now)
        bucket.fill(self._per_minute, now)
        return bucket

    def _forget_full(self, now: float) -> None:
        """Drop the buckets that a new one would be equal to."""
        for owner, bucket in list(self._buckets.items()):
            bucket.fill(self._per_minute, now)
            if bucket.level >= self._per_minute:
                del self._buckets[owner]
