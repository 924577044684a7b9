"""``POST /api/chat``: the next turn of a conversation."""

from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt
from homeport.domain.messages import Message, Role
from homeport.server.bodies import read_body
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import check_top_logprobs
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.ollama.chunks import chat_form
from homeport.server.ollama.inference import check_format, check_think, encoder_of, infer, load_or_unload
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas import ollama as schema

_ROLES = tuple(role.value for role in Role)


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer a conversation, or load or unload a model where there is none."""
    body = await read_body(request, schema.ChatRequest)
    check_top_logprobs(body.top_logprobs)
    keep_alive_seconds = read_keep_alive(body.keep_alive)
    name = required(body.model)
    model = await find_model(request, name)
    if not body.messages and keep_alive_seconds == 0:
        return await load_or_unload(request, name, keep_alive_seconds, chat_form)
    check_think(body.think, name)
    require_generation(model, name, "chat")
    if body.tools:
        raise lacks_capability(name, "tools", field="tools")
    check_format(body.format)
    if not body.messages:
        return await load_or_unload(request, name, keep_alive_seconds, chat_form)
    messages = tuple(_message(index, sent, name) for index, sent in enumerate(body.messages))
    return await infer(request, body, model, ChatPrompt(messages), encoder_of(request, name, chat_form))


def _message(index: int, sent: schema.Message, model: str) -> Message:
    field = f"messages[{index}]"
    role = (sent.role or "").lower()
    if role not in _ROLES:
        allowed = ", ".join(_ROLES)
        message = f"invalid request: {field}.role: expected one of {allowed}, got {shown(sent.role)}"
        raise InvalidRequestError(message, field=f"{field}.role")
    if sent.images:
        raise lacks_capability(model, "vision", field=f"{field}.images")
    if sent.tool_calls:
        raise lacks_capability(model, "tools", field=f"{field}.tool_calls")
    return Message(Role(role), sent.content or "")
