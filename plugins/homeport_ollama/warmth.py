"""Keeping models in the memory of an Ollama without asking them anything."""

import asyncio

from loguru import logger

from homeport import HomeportError
from homeport.upstream import ConnectionPool, ModelListing

_AWAY_SECONDS = 1.0
"""Pause while the Ollama is away."""
_MOST_ANSWER_BYTES = 65536
_ROUNDS = 3
"""A model outlives so many rounds that did not come through."""


class Warmth:
    """Sends each model an empty prompt with a keep-alive, which loads it or lengthens its stay.

    Args:
        pool: Connections to the Ollama.
        listing: Tells whether it is there.
        models: Names.
        every_seconds: Pause between rounds.
    """

    def __init__(
        self, pool: ConnectionPool, listing: ModelListing, *, models: tuple[str, ...], every_seconds: float
    ) -> None:
        self.warm: frozenset[str] = frozenset()
        self._told: set[str] = set()
        self._pool = pool
        self._listing = listing
        self._models = models
        self._every_seconds = every_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; called in a running event loop."""
        if self._models and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="keeping models warm")

    async def aclose(self) -> None:
        """Stop; the models leave after their time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        await self._listing.models()
        while True:
            if self._listing.is_up and not self._pool.is_busy:
                self.warm = frozenset([name for name in self._models if await self._touch(name)])
            await asyncio.sleep(self._every_seconds if self._listing.is_up else _AWAY_SECONDS)

    async def _touch(self, name: str) -> bool:
        body = {
            "model": name,
            "prompt": "",
            "stream": False,
            "keep_alive": _ROUNDS * self._every_seconds,
        }
        try:
            async with self._pool.send("POST", "/api/generate", body, model=name) as reply:
                await reply.read(_MOST_ANSWER_BYTES)
        except HomeportError as error:
            if name not in self._told:
                logger.warning("ollama-legacy cannot keep {} warm: {}", name, error)
            self._told.add(name)
            return False
        self._told.discard(name)
        return True
