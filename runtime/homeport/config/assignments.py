"""Raw values with the place each was set: a file's line, a variable, a flag."""

import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import attrs

from homeport.config.settings import DEFAULT_PORT, Settings
from homeport.domain.errors import ConfigError

KeyPath = tuple[str, ...]

_NOT_SETTINGS = frozenset({"HOMEPORT_CONFIG", "HOMEPORT_NO_COLOR"})
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@attrs.frozen
class Assignment:
    """One value given to one setting.

    Attributes:
        path: ``("server", "port")``.
        value: As TOML would give it.
        origin: Where it stands, for people: ``homeport.toml line 12``, ``variable LOG_LEVEL``.
    """

    path: KeyPath
    value: Any
    origin: str

    @property
    def dotted(self) -> str:
        """The path as a TOML key."""
        return ".".join(self.path)


def setting_fields(
    cls: type = Settings, prefix: KeyPath = ()
) -> Iterator[tuple[KeyPath, "attrs.Attribute[Any]"]]:
    """Walk all settings below a class with their paths."""
    for field in attrs.fields(attrs.resolve_types(cls)):
        if isinstance(field.type, type) and attrs.has(field.type):
            yield from setting_fields(field.type, (*prefix, field.name))
        else:
            yield (*prefix, field.name), field


def from_file(path: Path) -> list[Assignment]:
    """Read a TOML file.

    Raises:
        ConfigError: It cannot be read or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the settings file {str(path)!r}: {error}"
        raise ConfigError(message) from error
    except tomllib.TOMLDecodeError as error:
        message = f"{path.name} is not valid TOML: {error}"
        raise ConfigError(message) from error
    return [
        Assignment(key, value, f"{path.name} line {_line_of(text, key)}") for key, value in _leaves(table, ())
    ]


def from_environment(environ: Mapping[str, str]) -> tuple[list[Assignment], list[str]]:
    """Read variables, weakest first, and list warnings about unknown ``HOMEPORT_*`` ones."""
    known: dict[str, tuple[KeyPath, attrs.Attribute[Any]]] = {}
    ranked: list[str] = []
    for path, field in setting_fields():
        own = ("HOMEPORT_" + "_".join(path).upper(),)
        names = dict.fromkeys((*own, *(name for name in field.metadata["env"])))
        ranked.extend(reversed(names))
        known.update(dict.fromkeys(names, (path, field)))
    assignments = _ollama_host(environ)
    for name in ranked:
        text = environ.get(name, "").strip().strip("\"'")
        if text:
            path, field = known[name]
            assignments.append(Assignment(path, _parse(name, text, field.type), f"variable {name}"))
    strange = [
        name for name in environ if name.startswith("HOMEPORT_") and name not in {*known, *_NOT_SETTINGS}
    ]
    return assignments, [_unknown_variable(name, known) for name in sorted(strange)]


def _unknown_variable(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"the variable {name} sets nothing" + (f"; did you mean {near[0]}?" if near else "")


def _ollama_host(environ: Mapping[str, str]) -> list[Assignment]:
    """Split ``OLLAMA_HOST``: a host, host:port or URL; http means port 80, https 443."""
    text = environ.get("OLLAMA_HOST", "").strip().strip("\"'")
    if not text:
        return []
    scheme, separator, rest = text.rpartition("://")
    default_port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    match = re.fullmatch(r"(?P<host>\[[^\]]*\]|[^:/]*)(:(?P<port>\d+))?(/.*)?", rest)
    if match is None:
        message = f"OLLAMA_HOST={text!r} is no host, host:port or URL"
        raise ConfigError(message, hint="Set it like 127.0.0.1:11434, or unset it")
    port = int(match["port"] or default_port)
    host = match["host"].strip("[]") or "0.0.0.0"  # noqa: S104 - what Ollama means by ":11434"
    origin = "variable OLLAMA_HOST"
    return [Assignment(("server", "host"), host, origin), Assignment(("server", "port"), port, origin)]


def _leaves(table: Mapping[str, Any], prefix: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in table.items():
        path = (*prefix, key)
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _line_of(text: str, path: KeyPath) -> int:
    """Find the line that sets a key: the last one bearing its name below the header of its table."""
    table: KeyPath = ()
    found = 1
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+([^\[\]]+)\]+", line)
        if header:
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            found = number if table == path else found
            continue
        key = re.match(r"\s*([\w.\-\"']+)\s*=", line)
        if not key:
            continue
        full = (*table, *(part.strip("\"'") for part in key[1].split(".")))
        if path[: len(full)] == full:
            found = number
    return found


def _parse(name: str, text: str, wanted: Any) -> Any:  # noqa: ANN401 - the setting's type decides
    """Turn the text of a variable into what TOML would hold for the type."""
    options = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    try:
        if bool in options:
            return _boolean(text)
        if int in options:
            return int(text)
        if float in options:
            return float(text)
    except ValueError as error:
        if str in options:
            return text
        kind = next(option.__name__ for option in options if option in {bool, int, float})
        message = f"variable {name}: expected {kind}, got {text!r}"
        raise ConfigError(message) from error
    if typing.get_origin(wanted) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)
