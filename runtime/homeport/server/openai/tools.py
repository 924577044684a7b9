"""The fields that offer tools, and functions as they were called before."""

from collections.abc import Sequence

from homeport.domain.errors import InvalidRequestError
from homeport.domain.models import Capability, ModelInfo
from homeport.domain.tools import Tool, ToolChoice, ToolOffer
from homeport.server.function_tools import read_function_tools
from homeport.server.limits import at_most
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas.openai import ChatRequest
from homeport.server.schemas.tools import OfferedFunction
from homeport.server.tool_offers import MAX_TOOLS, read_each, read_offer, read_tool

_CHOICE = "tool_choice"
_LISTED = f"{_CHOICE}.allowed_tools.tools"
_CHOICES = "none, auto, required, a function by name, or allowed_tools"
_FUNCTION_CHOICE = "function_call"


def wanted_of(body: ChatRequest) -> Capability:
    """Say what a model is needed for, where its name leaves a choice."""
    return Capability.TOOLS if body.tools or body.functions else Capability.COMPLETION


def read_tools(body: ChatRequest, model: ModelInfo) -> ToolOffer | None:
    """Read what the model may call.

    Raises:
        InvalidRequestError: A field is malformed, or names a tool that is not offered.
        UnsupportedError: The model cannot call, and may.
    """
    if Capability.TOOLS in model.capabilities:
        return read_offered(body)
    field, choice = ("functions", body.function_call) if body.functions else ("tools", body.tool_choice)
    if getattr(body, field) and choice != ToolChoice.NONE:
        raise lacks_capability(body.model or "", "tools", field=field)
    read_offered(body)
    return None


def read_offered(body: ChatRequest) -> ToolOffer | None:
    """Read what is offered, whether a model can call or not.

    Raises:
        InvalidRequestError: A field is malformed, or names a tool that is not offered.
    """
    if body.functions and body.tools:
        raise InvalidRequestError("functions cannot stand beside tools", field="functions")
    return _functions(body) if body.functions else _tools(body)


def _tools(body: ChatRequest) -> ToolOffer | None:
    tools = read_function_tools(body.tools)
    parallel = body.parallel_tool_calls is not False
    match body.tool_choice:
        case None:
            return read_offer(tools, parallel=parallel)
        case "none" | "auto" | "required" as word:
            return read_offer(tools, ToolChoice(word), parallel=parallel)
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*listed]},
        }:
            return read_offer(_allowed(tools, listed), ToolChoice(mode), parallel=parallel)
        case {"function": {"name": str(name)}} if name:
            return read_offer(tools, ToolChoice.REQUIRED, name, parallel=parallel)
    message = f"{_CHOICE} must be {_CHOICES}, got {shown(body.tool_choice)}"
    raise InvalidRequestError(message, field=_CHOICE)


def _functions(body: ChatRequest) -> ToolOffer | None:
    """Read the older fields, for clients that expect one call at most."""
    tools = read_each("functions", body.functions, _function)
    match body.function_call:
        case None:
            choice, name = ToolChoice.AUTO, ""
        case "none" | "auto" as word:
            choice, name = ToolChoice(word), ""
        case {"name": str(name)} if name:
            choice = ToolChoice.REQUIRED
        case _:
            message = f"{_FUNCTION_CHOICE} must be none, auto or a name"
            raise InvalidRequestError(f"{message}, got {shown(body.function_call)}", field=_FUNCTION_CHOICE)
    return read_offer(tools, choice, name, parallel=False, choice_field=_FUNCTION_CHOICE)


def _function(field: str, sent: OfferedFunction) -> Tool:
    return read_tool(field, sent.name, sent.description, sent.parameters)


def _allowed(tools: Sequence[Tool], listed: Sequence[object]) -> list[Tool]:
    """Keep the tools that a choice lists.

    Raises:
        InvalidRequestError: It lists none, or one that is not offered.
    """
    at_most(_LISTED, len(listed), MAX_TOOLS, "tools")
    names = [_name(entry) for entry in listed]
    unknown = set(names) - {tool.name for tool in tools}
    if unknown or not names:
        what = f"names an unknown tool {shown(min(unknown))}" if unknown else "must list functions, got []"
        raise InvalidRequestError(f"{_LISTED} {what}", field=_CHOICE)
    return [tool for tool in tools if tool.name in names]


def _name(entry: object) -> str:
    match entry:
        case {"function": {"name": str(name)}}:
            return name
    raise InvalidRequestError(f"{_LISTED} must list functions, got {shown(entry)}", field=_CHOICE)
