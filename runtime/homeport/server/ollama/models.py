"""The models that there are: ``/api/tags``, ``/api/ps``, ``/api/delete``, and ``/api/version``."""

from aiohttp import web
from msgspec import UNSET

from homeport.domain.errors import InvalidRequestError, ModelNotFoundError
from homeport.domain.models import Capability, ModelInfo, ResidentModel
from homeport.models.names import ModelName
from homeport.server.bodies import read_body
from homeport.server.dialects import json_response
from homeport.server.lookup import required, reworded
from homeport.server.ollama.clock import dated, expiry
from homeport.server.quoting import quoted
from homeport.server.schemas import ollama as schema
from homeport.server.state import RUNTIME

OLLAMA_LEVEL = "0.35.0"
"""The release of Ollama whose API is spoken."""

_USUAL_FORMAT = "safetensors"
"""What a model is stored as whose backend does not say."""
_BILLION = 10**9
_MILLION = 10**6
_THOUSAND = 10**3


async def greet(_: web.Request) -> web.StreamResponse:
    """Say what clients wait for before they start."""
    return web.Response(text="Ollama is running")


async def version(_: web.Request) -> web.StreamResponse:
    """Tell the level of the API."""
    return json_response(schema.VersionAnswer(OLLAMA_LEVEL))


async def tags(request: web.Request) -> web.StreamResponse:
    """List all models, newest first."""
    models = await request.app[RUNTIME].catalog.list()
    return json_response(schema.ListAnswer([_listed(model) for model in models]))


async def ps(request: web.Request) -> web.StreamResponse:
    """List the models in memory, longest-lived first."""
    rows = [_running(resident) for resident in request.app[RUNTIME].residents()]
    return json_response(schema.ProcessAnswer(sorted(rows, key=lambda row: row.expires_at, reverse=True)))


async def delete(request: web.Request) -> web.StreamResponse:
    """Uninstall a model."""
    body = await read_body(request, schema.NamedRequest)
    name = required(body.model or body.name)
    _check_name("name", name)
    try:
        await request.app[RUNTIME].remove(name)
    except ModelNotFoundError as error:
        raise reworded(error, name) from None
    return web.Response()


async def copy(request: web.Request) -> web.StreamResponse:
    """Give a model a further name."""
    body = await read_body(request, schema.CopyRequest)
    source = body.source or ""
    _check_name("source", source)
    destination = _check_name("destination", body.destination or "")
    try:
        await request.app[RUNTIME].copy(source, destination)
    except ModelNotFoundError as error:
        raise reworded(error, source, 'model "{}" not found') from None
    return web.Response()


def _check_name(field: str, text: str) -> ModelName:
    try:
        return ModelName.parse(text)
    except InvalidRequestError:
        raise InvalidRequestError(f"{field} {quoted(text)} is invalid", field=field) from None


def details_of(model: ModelInfo) -> schema.ModelDetails:
    """Say what kind of model it is."""
    return schema.ModelDetails(
        parent_model=ModelName.parse(model.parent).display if model.parent else "",
        format=model.format or (_USUAL_FORMAT if model.size_bytes else ""),
        family=model.family,
        families=[model.family] if model.family else [],
        parameter_size=_human(model.parameter_count),
        quantization_level=model.quantization,
        context_length=model.context_length or UNSET,
        embedding_length=model.embedding_length or UNSET,
    )


def capabilities_of(model: ModelInfo) -> list[str]:
    """List what it can be asked for, in a fixed order."""
    return [capability.value for capability in Capability if capability in model.capabilities]


def _listed(model: ModelInfo) -> schema.ListedModel:
    return schema.ListedModel(
        name=model.name,
        model=model.name,
        modified_at=dated(model.modified_at),
        size=model.size_bytes,
        digest=model.digest,
        details=details_of(model),
        capabilities=capabilities_of(model),
        size_build=UNSET if model.build is None else model.build.size_bytes,
        alias_of=model.alias_of or UNSET,
        origin=model.origin or UNSET,
    )


def _running(resident: ResidentModel) -> schema.RunningModel:
    model = resident.info
    return schema.RunningModel(
        name=model.name,
        model=model.name,
        size=resident.resident_bytes,
        digest=model.digest,
        details=details_of(model),
        expires_at=dated(expiry(resident.expires_at)),
        size_vram=0,
        context_length=resident.context_length,
        computes=resident.computes or UNSET,
        size_predicted=resident.predicted_bytes,
        size_peak=resident.peak_bytes,
        pid=resident.pid,
        threads=resident.threads,
        slots=resident.slots,
        in_use=resident.in_use,
        pinned=resident.is_pinned,
    )


def _human(count: int) -> str:
    """Write a number of parameters as Ollama does: ``1.1B``, ``134.52M``."""
    if count >= _BILLION:
        return f"{count / _BILLION:.1f}".removesuffix(".0") + "B"
    if count >= _MILLION:
        return f"{count / _MILLION:.2f}".removesuffix(".00") + "M"
    if count >= _THOUSAND:
        return f"{count / _THOUSAND:.0f}K"
    return str(count) if count else ""
