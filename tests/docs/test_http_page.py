import re
from pathlib import Path

from homeport import Settings
from homeport.plugin.manager import load_plugins
from homeport.server.endpoints import ENDPOINTS
from homeport.server.schemas.terms import RequestTerms

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"
ROW = re.compile(r"^\| `(GET|POST|DELETE|HEAD)` \| `([^`]+)` \| (\w+) \|", re.MULTILINE)


PLUGIN_ROW = re.compile(r"^\| `[a-z-]+` \| `(GET|POST) ([^`]+)` \| (\w+) \|", re.MULTILINE)


def test_routes_of_plugins_are_documented():
    """What first-party plugins add stands in a table of its own."""
    documented = set(PLUGIN_ROW.findall(PAGE.read_text()))
    records = [entry.record for entry in load_plugins(Settings()).routes.values()]
    assert {(record.method, record.path, record.scope.value) for record in records} <= documented


def test_route_table_is_that_of_the_server():
    """Every route is documented with its scope, and none that does not exist."""
    documented = set(ROW.findall(PAGE.read_text()))
    served = {(e.method, re.sub(r"{(\w+):.*}", r"{\1}", e.path), e.scope.value) for e in ENDPOINTS}
    assert documented == served


def test_every_condition_of_a_request_is_documented():
    """The table names the fields of the object ``homeport``, and no others."""
    section = PAGE.read_text().partition("## Conditions of a request")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    documented = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert documented == set(RequestTerms.__struct_fields__)
