"""Files on their way to a server, named by the hash of what they hold."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from homeport.cli.answers import PullProgress
from homeport.cli.client import Client
from homeport.cli.text import harmless_line
from homeport.domain.errors import HomeportError

_CHUNK_BYTES = 1024**2
_SHOWN_DIGEST_DIGITS = 12


def upload(client: Client, path: Path, show: Callable[[PullProgress], None]) -> str:
    """Bring a file to the server unless it has it, and give its digest, ``sha256:`` and 64 digits.

    Raises:
        HomeportError: It cannot be read, changes on the way, or the server refuses it.
    """
    size = _size(path)
    name = harmless_line(path.name)
    found = hashlib.sha256()
    for chunk in _chunks(path, size, lambda done: show(_step(f"hashing {name}", "", size, done))):
        found.update(chunk)
    digest = f"sha256:{found.hexdigest()}"
    route = f"/api/blobs/{digest}"
    if client.has(route):
        show(_step(f"the server has {name} already", "", 0, 0))
        return digest
    status = f"copying {name} {found.hexdigest()[:_SHOWN_DIGEST_DIGITS]}"
    client.send(route, _chunks(path, size, lambda done: show(_step(status, digest, size, done))), size)
    return digest


def _step(status: str, digest: str, total: int, completed: int) -> PullProgress:
    return PullProgress(status=status, digest=digest, total_bytes=total, completed_bytes=completed)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _chunks(path: Path, size: int, tell: Callable[[int], None]) -> Iterator[bytes]:
    """Read a file of a known size, telling how much was read so far."""
    done = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                done += len(chunk)
                if done > size:
                    break
                yield chunk
                tell(done)
    except OSError as error:
        raise _unreadable(path, error) from error
    if done != size:
        raise HomeportError(
            f"{str(path)!r} changed while it was read: it had {size} bytes",
            hint="Wait until it is written, and try again",
        )


def _unreadable(path: Path, error: OSError) -> HomeportError:
    return HomeportError(f"cannot read {str(path)!r}: {error.strerror}")
