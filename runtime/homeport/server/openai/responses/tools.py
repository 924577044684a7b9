"""The tools of a request for a response, and how they may be used."""

from collections.abc import Sequence

from homeport.domain.errors import InvalidRequestError
from homeport.domain.tools import Tool, ToolChoice, ToolOffer
from homeport.server.limits import at_most
from homeport.server.quoting import shown
from homeport.server.schemas import responses as schema
from homeport.server.tool_offers import MAX_TOOLS, read_each, read_offer, read_tool

_FUNCTION = "function"
_CHOICES = 'auto, none, required, {"type": "function", "name": ...} or allowed_tools'


def offer_of(body: schema.ResponseRequest) -> ToolOffer | None:
    """Read what the model may call; None where nothing is offered.

    Raises:
        InvalidRequestError: A tool is malformed or one that OpenAI runs itself, or the choice is unknown.
    """
    tools = read_each("tools", body.tools, _tool)
    parallel = body.parallel_tool_calls is not False
    match body.tool_choice:
        case None:
            return read_offer(tools, parallel=parallel)
        case "none" | "auto" | "required" as word:
            return read_offer(tools, ToolChoice(word), parallel=parallel)
        case {"type": "function", "name": str(name)} if name:
            return read_offer(tools, ToolChoice.REQUIRED, name, parallel=parallel)
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": [*listed]}:
            return read_offer(_allowed(tools, listed), ToolChoice(mode), parallel=parallel)
    message = f"tool_choice must be {_CHOICES}, got {shown(body.tool_choice)}"
    raise InvalidRequestError(message, field="tool_choice")


def echoed_tools(body: schema.ResponseRequest) -> list[schema.Tool]:
    """Spell the tools as the answer repeats them."""
    return [
        schema.Tool(
            name=tool.name or "",
            description=tool.description,
            parameters=tool.parameters,
            strict=tool.strict,
        )
        for tool in body.tools or []
    ]


def _tool(field: str, sent: schema.SentTool) -> Tool:
    if sent.type not in (None, _FUNCTION):
        message = (
            f"{field}.type: hosted tools are not supported, got {shown(sent.type)}; allowed: {_FUNCTION}"
        )
        raise InvalidRequestError(message, field=f"{field}.type")
    return read_tool(field, sent.name, sent.description, sent.parameters)


def _allowed(tools: Sequence[Tool], listed: Sequence[object]) -> list[Tool]:
    """Keep the tools that a choice lists.

    Raises:
        InvalidRequestError: It lists none, or one that is not offered.
    """
    at_most("tool_choice.tools", len(listed), MAX_TOOLS, "tools")
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in listed]
    offered = [tool.name for tool in tools]
    if not names or any(name not in offered for name in names):
        message = f"tool_choice.tools must list offered functions, got {shown(list(listed))}"
        raise InvalidRequestError(message, field="tool_choice")
    return [tool for tool in tools if tool.name in names]
