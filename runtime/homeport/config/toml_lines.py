"""The line of every key of a TOML file, which ``tomllib`` does not tell.

Only for text that ``tomllib`` has read: what is no TOML is not noticed here. Grammar: https://toml.io/en/v1.0.0
"""

import re
import tomllib
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping

from homeport.config.key_path import KeyPath

_BLANKS = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*(\.?)""")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?'{3,5}|"(?:[^"\\]|\\.)*"|'[^']*\'''', re.DOTALL
)  # fmt: skip
_BARE_VALUE = re.compile(r"[^,\]}\n#]*")


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """Find the line on which each key, table and item of an array begins, counted from 1.

    Args:
        text: Of a valid file.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._lines: dict[KeyPath, int] = {}
        self._items: Counter[KeyPath] = Counter()

    def scan(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while self._skip_blanks():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _skip_blanks(self) -> bool:
        """Go to what means something, and tell whether there is any."""
        found = _BLANKS.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def _note(self, path: KeyPath, start: int) -> None:
        self._lines.setdefault(path, bisect_right(self._line_starts, start))

    def _header(self) -> KeyPath:
        start = self._at
        is_item = self._text.startswith("[[", start)
        self._at += 2 if is_item else 1
        *parents, name = self._key()
        self._at += 2 if is_item else 1
        path: KeyPath = ()
        for parent in parents:
            path = self._last_item((*path, parent))
        path = (*path, name)
        self._note(path, start)
        if is_item:
            self._items[path] += 1
        path = self._last_item(path)
        self._note(path, start)
        return path

    def _last_item(self, path: KeyPath) -> KeyPath:
        """Go into the last item of an array of tables."""
        return (*path, self._items[path] - 1) if self._items[path] else path

    def _key(self) -> list[str]:
        parts = []
        dot = "."
        while dot and (found := _KEY_PART.match(self._text, self._at)):
            self._at = found.end()
            word, dot = found.groups()
            parts.append(word if word[0] not in "\"'" else str(tomllib.loads(f"key = {word}")["key"]))
        return parts

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self._at += 1  # the equals sign
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip_blanks()
        opening = self._text[self._at : self._at + 1]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            pattern = _STRING if opening in {'"', "'"} else _BARE_VALUE
            found = pattern.match(self._text, self._at)
            self._at = found.end() if found else len(self._text)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._more("]"):
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._more("}"):
            self._pair(path)

    def _more(self, closing: str) -> bool:
        """Go over commas to the next item, or over the end."""
        while self._skip_blanks() and self._text[self._at] in f",{closing}":
            self._at += 1
            if self._text[self._at - 1] == closing:
                return False
        return self._at < len(self._text)
