"""Models in memory: loaded once for all who ask, kept while used, and let go after their time."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
from loguru import logger

from homeport.config.settings import ModelSettings
from homeport.domain.durations import keep_alive_seconds
from homeport.domain.errors import HomeportError, LoadError
from homeport.domain.events import Event, ModelLoaded, ModelUnloaded
from homeport.domain.memory_amount import MemoryAmount
from homeport.domain.models import ResidentModel
from homeport.engine.options import EngineOptions
from homeport.models.background import BackgroundTasks
from homeport.models.residency import Residency
from homeport.models.store import ModelStore, StoredModel
from homeport.plugin.protocols import LoadPlan
from homeport.worker.cores import usable_cores
from homeport.worker.memory import available_bytes
from homeport.worker.process import WorkerLaunch, WorkerProcess

MILLISECONDS = 1000
"""In a second."""
REMEMBERED_SLOTS = 32
"""Places for sequences that ended, beside those that run; they cost what is written in them."""
_CLAIM_SECONDS = 1.0
"""How long a model just loaded waits for those who asked for it; they may all have left."""


@attrs.frozen(kw_only=True)
class WorkerRecipe:
    """How the workers of one backend are built.

    Attributes:
        backend: Its name.
        factory: Import string of its ``TokenModel``.
        config_class: Import string of its attrs configuration; None where it has none.
        config: Plain values for it.
        log_level: From which on workers log.
    """

    backend: str
    factory: str
    config_class: str | None = None
    config: dict[str, Any] = attrs.field(factory=dict)
    log_level: str = "INFO"


class ModelManager:
    """Owns the workers of one local backend.

    Args:
        recipe: How to build a worker.
        store: Where models lie.
        settings: Defaults of window, slots, threads and keep-alive.
        tasks: Runs what goes on beside requests; its owner calls :meth:`close` before closing it.
        emit: Told of loads and unloads.
    """

    def __init__(
        self,
        *,
        recipe: WorkerRecipe,
        store: ModelStore,
        settings: ModelSettings,
        tasks: BackgroundTasks,
        emit: Callable[[Event], None],
    ) -> None:
        self._recipe = recipe
        self._store = store
        self._settings = settings
        self._keep_alive_seconds = keep_alive_seconds(settings.keep_alive, field="models.keep_alive")
        self._tasks = tasks
        self._emit = emit
        self._residents: dict[str, Residency] = {}
        self._running: set[Residency] = set()
        self._loads: dict[str, asyncio.Future[Residency]] = {}

    @asynccontextmanager
    async def use(
        self, model: StoredModel, *, keep_alive_seconds: float | None, context_length: int | None
    ) -> AsyncIterator[WorkerProcess]:
        """Hold a model in memory, loading it first where needed.

        Args:
            model: Which one.
            keep_alive_seconds: How long it stays afterwards; None takes the configured time.
            context_length: Window needed; a model loaded with a larger one serves it as it is.

        Raises:
            LoadError: It cannot be loaded.
        """
        resident = await self._resident(model, self._window(model, context_length))
        resident.users += 1
        resident.stop_clock()
        if keep_alive_seconds is None:
            keep_alive_seconds = self._keep_alive_seconds
        resident.keep_alive_seconds = keep_alive_seconds
        try:
            yield resident.worker
        finally:
            resident.users -= 1
            resident.keep_alive_seconds = keep_alive_seconds
            self._start_clock(resident, keep_alive_seconds)

    async def unload(self, digest: str) -> None:
        """Let a model go as soon as nobody uses it; one that is not loaded is gone already."""
        resident = self._residents.pop(digest, None)
        if resident is not None:
            await self._retire(resident, "requested")

    def residents(self) -> tuple[ResidentModel, ...]:
        """List what is in memory."""
        return tuple(resident.describe() for resident in self._residents.values())

    async def close(self) -> None:
        """End all workers, those too that were about to end."""
        self._residents.clear()
        for resident in tuple(self._running):
            await self._end(resident, "closed")

    def _window(self, model: StoredModel, wanted: int | None) -> int:
        window = wanted or self._settings.context_length
        trained = model.manifest.context_length
        return min(window, trained) if trained else window

    async def _resident(self, model: StoredModel, window: int) -> Residency:
        resident = self._residents.get(model.digest)
        if resident is not None and resident.alive and resident.context_length >= window:
            return resident
        load = self._loads.get(model.digest)
        if load is None:
            load = asyncio.get_running_loop().create_future()
            self._loads[model.digest] = load
            self._tasks.start(self._load(model, window, load), name=f"load {model.name.display}")
        loaded = await asyncio.shield(load)
        return loaded if loaded.context_length >= window else await self._resident(model, window)

    async def _load(self, model: StoredModel, window: int, result: "asyncio.Future[Residency]") -> None:
        """Load a model for everybody who waits; a waiter that leaves does not stop it."""
        try:
            resident = await self._start(model, window)
        except BaseException as error:
            result.set_exception(_as_load_error(model, error))
            result.exception()  # nobody may be waiting any more
            if not isinstance(error, Exception):
                raise
        else:
            old = self._enter(resident)
            result.set_result(resident)
            if old is not None:
                await self._retire(old, "replaced")
        finally:
            del self._loads[model.digest]

    async def _start(self, model: StoredModel, window: int) -> Residency:
        """Start a worker while a thread checks the files, which costs no time beside the imports."""
        started = asyncio.get_running_loop().time()
        check = asyncio.ensure_future(asyncio.to_thread(self._store.verify, model))
        try:
            worker = await WorkerProcess.start(
                self._launch(model, window), timeout_seconds=self._settings.load_timeout_seconds
            )
        except Exception:
            await check  # a damaged file explains better what the backend stumbled over
            raise
        except BaseException:
            check.cancel()
            raise
        try:
            await check
        except BaseException:
            await worker.close()
            raise
        seconds = asyncio.get_running_loop().time() - started
        name, backend, computes = model.name.display, self._recipe.backend, worker.facts.computes
        remarks = ", ".join(filter(None, (computes, f"pid {worker.pid}")))
        logger.info("loaded {} on {} in {:.2f} s ({})", name, backend, seconds, remarks)
        self._emit(ModelLoaded(model=name, backend=backend, seconds=seconds, computes=computes))
        return Residency(
            model=model,
            backend=backend,
            worker=worker,
            context_length=window,
            keep_alive_seconds=self._keep_alive_seconds,
        )

    def _launch(self, model: StoredModel, window: int) -> WorkerLaunch:
        settings, cache = self._settings, MemoryAmount.parse(self._settings.cache_memory)
        return WorkerLaunch(
            model=model.name.display,
            factory=self._recipe.factory,
            config_class=self._recipe.config_class,
            config=self._recipe.config,
            path=model.folder,
            log_level=self._recipe.log_level,
            plan=LoadPlan(
                context_length=window,
                slots=settings.slots + (REMEMBERED_SLOTS if settings.prefix_cache else 0),
                threads=settings.threads or usable_cores(),
                cache_bytes=cache.of(available_bytes() - model.size),
            ),
            options=EngineOptions(
                most_running=settings.slots,
                most_stall_seconds=settings.max_stall_ms / MILLISECONDS,
                remembers=settings.prefix_cache,
                speculates=settings.speculation,
                fits_one_window=cache.share is not None,
            ),
        )

    def _enter(self, resident: Residency) -> Residency | None:
        """Put a loaded model into service; give the one whose place it takes."""
        old = self._residents.get(resident.model.digest)
        self._residents[resident.model.digest] = resident
        self._running.add(resident)
        self._tasks.start(self._watch(resident), name=f"watch {resident.model.name.display}")
        self._start_clock(resident, max(self._keep_alive_seconds, _CLAIM_SECONDS))
        return old

    async def _watch(self, resident: Residency) -> None:
        """Hand out what the worker sends until it ends, by our will or its own."""
        await resident.worker.listen()
        if self._residents.get(resident.model.digest) is resident:
            logger.error("the worker of {} died (pid {})", resident.model.name.display, resident.worker.pid)
            del self._residents[resident.model.digest]
            await self._end(resident, "died")

    def _start_clock(self, resident: Residency, seconds: float) -> None:
        """Let an idle model leave after some time, or at once when it is out of service."""
        if resident.users:
            return
        if resident.retired_for is not None:
            self._let_go(resident, resident.retired_for)
        elif not math.isinf(seconds):
            loop = asyncio.get_running_loop()
            resident.stop_clock()
            resident.expires_at = loop.time() + seconds
            resident.timer = loop.call_at(resident.expires_at, self._expire, resident)

    def _expire(self, resident: Residency) -> None:
        if resident.users or self._residents.get(resident.model.digest) is not resident:
            return
        del self._residents[resident.model.digest]
        self._let_go(resident, "expired")

    def _let_go(self, resident: Residency, reason: str) -> None:
        self._tasks.start(self._end(resident, reason), name=f"unload {resident.model.name.display}")

    async def _retire(self, resident: Residency, reason: str) -> None:
        """Take a model out of service; its running requests finish first."""
        resident.retired_for = reason
        if not resident.users:
            await self._end(resident, reason)

    async def _end(self, resident: Residency, reason: str) -> None:
        resident.stop_clock()
        await resident.worker.close()
        if resident not in self._running:
            return
        self._running.discard(resident)
        name = resident.model.name.display
        logger.info("unloaded {} ({})", name, reason)
        self._emit(ModelUnloaded(model=name, backend=resident.backend, reason=reason))


def _as_load_error(model: StoredModel, error: BaseException) -> HomeportError:
    """Tell those who wait what became of a load, whatever it was."""
    if isinstance(error, HomeportError):
        return error
    if isinstance(error, Exception):
        logger.opt(exception=error).error("loading {} failed", model.name.display)
        return LoadError(f"loading {model.name.display} failed: {type(error).__name__}: {error}")
    return LoadError(f"loading {model.name.display} was given up, the host is closing")
