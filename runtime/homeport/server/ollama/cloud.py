"""What belongs to Ollama's cloud and to its registry, neither of which is here."""

from aiohttp import web

from homeport.domain.errors import HomeportError
from homeport.server.dialects import json_response
from homeport.server.ollama.create import NotBuiltError
from homeport.server.schemas import ollama as schema


class NoCloudError(HomeportError):
    """An account of Ollama's cloud was asked for."""

    code = "no_cloud"
    status = 404
    public_text = None
    falls_back = False
    trips_breaker = False


async def status(_: web.Request) -> web.StreamResponse:
    """Tell that the cloud is off."""
    return json_response(schema.StatusAnswer(schema.CloudStatus(disabled=True, source="config")))


async def refuse(_: web.Request) -> web.StreamResponse:
    """Refuse what needs an account of Ollama's cloud."""
    raise NoCloudError("cloud accounts are not supported")


async def push(_: web.Request) -> web.StreamResponse:
    """Refuse to publish a model."""
    raise NotBuiltError("push is not supported")
