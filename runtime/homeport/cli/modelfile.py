"""Reading a Modelfile: the description of a model that is made from another one.

The grammar is that of https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx, as Ollama's own reader
takes it: a command, a blank, and a value that is bare to the end of its line, ``"quoted"`` or
``\"\"\"quoted\"\"\"``. A quoted value ends at the first end of a line before which its closing quote stands,
and nothing inside is escaped.
"""

import codecs
import re
from collections.abc import Iterator
from typing import ClassVar

import attrs

from homeport.domain.errors import HomeportError

COMMANDS = (
    "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", "parameter",
    "message", "requires",
)  # fmt: skip
ROLES = ("system", "user", "assistant")

_KEYED = frozenset({"parameter", "message"})
_BLANK_OR_COMMENT = re.compile(r"(?:\s+|#[^\r\n]*)+")
_WORD = re.compile(r"[^\s]+")
_BLANKS = re.compile(r"[ \t]+")
_LINE_END = re.compile(r"[\r\n]|\Z")
_QUOTES = ('"""', '"')
_BAD_COMMAND = (
    "command must be one of " + ", ".join(f'"{name}"' for name in COMMANDS[:-1]) + ', or "requires"'
)
_BAD_ROLE = 'message role must be one of "system", "user", or "assistant"'
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class ModelfileError(HomeportError):
    """A Modelfile that cannot be read, or asks for what is not there; the message names its lines."""

    code: ClassVar[str] = "modelfile"


@attrs.frozen(kw_only=True)
class Instruction:
    """One command of a Modelfile.

    Attributes:
        line: On which it begins, counted from 1.
        command: One of ``COMMANDS``.
        key: Name of a parameter, role of a message; else empty.
        value: Without its quotes.
    """

    line: int
    command: str
    key: str = ""
    value: str

    def fault(self, text: str) -> str:
        """Say what is wrong with it, and where."""
        return f"(line {self.line}): {text}"


def decode_modelfile(data: bytes) -> str:
    """Decode the bytes of a Modelfile: UTF-8, or UTF-16 where a byte order mark says so.

    Raises:
        ModelfileError: They are neither.
    """
    mark, encoding = next(
        ((mark, encoding) for mark, encoding in _ENCODINGS if data.startswith(mark)), (b"", "utf-8")
    )
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise ModelfileError(
            f"the Modelfile is no {encoding.upper()} text: {error.reason} at byte {error.start}",
            hint="Save it as UTF-8, or as UTF-16 with a byte order mark",
        ) from error


def instructions(text: str) -> tuple[Instruction, ...]:
    """Read the commands of a Modelfile in order.

    Raises:
        ModelfileError: A command or a role is unknown, a value is missing or its quote stays open, or no
            ``FROM`` is among them.
    """
    found = tuple(_Scanner(text).instructions())
    if not any(each.command == "from" for each in found):
        raise ModelfileError("no FROM line", hint="Name the model to begin with, as in: FROM smollm2:135m")
    return found


class _Scanner:
    """Goes through a text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._text)

    def instructions(self) -> Iterator[Instruction]:
        while self._skip_to_command():
            line, command = self._line, self._word().lower()
            if command not in COMMANDS:
                raise ModelfileError(f"(line {line}): {_BAD_COMMAND}")
            key = ""
            if command in _KEYED:
                self._skip_blanks()
                key = self._word()
            if command == "message":
                key = key.lower()
                if key not in ROLES:
                    raise ModelfileError(f"(line {line}): {_BAD_ROLE}")
            yield Instruction(line=line, command=command, key=key, value=self.value())

    def value(self) -> str:
        """Read the value of a command, up to the end of its last line.

        Raises:
            ModelfileError: There is none, or its quote stays open.
        """
        first_line = self._line
        self._skip_blanks()
        start = self._at
        quote = next((quote for quote in _QUOTES if self._text.startswith(quote, start)), "")
        while True:
            line_start = self._at
            self._advance(self._line_end())
            if not quote:
                return self._text[start : self._at].strip()
            end = line_start + len(self._text[line_start : self._at].rstrip())
            if end - start >= 2 * len(quote) and self._text.endswith(quote, line_start, end):
                return self._text[start + len(quote) : end - len(quote)]
            if self.is_at_end:
                raise ModelfileError(
                    "unexpected EOF", hint=f"The quote that line {first_line} opens is not closed"
                )
            self._advance(self._at + 1)

    def _skip_to_command(self) -> bool:
        blank = _BLANK_OR_COMMENT.match(self._text, self._at)
        if blank:
            self._advance(blank.end())
        return not self.is_at_end

    def _word(self) -> str:
        """Take what stands up to the next blank, which must be there."""
        found = _WORD.match(self._text, self._at)
        word = found[0] if found else ""
        self._advance(self._at + len(word))
        return word

    def _skip_blanks(self) -> None:
        blanks = _BLANKS.match(self._text, self._at)
        if blanks is None:
            raise ModelfileError("unexpected EOF", hint=f"Line {self._line} ends before its value")
        self._advance(blanks.end())

    def _line_end(self) -> int:
        end = _LINE_END.search(self._text, self._at)
        return len(self._text) if end is None else end.start()

    def _advance(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to
