"""The event bus: every monitor has a queue of its own, and one that is too slow loses events."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from loguru import logger

from homeport.domain.events import Event
from homeport.plugin.protocols import Monitor

QUEUE_EVENTS = 1024


class EventBus:
    """Hands events to monitors without ever waiting for them.

    Args:
        monitors: Name and object of each.
    """

    def __init__(self, monitors: Sequence[tuple[str, Monitor]]) -> None:
        self._feeds = [_Feed(name, monitor) for name, monitor in monitors]
        self._listeners: list[Callable[[Event], None]] = []

    def emit(self, event: Event) -> None:
        """Queue an event for every monitor, and hand it to every listener."""
        for feed in self._feeds:
            feed.offer(event)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - what counts requests must not fail them
                logger.error("a listener failed on {}: {!r}", type(event).__name__, error)

    @contextmanager
    def listen(self, listener: Callable[[Event], None]) -> Iterator[None]:
        """Hand every event to a function of homeport's own at once; it must only count.

        Args:
            listener: Called in the way of requests, so it takes microseconds and never waits.
        """
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def run(self) -> None:
        """Feed all monitors until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for feed in self._feeds:
                tasks.create_task(feed.run())


class _Feed:
    def __init__(self, name: str, monitor: Monitor) -> None:
        self._name = name
        self._monitor = monitor
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_EVENTS)
        self._lost = 0

    def offer(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._lost += 1

    async def run(self) -> None:
        while True:
            event = await self._queue.get()
            await self._show(event)
            if self._lost:
                logger.warning("monitor {} was too slow and lost {} events", self._name, self._lost)
                self._lost = 0

    async def _show(self, event: Event) -> None:
        """Show the monitor one event; what it raises, a cancellation of its own too, harms only itself."""
        try:
            await self._monitor.observe(event)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            logger.warning("monitor {} failed on {}: {!r}", self._name, type(event).__name__, error)
