"""A JSON value, followed while it comes."""

import re
from enum import Enum, auto

WHITESPACE = " \t\n\r"
_MOST_DEPTH = 64
_WORDS = ("true", "false", "null")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER_BEGINNING = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][+-]?[0-9]*)?"
)
_WORD_CHARACTERS = frozenset("+-.0123456789aeflnrstuE")
_ESCAPED = frozenset('"\\/bfnrtu')
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_CLOSING = {"{": "}", "[": "]"}


class BrokenJsonError(ValueError):
    """What comes is no JSON, or not the JSON that was expected."""


class _Expects(Enum):
    VALUE = auto()
    FIRST_ITEM = auto()
    FIRST_KEY = auto()
    KEY = auto()
    COLON = auto()
    COMMA = auto()
    NOTHING = auto()


class JsonValue:
    """Follows one JSON value (RFC 8259), character by character, and never further than it goes.

    Control characters within strings are let pass, since models write line breaks there: whoever hands the
    value on has to escape them.
    """

    def __init__(self) -> None:
        self._open: list[str] = []
        self._expects = _Expects.VALUE
        self._word = ""
        self._escape = ""
        self.is_in_string = False

    @property
    def is_whole(self) -> bool:
        """Whether it has ended; a number has only when something else follows."""
        return self._expects is _Expects.NOTHING and not self._word and not self.is_in_string

    def take(self, char: str) -> bool:
        """Take the next character; give whether it belongs to the value.

        Raises:
            BrokenJsonError: It can stand in no JSON here.
        """
        if self.is_in_string:
            self._continue_string(char)
            return True
        if self._word and self._continue_word(char):
            return True
        if self.is_whole:
            return False
        if char not in WHITESPACE:
            self._begin(char)
        return True

    def _begin(self, char: str) -> None:
        """Take a character outside strings and words."""
        match self._expects:
            case _Expects.VALUE | _Expects.FIRST_ITEM if char != "]":
                self._begin_value(char)
            case _Expects.KEY | _Expects.FIRST_KEY if char == '"':
                self.is_in_string = True
                self._expects = _Expects.COLON
            case _Expects.COLON if char == ":":
                self._expects = _Expects.VALUE
            case _Expects.COMMA if char == ",":
                self._expects = _Expects.KEY if self._open[-1] == "{" else _Expects.VALUE
            case _Expects.COMMA | _Expects.FIRST_ITEM | _Expects.FIRST_KEY:
                self._close(char)
            case _:
                raise BrokenJsonError(char)

    def _begin_value(self, char: str) -> None:
        if char in _CLOSING and len(self._open) < _MOST_DEPTH:
            self._open.append(char)
            self._expects = _Expects.FIRST_KEY if char == "{" else _Expects.FIRST_ITEM
        elif char == '"':
            self.is_in_string = True
            self._end_value()
        elif char in _WORD_CHARACTERS:
            self._end_value()
            self._continue_word(char)
        else:
            raise BrokenJsonError(char)

    def _end_value(self) -> None:
        self._expects = _Expects.COMMA if self._open else _Expects.NOTHING

    def _close(self, char: str) -> None:
        if char != _CLOSING[self._open[-1]]:
            raise BrokenJsonError(char)
        self._open.pop()
        self._end_value()

    def _continue_string(self, char: str) -> None:
        if not self._escape:
            self.is_in_string = char != '"'
            self._escape = char if char == "\\" else ""
            return
        if char not in (_ESCAPED if self._escape == "\\" else _HEXADECIMAL):
            raise BrokenJsonError(char)
        self._escape += char
        if self._escape[1] != "u" or len(self._escape) == len("\\u0000"):
            self._escape = ""

    def _continue_word(self, char: str) -> bool:
        """Take a further character of a number, true, false or null; give whether it is one."""
        if char not in _WORD_CHARACTERS:
            if self._word not in _WORDS and not _NUMBER.fullmatch(self._word):
                raise BrokenJsonError(self._word)
            self._word = ""
            return False
        self._word += char
        if not _NUMBER_BEGINNING.fullmatch(self._word) and not any(
            word.startswith(self._word) for word in _WORDS
        ):
            raise BrokenJsonError(self._word)
        return True
