import re
from pathlib import Path

from homeport import Settings
from homeport.plugin.manager import load_plugins
from homeport.server.app import ENDPOINTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"
ROW = re.compile(r"^\| `(GET|POST|DELETE|PUT)` \| `([^`]+)` \| (\w+) \|", re.MULTILINE)


PLUGIN_ROW = re.compile(r"^\| `[a-z-]+` \| `(GET|POST) ([^`]+)` \| (\w+) \|", re.MULTILINE)


def test_routes_of_plugins_are_documented():
    """What first-party plugins add stands in a table of its own."""
    documented = set(PLUGIN_ROW.findall(PAGE.read_text()))
    records = [entry.record for entry in load_plugins(Settings()).routes.values()]
    assert {(record.method, record.path, record.scope.value) for record in records} <= documented


def test_route_table_is_that_of_the_server():
    """Every route is documented with its scope, and none that does not exist."""
    documented = set(ROW.findall(PAGE.read_text()))
    served = {(e.method, e.path.replace("{id:.+}", "{id}"), e.scope.value) for e in ENDPOINTS}
    assert documented == served
