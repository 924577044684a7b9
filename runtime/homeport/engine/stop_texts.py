"""Texts that end a generation, found across the borders of tokens."""

from collections.abc import Sequence


class StopTexts:
    """Holds back the end of a text for as long as it may be the beginning of a stop text.

    Args:
        texts: The stop texts; empty ones are left out.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(text for text in texts if text)
        self._held = ""

    def add(self, piece: str) -> tuple[str, bool]:
        """Take the next piece; give what is safe to send, and whether a stop text was reached."""
        text = self._held + piece
        found = [place for place in (text.find(stop) for stop in self._texts) if place >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        keep = self._held_length(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def flush(self) -> str:
        """Give what was held back when the generation ends for another reason."""
        held, self._held = self._held, ""
        return held

    def _held_length(self, text: str) -> int:
        longest = max((len(stop) for stop in self._texts), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[len(text) - length :]) for stop in self._texts):
                return length
        return 0
