"""One file of a project, reached without following any link, and replaced in one step."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath

import attrs

from homeport import StoreError

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_BYTES = 2 * 1024**2


@attrs.frozen(kw_only=True)
class Standing:
    """What the system knows of a file.

    Attributes:
        mode: Permissions.
        owner: Number of its user.
        group: Number of its group.
        mtime_ns: When it was changed last.
        links: How many names it has.
    """

    mode: int
    owner: int
    group: int
    mtime_ns: int
    links: int = 1


class ProjectFile:
    """A file by its name in an open folder.

    Args:
        path: For messages.
        folder: Descriptor of the folder.
    """

    def __init__(self, path: str, folder: int) -> None:
        self._path = path
        self._folder = folder
        self._name = PurePosixPath(path).name

    def exists(self) -> bool:
        """Whether anything has its name."""
        try:
            os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def read(self) -> tuple[bytes, Standing]:
        """Give its bytes and what the system knows of it.

        Raises:
            StoreError: It is a link, no regular file, or cannot be read.
        """
        try:
            handle = os.open(
                self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._folder
            )
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror}") from error
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise self._error("is no regular file")
            standing = Standing(
                mode=stat.S_IMODE(status.st_mode),
                owner=status.st_uid,
                group=status.st_gid,
                mtime_ns=status.st_mtime_ns,
                links=status.st_nlink,
            )
            return file.read(_MOST_BYTES), standing

    def stage(self, name: str, data: bytes, standing: Standing) -> None:
        """Write its successor beside it, with the same owner and permissions, and on disk.

        Raises:
            StoreError: The disk is full, or the owner cannot be kept.
        """
        self.discard(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(name, flags, 0o600, dir_fd=self._folder)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                if (os.geteuid(), os.getegid()) != (standing.owner, standing.group):
                    os.fchown(handle, standing.owner, standing.group)
                os.fchmod(handle, standing.mode)
                self._copy_attributes(handle)
                file.flush()
                os.fsync(handle)
        except OSError as error:
            self.discard(name)
            raise self._error(f"cannot be replaced: {error.strerror}") from error

    def replace(self, name: str, *, mtime_ns: int | None = None) -> None:
        """Put the staged successor in its place.

        Raises:
            StoreError: The folder refuses.
        """
        try:
            if mtime_ns is not None:
                os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=self._folder, follow_symlinks=False)
            os.replace(name, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        except OSError as error:
            raise self._error(f"cannot be replaced: {error.strerror}") from error

    def discard(self, name: str) -> None:
        """Remove a staged successor, where there is one.

        Raises:
            StoreError: The folder refuses.
        """
        try:
            os.unlink(name, dir_fd=self._folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._error(f"cannot be replaced: {error.strerror}") from error

    def _copy_attributes(self, handle: int) -> None:
        """Take over extended attributes, such as access lists, as far as the disk lets us."""
        with suppress(OSError):
            source = os.open(
                self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._folder
            )
            try:
                for key in os.listxattr(source):
                    with suppress(OSError):
                        os.setxattr(handle, key, os.getxattr(source, key))
            finally:
                os.close(source)

    def _error(self, what: str) -> StoreError:
        return StoreError(f"{self._path} {what}")


@contextmanager
def project_file(root: str, path: str, *, makes_folders: bool = False) -> Iterator[ProjectFile]:
    """Open the folder of a file step by step, so that no link leads out of the project.

    Args:
        root: The project.
        path: Of the file, relative to it.
        makes_folders: Whether folders on the way that are missing are made.

    Raises:
        StoreError: A folder is missing, or is a link.
    """
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/"):
        raise StoreError(f"{path!r} is no path inside a project")
    folder = -1
    try:
        try:
            folder = os.open(root, _FOLDER_FLAGS)
            for part in parts[:-1]:
                if makes_folders:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=folder)
                inner = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
                os.close(folder)
                folder = inner
        except OSError as error:
            raise StoreError(f"the folder of {path} cannot be entered: {error.strerror}") from error
        yield ProjectFile(path, folder)
    finally:
        if folder >= 0:
            os.close(folder)
