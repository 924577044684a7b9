"""Token ids to text, one at a time, without ever splitting a character."""

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"

_MOST_PENDING_TOKENS = 8
_UNDECIDED_TOKENS = 3
"""A character of UTF-8 has at most four bytes (RFC 3629), so three tokens on it is whole or never will be."""


class Detokenizer:
    """Turns a growing sequence of ids into pieces of text.

    A token may hold half a character, and the text of a token may depend on the one before it (a leading
    blank, for one). So a short tail is decoded twice, with and without the newest tokens, and the
    difference is new text, once it does not end inside a character. Special tokens and bytes that never
    become a character do not make it longer: a model may produce thousands.

    Args:
        decode: Ids to text, U+FFFD for bytes that are no whole character.
        before: Ids that the sequence continues, so that its first piece keeps a leading blank.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int] = ()) -> None:
        self._decode = decode
        self._tail = list(before)
        self._known = len(before)
        self._before = self._text = decode(self._tail)

    def add(self, token: int) -> str:
        """Take the next id and give the text that became whole, often empty."""
        self._tail.append(token)
        text = self._decode(self._tail)
        if len(text) > len(self._before) and not text.endswith(REPLACEMENT):
            return self._give(text, len(self._tail))
        self._text = text
        if len(self._tail) - self._known > _MOST_PENDING_TOKENS:
            return self._shorten()
        return ""

    def flush(self) -> str:
        """Give what is left at the end: bytes that never became a character, as U+FFFD."""
        return self._text[len(self._before) :]

    def _shorten(self) -> str:
        """Drop pending tokens without text; give that of the first ones when the last leave it as it is."""
        if len(self._text) <= len(self._before):
            del self._tail[self._known :]
            return ""
        decided = len(self._tail) - _UNDECIDED_TOKENS
        text = self._decode(self._tail[:decided])
        return self._give(text, decided) if self._text.startswith(text) else ""

    def _give(self, text: str, count: int) -> str:
        """Give what is new in the text of the first ``count`` tokens, and keep what was new as context."""
        piece = text[len(self._before) :]
        self._tail = self._tail[self._known :]
        self._known = count - self._known
        self._before = self._decode(self._tail[: self._known])
        self._text = self._before if self._known == len(self._tail) else self._decode(self._tail)
        return piece
