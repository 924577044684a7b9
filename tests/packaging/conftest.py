"""Wheels, and the command line in real processes whose environment knows nothing of the developer's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROCESS_TIMEOUT_SECONDS = 120


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Variables of a user who has set nothing but a home of their own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HOMEPORT_", "OLLAMA_", "XDG_", "PIP_", "PYTEST_"))
        and name not in {"LOG_LEVEL", "PYTHONPATH"}
    }
    home = tmp_path_factory.mktemp("home")
    return {**kept, "HOME": str(home), "HOMEPORT_HOME": str(home / "homeport")}


@pytest.fixture(scope="session")
def python(environment):
    """Run an interpreter with arguments to its end; a failure shows what it said."""

    def run(*arguments, interpreter=sys.executable, cwd=None, code=0):
        done = subprocess.run(
            [interpreter, *map(str, arguments)],
            env=environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def build_wheel(python, tmp_path_factory):
    """Build the wheel of a project, with the build backend that is installed here."""

    def build(project):
        folder = tmp_path_factory.mktemp("wheel")
        options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
        python("-m", "pip", "wheel", *options, project)
        (wheel,) = folder.glob("*.whl")
        return wheel

    return build


@pytest.fixture(scope="session")
def wheel(build_wheel):
    """The project's own wheel."""
    return build_wheel(ROOT)
