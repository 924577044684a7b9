"""A model source that does as it is told; a fetching process imports it by its name."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import attrs

from homeport import Artifact, FetchProgress, PullError

HALF_FILE = "half"


@attrs.frozen(kw_only=True)
class Script:
    """What the source does.

    Attributes:
        gguf: The file it has.
        locators: What it recognises.
        size: What it says the size is.
        log: A line is added here per fetch.
        meeting: Port to which a fetch connects; it goes on when the other side closes. 0 for none.
        hangs: Leave half a file and a child that holds the connection, then go on for ever, or crash.
        largest_file: Bound of written files in bytes, as of a full disk; 0 for none.
        ending: ``refuse``, ``err`` or ``crash`` instead of an end.
        says: Length of a line that it prints, in characters.
        item: Length of the name of what it says it fetches, in characters.
        patience: A float with a whole number for its default.
    """

    gguf: str = ""
    locators: tuple[str, ...] = ()
    size: int = 0
    log: str = ""
    meeting: int = 0
    hangs: bool = False
    largest_file: int = 0
    ending: str = ""
    says: int = 0
    item: int = 0
    patience: float = 30


class ScriptedSource:
    """Follows its script."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def locate(self, locator: str) -> Artifact | None:
        """Recognise what the script says."""
        if locator not in self.script.locators:
            return None
        return Artifact(source="scripted", locator=locator, size_bytes=self.script.size, license="mit")

    def fetch(self, artifact: Artifact, into: Path, progress: FetchProgress) -> None:
        """Do as told."""
        script = self.script
        if script.log:
            with Path(script.log).open("a", encoding="utf-8") as log:
                log.write(f"{artifact.locator}\n")
        print("sources may print what they like" + "." * script.says)  # noqa: T201 - it must do no harm
        if script.meeting:
            with socket.create_connection(("127.0.0.1", script.meeting)) as connection:
                if script.hangs:
                    _hang(connection, into, crashes=script.ending == "crash")
                connection.recv(1)
        if script.ending == "refuse":
            raise PullError("the shop is closed", hint="come back tomorrow")
        if script.ending == "err":
            raise ValueError(f"no use for {into}")
        if script.ending == "crash":
            os.abort()
        if script.largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (script.largest_file, script.largest_file))
        size = Path(script.gguf).stat().st_size
        progress("model.gguf" + "." * script.item, 0, size)
        shutil.copyfile(script.gguf, into / "model.gguf")
        progress("model.gguf", size, size)


def _hang(connection: socket.socket, into: Path, *, crashes: bool) -> None:
    """Leave half a file, start a child that holds the connection too, say so, and crash or wait for ever."""
    (into / HALF_FILE).write_bytes(bytes(1000))
    code = "import signal; signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=connection):
        connection.sendall(b"hanging")
        if crashes:
            os.abort()
        signal.pause()
