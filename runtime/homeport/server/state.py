"""What an application and a request carry, under typed keys."""

import time

from aiohttp import web

from homeport.runtime import Runtime
from homeport.server.keys import Caller

RUNTIME: web.AppKey[Runtime] = web.AppKey("runtime", Runtime)
VERSION: web.AppKey[str] = web.AppKey("version", str)
"""Of homeport."""
PING_SECONDS: web.AppKey[float] = web.AppKey("ping_seconds", float)
"""Longest silence on an SSE stream before a comment is sent."""

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
ARRIVED_AT: web.RequestKey[float] = web.RequestKey("arrived_at", float)
"""``time.monotonic()`` of the arrival."""
ALLOWED_ORIGIN: web.RequestKey[str] = web.RequestKey("allowed_origin", str)
"""The browser origin to answer; absent for requests that named none."""
CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
"""Who asks, and what they may."""
OWNER: web.RequestKey[str] = web.RequestKey("owner", str)
"""Who asks: a digest of the key, empty where none is configured."""


def nanoseconds_since(moment: float) -> int:
    """Measure from a ``time.monotonic()`` moment to now."""
    return nanoseconds(time.monotonic() - moment)


def nanoseconds(seconds: float) -> int:
    """Convert seconds to whole nanoseconds."""
    return int(seconds * 1e9)
