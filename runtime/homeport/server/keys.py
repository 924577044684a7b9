"""API keys, kept and compared as hashes."""

import hashlib
import hmac
from collections.abc import Mapping

from aiohttp import hdrs

_BEARER = "bearer"


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

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Check ``Authorization: Bearer K`` and ``x-api-key: K`` in constant time."""
        if self._digest is None:
            return True
        scheme, _, token = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        bearer = token.strip() if scheme.lower() == _BEARER else ""
        sent = (bearer, headers.get("x-api-key", ""))
        matches = [hmac.compare_digest(_digest(key), self._digest) for key in sent]
        return any(matches)


def _digest(key: str) -> bytes:
    # Header values may hold any byte, which aiohttp hands over as surrogates.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
