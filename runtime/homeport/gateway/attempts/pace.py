"""How fast targets read prompts, and how long a first token may therefore take."""

import math

import attrs

from homeport.config.gateway_settings import TimeoutSettings
from homeport.gateway.target import TargetKey

PATIENCE = 3.0
"""A first token may take so many times what its prompt is expected to take."""
UNMEASURED_TOKENS_PER_SECOND = 30.0
"""Assumed of a target that has read nothing yet: less than a 1.7 billion model reads on two cores."""
_KEPT_SHARE = 0.9
_MOST_TARGETS = 4096


@attrs.define
class _Reading:
    """Decayed sums, so that long prompts weigh more than short ones, whose time is mostly overhead."""

    tokens: float = 0.0
    seconds: float = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        self.tokens = self.tokens * _KEPT_SHARE + tokens
        self.seconds = self.seconds * _KEPT_SHARE + seconds


class Pace:
    """Measures prompt tokens per second, for each target."""

    def __init__(self) -> None:
        self._readings: dict[TargetKey, _Reading] = {}

    def observe(self, key: TargetKey, *, tokens: int, seconds: float) -> None:
        """Take note of a prompt that was read.

        Args:
            key: Who read it.
            tokens: Those that were computed; cached ones take no time.
            seconds: How long that took; where the backend does not tell, the time to the first token.
        """
        if tokens <= 0 or not 0 < seconds < math.inf:
            return
        reading = self._readings.pop(key, None) or _Reading()
        reading.add(tokens, seconds)
        self._readings[key] = reading
        if len(self._readings) > _MOST_TARGETS:
            del self._readings[next(iter(self._readings))]

    def tokens_per_second(self, key: TargetKey) -> float | None:
        """Tell the pace of a target; None while nothing is measured."""
        reading = self._readings.get(key)
        return None if reading is None else reading.tokens / reading.seconds

    def first_token_seconds(self, key: TargetKey, prompt_tokens: int, settings: TimeoutSettings) -> float:
        """Bound the time from the start of a backend to its first token: a long prompt is not a failure."""
        pace = self.tokens_per_second(key) or UNMEASURED_TOKENS_PER_SECOND
        return max(settings.first_token_seconds, PATIENCE * max(prompt_tokens, 0) / pace)
