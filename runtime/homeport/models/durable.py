"""Files that survive a crash: whole under their final name, or not there."""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from homeport.domain.errors import StoreError

_MAX_RECORD_BYTES = 16 * 1024**2


def read_record(path: Path) -> bytes:
    """Read a small file that is no link.

    Raises:
        OSError: It is missing, a link, or cannot be read.
        StoreError: It is larger than any record.
    """
    with open(path, "rb", opener=_open_no_link) as file:
        data = file.read(_MAX_RECORD_BYTES + 1)
    if len(data) > _MAX_RECORD_BYTES:
        raise StoreError(f"{path.name} is larger than {_MAX_RECORD_BYTES} bytes")
    return data


def write_record(path: Path, data: bytes) -> None:
    """Put data under a name in one step: temporary file, fsync, rename, fsync of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def regular_size(path: Path) -> int | None:
    """Size of a regular file in bytes; None where there is none, or something else."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file that is no link, as 64 hexadecimal digits."""
    with open(path, "rb", opener=_open_no_link) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
