"""What decisions are about, as one text: a conversation is evidence, and no turn of it is the model's own."""

from collections.abc import Sequence

from homeport.domain.errors import InvalidRequestError
from homeport.server.decisions.questions import as_text
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas import decisions as schema

_ROLES = ("user", "developer", "system", "assistant")
_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_TEXTS = ("input_text", "output_text")


def evidence_text(sent: str | Sequence[schema.InputItem] | None, model: str) -> str:
    """Write an input down.

    Raises:
        InvalidRequestError: It is empty, or an item is of an unknown kind or broken.
        UnsupportedError: It holds an image.
    """
    if not sent:
        raise InvalidRequestError("input is required", field="input")
    if isinstance(sent, str):
        return sent
    calls = {item.call_id for item in sent if item.type in _CALLS}
    for place, item in enumerate(sent):
        if item.type in _OUTPUTS and item.call_id not in calls:
            field = f"input[{place}].call_id"
            raise InvalidRequestError(f"{field} names no call, got {shown(item.call_id)}", field=field)
    return "\n".join(_line(f"input[{place}]", item, model) for place, item in enumerate(sent))


def parts_text(field: str, sent: str | Sequence[schema.InputPart], model: str) -> str:
    """Join the texts of parts.

    Raises:
        InvalidRequestError: A part is of an unknown kind.
        UnsupportedError: A part is an image.
    """
    if isinstance(sent, str):
        return sent
    return "".join(_part(f"{field}[{place}]", part, model) for place, part in enumerate(sent))


def _line(field: str, item: schema.InputItem, model: str) -> str:
    if item.type in _CALLS:
        return f"call {item.name or ''}({item.arguments or item.input or ''})"
    if item.type in _OUTPUTS:
        return f"result: {parts_text(f'{field}.output', item.output or '', model)}"
    if item.type not in (None, "message"):
        allowed = ", ".join(("message", *_CALLS, *_OUTPUTS))
        message = f"{field}.type must be one of {allowed}, got {shown(item.type)}"
        raise InvalidRequestError(message, field=f"{field}.type")
    if item.role not in _ROLES:
        message = f"{field}.role must be one of {', '.join(_ROLES)}, got {shown(item.role)}"
        raise InvalidRequestError(message, field=f"{field}.role")
    return f"{item.role}: {parts_text(f'{field}.content', item.content or '', model)}"


def _part(field: str, part: schema.InputPart, model: str) -> str:
    if part.type in _TEXTS:
        return part.text or ""
    match part.type:
        case "input_json":
            return as_text(part.data)
        case "refusal":
            return part.refusal or ""
        case "input_image":
            raise lacks_capability(model, "vision", field=field)
    message = f"{field}.type must be one of input_text, input_json, got {shown(part.type)}"
    raise InvalidRequestError(message, field=f"{field}.type")
