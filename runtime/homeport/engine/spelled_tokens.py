"""Special tokens that somebody spelt out in a message: text, not tokens."""

import re
from collections.abc import Iterable, Iterator

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
"""Around the number of a token. Unicode keeps these two for use inside programs (section 23.7)."""
_STAND_IN = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_CUT_STAND_IN = re.compile(f"^[0-9]*{_CLOSE}")


class SpelledTokens:
    """Puts stand-ins for spelt-out tokens into messages, which survive the rendering of a template.

    Args:
        tokens: Texts of tokens; blanks are left alone.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = tuple(sorted({token for token in tokens if token.strip()}, key=len, reverse=True))
        self._numbers = {token: number for number, token in enumerate(self._tokens)}
        self._firsts = frozenset(token[0] for token in self._tokens)
        self._found = re.compile("|".join(map(re.escape, self._tokens))) if self._tokens else None

    def hide(self, text: str) -> str:
        """Put stand-ins into a text."""
        if self._found is None or not any(first in text for first in self._firsts):
            return text
        return self._found.sub(lambda found: f"{_OPEN}{self._numbers[found[0]]}{_CLOSE}", text)

    def parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """Split a rendered text into what is to be read as ever, and what is plain text (True)."""
        if _CLOSE not in text:
            yield text, False
            return
        end = 0
        for found in _STAND_IN.finditer(text := _CUT_STAND_IN.sub("", text)):
            number = int(found[1][:9])
            if number >= len(self._tokens):
                continue
            yield text[end : found.start()], False
            yield self._tokens[number], True
            end = found.end()
        yield text[end:], False
