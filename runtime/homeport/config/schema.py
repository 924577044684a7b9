"""The JSON Schema of ``homeport.toml``, generated from the settings classes."""

import enum
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from homeport.config.fields import is_mapping, member_of, options_of
from homeport.config.files import INCLUDE, MOST_FILES
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
_INCLUDE = {
    "type": "array",
    "items": {"type": "string"},
    "maxItems": MOST_FILES,
    "description": "further files, or patterns of them, whose settings are weaker than those of this file",
}


def settings_schema(plugin_configs: Mapping[str, type]) -> dict[str, Any]:
    """Describe every setting, the tables of plugins among them."""
    schema = class_schema(Settings)
    schema["properties"][INCLUDE] = _INCLUDE
    plugins = schema["properties"]["plugins"]
    plugins["properties"].update({name: class_schema(cls) for name, cls in sorted(plugin_configs.items())})
    plugins["additionalProperties"] = {"type": "object"}
    return {"$schema": DIALECT, "title": "homeport.toml", **schema}


def class_schema(cls: type) -> dict[str, Any]:
    """Describe one attrs class as a JSON Schema object."""
    fields = [field for field in attrs.fields(attrs.resolve_types(cls)) if not field.metadata.get("inner")]
    schema = {
        "type": "object",
        "description": (cls.__doc__ or "").strip().partition("\n")[0],
        "properties": {field.name: _field_schema(field) for field in fields},
        "additionalProperties": False,
    }
    required = [field.name for field in fields if field.default is attrs.NOTHING]
    return {**schema, "required": required} if required else schema


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
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    if typing.get_origin(kind) is typing.Literal:
        return {"enum": list(typing.get_args(kind))}
    if isinstance(kind, type) and attrs.has(kind):
        return class_schema(kind)
    if options_of(kind) != (kind,):
        options = [_type_schema(option) for option in options_of(kind) if option is not type(None)]
        return options[0] if len(options) == 1 else {"anyOf": options}
    return _collection_schema(kind)


def _collection_schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any annotation
    member = member_of(kind)
    if is_mapping(kind):
        return {"type": "object", "additionalProperties": {} if member is None else _type_schema(member)}
    origin = typing.get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": _type_schema(member)}
    return {}
