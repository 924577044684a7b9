import json

import pytest

from homeport.cli.answer_form import parse_form
from homeport.cli.thinking_levels import parse_think


def test_json_is_a_word():
    """Any JSON is asked for by name."""
    assert parse_form("json") == parse_form(" JSON ") == "json"


def test_a_schema_stands_in_the_argument_or_in_a_file(tmp_path):
    """@FILE reads it from there."""
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    assert parse_form(json.dumps(schema)) == parse_form(f"@{file}") == schema


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("xml", "expected json, a JSON Schema or @FILE"),
        ("", "expected json"),
        ("[1]", "a JSON Schema is an object"),
        ("@/nowhere.json", "cannot read the JSON Schema '/nowhere.json'"),
        ("[" * 100_000, "expected json"),
    ],
)
def test_other_forms_are_refused(text, complaint):
    """What is neither is named."""
    with pytest.raises(ValueError, match=complaint):
        parse_form(text)


@pytest.mark.parametrize(
    ("text", "think"), [("true", True), ("False", False), ("HIGH", "high"), (" max ", "max")]
)
def test_levels_of_thought(text, think):
    """A truth or a level."""
    assert parse_think(text) == think


def test_other_levels_are_refused():
    """The error lists those that there are."""
    with pytest.raises(ValueError, match="expected true, false, low, medium, high, max, got 'hard'"):
        parse_think("hard")
