"""What form an answer must have."""

from enum import StrEnum

import attrs


class ConstraintKind(StrEnum):
    """How the form is told."""

    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    GRAMMAR = "grammar"


@attrs.frozen
class Constraint:
    """A form that every answer to a request has, token by token; only a bound of length may cut it short.

    Attributes:
        kind: How the form is told.
        source: A JSON Schema as JSON text, a regular expression (Rust's syntax, for the whole answer), or a
            grammar in Lark's syntax with the rule ``start``; empty for any JSON object.
    """

    kind: ConstraintKind
    source: str = ""
