"""The models of another server, remembered and looked at from time to time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import attrs
from loguru import logger

from homeport.domain.errors import HomeportError
from homeport.domain.models import ModelInfo
from homeport.domain.overload import DrainingError, OverloadedError
from homeport.upstream.refused import UnreachableError

FIRST_LOOK_SECONDS = 1.5
"""How long somebody who asks before the first look is over waits for it."""

_LOOK_SECONDS = 10.0
"""How long a look may take."""
_LEAST_PAUSE_SECONDS = 1.0
"""Between two looks, and after a first one that failed; further ones double it."""
_MOST_AWAY_PAUSE_SECONDS = 5.0
"""While a server is away it is asked more often than usual: a connection that is refused costs little."""
_JITTER = 0.1
"""Share of a pause that is left to chance, so that many hosts do not look at once."""


class ModelListing:
    """Looks at a server in the background; while it is away its models are marked so, and the log tells.

    Args:
        backend: Its name, for messages.
        look: Asks the server; raises where it is away.
        every_seconds: Pause between looks.
        expected: Models that it is known to have before it was seen, marked as away.
        is_busy: Whether the server proves by its work that it is there, so that a look can wait.
    """

    def __init__(
        self,
        backend: str,
        look: Callable[[], Awaitable[Sequence[ModelInfo]]],
        *,
        every_seconds: float,
        expected: Sequence[ModelInfo] = (),
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.is_up = False
        self._backend = backend
        self._look = look
        self._every_seconds = every_seconds
        self._is_busy = is_busy
        self._random = random.Random()  # noqa: S311 - it spreads looks, it keeps no secret
        self._models = tuple(expected)
        self._told: str | None = None
        self._looked = asyncio.Event()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def known(self) -> tuple[ModelInfo, ...]:
        """The models as they were last seen."""
        return self._models

    def start(self) -> None:
        """Begin to look; called in a running event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"looking at {self._backend}"
            )

    async def models(self) -> Sequence[ModelInfo]:
        """List the models; the first to ask may wait for the first look, nobody waits for another one."""
        self.start()
        if not self._looked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_SECONDS):
                    await self._looked.wait()
        return self._models

    def find(self, name: str) -> ModelInfo | None:
        """Give the model of a name, without regard to case."""
        return next((model for model in self._models if model.name.lower() == name.lower()), None)

    def look_soon(self) -> None:
        """Look again, within a second: something has changed."""
        self._wake.set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch a request.

        Where nobody takes connections, or work, the models are away at once. After other faults it is looked
        at again.
        """
        try:
            yield
        except (UnreachableError, DrainingError) as error:
            self._go(error)
            self._wake.set()
            raise
        except HomeportError as error:
            if error.trips_breaker or isinstance(error, OverloadedError):
                self._wake.set()
            raise

    async def aclose(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        away_pause = _LEAST_PAUSE_SECONDS
        while True:
            if self._wake.is_set() or not (self.is_up and self._is_busy()):
                self._wake.clear()
                await self._look_once()
            pause = self._every_seconds if self.is_up else min(away_pause, self._every_seconds)
            away_pause = _LEAST_PAUSE_SECONDS if self.is_up else min(2 * pause, _MOST_AWAY_PAUSE_SECONDS)
            await self._rest(pause * (1 + self._random.uniform(-_JITTER, _JITTER)))

    async def _rest(self, seconds: float) -> None:
        """Let time pass, less of it where somebody wants a look."""
        least = min(_LEAST_PAUSE_SECONDS, seconds)
        await asyncio.sleep(least)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - least):
                await self._wake.wait()

    async def _look_once(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                models = tuple(await self._look())
        except Exception as error:  # noqa: BLE001 - whatever it was, it is looked at again
            self._go(error)
        else:
            self._models, self.is_up = models, True
            self._tell("")
        self._looked.set()

    def _go(self, error: Exception) -> None:
        self._models = tuple(attrs.evolve(model, is_away=True) for model in self._models)
        self.is_up = False
        self._tell(f"{type(error).__name__}: {error}")

    def _tell(self, fault: str) -> None:
        """Log that the server came, or that it is away, once each."""
        if (self._told is None or self._told) and not fault:
            logger.info("backend {} is there, with {} models", self._backend, len(self._models))
        elif fault and not self._told:
            logger.warning("backend {} is away: {}", self._backend, fault)
        self._told = fault
