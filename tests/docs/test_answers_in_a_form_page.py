import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "get-answers-in-a-form.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
ADDRESS = "http://127.0.0.1:11434"

pytestmark = pytest.mark.model


def blocks(language, server):
    found = BLOCK.findall(PAGE.read_text())
    return [code.replace(ADDRESS, server.url) for name, code in found if name == language]


def test_samples_of_both_clients_print_what_the_schema_says(starter_server):
    """The samples, run one after another as a reader would, give a city and a number."""
    code = "\n".join(blocks("python", starter_server))
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("'city'") == ran.stdout.count("'inhabitants'") == 2


def test_regular_expression_gives_a_date(starter_server):
    """The sample for curl answers with nothing but a date."""
    (sample,) = blocks("console", starter_server)
    ran = subprocess.run(["bash", "-c", sample], capture_output=True, text=True, timeout=120, check=True)
    content = json.loads(ran.stdout)["choices"][0]["message"]["content"]
    assert re.fullmatch(r"(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]", content)
