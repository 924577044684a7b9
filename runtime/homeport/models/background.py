"""Work that goes on beside requests, with an owner that waits for its end.

Unlike in an ``asyncio.TaskGroup``, one task that fails does not end its siblings: a host must go on.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from loguru import logger

P = ParamSpec("P")
T = TypeVar("T")


class BackgroundTasks:
    """Runs coroutines; leaving the context cancels those that still run and waits for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def start(self, work: Coroutine[None, None, None], *, name: str) -> None:
        """Run a coroutine; what it raises is logged with its name."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.opt(exception=error).error("{} failed: {!r}", task.get_name(), error)


async def uninterrupted(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in a thread, and wait for its end even when cancelled: it works on files."""
    work = asyncio.ensure_future(asyncio.to_thread(partial(function, *args, **kwargs)))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
