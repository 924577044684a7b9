import pytest

from homeport.engine.closed_objects import close_objects

NAMED = {"type": "object", "properties": {"a": {"type": "string"}}}


def test_named_properties_are_all_there_are():
    """At every level, inside lists, definitions and choices."""
    schema = {
        "type": "object",
        "properties": {"one": NAMED, "many": {"type": "array", "items": NAMED}},
        "$defs": {"node": NAMED},
    }
    closed = close_objects(schema)
    assert closed["additionalProperties"] is False
    assert closed["properties"]["one"]["additionalProperties"] is False
    assert closed["properties"]["many"]["items"]["additionalProperties"] is False
    assert closed["$defs"]["node"]["additionalProperties"] is False
    assert close_objects({"anyOf": [NAMED, {"type": "null"}]})["anyOf"][0]["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {**NAMED, "additionalProperties": {"type": "integer"}},
        {**NAMED, "patternProperties": {"^x": {}}},
        {**NAMED, "minProperties": 2},
        {**NAMED, "minProperties": "two"},
        {**NAMED, "required": ["a", "b"]},
        {**NAMED, "required": 7},
        {"allOf": [NAMED, {"properties": {"b": {}}}]},
        {**NAMED, "anyOf": [{"required": ["a"]}, {"properties": {"b": {}}}]},
        {**NAMED, "$ref": "#/$defs/other", "$defs": {"other": {"properties": {"b": {}}}}},
        {"const": {"properties": {"a": 1}}},
    ],
)
def test_what_says_more_of_others_is_left_alone(schema):
    """Closing it would forbid what it allows, or ask for what cannot be."""
    assert close_objects(schema) == schema
