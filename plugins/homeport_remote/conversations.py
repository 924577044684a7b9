"""Conversations with their tools, thoughts and forms of answers, as chat completions take them."""

import json

from homeport import (
    ChatPrompt,
    Constraint,
    ConstraintKind,
    Message,
    Role,
    ToolOffer,
    UnsupportedError,
)
from homeport_remote.config import Kind

_FORMAT_NAME = "answer"
"""A schema must have a name there, and it means nothing."""


def conversation(prompt: ChatPrompt, kind: Kind) -> dict[str, object]:
    """Spell what is said, and what may be called.

    Raises:
        UnsupportedError: No such server can take it.
    """
    if prompt.template or prompt.is_plain:
        raise UnsupportedError("another server renders its own template", field="template")
    body: dict[str, object] = {"messages": [_message(turn, kind) for turn in prompt.messages]}
    if prompt.tools is not None:
        body |= _tools(prompt.tools)
    return body | _thinking(prompt, kind)


def _message(turn: Message, kind: Kind) -> dict[str, object]:
    message: dict[str, object] = {"role": turn.role.value, "content": turn.content}
    if turn.thinking and kind is Kind.HOMEPORT:
        message["reasoning"] = turn.thinking
    if turn.tool_calls:
        message["content"] = turn.content or None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.tool_calls
        ]
    if turn.role is Role.TOOL:
        message["tool_call_id"] = turn.tool_call_id
        if turn.tool_name:
            message["name"] = turn.tool_name
    return message


def _tools(offer: ToolOffer) -> dict[str, object]:
    listed = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters or {"type": "object", "properties": {}},
            },
        }
        for tool in offer.tools
    ]
    named = {"type": "function", "function": {"name": offer.name}}
    body: dict[str, object] = {"tools": listed, "tool_choice": named if offer.name else offer.choice.value}
    return body if offer.parallel else body | {"parallel_tool_calls": False}


def form(constraint: Constraint, kind: Kind) -> dict[str, object]:
    """Spell the form that the answer must have.

    Raises:
        UnsupportedError: No such server can take it.
    """
    match constraint.kind:
        case ConstraintKind.JSON_OBJECT:
            return {"response_format": {"type": "json_object"}}
        case ConstraintKind.JSON_SCHEMA:
            schema = {"name": _FORMAT_NAME, "schema": json.loads(constraint.source), "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case ConstraintKind.REGEX if kind is Kind.HOMEPORT:
            return {"guided_regex": constraint.source}
        case _:
            message = f"another server takes no {constraint.kind.value} as the form of an answer"
            raise UnsupportedError(message, field="format")


def _thinking(prompt: ChatPrompt, kind: Kind) -> dict[str, object]:
    """Spell how much to think; servers that are no homeport may refuse what they do not know."""
    if prompt.thinks is False and kind is Kind.HOMEPORT:
        return {"reasoning_effort": "none"}
    return {"reasoning_effort": prompt.effort} if prompt.effort else {}
