"""A server for the length of one command, which cannot outlive the command."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import attrs

from homeport.cli.address import Address
from homeport.cli.invocation import Invocation
from homeport.cli.text import harmless
from homeport.domain.errors import ConfigError, HomeportError

if TYPE_CHECKING:
    from homeport.config.settings import Settings

LOG_FILE = "own-server.log"
_MAX_LOG_BYTES = 1024**2
_START_TIMEOUT_SECONDS = 60.0
_STOP_TIMEOUT_SECONDS = 10.0
_MAX_URL_BYTES = 1024
_SHOWN_LOG_LINES = 5
_KEY_VARIABLE = "HOMEPORT_API_KEY"
_REFUSED = 2
"""What ``homeport serve`` ends with when a setting forbids the start."""
_VERBOSE_LEVELS = frozenset({"TRACE", "DEBUG"})


@attrs.frozen(kw_only=True)
class _Log:
    """Where the child writes: an open file, and where in it the child began."""

    path: Path
    file: BinaryIO
    start: int

    def last_lines(self) -> str:
        """Quote the end of what the child wrote."""
        with self.path.open("rb") as written:
            written.seek(self.start)
            text = harmless(written.read().decode(errors="replace"))
        return "".join(f"\n  {line}" for line in text.splitlines()[-_SHOWN_LOG_LINES:])


@contextmanager
def own_server(invocation: Invocation, settings: "Settings", *, api_key: str) -> Iterator[Address]:
    """Run ``homeport serve`` on a free loopback port and lend its address.

    It answers to a key, for where API keys were made nobody else is let in. Both ends hold a socket pair: the
    child announces its URL on it, and leaves when the other end closes, which the operating system does even
    where this process is killed.

    Raises:
        HomeportError: It did not start; tells the last lines of its log.
    """
    ours, theirs = socket.socketpair()
    with ours, _log(invocation, settings) as log:
        with theirs:
            process = _spawn(invocation, theirs.fileno(), log, api_key)
        try:
            yield _announced(ours, process, log)
        finally:
            ours.close()
            _await_end(process)


def _spawn(
    invocation: Invocation, descriptor: int, log: _Log | None, api_key: str
) -> "subprocess.Popen[bytes]":
    arguments = ["serve", "--host", "127.0.0.1", "--port", "0", "--parent-fd", str(descriptor)]
    return subprocess.Popen(
        # -P: the folder a command is run in is no place to import from.
        [sys.executable, "-P", "-m", "homeport", *invocation.arguments(), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log.file if log else None,
        env={**os.environ, _KEY_VARIABLE: api_key},
        pass_fds=[descriptor],
        # Ctrl-C at the terminal stops the answer, not the server.
        start_new_session=True,
    )


def _announced(ours: socket.socket, process: "subprocess.Popen[bytes]", log: _Log | None) -> Address:
    """Wait until the child says where it listens."""
    ours.settimeout(_START_TIMEOUT_SECONDS)
    try:
        with ours.makefile("rb") as lines:
            url = lines.readline(_MAX_URL_BYTES).decode()
    except TimeoutError:
        raise HomeportError(
            f"the server was not ready within {_START_TIMEOUT_SECONDS:.0f} s",
            hint="Start it yourself to see why: homeport serve",
        ) from None
    if not url:
        code = process.wait(_STOP_TIMEOUT_SECONDS)
        said = log.last_lines() if log else ""
        failure = ConfigError if code == _REFUSED else HomeportError
        raise failure(
            f"the server did not start (exit code {code}){said}",
            hint=None if said else "Start it yourself to see why: homeport serve",
        )
    return Address.parse(url)


def _await_end(process: "subprocess.Popen[bytes]") -> None:
    for end in (None, process.terminate, process.kill):
        if end is not None:
            end()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT_SECONDS)
            return


@contextmanager
def _log(invocation: Invocation, settings: "Settings") -> Iterator[_Log | None]:
    """Open the child's log; None where its lines shall stand on our standard error."""
    if (invocation.log_level or "").upper() in _VERBOSE_LEVELS:
        yield None
        return
    path = settings.home / "logs" / LOG_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab" if _size(path) < _MAX_LOG_BYTES else "wb")
    except OSError as error:
        raise HomeportError(
            f"cannot write the log {str(path)!r}: {error.strerror}",
            hint="Choose a folder that you may write: homeport --home DIR ...",
        ) from error
    with file:
        yield _Log(path=path, file=file, start=file.seek(0, os.SEEK_END))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
