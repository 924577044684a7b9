"""``GET /v1/replica``: this homeport as another one sees it that passes requests on to it."""

import asyncio

from aiohttp import web

from homeport.domain.models import ModelInfo
from homeport.models.local import LocalBackend
from homeport.runtime import Runtime
from homeport.server.dialects import json_response
from homeport.server.draining import READINESS
from homeport.server.schemas import replica as schema
from homeport.server.state import RUNTIME, VERSION
from homeport.upstream.hops import HOPS_FACT
from homeport.worker.memory import available_bytes


async def replica(request: web.Request) -> web.StreamResponse:
    """Tell the models, the memory that is free, and how much there is to do."""
    runtime = request.app[RUNTIME]
    residents = {resident.info.name.lower() for resident in runtime.residents()}
    load = runtime.gateway.admission.stats()
    answer = schema.Replica(
        version=request.app[VERSION],
        draining=request.app[READINESS].draining,
        free_bytes=await asyncio.to_thread(_free_bytes),
        running=load.active,
        waiting=load.current_size,
        models=[
            _model(model, runtime, residents) for model in await runtime.catalog.list() if not model.alias_of
        ],
    )
    return json_response(answer)


def _model(model: ModelInfo, runtime: Runtime, residents: set[str]) -> schema.ReplicaModel:
    is_local = isinstance(runtime.backends.get(model.backend), LocalBackend)
    hops = model.facts.get(HOPS_FACT)
    return schema.ReplicaModel(
        name=model.name,
        digest=model.digest.lower(),
        capabilities=sorted(model.capabilities),
        modified_at=model.modified_at.isoformat(),
        size_bytes=model.size_bytes,
        context_length=model.context_length,
        embedding_length=model.embedding_length,
        family=model.family,
        parameter_count=model.parameter_count,
        quantization=model.quantization,
        resident=not is_local or model.name.lower() in residents,
        is_remote=model.is_remote,
        slots=model.slots or (runtime.settings.models.slots if is_local else 0),
        hops=hops if isinstance(hops, int) else 0,
    )


def _free_bytes() -> int | None:
    """Give the memory that is free; None where the system does not tell."""
    try:
        return available_bytes()
    except OSError:
        return None
