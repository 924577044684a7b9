"""The tools of Anthropic's requests, and how they may be used."""

from collections.abc import Sequence

from homeport.domain.errors import InvalidRequestError
from homeport.domain.tools import Tool, ToolChoice, ToolOffer
from homeport.server.quoting import shown
from homeport.server.schemas import anthropic as schema
from homeport.server.tool_offers import read_each, read_offer, read_tool

_OWN_TOOL = (None, "custom")
_CHOICES = {
    None: ToolChoice.AUTO,
    "auto": ToolChoice.AUTO,
    "any": ToolChoice.REQUIRED,
    "tool": ToolChoice.REQUIRED,
    "none": ToolChoice.NONE,
}


def offer_of(tools: Sequence[schema.SentTool], choice: schema.SentToolChoice | None) -> ToolOffer | None:
    """Read what the model may call; None where nothing is offered.

    Raises:
        InvalidRequestError: A tool is malformed or one that Anthropic runs itself, or the choice is unknown.
    """
    choice = choice or schema.SentToolChoice()
    if choice.type not in _CHOICES:
        message = f"tool_choice.type must be one of auto, any, tool, none, got {shown(choice.type)}"
        raise InvalidRequestError(message, field="tool_choice")
    if choice.type == "tool" and not choice.name:
        raise InvalidRequestError("tool_choice.name is required with the type tool", field="tool_choice")
    return read_offer(
        read_each("tools", tools, _tool),
        _CHOICES[choice.type],
        (choice.name or "") if choice.type == "tool" else "",
        not choice.disable_parallel_tool_use,
    )


def _tool(field: str, sent: schema.SentTool) -> Tool:
    if sent.type not in _OWN_TOOL:
        message = f"{field}.type: hosted tools are not supported, got {shown(sent.type)}; allowed: custom"
        raise InvalidRequestError(message, field=f"{field}.type")
    return read_tool(field, sent.name, sent.description, sent.input_schema, schema_field="input_schema")
