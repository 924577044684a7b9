"""Objects of a schema that get no keys but those it names, although it would allow others.

So does Ollama. A model that may add keys does so again and again, and nobody reads them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

SINGLE_SCHEMAS = ("additionalItems", "additionalProperties", "items")
"""Keywords whose value is a schema."""
SCHEMA_LISTS = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
"""Keywords whose value is a list of schemas."""
SCHEMA_MAPS = ("$defs", "definitions", "patternProperties", "properties")
"""Keywords whose value holds schemas by name."""
_COMPOSING = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
_OF_OBJECTS = frozenset({"additionalProperties", "patternProperties", "properties", "required"})
_OPEN = frozenset({"additionalProperties", "maxProperties", "minProperties", "patternProperties"})


def close_objects(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give a schema whose objects have no keys beyond those it names; the one given is not changed.

    One that puts objects together from parts stays as it is: a part must not refuse the others' keys.
    """
    return dict(schema) if any(map(_composes, _parts(schema))) else _closed(schema)


def _closed(part: Mapping[str, Any]) -> dict[str, Any]:
    closed = {keyword: _closed_value(keyword, value) for keyword, value in part.items()}
    if not part.keys() & _OPEN and _names_all(part.get("properties"), part.get("required", [])):
        closed["additionalProperties"] = False
    return closed


def _names_all(named: object, required: object) -> bool:
    if not isinstance(named, dict) or not isinstance(required, list):
        return False
    return bool(named) and all(key in named for key in required)


def _closed_value(keyword: str, value: object) -> object:
    if keyword in SCHEMA_LISTS and isinstance(value, list):
        return [_closed_schema(each) for each in value]
    if keyword in SCHEMA_MAPS and isinstance(value, dict):
        return {name: _closed_schema(each) for name, each in value.items()}
    return _closed_schema(value) if keyword in SINGLE_SCHEMAS else value


def _closed_schema(schema: object) -> object:
    return _closed(schema) if isinstance(schema, dict) else schema


def _composes(part: Mapping[str, Any]) -> bool:
    ways = part.keys() & _COMPOSING
    return len(part.get("allOf", ())) > 1 or len(ways) > 1 or bool(ways and part.keys() & _OF_OBJECTS)


def _parts(schema: object) -> Iterator[Mapping[str, Any]]:
    """Give a schema and all within it."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for keyword, value in schema.items():
        inner: list[object] = [value] if keyword in SINGLE_SCHEMAS else []
        if keyword in SCHEMA_LISTS and isinstance(value, list):
            inner = value
        if keyword in SCHEMA_MAPS and isinstance(value, dict):
            inner = list(value.values())
        for each in inner:
            yield from _parts(each)
