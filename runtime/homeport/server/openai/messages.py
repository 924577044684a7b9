"""OpenAI's messages as those of the house."""

from collections.abc import Sequence

from homeport.domain.call_links import linked
from homeport.domain.errors import InvalidRequestError
from homeport.domain.messages import Message, Role
from homeport.domain.models import Capability, ModelInfo
from homeport.domain.tools import ToolCall
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas import openai as schema
from homeport.server.tool_calls import read_call, read_calls

_ROLES = {
    "developer": Role.SYSTEM,
    "system": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}
_IMAGE_URL = "image URLs are not currently supported, please use base64 encoded data instead"


def read_messages(sent: Sequence[schema.Message] | None, model: ModelInfo, name: str) -> tuple[Message, ...]:
    """Translate a conversation.

    Raises:
        InvalidRequestError: It is empty, or a message has an unknown role, content or call.
        UnsupportedError: A message holds what the model cannot read.
    """
    if not sent:
        raise InvalidRequestError("[] is too short - 'messages'", field="messages")
    return linked(_message(f"messages[{place}]", message, model, name) for place, message in enumerate(sent))


def _message(field: str, sent: schema.Message, model: ModelInfo, name: str) -> Message:
    role = _ROLES.get(sent.role or "")
    if role is None:
        allowed = ", ".join(_ROLES)
        message = f"invalid request: {field}.role: expected one of {allowed}, got {shown(sent.role)}"
        raise InvalidRequestError(message, field=f"{field}.role")
    if (sent.tool_calls or sent.function_call) and Capability.TOOLS not in model.capabilities:
        raise lacks_capability(name, "tools", field=f"{field}.tool_calls")
    return Message(
        role,
        _content(f"{field}.content", sent, name, role),
        thinking=sent.reasoning or sent.reasoning_content or "",
        tool_calls=_calls(field, sent),
        tool_name=(sent.name or "") if role is Role.TOOL else "",
        tool_call_id=sent.tool_call_id or "",
    )


def _calls(field: str, sent: schema.Message) -> tuple[ToolCall, ...]:
    """Read what an assistant called, in the newer field or the older one."""
    calls = read_calls(f"{field}.tool_calls", sent.tool_calls)
    if sent.function_call is None:
        return calls
    return (*calls, read_call(f"{field}.function_call", sent.function_call))


def _content(field: str, sent: schema.Message, model: str, role: Role) -> str:
    if isinstance(sent.content, str):
        return sent.content
    if sent.content is None:
        if role is not Role.ASSISTANT:
            message = f"invalid request: {field}: expected str or array, got null"
            raise InvalidRequestError(message, field=field)
        return sent.refusal or ""
    return "".join(_part(f"{field}[{index}]", part, model) for index, part in enumerate(sent.content))


def _part(field: str, part: schema.ContentPart, model: str) -> str:
    match part.type:
        case "text":
            return part.text or ""
        case "refusal":
            return part.refusal or ""
        case "image_url":
            if not _image_location(part.image_url).startswith("data:"):
                raise InvalidRequestError(_IMAGE_URL, field=field)
            raise lacks_capability(model, "vision", field=field)
        case "input_audio":
            raise lacks_capability(model, "audio", field=field)
    message = f"invalid request: {field}.type: expected one of text, refusal, got {shown(part.type)}"
    raise InvalidRequestError(message, field=f"{field}.type")


def _image_location(value: object) -> str:
    location = value.get("url") if isinstance(value, dict) else value
    return location if isinstance(location, str) else ""
