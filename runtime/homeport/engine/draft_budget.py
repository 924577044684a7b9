"""How many guessed tokens a step may check, learnt from what they cost."""

_CHECKED_ROWS = 16
"""Tokens of all streams together: up to about that many, products wait for weights from memory."""
_MOST_STREAMS = 4
"""With more, one in a step that fails costs the others more than it may gain."""
_WORTHY_COST = 0.5
"""A guess may cost half of what a right one saves: fewer than half of them hold on most texts."""
_PROBE_STEPS = 64
"""Where guesses do not pay, one is still tried after so many steps without, for loads and machines change."""
_NEW_SHARE = 0.2
"""Weight of the newest step in the running means."""


class DraftBudget:
    """Bounds the guesses of a step, and stops them where checking costs more than it saves.

    No guess counts as dearer than a plain step, so that a machine that hesitates once does not stop them.
    """

    def __init__(self) -> None:
        self._plain_seconds = 0.0
        self._token_seconds = 0.0
        self._steps_without = 0

    def tokens(self, streams: int) -> int:
        """Say how many guesses of each of so many streams a step may check."""
        if not 0 < streams <= _MOST_STREAMS or not self._plain_seconds:
            return 0
        cost = self._token_seconds * streams / self._plain_seconds
        if cost > _WORTHY_COST and self._steps_without < _PROBE_STEPS:
            return 0
        return _CHECKED_ROWS // streams - 1

    def observe(self, *, drafted: int, seconds: float) -> None:
        """Take note of what a step cost that held no prompts."""
        self._steps_without = 0 if drafted else self._steps_without + 1
        if drafted:
            extra = min(max(seconds - self._plain_seconds, 0.0) / drafted, self._plain_seconds)
            self._token_seconds += _NEW_SHARE * (extra - self._token_seconds)
        elif self._plain_seconds:
            self._plain_seconds += _NEW_SHARE * (seconds - self._plain_seconds)
        else:
            self._plain_seconds = seconds
