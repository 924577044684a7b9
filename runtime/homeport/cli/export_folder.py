"""The folder that an export makes: beside its place until it is whole, then there at once."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from glob import escape
from pathlib import Path

import attrs

from homeport.domain.errors import HomeportError, StoreError
from homeport.models.durable import read_record, remove
from homeport.models.records import FORMAT_VERSION, decode_record, encode_record

RECORD_FILE = "homeport_export.json"
"""Marks a folder that an export made; other programs ignore it."""
_PLACE_HINT = "Name a folder that is not there yet: --to DIR"
_ASIDE = ".before"
"""End of the name of an export that makes place for another."""
_FILE_MODE = 0o666
_FOLDER_MODE = 0o777


class ExportError(HomeportError):
    """A model that could not be exported as it was asked for."""

    code = "export_failed"


@attrs.frozen(kw_only=True)
class ExportRecord:
    """What a folder says of the export that made it.

    Attributes:
        version: Format of this file.
        homeport: Version that made it.
        model: Name that was asked for.
        digest: Of the entry of the store it was made of, 64 hexadecimal digits.
        backend: Whose builder wrote it.
        builder_version: Of that builder.
        exporter: The other program that wrote it; empty for the builder itself.
        weights: Type that most weights are in.
        weights_note: Why it is that one.
        bits_per_weight: Bits of all weights by their number.
        figures: What its check saw.
        files: Names of all others in the folder, with forward slashes.
    """

    version: int = FORMAT_VERSION
    homeport: str
    model: str
    digest: str
    backend: str
    builder_version: int
    exporter: str = ""
    weights: str = ""
    weights_note: str = ""
    bits_per_weight: float = 0.0
    figures: Mapping[str, float] = attrs.field(factory=dict)
    files: tuple[str, ...] = ()


class ExportFolder:
    """Where an export goes.

    Args:
        path: As given; need not exist.
        replaces: Whether what an earlier export left there may go.

    Raises:
        ExportError: Something is there that may not go, or its parent is no folder that can be written.
    """

    def __init__(self, path: Path, *, replaces: bool) -> None:
        self._path = path.expanduser().resolve()
        self._replaces = replaces
        self._check()

    @property
    def path(self) -> Path:
        """Where it is, absolute and without links."""
        return self._path

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """Lend an empty folder beside the place; what is left in it goes on exit.

        It is locked while this process lives. Those of the same place that nobody has locked are what killed
        exports left, and are removed on the way in.

        Raises:
            ExportError: The disk refuses.
        """
        with ExitStack() as stack:
            with self._telling():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._sweep()
                folder = self._made(stack)
            yield folder

    def place(self, folder: Path, record: ExportRecord, texts: Mapping[str, str]) -> int:
        """Put an unfinished folder in its place, and give the bytes of its files.

        They get the permissions that the user gives to new files.

        Args:
            folder: As lent by :meth:`unfinished`.
            record: Of what is in it.
            texts: Further files by name; those without content are left out.

        Raises:
            ExportError: The place was taken meanwhile, or the disk refuses.
        """
        self._check()
        with self._telling():
            for name, text in texts.items():
                if text:
                    (folder / name).write_text(text, encoding="utf-8")
            files = tuple(sorted(_files(folder)))
            (folder / RECORD_FILE).write_bytes(encode_record(attrs.evolve(record, files=files)))
            mask = _umask()
            for path in folder.rglob("*"):
                path.chmod((_FILE_MODE if path.is_file() else _FOLDER_MODE) & ~mask)
            folder.chmod(_FOLDER_MODE & ~mask)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            self._exchange(folder)
        return size

    @property
    def _prefix(self) -> str:
        return f".{self._path.name}.unfinished-"

    def _made(self, stack: ExitStack) -> Path:
        """Make a folder and lock it; until that another export may take it for a leftover, and remove it."""
        while True:
            folder = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._path.parent))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.enter_context(_locked(folder, waits=True))
            if folder.is_dir():
                return folder

    def _sweep(self) -> None:
        """Remove what killed exports left, but an earlier export that was put aside and nothing replaced."""
        for path in self._path.parent.glob(f"{escape(self._prefix)}*"):
            if path.suffix == _ASIDE and not _is_filled(self._path):
                continue
            with _locked(path) as is_ours:
                if is_ours:
                    shutil.rmtree(path, ignore_errors=True)

    def _exchange(self, folder: Path) -> None:
        """Rename; what stood there is put back where that fails."""
        if not _is_filled(self._path):
            folder.rename(self._path)
            return
        before = folder.with_name(f"{folder.name}{_ASIDE}")
        self._path.rename(before)
        try:
            folder.rename(self._path)
        except OSError:
            before.rename(self._path)
            raise
        remove(before)

    def _check(self) -> None:
        with self._telling():
            if self._path.exists() and not self._path.is_dir():
                raise ExportError(f"{self._path} is a file", hint=_PLACE_HINT)
            if self._path == Path.cwd():
                raise ExportError(
                    f"{self._path} is the folder you stand in", hint="Name one below it: --to NAME"
                )
            if not _is_filled(self._path):
                return
            foreign = _foreign(self._path)
        if foreign:
            raise ExportError(f"{self._path} holds what no export wrote: {foreign}", hint=_PLACE_HINT)
        if not self._replaces:
            raise ExportError(
                f"{self._path} holds an export already",
                hint="Replace it with --force, or name another folder",
            )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ExportError(
                f"{self._path} cannot be written: {error.strerror}",
                hint="Make room, or name a folder that you may write: --to DIR",
            ) from error


@contextmanager
def _locked(folder: Path, *, waits: bool = False) -> Iterator[bool]:
    """Try to lock a folder, and say whether that went well; the end of a process unlocks.

    Args:
        folder: May be gone.
        waits: Whether to wait for another one who has locked it.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_locked = True
    except OSError:  # another export is at work there, or the file system has no locks
        is_locked = False
    try:
        yield is_locked
    finally:
        os.close(handle)


def _is_filled(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _foreign(folder: Path) -> str:
    """Name something in a folder that no export wrote; empty where there is nothing."""
    try:
        record = decode_record(ExportRecord, read_record(folder / RECORD_FILE))
    except (OSError, StoreError):
        return min(path.name for path in folder.iterdir())
    return min(_files(folder).difference(record.files, {RECORD_FILE}), default="")


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not _is_folder(path)}


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
