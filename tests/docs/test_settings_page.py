import re
from pathlib import Path

import pytest

from homeport import Settings
from homeport.config.assignments import setting_fields
from homeport.plugin.manager import load_plugins

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
ROW = re.compile(r"^\| `([\w.-]+)` \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


def shown(value):
    """Write a default as the page does."""
    if value is None or value == ():
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


@pytest.fixture(scope="module")
def rows():
    """The rows of the page, by setting."""
    return {name: rest for name, *rest in ROW.findall(PAGE.read_text())}


def test_every_setting_is_documented_with_default_variables_and_summary(rows):
    """The page says what the code says, and nothing of settings that do not exist."""
    expected = {}
    for path, field in setting_fields():
        if path[-1] == "tables":
            continue
        default = "" if path == ("home",) else shown(field.default)
        own = "HOMEPORT_" + "_".join(path).upper()
        names = dict.fromkeys((own, *field.metadata["env"]))
        variables = ", ".join(f"`{name}`" for name in names)
        expected[".".join(path)] = [default, variables, field.metadata["summary"]]
    own_rows = {name: rest for name, rest in rows.items() if not re.match(r"plugins\.[\w-]+\.", name)}
    assert set(own_rows) == set(expected)
    for name, (default, variables, summary) in expected.items():
        assert own_rows[name][1:] == [variables, summary]
        assert default in own_rows[name][0]


def test_every_plugin_setting_is_documented(rows):
    """Settings of first-party plugins stand on the page too."""
    registry = load_plugins(Settings())
    for record, cls in registry.config_classes().items():
        for field in cls.__attrs_attrs__:
            _, _, summary = rows[f"plugins.{record}.{field.name}"]
            assert summary == field.metadata["summary"]
