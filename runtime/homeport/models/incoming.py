"""Folders of pulls at work, each held by a lock that dies with its process."""

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import TextIO

import attrs
from loguru import logger

from homeport.models.durable import remove

_LOCK_SUFFIX = ".lock"


@attrs.frozen
class Job:
    """A folder of our own; ``close`` removes it."""

    folder: Path
    _lock: TextIO

    def close(self) -> None:
        """Remove the folder and what is left in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        _lock_path(self.folder).unlink(missing_ok=True)
        self._lock.close()


class Incoming:
    """The folder in which pulls are staged. Callers hold the lock of the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open_job(self) -> Job:
        """Make a new empty folder that no sweep removes while this process lives."""
        self._folder.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="job-", dir=self._folder))
        lock = _lock_path(folder).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Job(folder, lock)

    def sweep(self) -> None:
        """Remove what killed pulls left: whatever no living process holds the lock of."""
        for path in self._folder.glob("*"):
            folder = path.with_suffix("")
            if path.suffix == _LOCK_SUFFIX and folder.exists():
                continue
            with _lock_path(folder).open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                logger.info("removing what an interrupted pull left: {}", path.name)
                remove(path)
                _lock_path(folder).unlink(missing_ok=True)


def _lock_path(folder: Path) -> Path:
    return folder.with_suffix(_LOCK_SUFFIX)
