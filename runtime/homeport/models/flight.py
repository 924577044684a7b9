"""One pull at work, and those who follow it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import attrs

from homeport.domain.errors import PullError


@attrs.frozen(kw_only=True)
class PullProgress:
    """How far a pull has come, in Ollama's words.

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
    """A pull that any number of listeners follow; each sees all its stages, whenever it came.

    Attributes:
        is_over: Whether it has ended, well or not.
    """

    def __init__(self) -> None:
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
        """Let the pull begin; it reports through this flight."""
        # Its owner is this flight: it outlives the listener that began it, and ``cancel`` awaits it.
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._settle)

    def report(self, progress: PullProgress) -> None:
        """Tell all listeners; progress within a stage takes the place of what they have not read yet."""
        self._stages[progress.status] = progress
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
        self._error = PullError("the pull was interrupted") if task.cancelled() else task.exception()
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
