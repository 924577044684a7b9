"""Frozen records as JSON and back, strictly typed: nothing is coerced, nothing unknown is let in."""

import json
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TypeVar

import attrs
import cattrs
from cattrs.errors import BaseValidationError
from cattrs.v import format_exception

from homeport.domain.errors import StoreError
from homeport.domain.models import Capability

FORMAT_VERSION = 1
"""Rises when an older homeport could not read what a newer one writes."""

Value = str | int | float | bool | tuple[str | int | float | bool, ...]
"""What a parameter or a fact of a model can be."""

R = TypeVar("R")


def encode_record(record: attrs.AttrsInstance, *, indent: int | None = 1) -> bytes:
    """Write a record as JSON, on one line where ``indent`` is None; a line end follows."""
    tree = _CONVERTER.unstructure(record)
    return json.dumps(tree, indent=indent, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def decode_record(kind: type[R], data: bytes) -> R:
    """Read a record back.

    Raises:
        StoreError: The data is not such a record, or a newer homeport wrote it; names each field at fault.
    """
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"not JSON: {error}") from error
    version = tree.get("version") if isinstance(tree, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise StoreError(f"format version {version}, this homeport reads up to {FORMAT_VERSION}")
    try:
        return structure_record(kind, tree)
    except ValueError as error:
        raise StoreError(str(error)) from error


def structure_record(kind: type[R], tree: object) -> R:
    """Build a record from plain data.

    Raises:
        ValueError: Names each field at fault by its path.
    """
    if not isinstance(tree, dict):
        raise ValueError(f"expected an object, got {tree!r:.80}")  # noqa: TRY004 - one error for all faults
    try:
        return _CONVERTER.structure(tree, kind)
    except (BaseValidationError, ValueError, TypeError) as error:
        raise ValueError("; ".join(cattrs.transform_error(error, format_exception=_explain))) from error


def _explain(error: BaseException, kind: type | None) -> str:
    is_told = isinstance(error, ValueError | TypeError) and error.args and isinstance(error.args[0], str)
    return error.args[0] if is_told else format_exception(error, kind)


def _strict(value: object, kind: type) -> object:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {value!r:.80}")
    return value


def _structure_value(value: object, _: object) -> Value:
    if isinstance(value, list) and all(isinstance(item, str | int | float | bool) for item in value):
        return tuple(value)
    if isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"expected a text, a number, a boolean or a list of these, got {value!r:.80}")


def _structure_time(value: object, _: type) -> datetime:
    if not isinstance(value, str):
        raise TypeError(f"expected a time, got {value!r:.80}")
    return datetime.fromisoformat(value).astimezone(UTC)


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int, float, bool, date):
        converter.register_structure_hook(kind, _strict)
    converter.register_structure_hook(StrEnum, lambda value, kind: kind(value))
    converter.register_structure_hook(datetime, _structure_time)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook_func(lambda kind: kind == Value, _structure_value)
    converter.register_unstructure_hook_func(lambda kind: kind == frozenset[Capability], sorted)
    return converter


_CONVERTER = _make_converter()
