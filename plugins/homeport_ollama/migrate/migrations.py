"""The folder of plans, with what was done of each: kept outside the projects, for the user alone to read."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import attrs
import msgspec

from homeport import InvalidRequestError, StoreError
from homeport_ollama.migrate.plan import Plan
from homeport_ollama.migrate.project_file import Standing

_PLAN = "plan.json"
_JOURNAL = "journal.json"
_BACKUP = "backup"
_LOCK = ".lock"

R = TypeVar("R")


class Step(StrEnum):
    """How far a plan has come."""

    APPLYING = "applying"
    APPLIED = "applied"
    ROLLED_BACK = "rolled back"


@attrs.frozen(kw_only=True)
class Entry:
    """One file that is, or may have been, replaced.

    Attributes:
        path: Relative to the root.
        before: SHA-256 of the backup.
        after: SHA-256 of what takes its place.
        standing: Its permissions, owner and time before.
    """

    path: str
    before: str
    after: str
    standing: Standing


@attrs.frozen(kw_only=True)
class Journal:
    """What was begun. It is on disk, with all backups, before the first file is touched."""

    step: Step
    entries: tuple[Entry, ...]


class Migration:
    """One plan with its journal and its backups.

    Args:
        folder: Its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = _read(folder / _PLAN, Plan)

    @property
    def journal(self) -> Journal | None:
        """What was begun; None where nothing was."""
        path = self.folder / _JOURNAL
        return _read(path, Journal) if path.exists() else None

    def write_journal(self, journal: Journal) -> None:
        """Put it on disk in one step."""
        write_file(self.folder / _JOURNAL, msgspec.json.encode(journal))

    def backup(self, place: int) -> bytes:
        """Read the backup of an entry.

        Raises:
            StoreError: It is not there.
        """
        try:
            return (self.folder / _BACKUP / str(place)).read_bytes()
        except OSError as error:
            raise StoreError(f"backup {place} of {self.plan.id} cannot be read: {error.strerror}") from error

    def write_backup(self, place: int, data: bytes) -> None:
        """Put a backup on disk."""
        folder = self.folder / _BACKUP
        folder.mkdir(mode=0o700, exist_ok=True)
        write_file(folder / str(place), data)


class Migrations:
    """All of them.

    Args:
        folder: State folder of the plugin.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "migrations"

    def add(self, plan: Plan) -> Migration:
        """Keep a plan."""
        folder = self._folder / plan.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(folder / _PLAN, msgspec.json.encode(plan))
        return Migration(folder)

    def find(self, wanted: str | None, *, begun: bool = False) -> Migration:
        """Give a plan by its id, or the last one that has edits.

        Args:
            wanted: Its id, or how it begins; None is the last with edits, else the last.
            begun: Only those of which something was done, and not undone.

        Raises:
            InvalidRequestError: There is none.
        """
        names = sorted(path.name for path in self._folder.glob(f"*/{_PLAN}") for path in [path.parent])
        chosen = [name for name in names if wanted is None or name.startswith(wanted)]
        without_edits: Migration | None = None
        for name in reversed(chosen):
            migration = Migration(self._folder / name)
            journal = migration.journal
            if begun and wanted is None and (not journal or journal.step is Step.ROLLED_BACK):
                continue
            if wanted is not None or migration.plan.files:
                return migration
            without_edits = without_edits or migration
        if without_edits is not None:
            return without_edits
        kind = "applied plan" if begun else "plan"
        raise InvalidRequestError(
            f"there is no {kind}{f' {wanted!r}' if wanted else ''}",
            hint="make one with: homeport migrate plan FOLDER",
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from applying or rolling back meanwhile.

        Raises:
            StoreError: One does so now.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreError("another migration is at work", hint="wait until it is done") from error
            yield


def write_file(path: Path, data: bytes) -> None:
    """Write a file of our own in one step, for the user alone to read.

    Raises:
        StoreError: The disk refuses.
    """
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(temporary, flags, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}",
            hint="make room, or choose another folder with HOMEPORT_HOME",
        ) from error


def _read(path: Path, kind: type[R]) -> R:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} is damaged: {error}") from error
