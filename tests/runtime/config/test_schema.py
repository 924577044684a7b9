import json

import attrs

from homeport.config.fields import setting_fields
from homeport.config.schema import settings_schema


@attrs.frozen
class ParrotConfig:
    """How the parrot speaks."""

    volume: int = 3


def test_schema_knows_every_setting_with_its_summary_and_default():
    """No setting is missing from the JSON Schema, and none lacks a summary."""
    schema = settings_schema({"parrot": ParrotConfig})
    json.dumps(schema)
    for path, field in setting_fields():
        if path == ("plugins", "tables"):
            continue
        node = schema
        for key in path:
            node = node["properties"][key]
        assert node["description"] == field.metadata["summary"]
    assert schema["properties"]["server"]["properties"]["port"]["default"] == 11434
    assert (
        schema["properties"]["plugins"]["properties"]["parrot"]["properties"]["volume"]["type"] == "integer"
    )


def test_schema_refuses_unknown_keys_but_lets_plugins_have_tables():
    """A misspelt key fails in an editor as it does at start-up."""
    schema = settings_schema({})
    assert schema["additionalProperties"] is False
    assert schema["properties"]["server"]["additionalProperties"] is False
    assert schema["properties"]["plugins"]["additionalProperties"] == {"type": "object"}
