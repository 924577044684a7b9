"""Token ids to text, one at a time, without ever splitting a character."""

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"


class Detokenizer:
    """Turns a growing sequence of ids into pieces of text.

    A token may hold half a character, and the text of a token may depend on the one before it (a leading
    blank, for one). So a short tail is decoded twice, with and without the newest tokens, and the
    difference is new text, once it does not end inside a character.

    Args:
        decode: Ids to text, U+FFFD for bytes that are no whole character.
        before: Ids that the sequence continues, so that its first piece keeps a leading blank.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int] = ()) -> None:
        self._decode = decode
        self._tail = list(before)
        self._known = len(before)

    def add(self, token: int) -> str:
        """Take the next id and give the text that became whole, often empty."""
        self._tail.append(token)
        before = self._decode(self._tail[: self._known])
        now = self._decode(self._tail)
        if len(now) <= len(before) or now.endswith(REPLACEMENT):
            return ""
        self._tail = self._tail[self._known :]
        self._known = len(self._tail)
        return now[len(before) :]

    def flush(self) -> str:
        """Give what is left at the end: bytes that never became a character, as U+FFFD."""
        before = self._decode(self._tail[: self._known])
        return self._decode(self._tail)[len(before) :]
