"""Which browser origins are answered, and what their preflight requests are told."""

import re
from collections.abc import Collection

from aiohttp import hdrs

_LOCALHOST = re.compile(r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:[0-9]{1,5})?", re.IGNORECASE)
_APP_ORIGINS = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
_OPAQUE = "null"

_METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_STAINLESS = (
    "arch",
    "async",
    "custom-poll-interval",
    "helper-method",
    "lang",
    "os",
    "package-version",
    "poll-helper",
    "retry-count",
    "runtime",
    "runtime-version",
    "timeout",
)
_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "User-Agent",
    "Accept",
    "X-Requested-With",
    "OpenAI-Beta",
    "x-api-key",
    "anthropic-version",
    "anthropic-beta",
    "x-homeport-priority",
    *(f"x-stainless-{name}" for name in _STAINLESS),
)
_EXPOSED_HEADERS = "x-request-id, x-homeport-route, Retry-After"

PREFLIGHT_HEADERS = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(_REQUEST_HEADERS),
}


class OriginPolicy:
    """Accepts pages of this server, of localhost, of desktop applications, and configured ones.

    Args:
        allowed: Further origins; ``*`` stands for any text. ``null`` must be listed by itself.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self._allows_opaque = _OPAQUE in allowed
        self._patterns = [_LOCALHOST, *(_pattern(origin) for origin in (*_APP_ORIGINS, *allowed))]

    def allows(self, origin: str, host: str) -> bool:
        """Check an ``Origin`` header against the ``Host`` header it came with."""
        if origin == _OPAQUE:
            return self._allows_opaque
        if host and origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return True
        return any(pattern.fullmatch(origin) for pattern in self._patterns)


def cors_headers(origin: str) -> dict[str, str]:
    """Build what lets a page of an allowed origin read the response; never with credentials."""
    return {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: _EXPOSED_HEADERS,
        hdrs.VARY: hdrs.ORIGIN,
    }


def _pattern(origin: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in origin.split("*")), re.IGNORECASE)
