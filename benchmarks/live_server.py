"""A ``homeport serve`` process for the length of a measurement, and what it takes of the machine.

It runs compiled modules, as those of an installed package are, whatever ``PYTHONDONTWRITEBYTECODE`` says.
They are kept in a folder of this run, so that the first server of a run takes seconds longer to start:
measurements of the start leave it out.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.request import urlopen

import attrs
import click
import psutil

_START_SECONDS = 60
_STOP_SECONDS = 30
_WORKER_MODULE = "homeport.worker"
_MIB = 1024**2


@attrs.frozen(kw_only=True)
class LiveServer:
    """A running server.

    Attributes:
        url: Where it listens.
        process: Of the host.
        healthy_seconds: From its start to its first healthy answer.
        started_at: On the performance counter.
    """

    url: str
    process: "subprocess.Popen[bytes]"
    healthy_seconds: float
    started_at: float

    def worker(self) -> psutil.Process:
        """Find the process that computes the one loaded model."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        workers = [child for child in children if _WORKER_MODULE in " ".join(child.cmdline())]
        if len(workers) != 1:
            raise click.ClickException(f"the server has {len(workers)} workers, expected one")
        return workers[0]

    def memory(self) -> dict[str, float]:
        """Tell the memory of host and worker in MiB."""
        worker = self.worker()
        return {
            "host_pss": _memory(self.process.pid)["pss"],
            **{f"worker_{name}": value for name, value in _memory(worker.pid).items()},
        }


@contextmanager
def serving(home: Path, *, command: Sequence[str] = (), **settings: object) -> Iterator[LiveServer]:
    """Run a server on a free port until the block ends.

    Args:
        home: Its folder of models.
        command: What to run; empty is ``homeport serve``.
        settings: By the names of their environment variables without ``HOMEPORT_``, in small letters.
    """
    ours, theirs = socket.socketpair()
    environment = {f"HOMEPORT_{name.upper()}": str(value) for name, value in settings.items()}
    log = home / "server.log"
    with ours, theirs, log.open("wb") as output:
        arguments = list(command) or ["-P", "-m", "homeport", "serve", "--port", "0"]
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments, "--parent-fd", str(theirs.fileno())],
            env={**_compiled(), "HOMEPORT_HOME": str(home), **environment},
            pass_fds=[theirs.fileno()],
            stdout=output,
            stderr=output,
        )
        theirs.close()
        try:
            ours.settimeout(_START_SECONDS)
            url = ours.makefile().readline().strip()
            if not url:
                raise click.ClickException(f"the server did not start: {log.read_text()[-500:]}")
            with urlopen(f"{url}/healthz") as answer:  # noqa: S310 - our own server
                answer.read()
            healthy = time.perf_counter() - started
            yield LiveServer(url=url, process=process, healthy_seconds=healthy, started_at=started)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_STOP_SECONDS)


def _compiled() -> dict[str, str]:
    """Give the environment in which Python keeps the modules that it compiles."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPYCACHEPREFIX": _bytecode_folder()}


@cache
def _bytecode_folder() -> str:
    """Make the folder of this run for compiled modules; it goes with the run."""
    folder = tempfile.mkdtemp(prefix="homeport-bytecode-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _memory(pid: int) -> dict[str, float]:
    """Read a process's memory in MiB.

    Format: https://docs.kernel.org/filesystems/proc.html, smaps_rollup and status.
    """
    rolled = _kib_fields(Path(f"/proc/{pid}/smaps_rollup"))
    status = _kib_fields(Path(f"/proc/{pid}/status"))
    return {
        "rss": _mib(rolled["Rss"]),
        "pss": _mib(rolled["Pss"]),
        "anonymous": _mib(rolled["Anonymous"]),
        "peak_rss": _mib(status["VmHWM"]),
    }


def _kib_fields(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}


def _mib(kib: int) -> float:
    return round(kib * 1024 / _MIB, 1)
