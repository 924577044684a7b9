"""Calls in OpenAI's words: whole, and piece by piece."""

from collections.abc import Iterable

from homeport.domain.generation import ToolCallDelta
from homeport.domain.tools import ToolCall
from homeport.server.schemas import openai as schema

_FUNCTION = "function"
_NO_ARGUMENTS = "{}"


def whole_calls(calls: Iterable[ToolCall]) -> list[schema.MadeCall]:
    """Spell whole calls."""
    return [
        schema.MadeCall(id=call.id, function=schema.MadeFunction(call.name, call.arguments)) for call in calls
    ]


class StreamedCalls:
    """Spells the calls of one choice as they come: the head of each, then its arguments.

    Args:
        are_function_calls: Whether the client speaks of ``functions``, as was done before there were tools.
    """

    def __init__(self, *, are_function_calls: bool) -> None:
        self._are_function_calls = are_function_calls
        self._bare: int | None = None
        """The call whose head was sent, and no arguments."""

    def add(self, delta: ToolCallDelta) -> list[schema.Delta]:
        """Spell a piece of a call."""
        deltas = []
        if delta.name:
            deltas += self.close()
            deltas.append(self._head(delta))
            self._bare = delta.index
        if delta.arguments:
            deltas.append(self._arguments(delta.index, delta.arguments))
            self._bare = None
        return deltas

    def close(self) -> list[schema.Delta]:
        """Spell the arguments of a call that ended without any: pieces must add up to an object."""
        index, self._bare = self._bare, None
        return [] if index is None else [self._arguments(index, _NO_ARGUMENTS)]

    def _head(self, delta: ToolCallDelta) -> schema.Delta:
        function = schema.FunctionPiece(name=delta.name, arguments="")
        if self._are_function_calls:
            return schema.Delta(function_call=function)
        piece = schema.CallPiece(index=delta.index, id=delta.id, type=_FUNCTION, function=function)
        return schema.Delta(tool_calls=[piece])

    def _arguments(self, index: int, text: str) -> schema.Delta:
        function = schema.FunctionPiece(arguments=text)
        if self._are_function_calls:
            return schema.Delta(function_call=function)
        return schema.Delta(tool_calls=[schema.CallPiece(index=index, function=function)])
