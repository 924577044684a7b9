"""Calls as Ollama's clients want them: whole, the arguments an object."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs
import msgspec

from homeport.domain.generation import ToolCallDelta
from homeport.domain.tools import ToolCall
from homeport.gateway.gathered_calls import GatheredCalls
from homeport.server.schemas.ollama import MadeCall, MadeFunction
from homeport.server.tool_calls import object_text

if TYPE_CHECKING:
    from homeport.domain.generation import TokenLogprob


@attrs.frozen
class Piece:
    """A piece of what a model says.

    Attributes:
        text: Of the answer.
        thoughts: Before it.
        calls: Of tools.
    """

    text: str = ""
    thoughts: str = ""
    calls: tuple[MadeCall, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.thoughts or self.calls)


class OpenCall:
    """The call that is being written, if one is.

    Attributes:
        logprobs: Of its tokens.
    """

    def __init__(self) -> None:
        self.logprobs: list[TokenLogprob] = []
        self._pieces = GatheredCalls()
        self._index: int | None = None

    def is_another(self, delta: ToolCallDelta) -> bool:
        """Tell whether a piece belongs to another call than the open one."""
        return self._index not in (None, delta.index)

    def add(self, delta: ToolCallDelta) -> None:
        """Take a further piece."""
        self._index = delta.index
        self._pieces.add(delta)
        self.logprobs.extend(delta.logprobs)

    def piece(self) -> Piece:
        """Give the call as far as it was written."""
        return piece_of_calls((self._index or 0, call) for call in self._pieces.whole())


def piece_of_calls(calls: Iterable[tuple[int, ToolCall]]) -> Piece:
    """Spell calls with their places.

    A call that was cut has no object of arguments, so what there is of them becomes text.
    """
    made: list[MadeCall] = []
    broken: list[str] = []
    for index, call in calls:
        arguments = object_text(call.arguments)
        if arguments is None:
            broken.append(call.arguments)
            continue
        function = MadeFunction(index=index, name=call.name, arguments=msgspec.Raw(arguments.encode()))
        made.append(MadeCall(id=call.id, function=function))
    return Piece("".join(broken), calls=tuple(made))
