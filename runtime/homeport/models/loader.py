"""How a model gets into a worker: granted its memory, started, and checked."""

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
from loguru import logger

from homeport.config.model_settings import ModelSettings
from homeport.domain.events import Event, ModelLoaded, ModelLoadFailed
from homeport.domain.memory_amount import MemoryAmount
from homeport.domain.models import ModelInfo
from homeport.engine.options import EngineOptions
from homeport.models.claim import Claim
from homeport.models.footprint import Footprint
from homeport.models.measurements import LoadShape, Measurements
from homeport.models.room import Room
from homeport.models.store import ModelStore
from homeport.models.stored_model import StoredModel
from homeport.plugin.token_model import LoadPlan
from homeport.worker.cores import usable_cores
from homeport.worker.process import WorkerLaunch, WorkerProcess

MILLISECONDS = 1000
"""In a second."""
REMEMBERED_SLOTS = 32
"""Places for sequences that ended, beside those that run; they cost what is written in them."""


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


@attrs.frozen(kw_only=True)
class Loaded:
    """A worker that is ready, with the memory that it was granted.

    Attributes:
        worker: Its process.
        claim: Its memory.
        shape: How it was loaded.
        threads: It computes on.
    """

    worker: WorkerProcess
    claim: Claim
    shape: LoadShape
    threads: int


class Loader:
    """Loads models of one backend.

    Args:
        recipe: How to build a worker.
        store: Where models lie.
        settings: Of models.
        room: Grants memory.
        measurements: Predict what a load takes.
        emit: Told of loads.
    """

    def __init__(
        self,
        *,
        recipe: WorkerRecipe,
        store: ModelStore,
        settings: ModelSettings,
        room: Room,
        measurements: Measurements,
        emit: Callable[[Event], None],
    ) -> None:
        self._recipe = recipe
        self._store = store
        self._settings = settings
        self._room = room
        self._measurements = measurements
        self._emit = emit
        self._cache = MemoryAmount.parse(settings.cache_memory)

    def reconfigure(self, settings: ModelSettings) -> None:
        """Load by other settings from now on."""
        self._settings = settings
        self._cache = MemoryAmount.parse(settings.cache_memory)

    def footprint(self, model: ModelInfo, window: int) -> Footprint:
        """Predict what a load would take."""
        return self._measurements.predict(model, self._shape(window), self._cache)

    async def load(self, model: StoredModel, window: int) -> Loaded:
        """Load a model.

        Raises:
            NoRoomError: There is no memory for it.
            LoadError: It cannot be loaded.
        """
        shape = self._shape(window)
        info = model.info(self._recipe.backend)
        claim = await self._room.claim(
            model.name.display,
            self.footprint(info, window),
            within_seconds=self._settings.load_timeout_seconds,
        )
        try:
            launch = self._launch(model, shape, claim)
            worker = await self._start(model, launch, claim)
        except BaseException as error:
            self._room.release(claim)
            if isinstance(error, Exception):
                self._emit(ModelLoadFailed(model=model.name.display, backend=self._recipe.backend))
            raise
        return Loaded(worker=worker, claim=claim, shape=shape, threads=launch.plan.threads)

    async def note(self, model: StoredModel, loaded: Loaded) -> None:
        """Give back the memory of a worker that has ended, and remember what it took."""
        self._room.release(loaded.claim)
        self._measurements.learn(
            model.info(self._recipe.backend),
            loaded.shape,
            peak_bytes=loaded.worker.pulse.peak_bytes,
            cached_tokens=loaded.worker.pulse.cached_tokens,
            kv_bytes_per_token=loaded.worker.facts.kv_bytes_per_token,
        )
        await self._measurements.save()

    async def _start(self, model: StoredModel, launch: WorkerLaunch, claim: Claim) -> WorkerProcess:
        """Start a worker while a thread checks the files, which costs no time beside the imports."""
        started = asyncio.get_running_loop().time()
        check = asyncio.ensure_future(asyncio.to_thread(self._store.verify, model))

        def spawned(pid: int) -> None:
            claim.pid = pid

        try:
            worker = await WorkerProcess.start(launch, spawned=spawned)
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
        self._report(launch.model, worker, asyncio.get_running_loop().time() - started)
        return worker

    def _report(self, name: str, worker: WorkerProcess, seconds: float) -> None:
        backend, computes = self._recipe.backend, worker.facts.computes
        remarks = ", ".join(filter(None, (computes, f"pid {worker.pid}")))
        logger.info("loaded {} on {} in {:.2f} s ({})", name, backend, seconds, remarks)
        self._emit(ModelLoaded(model=name, backend=backend, seconds=seconds, computes=computes))

    def _shape(self, window: int) -> LoadShape:
        slots = self._settings.slots + (REMEMBERED_SLOTS if self._settings.prefix_cache else 0)
        return LoadShape(backend=self._recipe.backend, window=window, slots=slots)

    def _launch(self, model: StoredModel, shape: LoadShape, claim: Claim) -> WorkerLaunch:
        settings = self._settings
        return WorkerLaunch(
            model=model.name.display,
            factory=self._recipe.factory,
            config_class=self._recipe.config_class,
            config=self._recipe.config,
            path=model.folder,
            log_level=self._recipe.log_level,
            plan=LoadPlan(
                context_length=shape.window,
                slots=shape.slots,
                threads=settings.threads or usable_cores(),
                cache_bytes=claim.cache_bytes,
            ),
            options=EngineOptions(
                most_running=settings.slots,
                most_stall_seconds=settings.max_stall_ms / MILLISECONDS,
                remembers=settings.prefix_cache,
                speculates=settings.speculation,
                fits_one_window=self._cache.share is not None,
            ),
            load_timeout_seconds=settings.load_timeout_seconds,
            step_timeout_seconds=settings.step_timeout_seconds,
        )
