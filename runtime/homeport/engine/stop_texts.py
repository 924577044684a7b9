"""Texts that end a generation, found across the borders of tokens."""

from collections.abc import Sequence


class StopTexts:
    """Holds back the end of a text for as long as it may be the beginning of a stop text.

    Args:
        texts: The stop texts; empty ones are left out.

    Attributes:
        reached: The one that was reached; empty before.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(text for text in texts if text)
        self._held = ""
        self.reached = ""

    @property
    def held(self) -> int:
        """How many characters are held back, or stand behind the text that went out before the stop text."""
        return len(self._held)

    def add(self, piece: str) -> tuple[str, bool]:
        """Take the next piece; give what is safe to send, and whether a stop text was reached."""
        if not self._texts:
            return piece, False
        text = self._held + piece
        found = [(place, stop) for stop in self._texts if (place := text.find(stop)) >= 0]
        if found:
            place, self.reached = min(found)
            self._held = text[place:]
            return text[:place], True
        sure = min([beginning(stop, text) for stop in self._texts])
        self._held = text[sure:]
        return text[:sure], False

    def flush(self) -> str:
        """Give what was held back when the generation ends for another reason."""
        held, self._held = self._held, ""
        return held


def beginning(stop: str, text: str) -> int:
    """Find where a stop text may have begun at the end of a text; the text's length where it has not."""
    place = text.find(stop[0], max(len(text) - len(stop) + 1, 0))
    while place >= 0 and not stop.startswith(text[place:]):
        place = text.find(stop[0], place + 1)
    return place if place >= 0 else len(text)
