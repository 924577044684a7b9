"""Lines out of bytes that come in pieces."""

import re
from collections import deque

_ENDS = re.compile(rb"\r\n|\n|\r")
_MARK = b"\xef\xbb\xbf"
"""Byte order mark, which may stand before the first line."""


class Lines:
    """Puts pieces together and gives whole lines; CRLF, LF and CR end one.

    Source of the rule: https://html.spec.whatwg.org/multipage/server-sent-events.html. It does for
    newline-delimited JSON too, since JSON never holds a bare line end.

    Args:
        most_bytes: Longest line.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._whole: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._is_first = True

    def feed(self, data: bytes) -> None:
        """Add a piece.

        Raises:
            ValueError: A line is too long.
        """
        if not data:
            return
        if self._after_return:
            data = data.removeprefix(b"\n")
        *ended, rest = _ENDS.split(data)
        for part in ended:
            self._add(part)
            self._end()
        self._add(rest)
        self._after_return = data.endswith(b"\r")

    def take(self) -> bytes | None:
        """Give the next whole line, None where there is none yet."""
        return self._whole.popleft() if self._whole else None

    def rest(self) -> bytes:
        """Give what stands behind the last line end."""
        rest = b"".join(self._parts)
        self._parts, self._size = [], 0
        return self._unmarked(rest)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._most_bytes:
            raise ValueError(f"a line is longer than {self._most_bytes} bytes")
        if part:
            self._parts.append(part)

    def _end(self) -> None:
        self._whole.append(self.rest())

    def _unmarked(self, line: bytes) -> bytes:
        if not self._is_first:
            return line
        self._is_first = False
        return line.removeprefix(_MARK)
