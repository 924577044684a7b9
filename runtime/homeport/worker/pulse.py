"""Whether a worker is alive and gets on, by the beats it sends."""

import attrs

from homeport.worker.channel import Beat

BEAT_SECONDS = 1.0
"""How often a worker tells how it is."""
_BEATS_PER_TIMEOUT = 4
"""At least so many beats fit into the time that a worker may stand still."""


def beat_seconds(step_timeout_seconds: float) -> float:
    """Say how often a worker must beat so that one that stands still is noticed in time."""
    return min(BEAT_SECONDS, step_timeout_seconds / _BEATS_PER_TIMEOUT)


@attrs.define(kw_only=True)
class Pulse:
    """What a worker told last, and for how long nothing moved.

    Time is counted in ticks of the host's own clock: when the host itself was stopped for a while, no tick
    went by, and no worker is blamed.

    Attributes:
        tick_seconds: Time from one tick to the next.
        step_timeout_seconds: How long a worker with work may take for a step, and any worker be silent.
        first_step_timeout_seconds: How long the first step may take, which may compile or read weights.
        resident_bytes: Memory that the worker holds.
        peak_bytes: Most memory that the worker held.
        cached_tokens: Most tokens whose keys and values it held.
    """

    tick_seconds: float
    step_timeout_seconds: float
    first_step_timeout_seconds: float
    resident_bytes: int = 0
    peak_bytes: int = 0
    cached_tokens: int = 0
    _steps: int = 0
    _still: int = 0
    _silent: int = 0

    def feel(self, beat: Beat) -> None:
        """Take note of a beat."""
        self._silent = 0
        if not beat.works or beat.steps != self._steps:
            self._still = 0
        self._steps = beat.steps
        self.resident_bytes = beat.resident_bytes
        self.peak_bytes = max(self.peak_bytes, beat.peak_bytes)
        self.cached_tokens = max(self.cached_tokens, beat.cached_tokens)

    def tick(self) -> bool:
        """Let one tick pass; say whether the worker hangs."""
        self._still += 1
        self._silent += 1
        patience = self.step_timeout_seconds if self._steps else self.first_step_timeout_seconds
        return (
            self._silent * self.tick_seconds >= self.step_timeout_seconds
            or self._still * self.tick_seconds >= patience
        )
