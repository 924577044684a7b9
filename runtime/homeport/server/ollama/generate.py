"""``POST /api/generate``: text after a prompt."""

from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt, FillPrompt, Prompt, TextPrompt
from homeport.domain.messages import Message, Role
from homeport.domain.models import Capability, ModelInfo
from homeport.models.go_template import to_jinja
from homeport.server.bodies import read_body
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import check_token_ids, check_top_logprobs
from homeport.server.lookup import find_model, require_generation
from homeport.server.ollama.chunks import generate_form
from homeport.server.ollama.inference import encoder_of, infer, load_or_unload, options_of, read_format
from homeport.server.privileges import require_admin
from homeport.server.refusals import lacks_capability
from homeport.server.schemas.ollama import GenerateRequest
from homeport.server.thinking import Thinking, read_think


async def generate(request: web.Request) -> web.StreamResponse:
    """Answer a prompt, or load or unload a model where there is none."""
    body = await read_body(request, GenerateRequest)
    check_top_logprobs(body.top_logprobs)
    keep_alive_seconds = read_keep_alive(body.keep_alive)
    name = body.model or ""
    wanted = Capability.INSERT if body.suffix else Capability.COMPLETION
    model = await find_model(request, name, wanted=wanted)
    if not body.prompt and keep_alive_seconds == 0:
        return await load_or_unload(request, name, keep_alive_seconds, generate_form)
    _check_raw(body)
    thinking = read_think(body.think, model, name)
    require_generation(model, name, "generate")
    _check_capabilities(body, model, name)
    constraint = read_format(body.format)
    template = _template(request, body.template)
    options = options_of(body, model)
    if not body.prompt:
        return await load_or_unload(request, name, keep_alive_seconds, generate_form)
    prompt = _prompt(body, body.prompt, thinking, template)
    encoder = encoder_of(request, name, generate_form, returns_context=not body.raw)
    return await infer(request, body, options, prompt, encoder, constraint=constraint)


def _prompt(body: GenerateRequest, text: str, thinking: Thinking, template: str) -> Prompt:
    if body.suffix:
        return FillPrompt(text, body.suffix)
    if body.raw:
        return TextPrompt(text)
    system = [Message(Role.SYSTEM, body.system)] if body.system else []
    return ChatPrompt(
        (*system, Message(Role.USER, text)),
        tuple(body.context or ()),
        thinks=thinking.thinks,
        effort=thinking.effort,
        template=template,
    )


def _template(request: web.Request, text: str | None) -> str:
    """Read the template that takes the place of the model's own, in Go's syntax or Jinja's."""
    if not text:
        return ""
    require_admin(request, "template")
    return to_jinja(text)


def _check_raw(body: GenerateRequest) -> None:
    if body.raw and (body.template or body.system or body.context):
        raise InvalidRequestError("raw mode does not support template, system, or context", field="raw")


def _check_capabilities(body: GenerateRequest, model: ModelInfo, name: str) -> None:
    if body.suffix and Capability.INSERT not in model.capabilities:
        raise lacks_capability(name, "insert", field="suffix")
    if body.images:
        raise lacks_capability(name, "vision", field="images")
    check_token_ids("context", body.context or ())
