"""The forms that a request may ask for."""

import pytest

from homeport.domain.constraint import Constraint, ConstraintKind
from homeport.domain.errors import InvalidRequestError
from homeport.server.constraints import (
    MAX_PATTERN_BYTES,
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    grammar_constraint,
    json_constraint,
    regex_constraint,
    schema_constraint,
)


def _nested(depth: int) -> dict:
    schema: dict = {}
    for _ in range(depth - 1):
        schema = {"not": schema}
    return schema


def test_a_schema_keeps_the_order_of_its_keys():
    """The worker gets the text that the client wrote, blanks apart."""
    schema = {"type": "object", "properties": {"z": {}, "a": {}}, "$defs": {}}
    assert schema_constraint("format", schema) == Constraint(
        ConstraintKind.JSON_SCHEMA, '{"type":"object","properties":{"z":{},"a":{}},"$defs":{}}'
    )


def test_forms_without_a_schema():
    """Any object, an expression, a grammar."""
    assert json_constraint() == Constraint(ConstraintKind.JSON_OBJECT)
    assert regex_constraint("r", "a+") == Constraint(ConstraintKind.REGEX, "a+")
    assert grammar_constraint("g", 'start: "a"') == Constraint(ConstraintKind.GRAMMAR, 'start: "a"')


@pytest.mark.parametrize("schema", [None, True, 5, "x", [], [{}]])
def test_a_schema_is_an_object(schema):
    """Everything else is refused with the field."""
    with pytest.raises(InvalidRequestError, match="invalid request: f: expected object, got") as caught:
        schema_constraint("f", schema)
    assert caught.value.field == "f"


def test_schemas_are_bounded():
    """At the bound they pass, beyond it they are refused."""
    schema_constraint("f", _nested(MAX_SCHEMA_DEPTH))
    with pytest.raises(InvalidRequestError, match="f must be nested at most 32 levels deep"):
        schema_constraint("f", _nested(MAX_SCHEMA_DEPTH + 1))
    spare = MAX_SCHEMA_BYTES - len('{"title":""}')
    schema_constraint("f", {"title": "x" * spare})
    with pytest.raises(InvalidRequestError, match="f must hold at most 262144 bytes, got 262145"):
        schema_constraint("f", {"title": "x" * (spare + 1)})


@pytest.mark.parametrize("read", [regex_constraint, grammar_constraint])
def test_patterns_are_bounded(read):
    """They are texts of 1 to 65536 bytes."""
    read("f", "x" * MAX_PATTERN_BYTES)
    for text, got in (("", 0), ("x" * (MAX_PATTERN_BYTES + 1), 65537), ("é" * MAX_PATTERN_BYTES, 131072)):
        with pytest.raises(InvalidRequestError, match=f"f must hold 1 to 65536 bytes, got {got}"):
            read("f", text)
    with pytest.raises(InvalidRequestError, match="f: expected str, got 5"):
        read("f", 5)
