"""Settings files: one, and those that it includes."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from homeport.config.assignments import Assignment
from homeport.config.key_path import KeyPath, dotted
from homeport.config.toml_lines import key_lines
from homeport.domain.errors import ConfigError

INCLUDE = "include"
"""Key at the top of a file that names further ones."""
MOST_FILES = 64
"""Files that one file may lead to, itself among them."""
MOST_DEPTH = 8
"""Includes within includes."""
MOST_FILE_BYTES = 1024**2
MOST_KEY_PARTS = 64
_PATTERN_SIGNS = "*?["
_KEY_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_ENDLESS_KEY = re.compile(
    rf"(?:^|[\[{{,])[ \t]*(?:{_KEY_PART}){{{MOST_KEY_PARTS - 1}}}", re.MULTILINE | re.ASCII
)
"""``tomllib`` takes time that grows with the square of a key's parts: 20 s for 40,000."""


@attrs.frozen(kw_only=True)
class FileSettings:
    """What a file and those that it includes say.

    Attributes:
        assignments: The weakest first.
        places: Where each key and table stands, by its dotted path.
        files: All that were read, the first one first.
    """

    assignments: tuple[Assignment, ...] = ()
    places: Mapping[str, str] = attrs.field(factory=dict)
    files: tuple[Path, ...] = ()


def read_files(path: Path) -> FileSettings:
    """Read a TOML file and those that it includes.

    ``include = ["conf.d/*.toml", "prices.toml"]`` at the top of a file names others, from its own folder on;
    patterns are taken in the order of the names they find. A later file wins over an earlier one, and a file
    over those that it includes.

    Raises:
        ConfigError: A file cannot be read or is not TOML, is not there or includes itself; or there are too
            many.
    """
    reader = _Reader(path.parent)
    reader.read(path, path.name, ())
    return FileSettings(
        assignments=tuple(reader.assignments), places=reader.places, files=tuple(reader.files)
    )


class _Reader:
    """Reads files into one list.

    Args:
        root: Folder of the first one; the others are named from there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.assignments: list[Assignment] = []
        self.places: dict[str, str] = {}
        self.files: list[Path] = []

    def read(self, path: Path, name: str, above: tuple[Path, ...]) -> None:
        """Read a file after those that it includes, so that it is the stronger one.

        Args:
            path: Of the file.
            name: For people.
            above: The files that led to it.
        """
        self.files.append(path)
        text = _text(path)
        table, lines = _parsed(text, name)
        included = table.pop(INCLUDE, ())
        place = f"{name} line {lines.get((INCLUDE,), 1)}"
        for child in _included(included, path.parent, place):
            self._check(child, (*above, path), place)
            self.read(child, self._name(child), (*above, path))
        self.places.update({dotted(key): f"{name} line {line}" for key, line in lines.items() if key})
        self.assignments += _assignments(table, lines, name)

    def _check(self, child: Path, above: tuple[Path, ...], place: str) -> None:
        if any(child.resolve() == other.resolve() for other in above):
            chain = " -> ".join(self._name(other) for other in (*above, child))
            raise ConfigError(f"$.{INCLUDE}: {self._name(child)!r} includes itself: {chain} ({place})")
        if len(above) > MOST_DEPTH:
            raise ConfigError(f"$.{INCLUDE}: more than {MOST_DEPTH} includes within includes ({place})")
        if len(self.files) >= MOST_FILES:
            raise ConfigError(f"$.{INCLUDE}: more than {MOST_FILES} files in all ({place})")

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._root)) if path.is_relative_to(self._root) else str(path)


def _text(path: Path) -> str:
    """Read a file, but never more than one may hold.

    Raises:
        ConfigError: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
        if len(data) > MOST_FILE_BYTES:
            raise ConfigError(f"the settings file {str(path)!r} has more than {MOST_FILE_BYTES} bytes")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the settings file {str(path)!r}: {error}") from error


def _parsed(text: str, name: str) -> tuple[dict[str, Any], Mapping[KeyPath, int]]:
    endless = _ENDLESS_KEY.search(text)
    if endless:
        line = text.count("\n", 0, endless.end()) + 1
        raise ConfigError(f"{name} line {line}: a key of {MOST_KEY_PARTS} parts and more")
    try:
        # As tomllib reads it.
        return tomllib.loads(text), key_lines(text.replace("\r\n", "\n"))
    except RecursionError as error:
        raise ConfigError(f"{name} is nested too deeply") from error
    except ValueError as error:
        raise ConfigError(f"{name} is not valid TOML: {error}") from error


def _included(patterns: object, folder: Path, place: str) -> Iterator[Path]:
    if not isinstance(patterns, list | tuple) or not all(isinstance(each, str) for each in patterns):
        raise ConfigError(f"$.{INCLUDE}: expected list of str, got {patterns!r} ({place})")
    for pattern in patterns:
        yield from _found(pattern, folder, place)


def _found(pattern: str, folder: Path, place: str) -> Iterator[Path]:
    if "**" in pattern:
        raise ConfigError(f"$.{INCLUDE}: {pattern!r} searches whole trees; name each folder ({place})")
    try:
        wanted = Path(pattern).expanduser()
        if any(sign in pattern for sign in _PATTERN_SIGNS):
            root = Path(wanted.anchor) if wanted.is_absolute() else folder
            near = wanted.relative_to(wanted.anchor) if wanted.is_absolute() else wanted
            files = (path for path in root.glob(str(near)) if path.is_file())
            yield from sorted(islice(files, MOST_FILES + 1))
            return
        if (folder / wanted).is_file():
            yield folder / wanted
            return
    except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"$.{INCLUDE}: {pattern!r} cannot be looked for: {error} ({place})") from error
    raise ConfigError(f"$.{INCLUDE}: {pattern!r} is no file ({place})")


def _assignments(table: Mapping[str, Any], lines: Mapping[KeyPath, int], name: str) -> Iterator[Assignment]:
    inner: dict[KeyPath, dict[str, str]] = {}
    for path, line in lines.items():
        first_item = next((place for place, key in enumerate(path) if isinstance(key, int)), None)
        if first_item is not None:
            inner.setdefault(path[:first_item], {})[dotted(path)] = f"{name} line {line}"
    for path, value in _leaves(table, ()):
        yield Assignment(path, value, f"{name} line {lines.get(path, 1)}", inner=inner.get(path, {}))


def _leaves(table: Mapping[str, Any], prefix: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in table.items():
        path = (*prefix, key)
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path, value
