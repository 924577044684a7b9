"""Whether the host is alive, and whether it takes work; never asks a model or a plugin."""

import time

from aiohttp import web

from homeport.server.dialects import json_response
from homeport.server.schemas.operations import Health, ReadinessAnswer
from homeport.server.state import READINESS, RUNTIME, VERSION

_DRAIN_SECONDS = "25"


async def healthz(request: web.Request) -> web.StreamResponse:
    """Say that the process is alive."""
    uptime = int(time.monotonic() - request.app[RUNTIME].started_at)
    return json_response(Health(version=request.app[VERSION], uptime_seconds=uptime))


async def readyz(request: web.Request) -> web.StreamResponse:
    """Say whether new work is welcome."""
    if request.app[READINESS].draining:
        return json_response(ReadinessAnswer("draining"), status=503, headers={"Retry-After": _DRAIN_SECONDS})
    return json_response(ReadinessAnswer("ready"))
