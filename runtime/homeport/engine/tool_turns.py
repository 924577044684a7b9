"""Calls and their results as chat templates expect them."""

import json
from collections.abc import Mapping, Sequence

from homeport.domain.call_links import linked
from homeport.domain.messages import Message, Role
from homeport.domain.tools import Tool, ToolCall

_SHORT_ID_LENGTH = 9
"""Mistral's templates take ids of exactly that many letters and digits."""
_NO_PARAMETERS = {"type": "object", "properties": {}}


class CallArguments(dict[str, object]):
    """Arguments as an object, for templates that write it as JSON or hold text to it as if it were JSON."""

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False)

    def __add__(self, other: str) -> str:
        return str(self) + other

    def __radd__(self, other: str) -> str:
        return other + str(self)


def tool_values(tools: Sequence[Tool]) -> list[dict[str, object]]:
    """Describe tools in OpenAI's form, which templates print."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters) or _NO_PARAMETERS,
            },
        }
        for tool in tools
    ]


def turn_values(messages: Sequence[Message]) -> list[dict[str, object]]:
    """Turn messages into what templates read: keys only where there is something.

    Calls and results that lack an id get the one of their counterpart, or a new one; results that lack the
    name of their tool get it too.
    """
    return [_turn_value(message) for message in linked(messages)]


def _turn_value(message: Message) -> dict[str, object]:
    turn: dict[str, object] = {"role": message.role.value, "content": message.content}
    if message.thinking:
        turn |= {"thinking": message.thinking, "reasoning_content": message.thinking}
    if message.tool_calls:
        turn["tool_calls"] = [_call_value(call) for call in message.tool_calls]
    if message.role is Role.TOOL:
        told = (("name", message.tool_name), ("tool_call_id", message.tool_call_id))
        turn |= {key: value for key, value in told if value}
    return turn


def with_short_ids(turns: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Write the ids of calls as nine letters and digits."""
    return [_shortened(turn) for turn in turns]


def _shortened(turn: Mapping[str, object]) -> dict[str, object]:
    result = dict(turn)
    if isinstance(calls := turn.get("tool_calls"), list):
        result["tool_calls"] = [call | {"id": _short(call["id"])} for call in calls]
    if "tool_call_id" in turn:
        result["tool_call_id"] = _short(str(turn["tool_call_id"]))
    return result


def _short(call_id: str) -> str:
    letters = "".join(letter for letter in call_id if letter.isascii() and letter.isalnum())
    return letters[-_SHORT_ID_LENGTH:].rjust(_SHORT_ID_LENGTH, "0")


def _call_value(call: ToolCall) -> dict[str, object]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": _arguments(call.arguments)},
    }


def _arguments(text: str) -> object:
    """Read arguments; what is no JSON object stays as it is."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
    return CallArguments(value) if isinstance(value, dict) else text
