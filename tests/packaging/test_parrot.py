"""A third party's plugin: built, installed, listed, used, blocked, and tested by its own tests."""

import json
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import ollama
import pytest

PARROT = Path(__file__).parents[2] / "docs" / "examples" / "homeport-parrot"
MOST_LINES = 60
END_TIMEOUT_SECONDS = 30
QUESTION = [{"role": "user", "content": "Pieces of eight!"}]


@pytest.fixture(scope="session")
def parrot_python(build_wheel, install):
    """The interpreter of a fresh environment with the parrot."""
    return install(build_wheel(PARROT))


@pytest.fixture
def homeport(python, parrot_python):
    """Run a command line in the parrot's environment to its end."""

    def run(*arguments, code=0):
        return python("-m", "homeport", *arguments, interpreter=parrot_python, code=code)

    return run


@pytest.fixture
def serving(parrot_python, environment):
    """Serve in the parrot's environment on a free port; gives a client."""

    @contextmanager
    def serve(*arguments):
        process = subprocess.Popen(
            [parrot_python, "-m", "homeport", *map(str, arguments), "serve", "--port", "0"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                with ollama.Client(host=_announced_url(process)) as client:
                    yield client
            finally:
                process.terminate()
                process.communicate(timeout=END_TIMEOUT_SECONDS)

    return serve


def _announced_url(process):
    """Read the log up to the line that says where it listens."""
    log = ""
    for line in process.stderr:
        log += line
        found = re.search(r"listening on (http://\S+)", line)
        if found:
            return found.group(1)
    pytest.fail(f"the server did not start:\n{log}")


def test_backend_is_short_enough_to_be_read_at_once():
    """A third party's backend needs no more than sixty lines of code, docstrings counted."""
    code = (PARROT / "src" / "homeport_parrot" / "backend.py").read_text()
    assert sum(bool(line.strip()) for line in code.splitlines()) <= MOST_LINES


def test_installed_plugin_is_listed_with_distribution_and_version(homeport):
    """Its entry point is found through the environment's metadata."""
    plugins = json.loads(homeport("plugins", "--json").stdout)["plugins"]
    (parrot,) = [plugin for plugin in plugins if plugin["name"] == "parrot"]
    assert parrot == {
        "name": "parrot",
        "distribution": "homeport-parrot",
        "version": "1.0.0",
        "status": "active",
        "cause": "",
        "provides": ["backends:parrot"],
        "missing": [],
    }


def test_installed_plugin_answers_through_the_api(serving):
    """Its model is offered and used like any other, streaming and not."""
    with serving() as client:
        assert "parrot:latest" in [model.model for model in client.list().models]
        whole = client.chat("parrot", QUESTION)
        pieces = [part.message.content for part in client.chat("parrot", QUESTION, stream=True)]
    assert (whole.message.content, whole.eval_count) == ("Pieces of eight!", 3)
    assert [piece for piece in pieces if piece] == ["Pieces", " of", " eight!"]


def test_settings_reach_the_plugin(serving, tmp_path):
    """``[plugins.parrot]`` is the plugin's own table."""
    file = tmp_path / "homeport.toml"
    file.write_text('[plugins.parrot]\nprefix = "Arr! "\n')
    with serving("--config", file) as client:
        assert client.chat("parrot", QUESTION).message.content == "Arr! Pieces of eight!"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("prefx = 1", "$.plugins.parrot: unknown key 'prefx'; did you mean 'prefix'? (homeport.toml line 2)"),
        ("pause_seconds = -1", "$.plugins.parrot: 'pause_seconds' must be >= 0: -1.0 (homeport.toml line 2)"),
    ],
)
def test_wrong_setting_of_the_plugin_is_named_with_its_line(homeport, tmp_path, line, fault):
    """A third party declares a class of settings and gets the messages for free."""
    file = tmp_path / "homeport.toml"
    file.write_text(f"[plugins.parrot]\n{line}\n")
    assert homeport("--config", file, "config", "check", code=1).stdout.strip() == fault


def test_blocked_plugin_is_out_of_the_api(homeport, serving):
    """``-p no:parrot`` removes backend and model."""
    plugins = json.loads(homeport("-p", "no:parrot", "plugins", "--json").stdout)["plugins"]
    assert {plugin["name"]: plugin["status"] for plugin in plugins}["parrot"] == "blocked"
    with serving("-p", "no:parrot") as client:
        assert client.list().models == []
        with pytest.raises(ollama.ResponseError, match="model 'parrot' not found"):
            client.chat("parrot", QUESTION)


def test_its_own_tests_pass_where_it_is_installed(python, parrot_python, tmp_path):
    """The conformance kit works for a third party, against the installed plugin."""
    shutil.copytree(PARROT / "tests", tmp_path / "tests")
    shutil.copy(PARROT / "pyproject.toml", tmp_path)
    where = python("-c", "import homeport_parrot as p; print(p.__file__)", interpreter=parrot_python)
    assert Path(where.stdout).is_relative_to(parrot_python.parents[1])
    done = python("-m", "pytest", "-q", "-W", "error", interpreter=parrot_python, cwd=tmp_path)
    assert re.search(r"\d+ passed", done.stdout)
