"""``POST /api/show``: all that is known of a model."""

import json
from collections.abc import Iterator, Mapping

import attrs
import msgspec
from aiohttp import hdrs, web
from msgspec import UNSET

from homeport.domain.models import ModelInfo
from homeport.models.names import ModelName
from homeport.server.bodies import read_body
from homeport.server.dialects import json_response
from homeport.server.lookup import find_model, required
from homeport.server.ollama.clock import dated
from homeport.server.ollama.modelfile import is_shown, modelfile_of, values_of
from homeport.server.ollama.models import capabilities_of, details_of
from homeport.server.option_fields import read_options
from homeport.server.schemas import ollama as schema
from homeport.server.state import RUNTIME

_WHOLE_ARRAY_ITEMS = 5
_NAME_COLUMNS = 30
_CONTEXT_LENGTH = "context_length"
_BUILD_BACKEND = "homeport.build.backend"
_BUILD_TOTAL = "homeport.build.total"
_BUILD_COMPLETED = "homeport.build.completed"
"""How far a build is that is made now, in bytes; both are there only then."""
_COPILOT = "GitHubCopilotChat/"


async def show(request: web.Request) -> web.StreamResponse:
    """Describe one model."""
    body = await read_body(request, schema.ShowRequest)
    name = required(body.model or body.name)
    found = await find_model(request, name, missing=f"model '{ModelName.parse(name).display}' not found")
    model = _overridden(found, body)
    info = dict(_model_info(model, verbose=bool(body.verbose)))
    progress = await request.app[RUNTIME].build_progress(found)
    if progress is not None and progress.total:
        info |= {_BUILD_TOTAL: progress.total, _BUILD_COMPLETED: progress.completed or 0}
    if request.headers.get(hdrs.USER_AGENT, "").startswith(_COPILOT):
        info["general.basename"] = name
    answer = schema.ShowAnswer(
        license=model.license or UNSET,
        modelfile=modelfile_of(model),
        parameters="\n".join(_parameter_lines(model.parameters)) or UNSET,
        template=model.written_template or model.template or UNSET,
        system=model.system or UNSET,
        details=details_of(model),
        messages=[schema.MadeMessage(role=each.role.value, content=each.content) for each in model.messages]
        or UNSET,
        model_info=info,
        capabilities=capabilities_of(model),
        modified_at=dated(model.modified_at),
        requires=model.requires or UNSET,
    )
    return json_response(answer)


def _overridden(model: ModelInfo, body: schema.ShowRequest) -> ModelInfo:
    """Show the model as it would be with what the request says; the template is Ollama's to ignore."""
    read_options(body.options)
    options = {name: value for name, value in (body.options or {}).items() if is_shown(value)}
    return attrs.evolve(model, system=body.system or model.system, parameters={**model.parameters, **options})


def _model_info(model: ModelInfo, *, verbose: bool) -> Iterator[tuple[str, object]]:
    """List facts under GGUF's key names; only one key may speak of a context length."""
    known = {
        "general.architecture": model.family,
        "general.basename": ModelName.parse(model.name).model,
        "general.parameter_count": model.parameter_count,
        f"{model.family}.{_CONTEXT_LENGTH}": model.context_length,
        f"{model.family}.embedding_length": model.embedding_length,
    }
    ours = _disk(model) | _stored_weights(model) | _build(model)
    for key, value in (known | dict(model.facts) | ours).items():
        if _CONTEXT_LENGTH in key and key not in known:
            continue
        is_long = isinstance(value, list | tuple) and len(value) > _WHOLE_ARRAY_ITEMS
        yield key, [] if is_long and not verbose else value


def _disk(model: ModelInfo) -> dict[str, object]:
    """Tell what it takes on disk; a build lies beside that."""
    return {"homeport.size": model.size_bytes} if model.size_bytes else {}


def _stored_weights(model: ModelInfo) -> dict[str, object]:
    """Tell how the weights are kept here, which GGUF has no key names for."""
    if not model.weights:
        return {}
    return {
        "homeport.weights": model.weights,
        "homeport.weights_note": model.weights_note,
        "homeport.bits_per_weight": model.bits_per_weight,
    }


def _build(model: ModelInfo) -> dict[str, object]:
    """Tell what the backend loads in the model's place, how its weights are kept, and what its check saw."""
    if model.build is None:
        awaited = {_BUILD_BACKEND: model.backend, "homeport.build.is_awaited": True}
        return awaited if model.awaits_build else {}
    build = model.build
    weights = {"weights": build.weights, "weights_note": build.weights_note} if build.weights else {}
    bits = {"bits_per_weight": build.bits_per_weight} if build.bits_per_weight else {}
    told = {"size": build.size_bytes, **weights, **bits, **dict(sorted(build.figures.items()))}
    return {_BUILD_BACKEND: model.backend} | {f"homeport.build.{name}": value for name, value in told.items()}


def _parameter_lines(parameters: Mapping[str, object]) -> Iterator[str]:
    for name, value in values_of(parameters):
        yield f"{name:<{_NAME_COLUMNS}} {_written(value)}"


def _written(value: object) -> str:
    return (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, str)
        else msgspec.json.encode(value).decode()
    )
