"""Uploaded files, kept under their own hash until a model is made of them."""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

import attrs
from loguru import logger

from homeport.domain.errors import (
    BlobNotFoundError,
    InvalidRequestError,
    PullError,
    RequestTooLargeError,
)
from homeport.models.background import uninterrupted
from homeport.models.durable import regular_size, sync
from homeport.models.entry import link_file

KEPT_SECONDS = 24 * 3600.0
"""How long a file waits that nobody asks for."""

USED_SECONDS = 3600.0
"""How long it stays once a model was made of it: another one may follow."""

SWEEP_SECONDS = 600.0
"""Between two looks for files that waited long enough."""

_DIGEST = re.compile(r"sha256[:-](?P<hex>[0-9a-f]{64})")
_PREFIX = "sha256-"
_PART_PREFIX = ".part-"
_SPARE_BYTES = 256 * 1024**2
"""Left free on the disk, for everybody else who writes there."""
_ROOM_CHECK_BYTES = 64 * 1024**2
_GIGABYTE = 1e9

P = ParamSpec("P")
T = TypeVar("T")


def parse_digest(text: str) -> str:
    """Read ``sha256:`` or ``sha256-`` and 64 digits; give the digits.

    Raises:
        InvalidRequestError: It is neither.
    """
    found = _DIGEST.fullmatch(text)
    if found is None:
        raise InvalidRequestError("invalid digest format", field="digest")
    return found["hex"]


class Blobs:
    """The folder of uploaded files.

    Args:
        folder: Need not exist.
        most_bytes: Of one file.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    async def has(self, digest: str) -> bool:
        """Say whether a file is there; from now on it waits anew."""
        return await asyncio.to_thread(self._touch, digest)

    async def receive(self, digest: str, pieces: AsyncIterable[bytes], size: int | None = None) -> bool:
        """Take a file in; False where it was there already, and nothing was read.

        Args:
            digest: Its SHA-256, 64 hexadecimal digits.
            pieces: What it holds.
            size: How much that is, in bytes, where it is known.

        Raises:
            InvalidRequestError: It has another digest.
            RequestTooLargeError: It is larger than it may be.
            PullError: The disk has no room for it, or refuses.
        """
        if await self.has(digest):
            return False
        self._check_size(size or 0)
        part = await _on_disk(_Part.open, self._folder)
        try:
            await asyncio.to_thread(self._check_room, size or 0)
            await self._fill(part, digest, pieces)
            await _on_disk(part.place, self._path(digest))
        finally:
            await uninterrupted(part.close)
        return True

    def lend(self, digest: str, target: Path) -> None:
        """Give a file a further name on the disk of the store; blocks.

        Raises:
            BlobNotFoundError: It is not there.
        """
        if not self._touch(digest):
            raise BlobNotFoundError(digest)
        try:
            link_file(self._path(digest), target)
        except FileNotFoundError as error:  # a sweep came between
            raise BlobNotFoundError(digest) from error

    def head(self, digest: str, count: int) -> bytes:
        """Read the first bytes of a file; blocks.

        Raises:
            BlobNotFoundError: It is not there.
        """
        try:
            with self._path(digest).open("rb") as file:
                return file.read(count)
        except OSError as error:
            raise BlobNotFoundError(digest) from error

    def note_use(self, digest: str) -> None:
        """Let a file go before long: a model was made of it; blocks."""
        past = time.time() - KEPT_SECONDS + USED_SECONDS
        with suppress(FileNotFoundError):
            os.utime(self._path(digest), (past, past))

    async def keep_swept(self) -> None:
        """Remove what waited long enough and what broken uploads left, now and then, for ever."""
        while True:
            await asyncio.to_thread(self.sweep)
            await asyncio.sleep(SWEEP_SECONDS)

    def sweep(self, now: float | None = None) -> None:
        """Remove what waited long enough, and what broken uploads left; blocks.

        Args:
            now: Seconds since 1970; None is the present.
        """
        past = (time.time() if now is None else now) - KEPT_SECONDS
        for path in [*self._folder.glob(f"{_PREFIX}*"), *self._folder.glob(f"{_PART_PREFIX}*")]:
            with suppress(OSError):
                is_part = path.name.startswith(_PART_PREFIX)
                if _is_abandoned(path) if is_part else path.lstat().st_mtime < past:
                    path.unlink()
                    logger.info("removed the upload {}", path.name)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{_PREFIX}{digest}"

    def _touch(self, digest: str) -> bool:
        path = self._path(digest)
        if regular_size(path) is None:
            return False
        try:
            os.utime(path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _check_size(self, size: int) -> None:
        if size > self._most_bytes:
            raise RequestTooLargeError(f"the blob exceeds {self._most_bytes} bytes")

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if size + _SPARE_BYTES > free:
            needed = (size or _ROOM_CHECK_BYTES) + _SPARE_BYTES
            raise PullError(
                f"the upload needs {needed / _GIGABYTE:.2f} GB of disk, {free / _GIGABYTE:.2f} GB are free",
                hint="remove models with: homeport rm NAME, or choose another folder with HOMEPORT_HOME",
            )

    async def _fill(self, part: "_Part", digest: str, pieces: AsyncIterable[bytes]) -> None:
        hashed = hashlib.sha256()
        written = 0
        async for piece in pieces:
            before, written = written, written + len(piece)
            self._check_size(written)
            if written // _ROOM_CHECK_BYTES != before // _ROOM_CHECK_BYTES:
                await asyncio.to_thread(self._check_room, 0)
            await _on_disk(part.take, hashed, piece)
        if hashed.hexdigest() != digest:
            message = f'digest mismatch, expected "sha256:{digest}", got "sha256:{hashed.hexdigest()}"'
            raise InvalidRequestError(message, field="digest")


@attrs.frozen
class _Part:
    """A file on its way in, locked as long as its process lives."""

    path: Path
    file: BinaryIO

    @classmethod
    def open(cls, folder: Path) -> "_Part":
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PART_PREFIX, dir=folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return cls(Path(name), os.fdopen(handle, "wb"))

    def take(self, hashed: "hashlib._Hash", piece: bytes) -> None:
        hashed.update(piece)
        self.file.write(piece)

    def place(self, path: Path) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.path.replace(path)
        sync(path.parent)

    def close(self) -> None:
        with suppress(OSError):  # what could not be flushed is thrown away
            self.file.close()
        self.path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


async def _on_disk(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await uninterrupted(function, *args, **kwargs)
    except OSError as error:
        # Where uploads are, and what their disk says, is for the log only.
        logger.error("an upload cannot be written: {}", error)
        raise PullError(
            "the upload cannot be written", hint="make room or choose another folder with HOMEPORT_HOME"
        ) from error
