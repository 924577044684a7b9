"""Which turns of a conversation are left out when it does not fit."""

import bisect
from collections.abc import Callable, Sequence

from homeport.domain.messages import Message, Role


def without_oldest(
    messages: Sequence[Message], fits: Callable[[tuple[Message, ...]], bool]
) -> tuple[Message, ...]:
    """Leave out as few of the oldest turns as make the rest fit.

    System messages and the last turn stay, and calls stay or go together with their results.
    """
    *older, _last = _turns(messages)
    droppable = [turn for turn in older if messages[turn[0]].role is not Role.SYSTEM]

    def remaining(count: int) -> tuple[Message, ...]:
        dropped = {place for turn in droppable[:count] for place in turn}
        return tuple(message for place, message in enumerate(messages) if place not in dropped)

    count = bisect.bisect_left(range(len(droppable)), x=True, key=lambda count: fits(remaining(count)))
    return remaining(count)


def _turns(messages: Sequence[Message]) -> list[list[int]]:
    """Group the places of messages: results with the message that called, all others alone."""
    turns: list[list[int]] = []
    for place, message in enumerate(messages):
        first = messages[turns[-1][0]] if turns else None
        follows = first is not None and (first.tool_calls or first.role is Role.TOOL)
        if message.role is Role.TOOL and follows:
            turns[-1].append(place)
        else:
            turns.append([place])
    return turns
