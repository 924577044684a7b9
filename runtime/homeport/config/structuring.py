"""Plain values to attrs classes, with errors that name the path, the value and what was expected."""

import collections.abc
import datetime as dt
import enum
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import attrs
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from homeport.config.fields import is_mapping, options_of
from homeport.config.key_path import KeyPath, dotted
from homeport.domain.errors import ConfigError

T = TypeVar("T")
Structure = Callable[[Any, Any], Any]
"""A cattrs hook: a plain value and the annotation to a value of it."""

_SCALARS = (bool, int, float, str)
_DATES = (dt.datetime, dt.date, dt.time)
MOST_FAULTS = 100
"""More are not told at once: looking for the nearest key takes up to a millisecond each."""
_MOST_SHOWN_CHARACTERS = 200


def structure(cls: type[T], value: object, *, path: str = "$", origins: Mapping[str, str] | None = None) -> T:
    """Build an attrs class from plain values.

    Args:
        cls: The class; keys it does not have are refused.
        value: Mappings, lists and scalars.
        path: Where it stands in the whole tree, ``$.plugins.onnx-cpu``.
        origins: Place of each value by its dotted path, for messages.

    Raises:
        ConfigError: One line per fault.
    """
    try:
        return _converter().structure(value, cls)
    except (BaseValidationError, TypeError, ValueError) as error:
        faults = list(islice(_faults(error, ()), MOST_FAULTS + 1))
        lines = [_line(fault, path, origins or {}) for fault in faults[:MOST_FAULTS]]
        if len(faults) > MOST_FAULTS:
            lines.append(f"{path}: more than {MOST_FAULTS} faults; mend these first")
        raise ConfigError("\n".join(lines)) from error


def unstructure(value: object) -> Any:  # noqa: ANN401
    """Turn an attrs value into plain mappings, lists and scalars."""
    return _converter().unstructure(value)


@cache
def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for kind in (int, bool, str, *_DATES):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Path, lambda value, _: Path(_exactly(value, str)).expanduser())
    converter.register_structure_hook_func(_is_choice, _chosen)
    converter.register_structure_hook_func(_is_union, lambda value, kind: _option(value, kind, converter))
    converter.register_structure_hook_func(_is_array, lambda value, kind: _array(value, kind, converter))
    converter.register_structure_hook_func(is_mapping, lambda value, kind: _table(value, kind, converter))
    converter.register_structure_hook_factory(attrs.has, _checking)
    converter.register_unstructure_hook(Path, str)
    return converter


def _checking(cls: type, converter: Converter) -> Structure:
    """Structure a class so that a value outside its setting's range is a fault of that setting."""

    def checked(check: Callable[[Any], None]) -> Structure:
        def structured(value: Any, kind: Any) -> Any:  # noqa: ANN401
            found = converter.structure(value, kind)
            check(found)
            return found

        return structured

    checks = {field.name: field.metadata.get("check") for field in attrs.fields(cls)}
    hooks: dict[str, Any] = {
        name: override(struct_hook=checked(check)) for name, check in checks.items() if check
    }
    structured: Structure = make_dict_structure_fn(cls, converter, **hooks)

    def of_table(value: Any, kind: Any) -> Any:  # noqa: ANN401
        return structured(_mapping(value), kind)

    return of_table


def _is_choice(kind: object) -> bool:
    is_enum = isinstance(kind, type) and issubclass(kind, enum.Enum)
    return is_enum or typing.get_origin(kind) is typing.Literal


def _is_union(kind: object) -> bool:
    return options_of(kind) != (kind,)


def _is_array(kind: object) -> bool:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    return origin in {list, collections.abc.Sequence} or (origin is tuple and inside[1:] == (...,))


def _exactly(value: Any, kind: Any) -> Any:  # noqa: ANN401 - cattrs hooks take anything
    if _is_choice(kind):
        return _chosen(value, kind)  # cattrs takes an enum of texts for a text
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {_shown(value)}")
    return value


def _number(value: Any, _: Any) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected float, got {_shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"is too large, got {_shown(value)}") from None


def _chosen(value: Any, kind: Any) -> Any:  # noqa: ANN401
    """Take one of the words of a Literal or an enum."""
    is_enum = isinstance(kind, type)
    allowed = [member.value for member in kind] if is_enum else typing.get_args(kind)
    if not any(type(value) is type(word) and value == word for word in allowed):
        raise ValueError(f"must be one of {', '.join(map(str, allowed))}, got {_shown(value)}")
    return kind(value) if is_enum else value


def _option(value: Any, kind: Any, converter: Converter) -> Any:  # noqa: ANN401
    """Take what one of several annotations allows."""
    options = [option for option in options_of(kind) if option is not type(None)]
    if value is None and len(options) < len(options_of(kind)):
        return None
    if len(options) == 1:
        return converter.structure(value, options[0])
    scalars = [option for option in options if option in _SCALARS]
    if type(value) in scalars:
        return value
    if float in scalars and type(value) is int:
        return _number(value, float)
    others = [option for option in options if option not in _SCALARS]
    if len(others) == 1 and (not scalars or isinstance(value, list | Mapping)):
        return converter.structure(value, others[0])
    names = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise TypeError(f"expected {names}, got {_shown(value)}")


def _array(value: Any, kind: Any, converter: Converter) -> Any:  # noqa: ANN401
    member = typing.get_args(kind)[0]
    if not isinstance(value, list | tuple):
        name = member.__name__ if member in _SCALARS else "tables" if attrs.has(member) else "values"
        raise TypeError(f"expected list of {name}, got {_shown(value)}")
    found = [item for _, item in _each(enumerate(value), member, converter)]
    return found if typing.get_origin(kind) is list else tuple(found)


def _table(value: Any, kind: Any, converter: Converter) -> Any:  # noqa: ANN401
    member = (*typing.get_args(kind), Any, Any)[1]
    return dict(_each(_mapping(value).items(), member, converter))


def _each(
    items: Iterable[tuple[Any, Any]],
    member: Any,  # noqa: ANN401 - any annotation
    converter: Converter,
) -> list[tuple[Any, Any]]:
    """Structure the values of a list or a table; the fault of one does not hide those of others."""
    found, faults = [], []
    for index, item in items:
        try:
            found.append((index, item if member is Any else converter.structure(item, member)))
        except Exception as error:  # noqa: BLE001 - what a class of a plugin raises is a fault of the value
            error.add_note(IterableValidationNote(f"item {index!r}", index, member))
            faults.append(error)
    if faults:
        raise IterableValidationError("items", faults, type(items))
    return found


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401
    if not isinstance(value, Mapping):
        raise TypeError(f"expected table, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN_CHARACTERS else f"{text[:_MOST_SHOWN_CHARACTERS]}..."


@attrs.frozen(kw_only=True)
class _Fault:
    """What is wrong at a path; ``key`` is the key there that is one too many."""

    path: KeyPath
    message: str
    key: str | None = None


def _faults(error: BaseException, path: KeyPath) -> Iterator[_Fault]:
    """Walk the tree of errors that cattrs raises."""
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            note = _note(inner, error)
            if note is None:
                yield from _faults(inner, path)
            else:
                key = note.name if isinstance(note, AttributeValidationNote) else note.index
                yield from _hidden(_faults(inner, (*path, key)), error.cl, key)
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(error.extra_fields):
            yield _Fault(path=path, message=_unknown_key(key, error.cl), key=key)
    elif isinstance(error, KeyError):
        yield _Fault(path=path, message="must be set")
    else:
        yield _Fault(path=path, message=str(error.args[0]) if error.args else str(error))


def _note(
    inner: BaseException, outer: BaseValidationError
) -> AttributeValidationNote | IterableValidationNote | None:
    wanted = IterableValidationNote if isinstance(outer, IterableValidationError) else AttributeValidationNote
    notes = getattr(inner, "__notes__", ())
    return next((note for note in notes if isinstance(note, wanted)), None)


def _hidden(faults: Iterable[_Fault], cls: Any, key: str | int) -> Iterator[_Fault]:  # noqa: ANN401
    """Cut the value out of messages about a secret."""
    field = attrs.fields_dict(cls).get(str(key)) if attrs.has(cls) else None
    secret = field is not None and bool(field.metadata.get("secret"))
    for fault in faults:
        yield attrs.evolve(fault, message=fault.message.partition(", got ")[0]) if secret else fault


def _unknown_key(key: str, cls: type) -> str:
    known = [field.name for field in attrs.fields(cls) if not field.metadata.get("inner")]
    near = get_close_matches(key, known, n=1)
    return f"unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}")


def _line(fault: _Fault, path: str, origins: Mapping[str, str]) -> str:
    """Write a fault as ``path: message (origin)``."""
    inside = dotted(fault.path)
    whole = path + (f"[{inside[1:]}" if inside.startswith("[") else f".{inside}" if inside else "")
    named = fault.key or _named(fault.message)
    place = whole if named is None else f"{whole}.{dotted((named,))}"
    origin = _origin(place.removeprefix("$").removeprefix("."), origins)
    return f"{whole}: {fault.message}" + (f" ({origin})" if origin else "")


def _named(message: str) -> str | None:
    """Find the setting that a validator of attrs speaks of: its error comes from the class as a whole."""
    found = re.match(r"'(\w+)' ", message)
    return None if found is None else found[1]


def _origin(place: str, origins: Mapping[str, str]) -> str:
    """Find where a value stands, or what it lies in."""
    while place:
        if place in origins:
            return origins[place]
        cut = max(place.rfind("."), place.rfind("["))
        place = place[: max(cut, 0)]
    return ""
