"""How long a silent backend is waited for: one timer for all events of an attempt.

An ``asyncio.timeout`` around every event costs 11 microseconds, a tenth of what the host spends on a short
answer; here an event costs two stores and a look at the clock.
"""

import asyncio
from collections.abc import AsyncIterator

from homeport.domain.overload import DeadlineError
from homeport.gateway.deadline import TOTAL, Deadline


class Patience:
    """Bounds each wait for an event; close it at the end of the attempt.

    Args:
        deadline: Of the request.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._due = 0.0
        self._is_spent = False

    async def next(
        self, events: AsyncIterator[object], stage: str, seconds: float | None, *, since: float | None = None
    ) -> object:
        """Wait for the next event.

        Args:
            events: Of the backend.
            stage: Name of the wait, for the error.
            seconds: How long it may take; None takes all that is left of the request's time.
            since: When that time began, on the loop's clock; None is now.

        Raises:
            DeadlineError: It took longer, or the whole is over; says which.
            StopAsyncIteration: There is none.
        """
        self._deadline.check()
        task = asyncio.current_task()
        cancelling = 0 if task is None else task.cancelling()
        began_at = self._loop.time() if since is None else since
        stage_at = self._deadline.at if seconds is None else began_at + seconds
        self._wait_until(min(stage_at, self._deadline.at), task)
        try:
            return await anext(events)
        except asyncio.CancelledError as error:
            if not self._is_spent or task is None or task.uncancel() > cancelling:
                raise
            if seconds is not None and stage_at < self._deadline.at:
                raise DeadlineError(stage, seconds) from error
            raise DeadlineError(TOTAL, self._deadline.seconds) from error
        finally:
            self._task = None

    def close(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait_until(self, due: float, task: "asyncio.Task[object] | None") -> None:
        self._task, self._due, self._is_spent = task, due, False
        if self._timer is None or due < self._timer.when():
            self.close()
            self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        """End the wait that is due; the one that runs now may have begun long after the timer was set."""
        self._timer = None
        if self._task is None:
            return
        if self._due > self._loop.time():
            self._timer = self._loop.call_at(self._due, self._ring)
            return
        self._is_spent = True
        self._task.cancel()
