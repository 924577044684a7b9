import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "see-it-for-yourself.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
ADDRESS = "http://127.0.0.1:11434"


def test_files_that_commands_name_are_there():
    """No command runs a file that the checkout does not have."""
    named = re.findall(r"(?:tests|benchmarks)/[\w/]+\.py", PAGE)
    assert named
    assert all((ROOT / path).is_file() for path in named)


@pytest.fixture
def shell(tmp_path):
    """Run a command as a reader would, in a home of its own."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(command):
        return subprocess.run(
            ["bash", "-c", command],
            env={"PATH": path, "HOMEPORT_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        ).stdout

    return run


def test_discovery_commands_print_zero(shell):
    """The page's own commands find no heavy import and none of a blocked plugin, and would find one."""
    heavy, blocked = [line for line in PAGE.splitlines() if "importtime" in line]
    assert shell(heavy) == "0\n"
    assert shell(blocked) == "0\n"
    assert int(shell(blocked.replace("-p no:transformers-cpu ", ""))) > 0
    assert int(shell(heavy.replace("torch|", "homeport|"))) > 0


@pytest.mark.model
def test_client_sample_runs_as_it_stands(starter_server):
    """Both official clients print an answer that names Paris."""
    (code,) = [code for language, code in BLOCK.findall(PAGE) if language == "python"]
    ran = subprocess.run(
        [sys.executable, "-c", code.replace(ADDRESS, starter_server.url)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    first, second = ran.stdout.splitlines()
    assert "Paris" in first
    assert first == second
