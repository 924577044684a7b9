"""``GET /v1/models`` and ``GET /v1/models/{id}``: the models that there are."""

from aiohttp import web

from homeport.domain.models import ModelInfo
from homeport.models.names import ModelName
from homeport.server.dialects import json_response
from homeport.server.lookup import find_model
from homeport.server.schemas import openai as schema
from homeport.server.state import RUNTIME


async def models(request: web.Request) -> web.StreamResponse:
    """List all models, newest first."""
    found = await request.app[RUNTIME].catalog.list()
    return json_response(schema.ModelList(data=[_model(model, model.name) for model in found]))


async def model(request: web.Request) -> web.StreamResponse:
    """Describe one model under the name it was asked for."""
    name = request.match_info["id"]
    return json_response(_model(await find_model(request, name), name))


def _model(found: ModelInfo, name: str) -> schema.Model:
    return schema.Model(
        id=name,
        created=int(found.modified_at.timestamp()),
        owned_by=ModelName.parse(found.name).namespace,
    )
