"""How a model gets into a worker: granted its memory, started, and checked."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from loguru import logger

from homeport.config.model_settings import ModelSettings
from homeport.domain.errors import StoreError
from homeport.domain.events import Event, ModelLoaded, ModelLoadFailed
from homeport.domain.memory_amount import MemoryAmount
from homeport.domain.models import ModelInfo
from homeport.domain.overload import OverloadedError
from homeport.engine.options import EngineOptions
from homeport.models.build_record import Build
from homeport.models.claim import Claim
from homeport.models.footprint import Footprint
from homeport.models.measurements import LoadShape, Measurements
from homeport.models.room import Room
from homeport.models.store import ModelStore
from homeport.models.stored_model import StoredModel
from homeport.models.workshop import Workshop, is_built
from homeport.plugin.token_model import LoadPlan
from homeport.worker.cores import usable_cores
from homeport.worker.process import WorkerLaunch, WorkerProcess
from homeport.worker.spare import SpareWorker

MILLISECONDS = 1000
"""In a second."""
REMEMBERED_SLOTS = 32
"""Places for sequences that ended, beside those that run; they cost what is written in them."""


class _DamagedBuildError(StoreError):
    """A build whose files are not what its record says; the model that it was made of may be sound."""

    code = "build_damaged"


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
        info: What was loaded.
        worker: Its process.
        claim: Its memory.
        shape: How it was loaded.
        threads: It computes on.
    """

    info: ModelInfo
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
        workshop: Builds what is loaded in the place of models; None where they are loaded as they are.
        spare: A process that the first model may have.
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
        workshop: Workshop | None = None,
        spare: SpareWorker | None = None,
    ) -> None:
        self._workshop = workshop
        self._spare = spare
        self._building: set[str] = set()
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

    def info(self, model: StoredModel) -> ModelInfo:
        """Describe a model as it would be loaded now; blocks on files."""
        if self._workshop is None:
            return model.info(self._recipe.backend)
        build = self._workshop.find(model)
        info = model.info(self._recipe.backend, build)
        return attrs.evolve(info, awaits_build=build is None and is_built(model))

    def is_building(self, digest: str) -> bool:
        """Whether a load waits for the build of its model, before it takes memory."""
        return digest in self._building

    async def load(self, model: StoredModel, window: int) -> Loaded:
        """Load a model, building it first where that is missing.

        Raises:
            NoRoomError: There is no memory for it.
            LoadError: It cannot be loaded.
        """
        try:
            try:
                return await self._load(model, window)
            except _DamagedBuildError:  # it is gone, so that it is made anew
                return await self._load(model, window)
        except Exception as error:
            if not isinstance(error, OverloadedError):
                self._emit(ModelLoadFailed(model=model.name.display, backend=self._recipe.backend))
            raise

    async def note(self, loaded: Loaded) -> None:
        """Give back the memory of a worker that has ended, and remember what it took."""
        self._room.release(loaded.claim)
        self._measurements.learn(
            loaded.info,
            loaded.shape,
            peak_bytes=loaded.worker.pulse.peak_bytes,
            cached_tokens=loaded.worker.pulse.cached_tokens,
            kv_bytes_per_token=loaded.worker.facts.kv_bytes_per_token,
        )
        await self._measurements.save()

    async def _load(self, model: StoredModel, window: int) -> Loaded:
        build = await self._built(model)
        info, shape = model.info(self._recipe.backend, build), self._shape(window)
        claim = await self._room.claim(
            model.name.display,
            self.footprint(info, window),
            within_seconds=self._settings.load_timeout_seconds,
        )
        try:
            launch = self._launch(model, shape, claim, build)
            worker = await self._start(launch, claim, partial(self._verify, model, build))
        except BaseException:
            self._room.release(claim)
            raise
        return Loaded(info=info, worker=worker, claim=claim, shape=shape, threads=launch.plan.threads)

    async def _built(self, model: StoredModel) -> Build | None:
        if self._workshop is None:
            return None
        self._building.add(model.digest)
        try:
            return await self._workshop.build(model)
        finally:
            self._building.discard(model.digest)

    def _verify(self, model: StoredModel, build: Build | None) -> None:
        """Hash what a worker loads; blocks.

        Raises:
            StoreError: It is damaged.
        """
        if self._workshop is None or build is None:
            self._store.verify(model)
            return
        try:
            self._workshop.verify(build)
        except StoreError as error:
            raise _DamagedBuildError(error.message, hint=error.hint) from error

    async def _start(self, launch: WorkerLaunch, claim: Claim, verify: Callable[[], None]) -> WorkerProcess:
        """Start a worker while a thread checks the files, which costs no time beside the imports."""
        started = asyncio.get_running_loop().time()
        check = asyncio.ensure_future(asyncio.to_thread(verify))

        def spawned(pid: int) -> None:
            claim.pid = pid

        try:
            worker = await WorkerProcess.start(launch, spawned=spawned, spare=self._spare)
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

    def _launch(
        self, model: StoredModel, shape: LoadShape, claim: Claim, build: Build | None
    ) -> WorkerLaunch:
        settings = self._settings
        return WorkerLaunch(
            model=model.name.display,
            factory=self._recipe.factory,
            config_class=self._recipe.config_class,
            config=self._recipe.config,
            path=model.folder if build is None else build.folder,
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
