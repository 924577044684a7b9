"""Settings that variables of the environment give."""

import typing
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from homeport.config.assignments import Assignment
from homeport.config.fields import has_variable, options_of, setting_fields
from homeport.config.key_path import KeyPath
from homeport.config.ollama_variables import READERS, ollama_host, unquoted
from homeport.domain.errors import ConfigError

if TYPE_CHECKING:
    import attrs

_NOT_SETTINGS = frozenset({"HOMEPORT_CONFIG", "HOMEPORT_NO_COLOR"})
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})

Settable = tuple[KeyPath, "attrs.Attribute[Any]"]


def from_environment(environ: Mapping[str, str]) -> tuple[list[Assignment], list[str]]:
    """Read variables, weakest first, and list warnings about unknown ``HOMEPORT_*`` ones.

    Raises:
        ConfigError: A variable holds what its setting cannot.
    """
    named = [(variable_names(path, field), (path, field)) for path, field in setting_fields()]
    known = {name for names, _ in named for name in names}
    strange = [
        name for name in environ if name.startswith("HOMEPORT_") and name not in {*known, *_NOT_SETTINGS}
    ]
    warnings = [_unknown_variable(name, known) for name in sorted(strange)]
    return [*ollama_host(environ), *_assigned(named, environ)], warnings


def from_plugin_environment(cls: type, prefix: KeyPath, environ: Mapping[str, str]) -> tuple[Assignment, ...]:
    """Read the variables that the settings of a plugin declare, weakest first.

    Raises:
        ConfigError: A variable holds what its setting cannot.
    """
    named = [
        (tuple(field.metadata.get("env", ())), (path, field)) for path, field in setting_fields(cls, prefix)
    ]
    return tuple(_assigned(named, environ))


def variable_names(path: KeyPath, field: "attrs.Attribute[Any]") -> tuple[str, ...]:
    """Give the names of the variables that set one of homeport's own settings, strongest first."""
    if not has_variable(field):
        return ()
    own = "HOMEPORT_" + "_".join(str(key) for key in path).upper()
    return tuple(dict.fromkeys((own, *field.metadata.get("env", ()))))


def _assigned(
    named: Iterable[tuple[tuple[str, ...], Settable]], environ: Mapping[str, str]
) -> Iterator[Assignment]:
    for names, (path, field) in named:
        for name in reversed(names):
            text = unquoted(environ, name)
            if text:
                secret = bool(field.metadata.get("secret"))
                read = READERS.get(name)
                value = read(text) if read else _parse(name, text, field.type, secret=secret)
                if value is not None:
                    yield Assignment(path, value, f"variable {name}")


def _unknown_variable(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"the variable {name} sets nothing" + (f"; did you mean {near[0]}?" if near else "")


def _parse(name: str, text: str, wanted: object, *, secret: bool) -> Any:  # noqa: ANN401 - the type decides
    """Turn the text of a variable into what TOML would hold for the type."""
    options = options_of(wanted)
    if typing.get_origin(wanted) is tuple:
        member = typing.get_args(wanted)[0]
        parts = [part.strip() for part in text.split(",")]
        return [_parse(name, part, member, secret=secret) for part in parts if part]
    try:
        return _scalar(text, options)
    except ValueError as error:
        if str in options:
            return text
        kind = next(option.__name__ for option in options if option in {bool, int, float})
        shown = "" if secret else f", got {text!r}"
        raise ConfigError(f"variable {name}: expected {kind}{shown}") from error


def _scalar(text: str, options: tuple[Any, ...]) -> bool | int | float | str:
    if bool in options:
        return _boolean(text)
    if int in options:
        return int(text)
    if float in options:
        return float(text)
    return text


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)
