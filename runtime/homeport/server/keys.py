"""Who asks, and what they may: API keys, kept and compared as hashes."""

import asyncio
import hmac
from collections.abc import Mapping

import attrs
from aiohttp import hdrs
from loguru import logger

from homeport.domain.errors import ConfigError
from homeport.server.key_file import KeyFile, Signature, StoredKey, digest_of
from homeport.server.scopes import GRANTABLE, Scope, implied

_BEARER = "bearer"
_OWNER_CHARACTERS = 16


@attrs.frozen
class Caller:
    """Who asks.

    Attributes:
        owner: A digest that tells clients apart; empty where no key is needed.
        scopes: What they may.
    """

    owner: str
    scopes: frozenset[Scope]


ANYBODY = Caller("", frozenset(GRANTABLE))
"""Whoever asks a server without keys."""
STRANGER = Caller("", frozenset())
"""Whoever has no key, on routes that need none."""


@attrs.frozen
class _Entry:
    digest: bytes
    caller: Caller


class KeyRing:
    """Knows the keys of the settings and of the file; without any, everybody is let in.

    A change of the file counts from the next request on. Once a key was needed, one is needed until the end:
    a file that is emptied or deleted under a running server opens nothing.

    Args:
        api_key: From ``settings.server.api_key``, for all scopes; None and the empty text are no key.
        file: Keys with scopes; None where there are none.
    """

    def __init__(self, api_key: str | None = None, file: KeyFile | None = None) -> None:
        self._own = (_entry(digest_of(api_key), (Scope.ADMIN,)),) if api_key else ()
        self._file = file
        self._stored: tuple[_Entry, ...] = ()
        self._seen: Signature | None = None
        self._is_open = not self._own
        self._turn = asyncio.Lock()

    @classmethod
    async def load(cls, api_key: str | None, file: KeyFile) -> "KeyRing":
        """Read the file of keys.

        Raises:
            ConfigError: It is damaged, or cannot be read.
        """
        ring = cls(api_key, file)
        await ring._read(file, await asyncio.to_thread(file.signature))
        return ring

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in."""
        return self._is_open

    async def caller(self, headers: Mapping[str, str]) -> Caller | None:
        """Check ``Authorization: Bearer K`` and ``x-api-key: K`` in constant time.

        The first counts where both are keys.

        Returns:
            None for a client that sends no key of ours.
        """
        await self._notice()
        if self._is_open:
            return ANYBODY
        scheme, _, token = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        bearer = token.strip() if scheme.lower() == _BEARER else ""
        return self._find(bearer) or self._find(headers.get("x-api-key", ""))

    def _find(self, key: str) -> Caller | None:
        """Compare with every key, whichever it is."""
        sent, found = digest_of(key), None
        for entry in (*self._own, *self._stored):
            if hmac.compare_digest(sent, entry.digest):
                found = entry.caller
        return found

    async def _notice(self) -> None:
        """Read the file again where it is another than the last time; damage changes nothing."""
        if self._file is None or self._look(self._file) == self._seen:
            return
        async with self._turn:
            seen = self._look(self._file)
            if seen == self._seen:
                return
            try:
                await self._read(self._file, seen)
            except ConfigError as error:
                self._seen = seen
                logger.error("the keys stay as they were: {}", error)
            else:
                logger.info("the file of API keys holds {} keys now", len(self._stored))

    def _look(self, file: KeyFile) -> Signature | None:
        """Look at the file: 2 microseconds, where asking a thread takes a hundred."""
        try:
            return file.signature()
        except OSError:
            return self._seen

    async def _read(self, file: KeyFile, seen: Signature | None) -> None:
        stored = await asyncio.to_thread(file.read)
        self._stored = tuple(map(_stored_entry, stored))
        self._seen = seen
        self._is_open = self._is_open and not self._stored


def _stored_entry(key: StoredKey) -> _Entry:
    return _entry(bytes.fromhex(key.sha256), key.scopes)


def _entry(digest: bytes, scopes: tuple[Scope, ...]) -> _Entry:
    return _Entry(digest, Caller(digest.hex()[:_OWNER_CHARACTERS], implied(scopes)))
