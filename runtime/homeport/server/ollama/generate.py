"""``POST /api/generate``: text after a prompt."""

from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt, Prompt, TextPrompt
from homeport.domain.messages import Message, Role
from homeport.server.bodies import read_body
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import check_token_ids, check_top_logprobs
from homeport.server.lookup import find_model, require_generation
from homeport.server.ollama.chunks import generate_form
from homeport.server.ollama.inference import check_format, check_think, encoder_of, infer, load_or_unload
from homeport.server.refusals import lacks_capability
from homeport.server.schemas.ollama import GenerateRequest


async def generate(request: web.Request) -> web.StreamResponse:
    """Answer a prompt, or load or unload a model where there is none."""
    body = await read_body(request, GenerateRequest)
    check_top_logprobs(body.top_logprobs)
    keep_alive_seconds = read_keep_alive(body.keep_alive)
    name = body.model or ""
    model = await find_model(request, name)
    if not body.prompt and keep_alive_seconds == 0:
        return await load_or_unload(request, name, keep_alive_seconds, generate_form)
    _check_raw(body)
    check_think(body.think, name)
    require_generation(model, name, "generate")
    _check_capabilities(body, name)
    if not body.prompt:
        return await load_or_unload(request, name, keep_alive_seconds, generate_form)
    encoder = encoder_of(request, name, generate_form, returns_context=not body.raw)
    return await infer(request, body, model, _prompt(body, body.prompt), encoder)


def _prompt(body: GenerateRequest, text: str) -> Prompt:
    if body.raw:
        return TextPrompt(text)
    system = [Message(Role.SYSTEM, body.system)] if body.system else []
    return ChatPrompt((*system, Message(Role.USER, text)), tuple(body.context or ()))


def _check_raw(body: GenerateRequest) -> None:
    if body.raw and (body.template or body.system or body.context):
        raise InvalidRequestError("raw mode does not support template, system, or context", field="raw")


def _check_capabilities(body: GenerateRequest, name: str) -> None:
    if body.suffix:
        raise lacks_capability(name, "insert", field="suffix")
    if body.images:
        raise lacks_capability(name, "vision", field="images")
    if body.template:
        raise InvalidRequestError("template override is not supported", field="template")
    check_format(body.format)
    check_token_ids("context", body.context or ())
