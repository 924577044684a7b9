"""A home of its own, a command line in real processes, and the echo backend as an installed plugin."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_TIMEOUT_SECONDS = 30
COMMAND_TIMEOUT_SECONDS = 60

ECHO_MODULE = '''
import click
from homeport import CommandSpec, hookimpl
from homeport.testing.echo import EchoPlugin


class Plugin(EchoPlugin):
    @hookimpl
    def homeport_commands(self):
        return [CommandSpec(name="greet", factory="echo_plugin:greet", summary="Greet somebody")]


@click.command()
@click.argument("name")
def greet(name):
    click.echo(f"Hello {name}")


plugin = Plugin()
'''

HomeportCommand = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def environment(tmp_path: Path, home: Path, free_port: int) -> dict[str, str]:
    """Variables of a user who has set nothing but a home of their own and a free port."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HOMEPORT_", "OLLAMA_", "XDG_")) and name not in {"LOG_LEVEL", "PYTHONPATH"}
    }
    own = {"HOME": str(tmp_path), "HOMEPORT_HOME": str(home), "OLLAMA_HOST": f"127.0.0.1:{free_port}"}
    return {**kept, **own, "COLUMNS": "200"}


@pytest.fixture
def echo_environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The same, with the echo backend and a verb of its plugin installed as a distribution, nothing else."""
    site = tmp_path / "site"
    info = site / "parrot_echo-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-echo\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[homeport.plugins]\necho = echo_plugin:plugin\n")
    (site / "echo_plugin.py").write_text(ECHO_MODULE)
    disabled = "transformers-cpu,model-sources"
    return {**environment, "PYTHONPATH": str(site), "HOMEPORT_DISABLED_PLUGINS": disabled}


@pytest.fixture
def homeport(environment: dict[str, str]) -> HomeportCommand:
    """Run a command line to its end, without any plugin but the installed ones."""
    return _runner(environment)


@pytest.fixture
def echo_homeport(echo_environment: dict[str, str]) -> HomeportCommand:
    """Run a command line to its end, with the echo backend."""
    return _runner(echo_environment)


def _runner(environment: dict[str, str]) -> HomeportCommand:
    def run(*arguments: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "homeport", *arguments],
            env={**environment, **variables},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )

    return run


class LiveServer:
    """A ``homeport serve`` process and where it listens."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url
        self.address = url.removeprefix("http://")


@contextmanager
def serving(environment: dict[str, str], *arguments: str) -> Iterator[LiveServer]:
    """Run ``homeport serve`` until it listens; end it by SIGTERM unless it has ended."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "homeport", "serve", *arguments, "--parent-fd", str(theirs.fileno())],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=[theirs.fileno()],
            )
        with process:
            try:
                ours.settimeout(START_TIMEOUT_SECONDS)
                url = ours.makefile().readline().strip()
                assert url, process.communicate()[1]
                yield LiveServer(process, url)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                process.communicate(timeout=START_TIMEOUT_SECONDS)


@pytest.fixture
def server(echo_environment: dict[str, str]) -> Iterator[LiveServer]:
    """A running server with the echo backend, at the address that clients are told."""
    with serving(echo_environment) as live:
        yield live
