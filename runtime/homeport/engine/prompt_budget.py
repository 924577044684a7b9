"""How many prompt tokens one step may compute, learnt from the time that steps take."""

LARGEST_CHUNK = 512
"""Prompt tokens of one step; products of more rows gain no speed."""
SMALLEST_CHUNK = 16
"""Below it a prompt would take its time for ever on a machine that is slower than the bound."""
_FIRST_CHUNK = 64
"""With streams, before any step was measured."""
_EVEN_RATIO = 3.0
"""Steps with prompts take at most so many times a plain one, so that tokens come evenly: of the gaps between
them, the longest in a hundred stay under four times the median."""
_UNNOTICED_SECONDS = 0.03
"""A step of that length may hold prompts whatever a plain one takes."""
_ALONE_STALLS = 4
"""A step of prompts alone may take so many times the bound: it delays nobody's stream, but newcomers."""
_NEW_SHARE = 0.3
"""Weight of the newest step in the running means."""
_LARGEST_RISE = 2.0
"""A single slow step, on a machine that is shared, makes the estimate no worse than that."""


class PromptBudget:
    """Bounds the prompt tokens of a step, so that running streams wait evenly, and no longer than a set time.

    A step is taken to cost a base, which steps without prompts show, and a time for each prompt token.

    Args:
        most_seconds: How long a step with streams may take.
    """

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds
        self._base_seconds = 0.0
        self._token_seconds = 0.0

    def tokens(self, streams: int) -> int:
        """Say how many prompt tokens may share a step with so many running streams."""
        if not self._token_seconds:
            return _FIRST_CHUNK if streams else LARGEST_CHUNK
        seconds = (
            self._stall_seconds() - self._base_seconds if streams else self._most_seconds * _ALONE_STALLS
        )
        return min(max(int(seconds / self._token_seconds), SMALLEST_CHUNK), LARGEST_CHUNK)

    def _stall_seconds(self) -> float:
        if not self._base_seconds:
            return self._most_seconds
        return min(self._most_seconds, max(self._base_seconds * _EVEN_RATIO, _UNNOTICED_SECONDS))

    def observe(self, *, streams: int, prompt_tokens: int, seconds: float) -> None:
        """Take note of what a step cost."""
        if not prompt_tokens:
            self._base_seconds = _mean(self._base_seconds, seconds)
            return
        base = self._base_seconds if streams else 0.0
        self._token_seconds = _mean(self._token_seconds, max(seconds - base, 0.0) / prompt_tokens)


def _mean(known: float, new: float) -> float:
    """Follow a rise at once, so that the next step keeps the bound, and a fall slowly."""
    if not known:
        return new
    return min(new, known * _LARGEST_RISE) if new > known else known + _NEW_SHARE * (new - known)
