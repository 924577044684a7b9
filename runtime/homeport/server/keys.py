"""API keys, kept and compared as hashes."""

import hashlib
import hmac
from collections.abc import Mapping

from aiohttp import hdrs

_BEARER = "bearer"
_OWNER_CHARACTERS = 16


class KeyRing:
    """Knows the one configured key; without one everybody is let in.

    Args:
        key: From ``settings.server.api_key``; None and the empty text are no key.
    """

    def __init__(self, key: str | None) -> None:
        self._digest = _digest(key) if key else None

    @property
    def is_open(self) -> bool:
        """Whether no key is configured."""
        return self._digest is None

    def owner(self, headers: Mapping[str, str]) -> str | None:
        """Check ``Authorization: Bearer K`` and ``x-api-key: K`` in constant time.

        Returns:
            A digest that tells clients apart, empty where no key is configured; None for a client that has
            no right to enter.
        """
        if self._digest is None:
            return ""
        scheme, _, token = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        bearer = token.strip() if scheme.lower() == _BEARER else ""
        sent = (bearer, headers.get("x-api-key", ""))
        matches = [hmac.compare_digest(_digest(key), self._digest) for key in sent]
        return self._digest.hex()[:_OWNER_CHARACTERS] if any(matches) else None


def _digest(key: str) -> bytes:
    # Header values may hold any byte, which aiohttp hands over as surrogates.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
