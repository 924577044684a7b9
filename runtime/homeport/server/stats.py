"""``GET /v1/stats``: queue, breakers, pools, models and processes in one answer."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec
from aiohttp import web
from loguru import logger

from homeport.domain.generation import Priority
from homeport.domain.models import ResidentModel
from homeport.gateway.admission.statistics import AdmissionStats
from homeport.plugin.protocols import Reporting
from homeport.runtime import Runtime
from homeport.server.breakers import breaker_of
from homeport.server.dialects import json_response
from homeport.server.processes import MachineUse, machine_use
from homeport.server.schemas import stats as schema
from homeport.server.state import RUNTIME, VERSION


async def stats(request: web.Request) -> web.StreamResponse:
    """Look at everything once; no model and no other server is asked."""
    runtime = request.app[RUNTIME]
    residents = runtime.residents()
    machine = await asyncio.to_thread(
        machine_use, {resident.pid: resident.info.name for resident in residents if resident.pid}
    )
    return json_response(
        schema.Stats(
            queue=_queue(runtime.gateway.admission.stats()),
            breakers=[breaker_of(each) for each in runtime.gateway.breakers.stats()],
            pools=_pools(runtime),
            shadows={
                str(key): schema.ShadowStats(**attrs.asdict(found))
                for key, found in runtime.gateway.shadow.stats().items()
            },
            models=[_model(resident) for resident in residents],
            process=_process(runtime, machine, request.app[VERSION]),
        )
    )


def _queue(stats: AdmissionStats) -> schema.QueueStats:
    fields = attrs.asdict(stats, recurse=False)
    classes = (priority.name.lower() for priority in Priority)
    return schema.QueueStats(
        **{
            **fields,
            "queue_times": schema.Percentiles(**attrs.asdict(stats.queue_times)),
            "processing_times": schema.Percentiles(**attrs.asdict(stats.processing_times)),
            "depths": dict(zip(classes, stats.depths, strict=True)),
            "targets": {key: schema.TargetLoad(**attrs.asdict(load)) for key, load in stats.targets.items()},
        }
    )


def _pools(runtime: Runtime) -> dict[str, dict[str, Any]]:
    """Ask the backends that count; what one cannot tell is left out."""
    found = {}
    for name, backend in runtime.backends.items():
        told = backend.stats() if isinstance(backend, Reporting) else {}
        if told:
            found[name] = _plain(name, told)
    return found


def _plain(name: str, told: Mapping[str, object]) -> dict[str, Any]:
    try:
        return {str(key): msgspec.to_builtins(value, enc_hook=str) for key, value in told.items()}
    except Exception as error:  # noqa: BLE001 - a plugin may tell anything
        logger.error("backend {} tells figures that cannot be written: {!r}", name, error)
        return {}


def _model(resident: ResidentModel) -> schema.ModelStats:
    return schema.ModelStats(
        name=resident.info.name,
        backend=resident.info.backend,
        pid=resident.pid,
        resident_bytes=resident.resident_bytes,
        predicted_bytes=resident.predicted_bytes,
        peak_bytes=resident.peak_bytes,
        context_length=resident.context_length,
        slots=resident.slots,
        in_use=resident.in_use,
        is_pinned=resident.is_pinned,
        expires_at=resident.expires_at,
    )


def _process(runtime: Runtime, machine: MachineUse, version: str) -> schema.HostStats:
    return schema.HostStats(
        version=version,
        uptime_seconds=time.monotonic() - runtime.started_at,
        memory_total_bytes=machine.total_bytes,
        memory_available_bytes=machine.available_bytes,
        memory_pressure_percent=machine.pressure_percent,
        strain=runtime.pressure.strain.name.lower(),
        processes=[schema.ProcessStats(**attrs.asdict(each)) for each in (machine.host, *machine.workers)],
    )
