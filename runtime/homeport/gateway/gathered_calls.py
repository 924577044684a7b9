"""Calls put together from their pieces."""

from homeport.domain.generation import ToolCallDelta
from homeport.domain.tools import ToolCall


class GatheredCalls:
    """The calls of one answer so far, in the order in which they began."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[ToolCallDelta]] = {}

    def add(self, delta: ToolCallDelta) -> None:
        """Take a further piece."""
        self._pieces.setdefault(delta.index, []).append(delta)

    def whole(self) -> tuple[ToolCall, ...]:
        """Give them all; one without arguments has an empty object of them."""
        return tuple(_joined(pieces) for pieces in self._pieces.values())


def _joined(pieces: list[ToolCallDelta]) -> ToolCall:
    first = pieces[0]
    arguments = "".join(piece.arguments for piece in pieces)
    return ToolCall(id=first.id, name=first.name, arguments=arguments or "{}")
