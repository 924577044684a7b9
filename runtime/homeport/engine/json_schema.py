"""JSON Schemas that can be enforced token by token, and a clear refusal of all others.

What the grammar library leaves out or reads loosely is refused here by its name, for an answer that ends is
valid. Keywords are those of JSON Schema 2020-12 and draft 7 (https://json-schema.org).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from homeport.domain.errors import InvalidRequestError
from homeport.engine.closed_objects import SCHEMA_LISTS, SCHEMA_MAPS, SINGLE_SCHEMAS, close_objects
from homeport.engine.string_formats import FORMAT_PATTERNS, LIBRARY_FORMATS, NUMBER_RANGES

MOST_DEPTH = 64
"""Levels of arrays and objects in a schema."""
MOST_MULTIPLES = 20_000
"""Sum of all ``multipleOf``: an automaton has a state for each remainder, and 10,000 of them take 12 ms."""
MOST_INTEGER = 10**18 - 1
"""Larger bounds are taken for this one, and numbers without bounds get it: eighteen digits end some time."""
SMALLEST_PART = 1e-9
"""Numbers have nine digits behind the point, and no exponents; the library takes up to eleven."""
_WIDE = 1e-6
"""Only where a number may lie so far from others: closer together there may be no multiple."""
_EXCLUSIVE = (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum"))
LAYOUT: Mapping[str, object] = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": '"\\bfnrt',
}
"""One way to write each value: blanks as Python's ``json`` puts them, and no escapes that hide a key."""

_MOST_ANY_DEPTH = 8
_NAMING = frozenset(
    {
        *("$ref", "additionalProperties", "allOf", "anyOf", "minProperties", "oneOf", "patternProperties"),
        "required",
    }
)
"""Keywords that speak of keys beside ``properties``."""
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_KEPT = frozenset(
    {
        *("$ref", "const", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "maxItems", "maxLength"),
        *("maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf"),
        *("pattern", "required", "type", *SINGLE_SCHEMAS, *SCHEMA_LISTS, *SCHEMA_MAPS),
    }
)
_REFUSED = frozenset(
    {
        *("$dynamicRef", "$recursiveRef", "contains", "dependencies", "dependentRequired"),
        *("dependentSchemas", "disallow", "divisibleBy", "else", "extends", "if", "maxContains"),
        *("minContains", "not", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
        "uniqueItems",
    }
)
_WITHOUT_EFFECT: Mapping[str, tuple[object, ...]] = {
    "uniqueItems": (False,),
    "propertyNames": (True, {}, {"type": "string"}),
    "unevaluatedItems": (True, {}),
    "unevaluatedProperties": (True, {}),
}
"""Values with which a refused keyword says nothing."""
_RUST_ONLY = re.compile(r"\[[^\]]*(?:&&|--|~~)|\\[xu]\{|\\U|\\x")
"""What the library's regular expressions read otherwise than ECMA-262 does, whose syntax schemas have."""
_UNWRITABLE = re.compile("[\x00-\x07\x0b\x0e-\x1f\x7f]")
"""Characters of a fixed text that would need an escape other than those allowed."""


def parse_schema(text: str, field: str) -> object:
    """Read the text of a schema.

    Args:
        text: JSON.
        field: Named by errors.

    Raises:
        InvalidRequestError: It is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"invalid {field}: the JSON Schema is no JSON: {error}"
        raise InvalidRequestError(message, field=field) from error


def enforceable_schema(schema: object, field: str) -> dict[str, Any]:
    """Give a schema with the same answers, or fewer, that the grammar library enforces to the letter.

    Notes are left out, formats become patterns, numbers get bounds, and objects no keys beyond those named.

    Args:
        schema: As read from JSON.
        field: Named by errors.

    Raises:
        InvalidRequestError: It holds what cannot be enforced, or is none; the keyword is named.
    """
    reader = _SchemaReader(field)
    root = reader.read({} if schema is True else schema, "#", 0)
    reader.check_references()
    return {**close_objects(root), "x-guidance": dict(LAYOUT)}


def arguments_schema(parameters: Mapping[str, object], field: str) -> dict[str, Any]:
    """Give the enforced schema of a call's arguments: an object, empty where the tool names no keys.

    Raises:
        InvalidRequestError: As of :func:`enforceable_schema`.
    """
    schema = {**parameters, "type": "object"}
    if not schema.get("properties") and not schema.keys() & _NAMING:
        schema["additionalProperties"] = False
    return enforceable_schema(schema, field)


def any_object() -> dict[str, Any]:
    """Give the schema of any object, of a bounded depth: small models nest without end."""
    levels = {str(level): _any_value(level) for level in range(1, _MOST_ANY_DEPTH + 1)}
    return {**_any_value(0), "type": "object", "$defs": levels}


def _any_value(level: int) -> dict[str, Any]:
    scalars = ["string", "number", "boolean", "null"]
    if level == _MOST_ANY_DEPTH:
        return {"type": scalars}
    inner = {"$ref": f"#/$defs/{level + 1}"}
    return {"type": ["object", "array", *scalars], "additionalProperties": inner, "items": inner}


class _SchemaReader:
    """Goes through one schema; every place is named by its JSON pointer (RFC 6901)."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._places: set[str] = set()
        self._references: list[tuple[str, str]] = []
        self._multiples = 0

    def read(self, schema: object, place: str, depth: int) -> Any:  # noqa: ANN401 - JSON
        """Give what is enforced of a schema."""
        if depth > MOST_DEPTH:
            raise self._refusal(f"the schema is deeper than {MOST_DEPTH} levels", place)
        self._places.add(place)
        if isinstance(schema, bool) and depth:
            return schema
        if not isinstance(schema, dict):
            raise self._refusal(f"expected a JSON Schema object, got {_shown(schema)}", place)
        read: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword in _KEPT:
                read[keyword] = self._value(keyword, value, place, depth)
            elif keyword in _REFUSED and value not in _WITHOUT_EFFECT.get(keyword, ()):
                raise self._unsupported(keyword, place)
        self._check_types(read, place)
        self._check_counts(read, place)
        _write_format(read)
        self._bound_numbers(read, place)
        return read

    def check_references(self) -> None:
        """Refuse what points outside the schema, or where none was read."""
        for target, place in self._references:
            if unquote(target) not in self._places:
                message = f"'$ref' must point to a schema of this one, such as '#/$defs/name', got {target!r}"
                raise self._refusal(message, place)

    def _value(self, keyword: str, value: object, place: str, depth: int) -> Any:  # noqa: ANN401 - JSON
        inner = f"{place}/{keyword}"
        if keyword in SCHEMA_MAPS:
            return self._read_map(value, inner, depth)
        if keyword in SCHEMA_LISTS and isinstance(value, list):
            return [self.read(item, f"{inner}/{number}", depth + 1) for number, item in enumerate(value)]
        if keyword in SINGLE_SCHEMAS:
            return self.read(value, inner, depth + 1)
        self._check_value(keyword, value, place)
        return value

    def _read_map(self, value: object, place: str, depth: int) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._refusal(f"expected an object, got {_shown(value)}", place)
        if place.endswith("/patternProperties"):
            for pattern in value:
                self._check_pattern(pattern, "patternProperties", place)
        self._check_texts(list(value), "properties", place)
        return {
            name: self.read(schema, f"{place}/{_escaped(name)}", depth + 1) for name, schema in value.items()
        }

    def _check_value(self, keyword: str, value: object, place: str) -> None:
        match keyword:
            case "$ref":
                self._references.append((str(value), place))
            case "pattern":
                self._check_pattern(value, keyword, place)
            case "format":
                if value not in (*FORMAT_PATTERNS, *LIBRARY_FORMATS, *NUMBER_RANGES):
                    raise self._unsupported(f"format {_shown(value)}", place)
            case "multipleOf":
                self._check_multiple(value, place)
            case "required" if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
                raise self._refusal(f"'required' must be a list of strings, got {_shown(value)}", place)
            case "const" | "enum" | "required":
                self._check_texts(value, keyword, place)

    def _check_pattern(self, value: object, keyword: str, place: str) -> None:
        if not isinstance(value, str):
            raise self._refusal(f"{keyword!r} must be a string, got {_shown(value)}", place)
        if _RUST_ONLY.search(value):
            message = (
                f"{keyword!r} holds what is read in several ways: '&&', '--', '~~' in a class, or \\x, \\U"
            )
            raise self._refusal(message, place)

    def _check_multiple(self, value: object, place: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._unsupported(f"multipleOf {_shown(value)}, which is no whole number from 1", place)
        self._multiples += value
        if self._multiples > MOST_MULTIPLES:
            raise self._unsupported(f"multipleOf beyond {MOST_MULTIPLES} in all", place)

    def _check_texts(self, value: object, keyword: str, place: str) -> None:
        """Refuse fixed texts that no answer can hold."""
        if isinstance(value, dict):
            self._check_texts([*value, *value.values()], keyword, place)
        elif isinstance(value, list):
            for item in value:
                self._check_texts(item, keyword, place)
        elif isinstance(value, str) and _UNWRITABLE.search(value):
            raise self._unsupported(f"{keyword} with the control character in {_shown(value)}", place)

    def _check_types(self, read: Mapping[str, Any], place: str) -> None:
        types = read.get("type", [])
        named = types if isinstance(types, list) else [types]
        strange = next((name for name in named if not isinstance(name, str) or name not in _TYPES), None)
        if strange is not None:
            message = f"'type' must be one of {', '.join(sorted(_TYPES))}, got {_shown(strange)}"
            raise self._refusal(message, place)

    def _check_counts(self, read: Mapping[str, Any], place: str) -> None:
        """Refuse counts of keys that one key written twice would fill."""
        least = read.get("minProperties", 0)
        required = read.get("required", ())
        if isinstance(least, int) and isinstance(required, Sequence) and least > len(set(required)) + 1:
            raise self._unsupported("minProperties beyond one more than is required", place)

    def _bound_numbers(self, read: dict[str, Any], place: str) -> None:
        """Give numbers bounds, and few digits behind the point: small models write thirds without end."""
        types = read.get("type")
        named = types if isinstance(types, list) else [types]
        if not {"integer", "number"} & set(named) or read.keys() & {"const", "enum"}:
            return
        for keyword, bound in (("minimum", -MOST_INTEGER), ("maximum", MOST_INTEGER)):
            given = read.setdefault(keyword, bound)
            if _is_number(given) and abs(given) > MOST_INTEGER:
                if (given > 0) is not (bound > 0):
                    raise self._unsupported(f"{keyword} {_shown(given)}, beyond {MOST_INTEGER}", place)
                read[keyword] = bound
        low, high = (read.get(each, read[other]) for each, other in _EXCLUSIVE)
        is_wide = _is_number(low) and _is_number(high) and high - low >= _WIDE
        if "number" in named and "multipleOf" not in read and is_wide:
            read["multipleOf"] = SMALLEST_PART

    def _unsupported(self, keyword: str, place: str) -> InvalidRequestError:
        return self._refusal(f"unsupported keyword: {keyword}", place)

    def _refusal(self, what: str, place: str) -> InvalidRequestError:
        return InvalidRequestError(f"invalid {self._field}: {what} (at {place[:_SHOWN]})", field=self._field)


_SHOWN = 80
"""Characters of a value or a place that an error shows."""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _write_format(read: dict[str, Any]) -> None:
    """Put a pattern or bounds in the place of a format that has them."""
    name = str(read.get("format"))
    if name in FORMAT_PATTERNS:
        del read["format"]
        read["allOf"] = [*read.get("allOf", ()), {"pattern": FORMAT_PATTERNS[name]}]
    elif name in NUMBER_RANGES:
        del read["format"]
        bounds = NUMBER_RANGES[name]
        if bounds is not None:
            low, high = bounds
            read["allOf"] = [*read.get("allOf", ()), {"minimum": low, "maximum": high}]
