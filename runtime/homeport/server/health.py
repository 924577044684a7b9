"""Whether the host is alive, and whether it takes work; never asks a model or a plugin."""

import time

from aiohttp import web

from homeport.server.dialects import json_response
from homeport.server.draining import READINESS, RETRY_AFTER_SECONDS
from homeport.server.schemas.operations import Health, ReadinessAnswer
from homeport.server.state import RUNTIME, VERSION


async def healthz(request: web.Request) -> web.StreamResponse:
    """Say that the process is alive."""
    uptime = int(time.monotonic() - request.app[RUNTIME].started_at)
    return json_response(Health(version=request.app[VERSION], uptime_seconds=uptime))


async def readyz(request: web.Request) -> web.StreamResponse:
    """Say whether new work is welcome."""
    if request.app[READINESS].draining:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return json_response(ReadinessAnswer("draining"), status=503, headers=headers)
    if not request.app[RUNTIME].is_ready:
        return json_response(ReadinessAnswer("starting"), status=503, headers={"Retry-After": "1"})
    return json_response(ReadinessAnswer("ready"))
