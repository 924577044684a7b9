"""JSON (RFC 8259), and what editors make of it: comments and commas at the end.

Own, because no JSON library tells where a value stood.
"""

import json
import re

from homeport_ollama.migrate.scalar import GrammarError, Scalar

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+|//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<text>"(?:[^"\\\x00-\x1f]|\\.)*")"""
    r"""|(?P<mark>[{}\[\],:])"""
    r"""|(?P<word>-?[0-9][0-9.eE+-]*|true|false|null)""",
    re.DOTALL,
)
_CLOSING = {"{": "}", "[": "]"}


def json_scalars(text: str) -> list[Scalar]:
    """List all values that are texts or words.

    Raises:
        GrammarError: It is no JSON; names the line.
    """
    reader = _Reader()
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise GrammarError(f"no JSON at line {text.count(chr(10), 0, position) + 1}")
        if match.lastgroup != "blank":
            try:
                reader.take(match)
            except (GrammarError, ValueError) as error:
                raise GrammarError(f"no JSON at line {text.count(chr(10), 0, position) + 1}") from error
        position = match.end()
    if reader.is_open:
        raise GrammarError("no JSON: it ends in the middle")
    return reader.scalars


class _Reader:
    """Goes from token to token; where it is in the nesting is a stack, so depth costs no recursion."""

    def __init__(self) -> None:
        self.scalars: list[Scalar] = []
        self._open: list[str] = []
        self._path: list[str] = []
        self._expected = "value"

    @property
    def is_open(self) -> bool:
        return self._expected != "end"

    def take(self, token: "re.Match[str]") -> None:
        sign = token.group()
        if sign in {"{", "["} and "value" in self._expected:
            self._open.append(sign)
            self._path.append("0" if sign == "[" else "")
            self._expected = "key or close" if sign == "{" else "value or close"
        elif sign in {"}", "]"} and self._may_close(sign):
            self._open.pop()
            self._path.pop()
            self._done()
        elif sign == "," and self._expected == "comma or close":
            self._next()
        elif sign == ":" and self._expected == "colon":
            self._expected = "value"
        elif token.lastgroup in {"text", "word"}:
            self._scalar(token)
        else:
            raise GrammarError(sign)

    def _scalar(self, token: "re.Match[str]") -> None:
        if "key" in self._expected and token.lastgroup == "text":
            self._path[-1] = json.loads(token.group(), strict=False)
            self._expected = "colon"
        elif "value" in self._expected:
            value = str(json.loads(token.group(), strict=False))
            self.scalars.append(
                Scalar(path=tuple(self._path), start=token.start(), end=token.end(), value=value)
            )
            self._done()
        else:
            raise GrammarError(token.group())

    def _may_close(self, sign: str) -> bool:
        return "close" in self._expected and bool(self._open) and _CLOSING[self._open[-1]] == sign

    def _done(self) -> None:
        self._expected = "comma or close" if self._open else "end"

    def _next(self) -> None:
        if self._open[-1] == "[":
            self._path[-1] = str(int(self._path[-1]) + 1)
            self._expected = "value or close"
        else:
            self._expected = "key or close"
