"""Whether the host is alive, and whether it takes work; never asks a model or a plugin.

Anybody learns that much; counts and times are for those who watch.
"""

import http
import time

import attrs
from aiohttp import web
from msgspec import UNSET

from homeport.server.dialects import json_response
from homeport.server.draining import READINESS, RETRY_AFTER_SECONDS
from homeport.server.privileges import may
from homeport.server.schemas import operations as schema
from homeport.server.schemas.stats import Percentiles
from homeport.server.scopes import Scope
from homeport.server.state import RUNTIME, VERSION

_SOON_SECONDS = 1
"""When to ask again for what passes by itself."""


async def healthz(request: web.Request) -> web.StreamResponse:
    """Say that the process is alive."""
    runtime = request.app[RUNTIME]
    answer = schema.Health(
        version=request.app[VERSION], uptime_seconds=int(time.monotonic() - runtime.started_at)
    )
    if may(request, Scope.MONITOR):
        stats = runtime.gateway.admission.stats()
        answer.work = schema.WorkDetail(
            tasks_processed=stats.completed,
            tasks_failed=stats.failed + stats.timed_out,
            active=stats.active,
            average_processing_time=stats.average_processing_time,
            processing_times=Percentiles(**attrs.asdict(stats.processing_times)),
        )
    return json_response(answer)


async def readyz(request: web.Request) -> web.StreamResponse:
    """Say whether new work is welcome."""
    runtime = request.app[RUNTIME]
    stats = runtime.gateway.admission.stats()
    status: schema.State
    status, retry_after_seconds = "ready", 0
    if request.app[READINESS].draining:
        status, retry_after_seconds = "draining", RETRY_AFTER_SECONDS
    elif not runtime.is_ready:
        status, retry_after_seconds = "starting", _SOON_SECONDS
    elif stats.current_size >= stats.max_size:
        status, retry_after_seconds = "overloaded", _SOON_SECONDS
    detail = schema.ReadinessDetail(
        running=stats.active,
        waiting=stats.current_size,
        max_waiting=stats.max_size,
        models=[resident.info.name for resident in runtime.residents()],
    )
    answer = schema.ReadinessAnswer(status, detail if may(request, Scope.MONITOR) else UNSET)
    if not retry_after_seconds:
        return json_response(answer)
    headers = {"Retry-After": str(retry_after_seconds)}
    return json_response(answer, status=http.HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)
