"""Requests in the house, and how all of them are sent home when the host stops."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from homeport.domain.generation import Usage
from homeport.domain.overload import DrainingError

DRAINING_RETRY_SECONDS = 30
"""By then a host that stops has stopped, and its successor may listen."""


def _nothing_sent() -> None:
    return None


@attrs.define(eq=False)
class Visit:
    """One request in the house.

    Attributes:
        partial: Tells what was used for that part of the answer which the client has; None where it has
            none. Asked when the visit is cut short.
    """

    _task: "asyncio.Task[object] | None"
    _cancelling: int
    partial: Callable[[], Usage | None] = _nothing_sent
    _is_cut: bool = attrs.field(default=False, init=False)

    def cut(self) -> None:
        """Cancel it; it leaves with an error instead, which can be told."""
        if self._task is not None and not self._is_cut:
            self._is_cut = True
            self._task.cancel()

    def is_ended_by_cut(self) -> bool:
        """Tell, at a cancellation, that nobody else wanted it; it counts as dealt with then."""
        return self._is_cut and self._task is not None and self._task.uncancel() <= self._cancelling


class Visits:
    """All requests in the house."""

    def __init__(self) -> None:
        self._visits: dict[Visit, None] = {}

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """Be in the house.

        Raises:
            DrainingError: :meth:`cut` ended the visit.
        """
        task = asyncio.current_task()
        visit = Visit(task, task.cancelling() if task is not None else 0)
        self._visits[visit] = None
        try:
            yield visit
        except (asyncio.CancelledError, GeneratorExit):
            # Cancelled while it hands an event over, a generator sees only that it is closed.
            if visit.is_ended_by_cut():
                raise draining_error(visit.partial()) from None
            raise
        finally:
            del self._visits[visit]

    def cut(self) -> None:
        """End all visits."""
        for visit in tuple(self._visits):
            visit.cut()


def draining_error(partial: Usage | None = None) -> DrainingError:
    """Say that the host is stopping, and when to try again."""
    error = DrainingError("the host is stopping", retry_after_seconds=DRAINING_RETRY_SECONDS)
    error.partial = partial
    return error
