"""Results of tools, tied to the calls they answer."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable

import attrs

from homeport.domain.messages import Message, Role
from homeport.domain.tools import ToolCall


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
