"""Models in memory: loaded once for all who ask, kept while used, and let go after their time."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from loguru import logger

from homeport.config.model_settings import ModelSettings
from homeport.domain.durations import keep_alive_seconds
from homeport.domain.errors import HomeportError, LoadError
from homeport.domain.events import Event, ModelUnloaded
from homeport.domain.models import ModelInfo, ResidentModel
from homeport.domain.overload import OverloadedError
from homeport.models.background import BackgroundTasks
from homeport.models.cooldown import Cooldown
from homeport.models.loader import Loader, WorkerRecipe
from homeport.models.measurements import Measurements
from homeport.models.residency import CLAIM_SECONDS, Residency
from homeport.models.restarts import Restarts
from homeport.models.room import Room
from homeport.models.store import ModelStore
from homeport.models.stored_model import StoredModel
from homeport.models.workshop import Workshop
from homeport.worker.process import WorkerProcess
from homeport.worker.spare import SpareWorker

if TYPE_CHECKING:
    from homeport.models.names import ModelName


class ModelManager:
    """Owns the workers of one local backend.

    Args:
        recipe: How to build a worker.
        store: Where models lie.
        settings: Defaults of window, slots, threads and keep-alive.
        room: Memory, shared with other backends.
        measurements: What loads took before, likewise.
        tasks: Runs what goes on beside requests; its owner calls :meth:`close` before closing it.
        emit: Told of loads and unloads.
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
        tasks: BackgroundTasks,
        emit: Callable[[Event], None],
        workshop: Workshop | None = None,
        spare: SpareWorker | None = None,
    ) -> None:
        self._backend = recipe.backend
        self._loader = Loader(
            recipe=recipe,
            store=store,
            settings=settings,
            room=room,
            measurements=measurements,
            emit=emit,
            workshop=workshop,
            spare=spare,
        )
        self._settings = settings
        self._keep_alive_seconds = keep_alive_seconds(settings.keep_alive, field="models.keep_alive")
        self._room = room
        self._tasks = tasks
        self._emit = emit
        self._revision = 0
        self._cooldown = Cooldown()
        self._restarts = Restarts()
        self._pinned: set[str | ModelName] = set()
        self._residents: dict[str, Residency] = {}
        self._running: set[Residency] = set()
        self._loads: dict[str, asyncio.Future[None]] = {}

    def reconfigure(self, settings: ModelSettings) -> None:
        """Load models by other settings from now on; those in memory stay as they are."""
        self._settings = settings
        self._keep_alive_seconds = keep_alive_seconds(settings.keep_alive, field="models.keep_alive")
        self._loader.reconfigure(settings)

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
            CoolingError: It could not be loaded, or died too often, a short while ago.
            NoRoomError: It does not fit into memory beside what is in use there.
        """
        window = self._window(model.manifest.context_length, context_length)
        resident = await self._resident(model, window)
        loop = asyncio.get_running_loop()
        resident.users += 1
        resident.used_at = loop.time()
        resident.stop_clock()
        if keep_alive_seconds is None:
            keep_alive_seconds = self._keep_alive_seconds
        resident.keep_alive_seconds = keep_alive_seconds
        try:
            yield resident.worker
        finally:
            resident.users -= 1
            resident.used_at = loop.time()
            resident.keep_alive_seconds = keep_alive_seconds
            self._start_clock(resident, keep_alive_seconds)

    async def pin(self, model: StoredModel) -> None:
        """Load a model and keep it: it leaves only by :meth:`unload`, and comes back when its worker died.

        What a pull puts in its place stays likewise, once it was asked for.

        Raises:
            HomeportError: As :meth:`use`; it is pinned all the same, from its next load on.
        """
        self._pinned |= {model.digest, model.name}
        resident = await self._resident(model, self._window(model.manifest.context_length, None))
        resident.is_pinned = True
        resident.stop_clock()

    async def unload(self, digest: str) -> None:
        """Let a model go as soon as nobody uses it; one that is being loaded serves those who wait first.

        One that is built before its load is not waited for.
        """
        load = self._loads.get(digest)
        if load is not None and not self._loader.is_building(digest):
            with suppress(HomeportError):  # told to those who asked for it
                await asyncio.shield(load)
        resident = self._residents.get(digest)
        if resident is not None:
            await self._retire(resident, "requested")

    def info(self, model: StoredModel) -> ModelInfo:
        """Describe a stored model as it would be loaded now; blocks on files."""
        return self._loader.info(model)

    async def refresh(self) -> None:
        """Look at the memory, so that :meth:`objection` knows what is free."""
        await self._room.refresh()

    def note_revision(self, revision: int) -> None:
        """Take note of the store's revision: what could not be loaded from another one is tried again."""
        self._revision = revision
        self._cooldown.note_revision(revision)

    def keep_only(self, digests: Collection[str]) -> None:
        """Let those go that are not installed any more: weights that a later pull replaced, and removed ones.

        Args:
            digests: Of the installed models.
        """
        for resident in tuple(self._residents.values()):
            if resident.model.digest not in digests:
                if resident.users:
                    self._take_out(resident, "replaced")
                else:
                    self._let_go(resident, "replaced")

    def is_resident(self, digest: str) -> bool:
        """Say whether a model is in memory and takes requests."""
        resident = self._residents.get(digest)
        return resident is not None and resident.serves

    def objection(self, model: ModelInfo, context_length: int | None = None) -> str:
        """Say why a model could not serve now for want of memory, or after failures; empty where it could.

        Args:
            model: Which one.
            context_length: Window needed; None takes the configured one.
        """
        window = self._window(model.context_length, context_length)
        resident = self._residents.get(model.digest)
        if resident is not None and resident.serves and resident.context_length >= window:
            return ""
        try:
            self._check(model.name, model.digest)
        except OverloadedError as error:
            return error.message
        if model.digest in self._loads:
            return ""
        return self._room.objection(self._loader.footprint(model, window))

    def residents(self) -> tuple[ResidentModel, ...]:
        """List what is in memory."""
        return tuple(resident.describe() for resident in self._residents.values())

    async def close(self) -> None:
        """End all workers, those too that were about to end."""
        for resident in self._running:
            self._take_out(resident, "closed")
        await asyncio.gather(*(self._end(resident, "closed") for resident in self._running))

    def _window(self, trained: int, wanted: int | None) -> int:
        window = wanted or self._settings.context_length
        return min(window, trained) if trained else window

    async def _resident(self, model: StoredModel, window: int) -> Residency:
        """Give the loaded model; between the return and its use nothing else can happen to it."""
        while True:
            resident = self._residents.get(model.digest)
            if resident is not None and resident.serves and resident.context_length >= window:
                return resident
            load = self._loads.get(model.digest)
            if load is None:
                delay_seconds = self._check(model.name.display, model.digest)
                load = asyncio.get_running_loop().create_future()
                self._loads[model.digest] = load
                work = self._load(model, window, load, delay_seconds)
                self._tasks.start(work, name=f"load {model.name.display}")
            await asyncio.shield(load)

    def _check(self, name: str, digest: str) -> float:
        """Say how long to wait before a load.

        Raises:
            CoolingError: Too long to wait for.
        """
        now = asyncio.get_running_loop().time()
        self._cooldown.check(name, digest, now=now)
        return self._restarts.delay_seconds(name, digest, now=now)

    async def _load(
        self, model: StoredModel, window: int, result: "asyncio.Future[None]", delay_seconds: float
    ) -> None:
        """Load a model for everybody who waits; a waiter that leaves does not stop it."""
        revision = self._revision
        try:
            await asyncio.sleep(delay_seconds)
            resident = await self._start(model, window)
        except BaseException as error:
            del self._loads[model.digest]
            self._note_failure(model, error, revision)
            result.set_exception(_as_load_error(model, error))
            result.exception()  # nobody may be waiting any more
            if not isinstance(error, Exception):
                raise
            return
        self._cooldown.note_success(model.digest)
        old = self._enter(resident)
        del self._loads[model.digest]
        result.set_result(None)
        if old is not None:
            await self._retire(old, "replaced")

    async def _start(self, model: StoredModel, window: int) -> Residency:
        loaded = await self._loader.load(model, window)
        return Residency(
            model=model,
            loaded=loaded,
            slots=self._settings.slots,
            keep_alive_seconds=self._keep_alive_seconds,
            end=self._retire,
            loaded_at=asyncio.get_running_loop().time(),
            is_pinned=not self._pinned.isdisjoint({model.digest, model.name}),
        )

    def _note_failure(self, model: StoredModel, error: BaseException, revision: int) -> None:
        if isinstance(error, Exception) and not isinstance(error, OverloadedError):
            now = asyncio.get_running_loop().time()
            self._cooldown.note_failure(model.digest, now=now, revision=revision)

    def _enter(self, resident: Residency) -> Residency | None:
        """Put a loaded model into service; give the one whose place it takes."""
        old = self._residents.get(resident.model.digest)
        self._residents[resident.model.digest] = resident
        self._running.add(resident)
        resident.loaded.claim.tenant = resident
        self._tasks.start(self._watch(resident), name=f"watch {resident.model.name.display}")
        self._start_clock(resident, max(self._keep_alive_seconds, CLAIM_SECONDS))
        return old

    async def _watch(self, resident: Residency) -> None:
        """Hand out what the worker sends until it ends, and then give back what it had."""
        await resident.worker.listen()
        model = resident.model
        has_died = self._residents.get(model.digest) is resident
        if has_died:
            self._restarts.note_death(model.digest, now=asyncio.get_running_loop().time())
            self._take_out(resident, "died")
            worker = resident.worker
            how = await worker.end_words()
            logger.error("the worker of {} died (pid {}): {}", model.name.display, worker.pid, how)
        await self._end(resident, resident.retired_for or "died")
        if has_died and resident.is_pinned:
            with suppress(HomeportError):  # told already, and tried again by the next request
                await self._resident(model, resident.context_length)

    def _start_clock(self, resident: Residency, seconds: float) -> None:
        """Let an idle model leave after some time, or at once when it is out of service."""
        if resident.users:
            return
        self._room.tell()
        if resident.retired_for is not None:
            self._let_go(resident, resident.retired_for)
        elif not math.isinf(seconds) and not resident.is_pinned:
            loop = asyncio.get_running_loop()
            resident.stop_clock()
            resident.expires_at = loop.time() + seconds
            resident.timer = loop.call_at(resident.expires_at, self._expire, resident)

    def _expire(self, resident: Residency) -> None:
        if not resident.users and self._residents.get(resident.model.digest) is resident:
            self._let_go(resident, "expired")

    def _let_go(self, resident: Residency, reason: str) -> None:
        self._take_out(resident, reason)
        self._tasks.start(self._end(resident, reason), name=f"unload {resident.model.name.display}")

    async def _retire(self, resident: Residency, reason: str) -> None:
        """Take a model out of service; its running requests finish first."""
        self._take_out(resident, reason)
        if not resident.users:
            await self._end(resident, reason)

    def _take_out(self, resident: Residency, reason: str) -> None:
        if self._residents.get(resident.model.digest) is resident:
            del self._residents[resident.model.digest]
        resident.retired_for = reason

    async def _end(self, resident: Residency, reason: str) -> None:
        resident.stop_clock()
        await resident.worker.close()
        if resident not in self._running:
            return
        self._running.discard(resident)
        name = resident.model.name.display
        logger.info("unloaded {} ({})", name, reason)
        self._emit(ModelUnloaded(model=name, backend=self._backend, reason=reason))
        await self._loader.note(resident.loaded)


def _as_load_error(model: StoredModel, error: BaseException) -> HomeportError:
    """Tell those who wait what became of a load, whatever it was."""
    if isinstance(error, HomeportError):
        return error
    if isinstance(error, Exception):
        logger.opt(exception=error).error("loading {} failed", model.name.display)
        return LoadError(f"loading {model.name.display} failed: {type(error).__name__}: {error}")
    return LoadError(f"loading {model.name.display} was given up, the host is closing")
