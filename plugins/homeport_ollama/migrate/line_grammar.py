"""Files of one setting per line: environment files, and unit files of systemd.

The latter follow ``systemd.syntax(7)`` and ``Environment=`` of ``systemd.exec(5)``.
"""

import re

from homeport_ollama.migrate.scalar import Scalar

_ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*")
_MOST_QUOTED = 16384
"""Characters of a quoted value, which may have several lines; a quote that stays open longer is none."""
_BARE = re.compile(r"[^\n]*")
_BARE_END = re.compile(r"[ \t]#|[ \t\r]*\Z")
_SECTION = re.compile(r"[ \t]*\[([^\]\n]*)\]")
_KEY = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9_-]*)[ \t]*=[ \t]*")
_CONTINUED = re.compile(r"(?:[^\n]*\\\r?\n)*[^\n]*")
_WORD = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[^\s"\']+', re.DOTALL)
_NAMED = re.compile(r"[\"']?([A-Za-z_][A-Za-z0-9_]*)=", re.DOTALL)


def env_scalars(text: str) -> list[Scalar]:
    """List the values of an environment file: ``NAME=value``, quoted or not, with ``export`` or without."""
    scalars: list[Scalar] = []
    position = 0
    while position < len(text):
        match = _ASSIGNMENT.match(text, position)
        if match is not None:
            start, end = _env_value(text, match.end())
            scalars.append(Scalar(path=(match.group(1),), start=start, end=end, value=text[start:end]))
            position = end
        position = _next_line(text, position)
    return scalars


def unit_scalars(text: str) -> list[Scalar]:
    """List the values of a unit file, each variable of ``Environment=`` by itself."""
    scalars: list[Scalar] = []
    section, position = "", 0
    while position < len(text):
        if header := _SECTION.match(text, position):
            section = header.group(1)
        elif key := _KEY.match(text, position):
            value = _CONTINUED.match(text, key.end())
            end = key.end() if value is None else value.end()
            scalars += _unit_values((section, key.group(1)), text, key.end(), end)
            position = end
        position = _next_line(text, position)
    return scalars


def _env_value(text: str, start: int) -> tuple[int, int]:
    quote = text[start : start + 1]
    if quote in {'"', "'"}:
        closing = re.compile(rf"(?:\\.|[^{quote}\\])*{quote}" if quote == '"' else "[^']*'", re.DOTALL)
        match = closing.match(text, start + 1, start + _MOST_QUOTED)
        if match is not None:
            return start + 1, match.end() - 1
    bare = _BARE.match(text, start)
    line = bare.group() if bare else ""
    ending = _BARE_END.search(line)
    kept = line[: ending.start()] if ending else line
    return start, start + len(kept.rstrip(" \t\r"))


def _unit_values(path: tuple[str, str], text: str, start: int, end: int) -> list[Scalar]:
    if path[1] != "Environment":
        return [Scalar(path=path, start=start, end=end, value=text[start:end])]
    scalars = []
    for word in _WORD.finditer(text, start, end):
        if named := _NAMED.match(word.group()):
            first = word.start() + named.end()
            last = word.end() - (word.group()[0] in {'"', "'"})
            scalars.append(
                Scalar(path=(*path, named.group(1)), start=first, end=last, value=text[first:last])
            )
    return scalars


def _next_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1
