"""The files of a project that may point at an Ollama."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import attrs

from homeport import InvalidRequestError
from homeport_ollama.migrate.file_kinds import FileKind, kind_of

MOST_FILE_BYTES = 1024**2
_MOST_FILES = 50_000
_SKIPPED = re.compile(
    r"\.(git|hg|svn|tox|nox|idea|gradle|terraform|[a-z]+_cache)|\.?venv|node_modules|__pycache__|target"
    r"|(site|dist)-packages"
)
_MARKS = (b"ollama", b"11434", b"visible_devices", b"llama_arg_")


@attrs.frozen
class TreeFile:
    """A file that was read.

    Attributes:
        path: Relative to the root, with forward slashes.
        kind: By its name.
        data: Its bytes.
        obstacle: Why it cannot be edited, or looked into; empty where it can.
    """

    path: str
    kind: FileKind
    data: bytes
    obstacle: str = ""


def root_of(folder: str) -> Path:
    """Find the folder.

    Raises:
        InvalidRequestError: There is none.
    """
    root = Path(folder).absolute()
    try:
        root = root.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidRequestError(f"{folder!r} cannot be entered: {error}") from error
    if not root.is_dir():
        raise InvalidRequestError(f"{folder!r} is no folder; name the folder of a project")
    if not _is_text(str(root)):
        raise InvalidRequestError(f"{folder!r} is no UTF-8; rename the folder")
    return root


def tree_files(root: Path) -> Iterator[TreeFile]:
    """Give the files that speak of Ollama in any way, in the order of their paths; links are not followed."""
    count = 0
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not _SKIPPED.fullmatch(name))
        for name in sorted(names):
            path = Path(folder, name)
            relative = path.relative_to(root)
            kind = kind_of(relative)
            if kind is None:
                continue
            count += 1
            if count > _MOST_FILES:
                yield TreeFile(
                    ".", FileKind.TEXT, b"", f"it has more than {_MOST_FILES} files; name a part of it"
                )
                return
            found = _read(path, relative.as_posix(), kind)
            if found is not None:
                yield found if _is_text(found.path) else _unnamable(found)


def _read(path: Path, relative: str, kind: FileKind) -> TreeFile | None:
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return _linked(path, relative, kind)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > MOST_FILE_BYTES:
            obstacle = f"it has {status.st_size} bytes, files up to {MOST_FILE_BYTES} are looked into"
            return TreeFile(relative, kind, b"", obstacle) if kind.is_editable else None
        data = path.read_bytes()
    except OSError as error:
        return TreeFile(relative, kind, b"", f"it cannot be read: {error.strerror}")
    if not any(mark in data.lower() for mark in _MARKS):
        return None
    obstacle = "it is one of several hard links" if status.st_nlink > 1 else ""
    if b"\0" in data:
        obstacle = "it is no text in UTF-8"
    return TreeFile(relative, kind, data, obstacle)


def _is_text(path: str) -> bool:
    """Say whether a path is UTF-8, as plans and reports are."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unnamable(file: TreeFile) -> TreeFile:
    """Tell of a file whose name no plan can hold, in a spelling that it can."""
    path = file.path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return TreeFile(path, file.kind, b"", "its name is no UTF-8; change it by hand")


def _linked(path: Path, relative: str, kind: FileKind) -> TreeFile | None:
    """Look through a link, so that the report can tell of it; nothing behind it is ever edited."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_FILE_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    if not any(mark in data.lower() for mark in _MARKS):
        return None
    return TreeFile(relative, kind, data, "it is a symbolic link; edit what it leads to")
