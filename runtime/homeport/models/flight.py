"""Pulls and creations at work, and those who follow them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable
from contextlib import aclosing
from typing import Any

import attrs

from homeport.domain.errors import PullError


@attrs.frozen(kw_only=True)
class PullProgress:
    """How far a pull or a creation has come, in Ollama's words.

    Attributes:
        status: ``pulling manifest``, ``pulling 3f2a...``, ``success`` ...
        digest: What is being fetched, ``sha256:`` and 64 hexadecimal digits.
        total: Bytes in all; None where unknown.
        completed: Bytes so far.
    """

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None


class Flight:
    """A pull or a creation that any number of listeners follow; each sees all its stages, whenever it came.

    Attributes:
        is_over: Whether it has ended, well or not.
        latest: What it reported last; None where it has not yet.
    """

    def __init__(self) -> None:
        self.latest: PullProgress | None = None
        self._stages: dict[str, PullProgress] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listeners = 0
        self.is_over = False
        self._error: BaseException | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody follows it any more."""
        return self._listeners == 0

    def launch(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the work begin; it reports through this flight."""
        # Its owner is this flight: it outlives the listener that began it, and ``cancel`` awaits it.
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._settle)

    def report(self, progress: PullProgress) -> None:
        """Tell all listeners; progress within a stage takes the place of what they have not read yet."""
        self.latest = self._stages[progress.status] = progress
        self._wake()

    async def follow(self) -> AsyncGenerator[PullProgress, None]:
        """Yield its progress to its end.

        Raises:
            HomeportError: It failed.
        """
        self._listeners += 1
        try:
            seen: dict[str, PullProgress] = {}
            while True:
                changed, is_over = self._changed, self.is_over
                for status in tuple(self._stages):
                    progress = self._stages[status]
                    if seen.get(status) is not progress:
                        seen[status] = progress
                        yield progress
                if is_over:
                    break
                await changed.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._listeners -= 1

    async def cancel(self) -> None:
        """Stop it and wait until it has cleaned up."""
        if self._task is not None:
            # A second cancellation would interrupt the cleaning up after the first.
            if not self._task.cancelling():
                self._task.cancel()
            await asyncio.wait([self._task])

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._error = PullError("the work was interrupted") if task.cancelled() else task.exception()
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Flights:
    """Flights by what they are for: the same is done once for all who ask at the same time.

    Args:
        goes_on: Whether a flight goes on that nobody follows any more.
    """

    def __init__(self, *, goes_on: bool = False) -> None:
        self._goes_on = goes_on
        self._is_closed = False
        self._flights: dict[Hashable, Flight] = {}

    async def join(
        self, key: Hashable, begin: Callable[[Flight], Coroutine[Any, Any, None]]
    ) -> AsyncGenerator[PullProgress, None]:
        """Follow the flight of a key, beginning it where there is none.

        When the last of those who iterate leaves (``aclose``), the flight is cancelled, unless it goes on.

        Raises:
            HomeportError: It failed, or these flights are closed.
        """
        flight = self._flights.get(key)
        if flight is None or flight.is_over:
            flight = self._begin(key, begin)
        try:
            async with aclosing(flight.follow()) as following:
                async for progress in following:
                    yield progress
        finally:
            if flight.is_abandoned and (flight.is_over or not self._goes_on):
                if self._flights.get(key) is flight:
                    del self._flights[key]
                await flight.cancel()

    def latest(self, key: Hashable) -> PullProgress | None:
        """Say how far the flight of a key is; None where none is at work, or it has not said."""
        flight = self._flights.get(key)
        return None if flight is None or flight.is_over else flight.latest

    async def aclose(self) -> None:
        """Cancel all, begin none any more, and wait until they have cleaned up."""
        self._is_closed = True
        flights = list(self._flights.values())
        self._flights.clear()
        await asyncio.gather(*(flight.cancel() for flight in flights))

    def _begin(self, key: Hashable, begin: Callable[[Flight], Coroutine[Any, Any, None]]) -> Flight:
        if self._is_closed:
            raise PullError("the work was not begun, the host is closing")
        for other, flight in tuple(self._flights.items()):
            if flight.is_over and flight.is_abandoned:  # it went on when all had left
                del self._flights[other]
        flight = self._flights[key] = Flight()
        flight.launch(begin(flight))
        return flight
