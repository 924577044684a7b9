import re
import tomllib
from pathlib import Path

import pytest

from homeport.config.loading import load_settings, plugin_config
from homeport_routers.plugin import homeport_routers

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "route-requests.md"
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_are_settings(example, tmp_path):
    """Each example is accepted as it stands, and asks for routers that exist."""
    file = tmp_path / "homeport.toml"
    file.write_text(example)
    settings = load_settings(file=file, environ={}).settings
    records = {record.name: record for record in homeport_routers()}
    assert set(settings.gateway.routers) <= set(records)
    for name in tomllib.loads(example)["plugins"]:
        plugin_config(settings, name, records[name].config)


def test_every_condition_and_action_of_a_rule_is_told():
    """The page lists all keys of a rule."""
    (rules,) = (record for record in homeport_routers() if record.name == "rules")
    rule = rules.config.__annotations__["rule"].__args__[1]
    for field in rule.__attrs_attrs__:
        assert f"`{field.name}`" in PAGE.read_text()
