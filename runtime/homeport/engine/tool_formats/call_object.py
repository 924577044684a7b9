"""A call as a JSON object, followed while it comes."""

import json
from collections.abc import Callable

from homeport.engine.tool_formats.json_value import WHITESPACE, BrokenJsonError, JsonValue

_NAME_KEYS = frozenset({"name", "function"})
_ARGUMENT_KEYS = frozenset({"arguments", "parameters"})
_MOST_HEAD = 65_536
"""Characters that may come before the name of the tool is known."""


class CallObject:
    """Follows ``{"name": ..., "arguments": {...}}``, in any order of the keys, and gives the arguments.

    Args:
        name: Of the tool, where it came before the object: then the object is the arguments alone.

    Attributes:
        name: Of the tool, once it is known.
        is_begun: Whether name and arguments are sure enough to be told of.
        is_done: Whether it has ended.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.is_begun = False
        self.is_done = False
        self._is_bare = bool(name)
        self._has_arguments = False
        self._key = "arguments" if name else ""
        self._value = JsonValue()
        self._read = ""
        self._arguments = ""
        self._take: Callable[[str], None] = self._take_value if name else self._take_opening

    def take(self, char: str) -> str:
        """Take the next character; give what is new of the arguments, once they have begun.

        Raises:
            BrokenJsonError: This is no call.
        """
        self._take(char)
        if not self.is_begun:
            if len(self._read) + len(self._arguments) > _MOST_HEAD:
                raise BrokenJsonError(self._key)
            self.is_begun = bool(self.name) and (self.is_done or self._arguments.startswith("{"))
        if not self.is_begun:
            return ""
        piece, self._arguments = self._arguments, ""
        return piece

    def _take_opening(self, char: str) -> None:
        self._expect("{", char, self._take_first_key)

    def _take_first_key(self, char: str) -> None:
        if char == "}":
            self._end()
        else:
            self._begin_key(char)

    def _begin_key(self, char: str) -> None:
        if char in WHITESPACE:
            return
        if char != '"':
            raise BrokenJsonError(char)
        self._value, self._read = JsonValue(), ""
        self._take = self._take_key
        self._take_key(char)

    def _take_key(self, char: str) -> None:
        self._value.take(char)
        self._read += char
        if self._value.is_whole:
            self._key = _loaded(self._read)
            self._take = self._take_colon

    def _take_colon(self, char: str) -> None:
        if self._key in _ARGUMENT_KEYS and self._has_arguments:
            raise BrokenJsonError(self._key)
        self._value, self._read = JsonValue(), ""
        self._expect(":", char, self._take_value)

    def _take_value(self, char: str) -> None:
        if not self._read and char in WHITESPACE:
            return
        if not self._value.take(char):
            self._end_value()
            self._take(char)
            return
        if not self._streams:
            self._read += char
        if self._streams:
            self._arguments += _escaped(char) if self._value.is_in_string else char
        if self._value.is_whole:
            self._end_value()

    @property
    def _streams(self) -> bool:
        return self._key in _ARGUMENT_KEYS and self._read == "{"

    def _end_value(self) -> None:
        if self._key in _NAME_KEYS and not self.name:
            self.name = _loaded(self._read)
        elif self._key in _ARGUMENT_KEYS:
            self._has_arguments = True
            self._arguments = self._arguments if self._streams else _object_text(self._read)
        self._read = ""
        self._take = self._take_comma
        if self._is_bare:
            self._end()

    def _take_comma(self, char: str) -> None:
        if char == "}":
            self._end()
        else:
            self._expect(",", char, self._begin_key)

    def _end(self) -> None:
        if not self.name:
            raise BrokenJsonError(self._key)
        if not self.is_begun:
            self._arguments = self._arguments or "{}"
        self.is_done = True

    def _expect(self, wanted: str, char: str, follows: Callable[[str], None]) -> None:
        if char == wanted:
            self._take = follows
        elif char not in WHITESPACE:
            raise BrokenJsonError(char)


def _loaded(text: str) -> str:
    """Read a string.

    Raises:
        BrokenJsonError: It is something else, or empty.
    """
    try:
        value = json.loads(text, strict=False)
    except ValueError as error:
        raise BrokenJsonError(text) from error
    if not isinstance(value, str) or not value:
        raise BrokenJsonError(text)
    return value


def _object_text(text: str) -> str:
    """Give the object that a string holds as JSON, or an empty one for null.

    Raises:
        BrokenJsonError: Arguments of another kind.
    """
    if text == "null":
        return "{}"
    inner = _loaded(text)
    try:
        value = json.loads(inner)
    except (ValueError, RecursionError) as error:
        raise BrokenJsonError(text) from error
    if not isinstance(value, dict):
        raise BrokenJsonError(text)
    return inner.strip()


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if char < " " else char
