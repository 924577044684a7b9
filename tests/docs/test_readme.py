import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
ADDRESS = "http://127.0.0.1:11434"


def blocks(language):
    return [code for name, code in BLOCK.findall(README.read_text()) if name == language]


def test_the_first_two_commands_are_those_that_ci_knows():
    """The README opens with the demo and the tests, as tox.ini defines them."""
    first, second = blocks("console")[:2]
    assert first.strip() == "python3 -m pip install tox && tox run -e demo"
    assert second.strip() == "python3 -m pip install tox && tox"
    assert "[testenv:demo]" in (README.parent / "tox.ini").read_text()
    assert "-m tox" in (README.parent / ".ci" / "run").read_text()


@pytest.mark.model
@pytest.mark.parametrize("place", range(3))
def test_client_samples_run_as_they_stand(starter_server, place):
    """The samples for the official clients work against a live server, but for its port."""
    code = [sample for sample in blocks("python") if ADDRESS in sample][place]
    ran = subprocess.run(
        [sys.executable, "-c", code.replace(ADDRESS, starter_server.url)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()


@pytest.mark.model
def test_curl_sample_runs_as_it_stands(starter_server):
    """The sample for curl streams an answer."""
    (sample,) = [code for code in blocks("console") if code.startswith("curl")]
    ran = subprocess.run(
        ["bash", "-c", sample.replace(ADDRESS, starter_server.url)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert '"done":true' in ran.stdout.splitlines()[-1]
