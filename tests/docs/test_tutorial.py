import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PARROT = DOCS / "examples" / "homeport-parrot"
FILES = (
    "pyproject.toml",
    "src/homeport_parrot/plugin.py",
    "src/homeport_parrot/config.py",
    "src/homeport_parrot/backend.py",
    "tests/test_parrot.py",
)


def test_tutorial_shows_the_files_of_the_example_as_they_are():
    """What a reader copies from the tutorial is what our tests build and install."""
    page = (DOCS / "tutorials" / "first-backend.md").read_text()
    shown = [code.rstrip() for code in re.findall(r"```(?:toml|python)\n(.*?)```", page, re.DOTALL)]
    assert shown == [(PARROT / file).read_text().rstrip() for file in FILES]
