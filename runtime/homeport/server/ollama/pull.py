"""``POST /api/pull``: installs a model and tells how far it is."""

from contextlib import aclosing

from aiohttp import web

from homeport.domain.quantisation import Quantisation
from homeport.models.names import ModelName
from homeport.server.bodies import read_body
from homeport.server.ollama.progress import answer_progress
from homeport.server.schemas import ollama as schema
from homeport.server.state import RUNTIME


async def pull(request: web.Request) -> web.StreamResponse:
    """Install a model, a line of progress about every 60 ms."""
    body = await read_body(request, schema.PullRequest)
    name = body.model or body.name or ""
    ModelName.parse(name)
    quantisation = None if body.quant is None else Quantisation.parse(body.quant)
    # The last listener to leave a pull cancels it.
    pulling = request.app[RUNTIME].pull(name, force=bool(body.force), quantisation=quantisation)
    async with aclosing(pulling) as progress:
        return await answer_progress(request, progress, streams=body.stream is not False)
