"""A worker process that was started before anybody knows what it is to load."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loguru import logger

from homeport.worker.channel import Prepare, frame
from homeport.worker.cores import usable_cores
from homeport.worker.spawned import SpawnedWorker

_CORES = 2
"""On one core the imports of a worker would only delay those of the host."""


class SpareWorker:
    """One process that does its imports beside those of the host, for the first model that is asked for.

    Use :meth:`waiting`. It fits a model that computes on as many threads and logs from the same level on,
    which is settled when a process starts, and whose backend it was prepared for, if for any.

    Args:
        process: That waits; None where none was started.
        threads: It was started for.
        log_level: Likewise.
    """

    def __init__(self, process: SpawnedWorker | None, *, threads: int, log_level: str) -> None:
        self._process = process
        self._threads = threads
        self._log_level = log_level
        self._factory: str | None = None

    @classmethod
    @asynccontextmanager
    async def waiting(cls, *, threads: int, log_level: str) -> AsyncIterator["SpareWorker"]:
        """Start a process where there is a core for it; it ends with the block, unless it was taken.

        Args:
            threads: Models are to compute on.
            log_level: From which on workers log.
        """
        process = None if usable_cores() < _CORES else await _started(threads, log_level)
        spare = cls(process, threads=threads, log_level=log_level)
        try:
            yield spare
        finally:
            await spare.close()

    @property
    def pid(self) -> int | None:
        """Process id; None where there is no process any more."""
        return None if self._process is None else self._process.process.pid

    def prepare(self, factory: str) -> None:
        """Let the process import a backend: 0.03 to 0.06 s.

        Args:
            factory: Import string of the backend's ``TokenModel``.
        """
        if self._process is not None and self._process.is_alive:
            self._factory = factory
            self._process.writer.write(frame(Prepare(factory)))

    async def take(self, *, factory: str, threads: int, log_level: str) -> SpawnedWorker | None:
        """Hand over the process, whose end is then the business of the caller.

        Args:
            factory: Import string of the model's backend.
            threads: The model computes on.
            log_level: From which on its worker logs.

        Returns:
            None where there is none any more, or it was started for something else; then it ends.
        """
        process = self._process
        fits = (threads, log_level) == (self._threads, self._log_level)
        fits = fits and self._factory in {None, factory}
        if process is None or not process.is_alive or not fits:
            await self.close()
            return None
        self._process = None
        return process

    async def expire(self, seconds: float) -> None:
        """End the process where nobody takes it within some seconds."""
        await asyncio.sleep(seconds)
        await self.close()

    async def close(self) -> None:
        """End the process, where it was not taken."""
        process, self._process = self._process, None
        if process is not None:
            await process.abort()


async def _started(threads: int, log_level: str) -> SpawnedWorker | None:
    try:
        return await SpawnedWorker.start(threads=threads, log_level=log_level)
    except OSError as error:
        logger.warning("no worker is started ahead of the first model: {}", error)
        return None
