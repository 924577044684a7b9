"""The file of API keys: names, scopes and hashes, never the keys themselves.

A key is 256 random bits, so one SHA-256 keeps it safe: there is no dictionary to try, and all of them
together are beyond reach. A slow hash guards what people can remember; here it would only make every request
slow.
"""

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs

from homeport.domain.errors import ConfigError, StoreError
from homeport.models.durable import read_record, write_record
from homeport.models.records import FORMAT_VERSION, decode_record, encode_record
from homeport.server.scopes import GRANTABLE, Scope

FILE_NAME = "keys.json"
"""Below homeport's home."""
MAX_KEYS = 1000
"""All are compared with what a request sends: 1,000 take 0.05 ms."""

_PREFIX = "hp-"
_SECRET_BYTES = 32
_HINT_CHARACTERS = 4
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HINT = "A name has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit"

Signature = tuple[int, int, int]
"""Of a file: when it was written, its number, its size. Another file has another one."""


def digest_of(key: str) -> bytes:
    """Hash a key; header values may hold any byte, which aiohttp hands over as surrogates."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


@attrs.frozen(kw_only=True)
class StoredKey:
    """What is known of a key.

    Attributes:
        name: Given by the operator.
        sha256: Of the key, as 64 hexadecimal digits.
        scopes: What it was made for.
        created_at: In UTC.
        hint: Its last characters, to tell keys apart by.
    """

    name: str = attrs.field(validator=attrs.validators.matches_re(_NAME))
    sha256: str = attrs.field(repr=False, validator=attrs.validators.matches_re(_DIGEST))
    scopes: tuple[Scope, ...] = attrs.field(
        validator=attrs.validators.deep_iterable(attrs.validators.in_(GRANTABLE))
    )
    created_at: datetime
    hint: str = attrs.field(validator=attrs.validators.max_len(_HINT_CHARACTERS))


@attrs.frozen
class NewKey:
    """A key that was just made: the only moment at which it can be read."""

    secret: str = attrs.field(repr=False)
    stored: StoredKey


@attrs.frozen(kw_only=True)
class _File:
    version: int = FORMAT_VERSION
    keys: tuple[StoredKey, ...] = ()


class KeyFile:
    """Keys on disk, readable by their owner alone, written in one step by one process at a time.

    Args:
        path: Of the file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def signature(self) -> Signature | None:
        """Tell this state of the file from others; None where there is no file.

        Raises:
            OSError: It cannot be looked at.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def read(self) -> tuple[StoredKey, ...]:
        """List the keys, oldest first; none where there is no file.

        Raises:
            ConfigError: The file is damaged, or cannot be read.
        """
        try:
            return decode_record(_File, read_record(self._path)).keys
        except FileNotFoundError:
            return ()
        except (OSError, StoreError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.message
            message = f"the file of API keys {str(self._path)!r} cannot be used: {reason}"
            hint = "Restore it, or delete it and make the keys anew with: homeport keys create NAME"
            raise ConfigError(message, hint=hint) from error

    def create(self, name: str, scopes: Collection[Scope]) -> NewKey:
        """Make a key.

        Raises:
            ConfigError: The name is taken or none, there are too many, or the file cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be the name of a key", hint=_HINT)
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        stored = StoredKey(
            name=name,
            sha256=digest_of(secret).hex(),
            scopes=tuple(scope for scope in GRANTABLE if scope in scopes),
            created_at=datetime.now(UTC).replace(microsecond=0),
            hint=secret[-_HINT_CHARACTERS:],
        )
        with self._locked():
            keys = self.read()
            if any(key.name == name for key in keys):
                raise ConfigError(
                    f"there is a key {name!r} already",
                    hint=f"Choose another name, or take the old one away: homeport keys revoke {name}",
                )
            if len(keys) >= MAX_KEYS:
                raise ConfigError(f"there are {MAX_KEYS} keys, and no more may be")
            self._write((*keys, stored))
        return NewKey(secret, stored)

    def revoke(self, name: str) -> int:
        """Take a key away and say how many are left.

        Raises:
            ConfigError: There is none of that name, or the file cannot be used.
        """
        with self._locked():
            keys = self.read()
            left = tuple(key for key in keys if key.name != name)
            if len(left) == len(keys):
                raise ConfigError(f"there is no key {name!r}", hint="See them with: homeport keys list")
            self._write(left)
        return len(left)

    def _write(self, keys: tuple[StoredKey, ...]) -> None:
        try:
            write_record(self._path, encode_record(_File(keys=keys)))
        except OSError as error:
            raise ConfigError(f"cannot write {str(self._path)!r}: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing; the lock is a file beside it, for a rename replaces it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot write beside {str(self._path)!r}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
