"""The JSON Schema of ``homeport.toml``, generated from the settings classes."""

import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from homeport.config.settings import Settings
from homeport.config.structuring import unstructure

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCALARS: Mapping[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string", "format": "path"},
}


def settings_schema(plugin_configs: Mapping[str, type]) -> dict[str, Any]:
    """Describe every setting, the tables of plugins among them."""
    schema = class_schema(Settings)
    tables = {name: class_schema(cls) for name, cls in sorted(plugin_configs.items())}
    plugins = schema["properties"]["plugins"]
    del plugins["properties"]["tables"]
    plugins["properties"].update(tables)
    plugins["additionalProperties"] = {"type": "object"}
    return {"$schema": DIALECT, "title": "homeport.toml", **schema}


def class_schema(cls: type) -> dict[str, Any]:
    """Describe one attrs class as a JSON Schema object."""
    properties = {}
    for field in attrs.fields(attrs.resolve_types(cls)):
        if isinstance(field.type, type) and attrs.has(field.type):
            properties[field.name] = class_schema(field.type)
        else:
            properties[field.name] = _field_schema(field)
    return {
        "type": "object",
        "description": (cls.__doc__ or "").splitlines()[0],
        "properties": properties,
        "additionalProperties": False,
    }


def _field_schema(field: "attrs.Attribute[Any]") -> dict[str, Any]:
    schema = dict(_type_schema(field.type))
    summary = field.metadata.get("summary")
    if summary:
        schema["description"] = summary
    if field.default is not attrs.NOTHING and not hasattr(field.default, "factory"):
        schema["default"] = unstructure(field.default)
    return schema


def _type_schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any annotation
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return (
            _type_schema(options[0]) if len(options) == 1 else {"anyOf": [_type_schema(o) for o in options]}
        )
    if origin is tuple:
        return {"type": "array", "items": _type_schema(typing.get_args(kind)[0])}
    if origin is typing.Literal:
        return {"enum": list(typing.get_args(kind))}
    return {"type": "object"}
