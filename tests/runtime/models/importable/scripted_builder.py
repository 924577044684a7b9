"""A builder that does as it is told, and a model that loads what it builds; other processes import them."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import attrs

from homeport import BuildReport, LoadError, PullError
from homeport.testing.tiny_model import ChecksumModel

BUILT_FILE = "built.bin"


@attrs.frozen(kw_only=True)
class BuiltConfig:
    """Settings of the backend.

    Attributes:
        orders: A JSON file that says what a build does, see ``Orders``.
        flavour: Written into a build.
    """

    orders: str = ""
    flavour: str = "plain"


@attrs.frozen(kw_only=True)
class Orders:
    """What a build does.

    Attributes:
        log: A line is added here per build: what is built, its niceness, and how soon it is ended where
            memory runs out.
        meeting: Port to which a build connects; it goes on when the other side closes. 0 for none.
        hangs: Leave half a file and a child that holds the connection, then go on for ever.
        largest_file: Bound of written files in bytes, as of a full disk; 0 for none.
        ending: ``refuse``, ``err``, ``exit``, ``crash``, ``killed`` or ``mute`` instead of an end.
        size: Bytes that are written.
        file: Name of what is written.
        link: Whether a link is left beside it.
        changes: A file of the model that is overwritten in place.
        tells: Takes the place of fields of the report.
        returns: Given in the place of a report; empty for none.
    """

    log: str = ""
    meeting: int = 0
    hangs: bool = False
    largest_file: int = 0
    ending: str = ""
    size: int = 1000
    file: str = BUILT_FILE
    link: bool = False
    changes: str = ""
    tells: dict = attrs.field(factory=dict)
    returns: str = ""


class ScriptedBuilder:
    """Follows its orders."""

    version: ClassVar[int] = 1

    def __init__(self, config):
        self.config = config
        self.orders = Orders(**json.loads(Path(config.orders).read_text(encoding="utf-8")))

    def build(self, source, into, plan, progress):
        """Do as told."""
        orders = self.orders
        with Path(orders.log).open("a", encoding="utf-8") as log:
            score = Path("/proc/self/oom_score_adj").read_text(encoding="ascii").strip()
            log.write(f"{source} {os.nice(0)} {score}\n")
        print("builders may print what they like")  # noqa: T201 - it must do no harm
        if orders.meeting:
            with socket.create_connection(("127.0.0.1", orders.meeting)) as connection:
                if orders.hangs:
                    _hang(connection, into)
                connection.recv(1)
        self._end(into)
        if orders.largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (orders.largest_file, orders.largest_file))
        if orders.size > plan.room_bytes:
            raise PullError(f"the build needs {orders.size} bytes, {plan.room_bytes} are free")
        progress(0, orders.size)
        head = f"{self.config.flavour} {plan.threads}\n".encode()
        (into / orders.file).write_bytes(head + bytes(orders.size - len(head)))
        progress(orders.size, orders.size)
        if orders.link:
            (into / "link").symlink_to(into / orders.file)
        if orders.changes:
            with (into / orders.changes).open("r+b") as file:
                file.write(b"!")
        report = {"weights": "int8", "note": "as ordered", "kv_bytes_per_token": 8, "figures": {"tokens": 5}}
        return orders.returns or BuildReport(**report | orders.tells)

    def _end(self, into):
        match self.orders.ending:
            case "refuse":
                raise PullError("the yard is closed", hint="come back tomorrow")
            case "err":
                raise ValueError(f"no use for {into}")
            case "exit":
                os._exit(3)
            case "crash":
                os.abort()
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "mute":
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                signal.pause()


class BuiltModel(ChecksumModel):
    """Loads builds only."""

    def __init__(self, config):
        super().__init__()
        self.config = config

    def load(self, path, plan):
        """Load a build of the settings' flavour."""
        built = path / BUILT_FILE
        if not built.is_file() or not built.read_bytes().startswith(self.config.flavour.encode()):
            raise LoadError(f"{path} holds no build of flavour {self.config.flavour!r}")
        return super().load(path, plan)


def _hang(connection, into):
    """Leave half a file, start a child that holds the connection too, say so, and wait for ever."""
    (into / "half").write_bytes(bytes(1000))
    code = "import signal; signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=connection):
        connection.sendall(b"hanging")
        signal.pause()
