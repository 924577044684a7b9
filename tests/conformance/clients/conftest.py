import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from ollama import Client

SUITES = Path(__file__).parent / "suites"
CHAT_MODEL = "smollm2:135m"
CALLER = "caller"
INSTALL_TIMEOUT_SECONDS = 300
SUITE_TIMEOUT_SECONDS = 300
SDK_CHAT_MODELS = ("gpt-6-astra", "gpt-3.5-turbo-instruct", "model")
SDK_EMBEDDING_MODEL = "text-embedding-3-small"
SDK_NEEDS = ("hatch-fancy-pypi-readme", "hatchling", "pytest-asyncio", "pytest-xdist", "rich")
"""What its source is built with, and its tests import, besides pytest."""
RUN = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
TEMPLATE = (SUITES / "caller.jinja").read_text()


@attrs.frozen
class Surroundings:
    """Where a suite finds the server, and a folder that keeps what is installed for it."""

    url: str
    installed: Path

    @property
    def variables(self):
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "HOMEPORT_URL": self.url,
            "HOMEPORT_CHAT_MODEL": CHAT_MODEL,
            "HOMEPORT_CALLER": CALLER,
        }


@pytest.fixture(scope="session")
def caller_server(starter_home, tmp_path_factory, serve):
    """A server with the starter models, and one made of them that calls a tool as it saw it done before."""
    home = tmp_path_factory.mktemp("caller-home")
    shutil.copytree(starter_home / "models", home / "models", copy_function=os.link)
    with serve(home) as live, closing(Client(host=live.url)) as client:
        client.create(
            CALLER,
            from_=CHAT_MODEL,
            template=TEMPLATE,
            parameters={"temperature": 0},
            messages=[
                {"role": "user", "content": "What is the weather in Rome?"},
                {"role": "assistant", "content": call("Rome")},
                {"role": "user", "content": "What is the weather in Oslo?"},
                {"role": "assistant", "content": call("Oslo")},
            ],
        )
        for name in SDK_CHAT_MODELS:
            client.create(name, from_=CHAT_MODEL, parameters={"num_predict": 12}, template=TEMPLATE)
        client.copy("all-minilm", SDK_EMBEDDING_MODEL)
        yield live


def call(city: str) -> str:
    """Spell a call as the family of the template does."""
    return f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'


@pytest.fixture(scope="session")
def surroundings(caller_server, tmp_path_factory):
    """The server, and a folder for what clients need: a kept one where the environment names it."""
    given = os.environ.get("HOMEPORT_TEST_CLIENTS")
    installed = Path(given) if given else tmp_path_factory.mktemp("clients")
    return Surroundings(caller_server.url, installed)


@pytest.fixture
def run_python_suite(surroundings):
    """Run a suite with its client in an environment of its own: clients disagree on what they need."""

    def run(name: str, *requirements: str) -> None:
        python = python_with(surroundings.installed / name, *requirements)
        isolated = ["-c", os.devnull, "--rootdir", str(SUITES), "--confcutdir", str(SUITES)]
        checked(
            [python, *RUN, "--tb=short", "--timeout", "120", *isolated, str(SUITES / f"{name}.py")],
            timeout=SUITE_TIMEOUT_SECONDS,
            env=surroundings.variables,
        )

    return run


@pytest.fixture
def run_sdk_tests(surroundings):
    """Run tests that stand in the source of OpenAI's own client, against models with the names they use."""

    def run(version: str, *paths: str, chosen: str) -> None:
        folder = surroundings.installed / "openai_sdk"
        python = python_with(folder, *SDK_NEEDS, f"openai[aiohttp]=={version}")
        tests = source_of(f"openai=={version}", folder / "source", python)
        resources = [str(Path("tests", "api_resources", path)) for path in paths]
        checked(
            [python, *RUN, "--tb=line", "--timeout", "60", "-n", "0", "-k", chosen, *resources],
            timeout=SUITE_TIMEOUT_SECONDS,
            cwd=tests,
            env={**surroundings.variables, "TEST_API_BASE_URL": f"{surroundings.url}/v1"},
        )

    return run


@pytest.fixture
def run_node_suite(surroundings):
    """Run a script of tests with its packages, in Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")

    def run(name: str, *packages: str) -> None:
        folder = surroundings.installed / "node" / name
        if not (folder / "complete").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_text('{"private": true, "type": "module"}')
            installing = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", *packages]
            checked(installing, timeout=INSTALL_TIMEOUT_SECONDS, cwd=folder)
            (folder / "complete").touch()
        script = folder / f"{name}.test.mjs"
        shutil.copyfile(SUITES / "node" / f"{name}.test.mjs", script)
        checked(
            [node, "--test", str(script)],
            timeout=SUITE_TIMEOUT_SECONDS,
            cwd=folder,
            env=surroundings.variables,
        )

    return run


def python_with(folder: Path, *requirements: str) -> str:
    """Give the Python of an environment that holds these packages; it is made once."""
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        checked([sys.executable, "-m", "venv", str(folder)], timeout=60)
        wanted = ["pytest", "pytest-timeout", *requirements]
        checked([str(python), "-m", "pip", "install", "--quiet", *wanted], timeout=INSTALL_TIMEOUT_SECONDS)
        complete.touch()
    return str(python)


def source_of(requirement: str, folder: Path, python: str) -> Path:
    """Give the unpacked source of a package; it is fetched once."""
    if not list(folder.glob("*/")):
        settings = ["--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
        fetching = [python, "-m", "pip", "download", *settings, "--dest", str(folder), requirement]
        checked(fetching, timeout=INSTALL_TIMEOUT_SECONDS)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
    return next(folder.glob("*/"))


def checked(command: list[str], *, timeout: float, **settings: object) -> None:
    """Run a command to its end; a failure shows what it said."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **settings)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
