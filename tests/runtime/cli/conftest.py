"""A home of its own, a command line in real processes, and the echo backend as an installed plugin."""

import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from homeport.cli.address import Address
from homeport.cli.client import Client
from homeport.models.store import ModelStore
from homeport.models.stored_model import StoredModel

START_TIMEOUT_SECONDS = 30
COMMAND_TIMEOUT_SECONDS = 60

PLUGIN_FILE = Path(__file__).parent / "echo_plugin.py"

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
    shutil.copy(PLUGIN_FILE, site)
    return {**environment, "PYTHONPATH": str(site), "HOMEPORT_PLUGINS_ENABLED": "echo"}


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
    """A ``homeport serve`` process that listens.

    Args:
        process: It.
        lifeline: Our end of the socket to it; where it announces its URL.
    """

    def __init__(self, process: "subprocess.Popen[str]", lifeline: socket.socket) -> None:
        self.process = process
        self.lifeline = lifeline
        lifeline.settimeout(START_TIMEOUT_SECONDS)
        with lifeline.makefile() as lines:
            self.url = lines.readline().strip()
        assert self.url, process.communicate()[1]

    def await_log(self, text: str) -> None:
        """Read the log until a line holds a text."""
        assert any(text in line for line in self.process.stderr)


@pytest.fixture
def serving(echo_environment: dict[str, str]) -> Callable[..., AbstractContextManager[LiveServer]]:
    """Run ``homeport serve`` with the echo backend until it listens; SIGINT ends it at the end."""

    @contextmanager
    def serve(*arguments: str, **variables: str) -> Iterator[LiveServer]:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "homeport", *arguments, "--parent-fd", str(theirs.fileno())],
                    env={**echo_environment, **variables},
                    stderr=subprocess.PIPE,
                    text=True,
                    pass_fds=[theirs.fileno()],
                )
            with process:
                try:
                    yield LiveServer(process, ours)
                finally:
                    if process.poll() is None:
                        process.send_signal(signal.SIGINT)
                    process.communicate(timeout=START_TIMEOUT_SECONDS)

    return serve


@pytest.fixture
def server(serving: Callable[..., AbstractContextManager[LiveServer]]) -> Iterator[LiveServer]:
    """A running server with the echo backend, at the address that clients are told."""
    with serving("serve") as live:
        yield live


class Gate:
    """What the gate model waits at.

    Args:
        path: Of its socket, short enough for one; the prompt that leads to it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._listener.settimeout(START_TIMEOUT_SECONDS)

    def await_visitor(self) -> socket.socket:
        """Wait until the model is at the gate; closing what is returned lets it pass."""
        return self._listener.accept()[0]

    def close(self) -> None:
        """Close the gate's own socket."""
        self._listener.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that the model ``gate`` waits at when asked for its path."""
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        gate = Gate(f"{folder}/s")
        yield gate
        gate.close()


class ScriptedHandler(BaseHTTPRequestHandler):
    """Answers every request with the script of its server, and notes what it was sent."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Send the script and close."""
        length = int(self.headers.get("Content-Length", 0))
        self.server.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
        self.wfile.write(self.server.script)
        self.close_connection = True

    do_GET = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def scripted(free_port: int) -> Callable[..., AbstractContextManager[tuple[ThreadingHTTPServer, Client]]]:
    """Answer with one body, or with raw bytes, at the address that clients are told."""

    @contextmanager
    def serve(
        body: str = "", *, status: str = "200 OK", raw: bytes | None = None
    ) -> Iterator[tuple[ThreadingHTTPServer, Client]]:
        with ThreadingHTTPServer(("127.0.0.1", free_port), ScriptedHandler) as server:
            whole = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            server.script, server.seen = whole if raw is None else raw, []
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield server, Client(Address(host="127.0.0.1", port=free_port), api_key="k-1")
            finally:
                server.shutdown()
                thread.join()

    return serve


class Terminal:
    """A command line at a terminal of its own."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "homeport", *arguments], environment)
        self._seen = ""

    def await_text(self, text: str) -> str:
        """Read until a text appears, and give what came before it."""
        while text not in self._seen:
            readable, _, _ = select.select([self._terminal], [], [], START_TIMEOUT_SECONDS)
            assert readable, f"no {text!r} in {self._seen!r}"
            self._seen += os.read(self._terminal, 4096).decode()
        before, _, self._seen = self._seen.partition(text)
        return before.replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._terminal, f"{text}\n".encode())

    def settle(self) -> str:
        """Read to the end, and give all that was not read before."""
        try:
            while piece := os.read(self._terminal, 4096):
                self._seen += piece.decode()
        except OSError:  # how a terminal ends
            pass
        return self._seen.replace("\r\n", "\n")

    def press(self, control: str) -> None:
        """Press Ctrl and a letter."""
        os.write(self._terminal, bytes([ord(control) - ord("A") + 1]))

    def press_until(self, control: str, text: str) -> None:
        """Press a key until a text appears: one that comes while a prompt is being drawn is lost."""
        for _ in range(START_TIMEOUT_SECONDS):
            self.press(control)
            if select.select([self._terminal], [], [], 1)[0]:
                break
        self.await_text(text)

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self._terminal)

    def exit_code(self) -> int:
        """Wait for the end."""
        status = os.waitpid(self.pid, 0)[1]
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def at_terminal(echo_environment: dict[str, str]) -> Callable[..., Terminal]:
    """Start a command line at a terminal that knows no colours or movements."""

    def start(*arguments: str, **variables: str) -> Terminal:
        return Terminal({**echo_environment, "TERM": "dumb", **variables}, *arguments)

    return start


CHECKSUM_PLUGIN = """
from homeport import BackendKind, BackendSpec, hookimpl

class Plugin:
    @hookimpl
    def homeport_backends(self):
        factory = "homeport.testing.tiny_model:ChecksumModel"
        return [BackendSpec(name="checksum", kind=BackendKind.LOCAL, factory=factory)]

plugin = Plugin()
"""


@pytest.fixture
def tiny_model(
    home: Path, tmp_path: Path, install_tiny: Callable[[ModelStore], StoredModel], echo_environment: object
) -> StoredModel:
    """An installed model, and a backend that serves it."""
    (tmp_path / "site" / "echo_plugin.py").write_text(CHECKSUM_PLUGIN)
    return install_tiny(ModelStore(home / "models"))


@pytest.fixture
def damaged_model(tiny_model: StoredModel) -> str:
    """A model with one flipped byte, and a backend that would serve it."""
    file = tiny_model.folder / "tokenizer.json"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    return tiny_model.name.display
