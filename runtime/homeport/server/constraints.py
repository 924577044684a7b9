"""The forms that a request may ask an answer to have, bounded; the model's worker compiles them."""

from collections.abc import Mapping

import msgspec

from homeport.domain.constraint import Constraint, ConstraintKind
from homeport.domain.errors import InvalidRequestError
from homeport.server.quoting import shown

MAX_SCHEMA_BYTES = 256 * 1024
MAX_SCHEMA_DEPTH = 32
MAX_PATTERN_BYTES = 64 * 1024
"""Of a regular expression, or of a grammar."""


def json_constraint() -> Constraint:
    """Ask for any JSON object."""
    return Constraint(ConstraintKind.JSON_OBJECT)


def schema_constraint(field: str, schema: object) -> Constraint:
    """Ask for JSON that a schema allows.

    Args:
        field: The request field that holds it.
        schema: JSON Schema; an object, its keys in the client's order.

    Raises:
        InvalidRequestError: It is no object, or too large or too deep.
    """
    return Constraint(ConstraintKind.JSON_SCHEMA, schema_text(field, schema))


def regex_constraint(field: str, text: object) -> Constraint:
    """Ask for text that a regular expression matches as a whole.

    Raises:
        InvalidRequestError: It is no text, or empty or too long.
    """
    return Constraint(ConstraintKind.REGEX, _pattern(field, text))


def grammar_constraint(field: str, text: object) -> Constraint:
    """Ask for text that a grammar in Lark's syntax makes.

    Raises:
        InvalidRequestError: It is no text, or empty or too long.
    """
    return Constraint(ConstraintKind.GRAMMAR, _pattern(field, text))


def schema_text(field: str, schema: object) -> str:
    """Write a JSON Schema as JSON, the order of its keys kept.

    Raises:
        InvalidRequestError: It is no object, or too large or too deep.
    """
    checked_schema(field, schema)
    return msgspec.json.encode(schema).decode()


def checked_schema(field: str, schema: object) -> Mapping[str, object]:
    """Pass a JSON Schema on.

    Raises:
        InvalidRequestError: It is no object, or too large or too deep.
    """
    if not isinstance(schema, dict):
        message = f"invalid request: {field}: expected object, got {shown(schema)}"
        raise InvalidRequestError(message, field=field)
    if _depth(schema) > MAX_SCHEMA_DEPTH:
        message = f"{field} must be nested at most {MAX_SCHEMA_DEPTH} levels deep"
        raise InvalidRequestError(message, field=field)
    size = len(msgspec.json.encode(schema))
    if size > MAX_SCHEMA_BYTES:
        message = f"{field} must hold at most {MAX_SCHEMA_BYTES} bytes, got {size}"
        raise InvalidRequestError(message, field=field)
    return schema


def _depth(value: object) -> int:
    """Count levels of lists and objects; the body bounds them to 64."""
    if not isinstance(value, dict | list):
        return 0
    children = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(child) for child in children), default=0)


def _pattern(field: str, text: object) -> str:
    if not isinstance(text, str):
        message = f"invalid request: {field}: expected str, got {shown(text)}"
        raise InvalidRequestError(message, field=field)
    size = len(text.encode(errors="replace"))
    if not 0 < size <= MAX_PATTERN_BYTES:
        message = f"{field} must hold 1 to {MAX_PATTERN_BYTES} bytes, got {size}"
        raise InvalidRequestError(message, field=field)
    return text
