"""Telling an Ollama to pull a model: only those that the settings name, and none that is too large."""

import asyncio

from loguru import logger

from homeport import BackendError, ModelNotFoundError
from homeport.upstream import ConnectionPool, ModelListing, tagged
from homeport_ollama.wire import Progress


class Pulls:
    """Pulls each model once for all who ask; one that nobody waits for any more is pulled on.

    Args:
        pool: Connections to the Ollama, of their own: a pull takes long.
        listing: Looks again after a pull.
        allowed: Names of models that may be pulled.
        most_bytes: The largest that may be.
    """

    def __init__(
        self, pool: ConnectionPool, listing: ModelListing, *, allowed: tuple[str, ...], most_bytes: int
    ) -> None:
        self._pool = pool
        self._listing = listing
        self._allowed = frozenset(tagged(name).lower() for name in allowed)
        self._most_bytes = most_bytes
        self._running: dict[str, asyncio.Task[None]] = {}

    def allows(self, name: str) -> bool:
        """Tell whether a model may be pulled."""
        return tagged(name).lower() in self._allowed

    async def pull(self, name: str) -> None:
        """Pull a model.

        Raises:
            ModelNotFoundError: It is too large, or nobody has it.
            BackendError: The pull broke off.
        """
        task = self._running.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._pull(name), name=f"pull {name}")
            self._running[name] = task
            task.add_done_callback(self._ended)
        await asyncio.shield(task)

    async def aclose(self) -> None:
        """Stop pulling."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._pool.aclose()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Forget a pull, and look at its error: nobody may be waiting for it any more."""
        self._running = {name: other for name, other in self._running.items() if other is not task}
        if not task.cancelled() and task.exception() is not None:
            logger.warning("ollama-legacy gave a pull up: {}", task.exception())

    async def _pull(self, name: str) -> None:
        logger.info("ollama-legacy pulls {}", name)
        sizes: dict[str, int] = {}
        body = {"model": name, "stream": True}
        async with self._pool.send("POST", "/api/pull", body, model=name) as reply:
            while (line := await reply.line()) is not None:
                progress = reply.decode(Progress, line)
                if progress.error:
                    logger.warning("ollama-legacy cannot pull {}: {!r:.300}", name, progress.error)
                    raise ModelNotFoundError(name, hint=f"Run: ollama pull {name}")
                if progress.digest and progress.total:
                    sizes[progress.digest] = progress.total
                if sum(sizes.values()) > self._most_bytes:
                    logger.warning(
                        "ollama-legacy does not pull {}: it is larger than {} bytes, as "
                        "[plugins.ollama-legacy] pull_most_bytes says",
                        name,
                        self._most_bytes,
                    )
                    raise ModelNotFoundError(name, hint=f"Run: ollama pull {name}")
                if progress.status == "success":
                    reply.is_over = True
                    self._listing.look_soon()
                    return
        raise BackendError(f"the pull of {name!r} ended before it was done")
