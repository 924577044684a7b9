"""Conversations with their tools, thoughts and forms of answers, as Ollama takes them."""

import json
from collections.abc import Mapping

from homeport import (
    ChatPrompt,
    Constraint,
    ConstraintKind,
    Message,
    Prompt,
    Tool,
    ToolChoice,
    ToolOffer,
    UnsupportedError,
)


def conversation(prompt: ChatPrompt) -> dict[str, object]:
    """Spell what is said, and what may be called.

    Raises:
        UnsupportedError: Ollama cannot take it.
    """
    if prompt.template or prompt.is_plain:
        raise UnsupportedError("ollama-legacy takes no template in Jinja", field="template")
    body: dict[str, object] = {"messages": [_message(turn) for turn in prompt.messages]}
    if prompt.tools is not None and prompt.tools.choice is not ToolChoice.NONE:
        body["tools"] = _tools(prompt.tools)
    return body


def form(constraint: Constraint) -> object:
    """Spell the form that the answer must have.

    Raises:
        UnsupportedError: Ollama knows no such form.
    """
    match constraint.kind:
        case ConstraintKind.JSON_OBJECT:
            return "json"
        case ConstraintKind.JSON_SCHEMA:
            return json.loads(constraint.source)
        case kind:
            raise UnsupportedError(
                f"ollama-legacy takes no {kind.value} as the form of an answer", field="format"
            )


def thinking(prompt: Prompt) -> Mapping[str, object]:
    """Spell how much to think; nothing where that is left to the model."""
    if not isinstance(prompt, ChatPrompt) or prompt.thinks is None:
        return {}
    return {"think": prompt.effort or True if prompt.thinks else False}


def _message(turn: Message) -> dict[str, object]:
    message: dict[str, object] = {"role": turn.role.value, "content": turn.content}
    if turn.thinking:
        message["thinking"] = turn.thinking
    if turn.tool_calls:
        message["tool_calls"] = [
            {"function": {"name": call.name, "arguments": json.loads(call.arguments)}}
            for call in turn.tool_calls
        ]
    if turn.tool_name:
        message["tool_name"] = turn.tool_name
    return message


def _tools(offer: ToolOffer) -> list[object]:
    if offer.choice is ToolChoice.REQUIRED:
        raise UnsupportedError(
            "ollama-legacy leaves it to the model whether it calls a tool", field="tool_choice"
        )
    return [{"type": "function", "function": _function(tool)} for tool in offer.tools]


def _function(tool: Tool) -> Mapping[str, object]:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}
