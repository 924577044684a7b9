"""Calls of tools within a conversation: read from requests, and tied to their results."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence

import attrs
import msgspec

from homeport.domain.errors import InvalidRequestError
from homeport.domain.messages import Message, Role
from homeport.domain.tools import ToolCall
from homeport.server.limits import at_most
from homeport.server.quoting import shown
from homeport.server.schemas.tools import CalledFunction, EarlierCall

MAX_CALLS = 128
"""In one message."""


def read_calls(field: str, sent: Sequence[EarlierCall] | None) -> tuple[ToolCall, ...]:
    """Read the calls of a message; an id that was not sent stays empty.

    Raises:
        InvalidRequestError: One has no name, or arguments that are no object; names it.
    """
    at_most(field, len(sent or ()), MAX_CALLS, "calls")
    return tuple(
        read_call(f"{field}[{place}].function", call.function, call.id or "")
        for place, call in enumerate(sent or ())
    )


def read_call(field: str, sent: CalledFunction | None, name_of_call: str = "") -> ToolCall:
    """Read one call.

    Args:
        field: Where it stands in the request.
        sent: What was called.
        name_of_call: Its id.

    Raises:
        InvalidRequestError: It has no name, or its arguments are no object.
    """
    if sent is None or not sent.name:
        raise InvalidRequestError(f"{field}.name is required", field=f"{field}.name")
    arguments = sent.arguments or "{}"
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    if object_text(text) is None:
        message = f"{field}.arguments must be an object of JSON, got {shown(arguments)}"
        raise InvalidRequestError(message, field=f"{field}.arguments")
    return ToolCall(id=name_of_call, name=sent.name, arguments=text)


def object_text(text: str) -> str | None:
    """Write an object of JSON on one line, its keys and numbers as they are; None for anything else."""
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return msgspec.json.format(text, indent=-1)


def linked(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Tie results to calls: give calls without an id one, and results the id and name they lack.

    A result without an id answers the oldest call of its name that has no result yet, one without a name too
    the oldest call of all. The ids that are given depend on nothing but the conversation, so that its prompt
    is the same each time.
    """
    ledger = _Ledger()
    return tuple(ledger.linked(message) for message in messages)


class _Ledger:
    """The calls of a conversation so far."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._open: OrderedDict[str, None] = OrderedDict()
        """Ids of the calls without a result, oldest first."""
        self._open_by_name: defaultdict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)

    def linked(self, message: Message) -> Message:
        if message.role is Role.TOOL:
            return self._result(message)
        if not message.tool_calls:
            return message
        return attrs.evolve(message, tool_calls=tuple(self._call(call) for call in message.tool_calls))

    def _call(self, call: ToolCall) -> ToolCall:
        call = attrs.evolve(call, id=call.id or f"call_{len(self._names):08}")
        self._close(call.id)
        self._names[call.id] = call.name
        self._open[call.id] = self._open_by_name[call.name][call.id] = None
        return call

    def _result(self, message: Message) -> Message:
        waiting = self._open_by_name[message.tool_name] if message.tool_name else self._open
        answered = message.tool_call_id or next(iter(waiting), "")
        self._close(answered)
        name = message.tool_name or self._names.get(answered, "")
        return attrs.evolve(message, tool_call_id=answered, tool_name=name)

    def _close(self, key: str) -> None:
        if key in self._open:
            del self._open[key], self._open_by_name[self._names[key]][key]
