"""All settings below a class: what may be set, and what is."""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from homeport.config.key_path import KeyPath
from homeport.config.settings import Settings


@attrs.frozen(kw_only=True)
class SetValue:
    """One value of a tree of settings.

    Attributes:
        path: Where it stands.
        value: No attrs value, and no mapping unless it is an empty one.
        secret: Whether it must not be shown.
    """

    path: KeyPath
    value: Any
    secret: bool


def setting_fields(
    cls: type = Settings, prefix: KeyPath = (), *, name: str | None = None
) -> Iterator[tuple[KeyPath, "attrs.Attribute[Any]"]]:
    """Walk all settings below a class with their paths.

    Args:
        cls: The class.
        prefix: Its own path.
        name: Stands for the keys of mappings whose values have settings; None does not look into them.
    """
    for field in attrs.fields(attrs.resolve_types(cls)):
        path = (*prefix, field.name)
        if field.metadata.get("inner"):
            continue
        if isinstance(field.type, type) and attrs.has(field.type):
            yield from setting_fields(field.type, path, name=name)
            continue
        yield path, field
        member = member_of(field.type)
        if name is not None and isinstance(member, type) and attrs.has(member):
            key = name if is_mapping(field.type) else 0
            yield from setting_fields(member, (*path, key), name=name)


def set_values(value: object, path: KeyPath = (), *, secret: bool = False) -> Iterator[SetValue]:
    """Walk all values of a tree, those of its mappings and arrays of tables one by one."""
    cls: Any = type(value)
    if attrs.has(cls):
        for field in attrs.fields(cls):
            if not field.metadata.get("inner"):
                hidden = secret or bool(field.metadata.get("secret"))
                yield from set_values(getattr(value, field.name), (*path, field.name), secret=hidden)
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from set_values(item, (*path, str(key)), secret=secret)
    elif _is_array_of_tables(value):
        for index, item in enumerate(typing.cast("Sequence[object]", value)):
            yield from set_values(item, (*path, index), secret=secret)
    else:
        yield SetValue(path=path, value=value, secret=secret)


def is_mapping(kind: object) -> bool:
    """Whether an annotation is that of a table with keys of the user's own."""
    origin = typing.get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping)


def member_of(kind: object) -> Any:  # noqa: ANN401 - any annotation
    """Give the annotation of what a mapping or an array holds; None for all else."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is None or not isinstance(origin, type) or not inside:
        return None
    if issubclass(origin, Mapping):
        return inside[1]
    return inside[0] if issubclass(origin, Sequence) else None


def has_variable(field: "attrs.Attribute[Any]") -> bool:
    """Whether one line of text can set it: tables and arrays of tables have no variable."""
    member = member_of(field.type)
    return not is_mapping(field.type) and not attrs.has(member) and not is_mapping(member)


def options_of(kind: object) -> tuple[Any, ...]:
    """Give the annotations that a union allows, or the one that it is."""
    is_union = typing.get_origin(kind) in {types.UnionType, typing.Union}
    return typing.get_args(kind) if is_union else (kind,)


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and any(attrs.has(type(item)) for item in value)
