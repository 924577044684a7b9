import re
from pathlib import Path

from homeport.server.app import ENDPOINTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"
ROW = re.compile(r"^\| `(GET|POST|DELETE|PUT)` \| `([^`]+)` \| (\w+) \|", re.MULTILINE)


def test_route_table_is_that_of_the_server():
    """Every route is documented with its scope, and none that does not exist."""
    documented = set(ROW.findall(PAGE.read_text()))
    served = {(e.method, e.path.replace("{id:.+}", "{id}"), e.scope.value) for e in ENDPOINTS}
    assert documented == served
