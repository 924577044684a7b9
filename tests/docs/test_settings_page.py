import re
from pathlib import Path

import attrs
import pytest

from homeport import Settings
from homeport.config.environment import variable_names
from homeport.config.fields import setting_fields
from homeport.config.key_path import dotted
from homeport.plugin.manager import load_plugins

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
ROW = re.compile(r"^\| `([\w.-]+)` \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)
NAME = "NAME"
"""Stands for names of the user's own."""
HOME = "`homeport` in your data folder (`~/.local/share`)"


def shown(value):
    """Write a default as the page does."""
    if value is None or value == () or isinstance(value, attrs.Factory):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def listed(names):
    """Write variables as the page does."""
    return ", ".join(f"`{name}`" for name in names) or "-"


@pytest.fixture(scope="module")
def rows():
    """The rows of the page, by setting."""
    return {name: rest for name, *rest in ROW.findall(PAGE.read_text())}


def own_settings():
    """List homeport's own settings as the page tells them."""
    for path, field in setting_fields(name=NAME):
        default = HOME if path == ("home",) else shown(field.default)
        variables = () if NAME in path else variable_names(path, field)
        yield dotted(path), [default, listed(variables), field.metadata["summary"]]


def test_every_setting_is_documented_with_default_variables_and_summary(rows):
    """The page says what the code says, and nothing of settings that do not exist."""
    own_rows = {name: rest for name, rest in rows.items() if not re.match(r"plugins\.[\w-]+\.", name)}
    assert own_rows == dict(own_settings())


def test_every_plugin_setting_is_documented(rows):
    """Settings of first-party plugins stand on the page too, with their variables."""
    registry = load_plugins(Settings())
    for record, cls in registry.config_classes().items():
        for field in attrs.fields(cls):
            _, variables, summary = rows[f"plugins.{record}.{field.name}"]
            assert summary == field.metadata["summary"]
            assert variables == listed(field.metadata.get("env", ()))


if __name__ == "__main__":  # writes homeport's own table anew
    before, head, rest = PAGE.read_text().partition(
        "## homeport\n\n| setting | default | variables | meaning |\n"
    )
    table = "".join(f"| `{name}` | {' | '.join(told)} |\n" for name, told in own_settings())
    PAGE.write_text(f"{before}{head}|---|---|---|---|\n{table}\n{rest[rest.index('## Plugins') :]}")
