"""Calls and their results as chat templates expect them."""

import json
from collections.abc import Iterator, Mapping, Sequence

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
    known: dict[str, str] = {}
    open_calls: list[ToolCall] = []
    turns = []
    for message in messages:
        turn: dict[str, object] = {"role": message.role.value, "content": message.content}
        if message.thinking:
            turn |= {"thinking": message.thinking, "reasoning_content": message.thinking}
        if message.tool_calls:
            open_calls = list(_with_ids(message.tool_calls, len(known)))
            known |= {call.id: call.name for call in open_calls}
            turn["tool_calls"] = [_call_value(call) for call in open_calls]
        if message.role is Role.TOOL:
            turn |= _result_values(message, open_calls, known)
        turns.append(turn)
    return turns


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


def _with_ids(calls: Sequence[ToolCall], before: int) -> Iterator[ToolCall]:
    for place, call in enumerate(calls, before):
        yield call if call.id else ToolCall(id=f"call_{place:08}", name=call.name, arguments=call.arguments)


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


def _result_values(
    message: Message, open_calls: list[ToolCall], known: Mapping[str, str]
) -> dict[str, object]:
    call = _answered(message, open_calls)
    if call is not None:
        open_calls.remove(call)
    call_id = message.tool_call_id or ("" if call is None else call.id)
    name = message.tool_name or known.get(call_id, "")
    return {key: value for key, value in (("name", name), ("tool_call_id", call_id)) if value}


def _answered(message: Message, open_calls: Sequence[ToolCall]) -> ToolCall | None:
    """Find the call that a result belongs to: by its id, else the first of its tool, else the first."""
    if message.tool_call_id:
        return next((call for call in open_calls if call.id == message.tool_call_id), None)
    named = [call for call in open_calls if not message.tool_name or call.name == message.tool_name]
    return next(iter(named or open_calls), None)
