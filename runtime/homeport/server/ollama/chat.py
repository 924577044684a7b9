"""``POST /api/chat``: the next turn of a conversation."""

from aiohttp import web

from homeport.domain.call_links import linked
from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt
from homeport.domain.messages import Message, Role
from homeport.domain.models import Capability, ModelInfo
from homeport.domain.tools import ToolOffer
from homeport.server.bodies import read_body
from homeport.server.function_tools import read_function_tools
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import check_top_logprobs
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.ollama.chunks import chat_form
from homeport.server.ollama.inference import encoder_of, infer, load_or_unload, options_of, read_format
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas import ollama as schema
from homeport.server.thinking import read_think
from homeport.server.tool_calls import read_calls
from homeport.server.tool_offers import read_offer

_ROLES = tuple(role.value for role in Role)


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer a conversation, or load or unload a model where there is none."""
    body = await read_body(request, schema.ChatRequest)
    check_top_logprobs(body.top_logprobs)
    keep_alive_seconds = read_keep_alive(body.keep_alive)
    name = required(body.model)
    wanted = Capability.TOOLS if body.tools else Capability.COMPLETION
    model = await find_model(request, name, wanted=wanted)
    if not body.messages and keep_alive_seconds == 0:
        return await load_or_unload(request, name, keep_alive_seconds, chat_form)
    thinking = read_think(body.think, model, name)
    require_generation(model, name, "chat")
    tools = _offer(body, model, name)
    constraint = read_format(body.format)
    options = options_of(body, model)
    if not body.messages:
        return await load_or_unload(request, name, keep_alive_seconds, chat_form)
    asked = linked(_message(index, sent, model, name) for index, sent in enumerate(body.messages))
    prompt = ChatPrompt(asked, tools=tools, thinks=thinking.thinks, effort=thinking.effort)
    encoder = encoder_of(request, name, chat_form)
    return await infer(request, body, options, prompt, encoder, constraint=constraint)


def _offer(body: schema.ChatRequest, model: ModelInfo, name: str) -> ToolOffer | None:
    if body.tools and Capability.TOOLS not in model.capabilities:
        raise lacks_capability(name, "tools", field="tools")
    return read_offer(read_function_tools(body.tools))


def _message(index: int, sent: schema.Message, model: ModelInfo, name: str) -> Message:
    field = f"messages[{index}]"
    role = (sent.role or "").lower()
    if role not in _ROLES:
        allowed = ", ".join(_ROLES)
        message = f"invalid request: {field}.role: expected one of {allowed}, got {shown(sent.role)}"
        raise InvalidRequestError(message, field=f"{field}.role")
    if sent.images:
        raise lacks_capability(name, "vision", field=f"{field}.images")
    if sent.tool_calls and Capability.TOOLS not in model.capabilities:
        raise lacks_capability(name, "tools", field=f"{field}.tool_calls")
    return Message(
        Role(role),
        sent.content or "",
        thinking=sent.thinking or "",
        tool_calls=read_calls(f"{field}.tool_calls", sent.tool_calls),
        tool_name=sent.tool_name or "",
        tool_call_id=sent.tool_call_id or "",
    )
