"""Where models are built for the backend that serves them: once for all who ask, before the first load."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from functools import partial

from loguru import logger

from homeport.domain.errors import HomeportError, LoadError, PullError, StoreError
from homeport.models.background import uninterrupted
from homeport.models.build_job import BuildStep, build_model
from homeport.models.build_recipe import BuildRecipe, source_of
from homeport.models.build_record import Build, BuildRecord
from homeport.models.cooldown import Cooldown
from homeport.models.flight import Flight, Flights, PullProgress
from homeport.models.job_process import JobFaultError, JobKilledError
from homeport.models.job_reports import Stage
from homeport.models.store import ModelStore
from homeport.models.store_faults import store_writing
from homeport.models.stored_model import StoredModel
from homeport.plugin.model_builder import BuildPlan
from homeport.plugin.records import StoredForm
from homeport.worker.cores import usable_cores

_BUILD_FOLDER = "build"
_INSTALLED_HINT = "It stays installed: another setting of the backend, or another backend, may serve it"
_WISH = BuildPlan()
"""What is wanted of every build of the store: the backend's settings decide."""


class BuildError(LoadError):
    """A model that its backend cannot build; the hint is a command."""

    code = "build_failed"
    has_public_hint = True


class BuildKilledError(BuildError):
    """A model whose building process was killed."""

    code = "build_killed"

    @property
    def public_message(self) -> str:
        """The message: it is made of names only."""
        return self.message


class Workshop:
    """Has models built for one backend; a build goes on when those who asked for it have left.

    Builds are made one after the other, for each takes all cores. Close it.

    Args:
        recipe: Who builds.
        store: Where models are, and builds go.
    """

    def __init__(self, recipe: BuildRecipe, store: ModelStore) -> None:
        self._recipe = recipe
        self._store = store
        self._flights = Flights(goes_on=True)
        self._turn = asyncio.Lock()
        self._cooldown = Cooldown()

    def find(self, model: StoredModel) -> Build | None:
        """Find the build of a model; None where it has none yet, or is loaded as it is stored. Blocks."""
        return self._store.builds.find(self._key(model)) if is_built(model) else None

    def verify(self, build: Build) -> None:
        """Hash all files of a build that is loaded; one that is damaged is removed. Blocks.

        Raises:
            StoreError: It is damaged.
        """
        try:
            self._store.builds.verify(build)
        except HomeportError as error:
            logger.warning("{}; it is made anew", error)
            self._store.drop_build(build.record.key)
            raise
        self._store.builds.note_load(build)

    async def build(self, model: StoredModel) -> Build | None:
        """Give the build of a model, making it where it is missing; None where it is loaded as it is stored.

        Raises:
            LoadError: It cannot be built, or its building process was killed.
            CoolingError: It could not be, a short while ago.
            StoreError: The model is damaged.
        """
        if not is_built(model):
            return None
        found = await asyncio.to_thread(self.find, model)
        if found is not None:
            return found
        name, backend = model.name.display, self._recipe.backend
        now = asyncio.get_running_loop().time()
        self._cooldown.check(name, self._key(model), now=now)
        hint = f"`homeport pull {name}` builds it and tells why"
        try:
            async with aclosing(self.make(model)) as steps:
                async for _ in steps:
                    pass
        except JobKilledError as error:
            raise BuildKilledError(error.message, hint=error.hint) from error
        except PullError as error:
            raise BuildError(error.message, hint=hint) from error
        found = await asyncio.to_thread(self.find, model)
        if found is None:
            raise BuildError(f"the build of {name} for {backend} was removed at once", hint=hint)
        return found

    async def make(self, model: StoredModel, *, anew: bool = False) -> AsyncGenerator[PullProgress, None]:
        """Build a model where that is missing, and tell how far it is; a build at work is joined.

        Args:
            model: Which one.
            anew: Whether a build that is there is replaced; it stays where the new one fails.

        Raises:
            PullError: It cannot be built.
            StoreError: The model is damaged.
        """
        if not is_built(model) or (not anew and await asyncio.to_thread(self.find, model) is not None):
            return
        key = self._key(model)
        following = self._flights.join(key, lambda flight: self._run(model, key, flight, anew=anew))
        async with aclosing(following):
            async for progress in following:
                yield progress

    def progress(self, model: StoredModel) -> PullProgress | None:
        """Say how far the build of a model is; None where none is at work."""
        return self._flights.latest(self._key(model))

    async def sweep(self) -> None:
        """Remove builds of other settings or earlier versions that nobody loaded for a week."""
        try:
            await uninterrupted(
                self._store.sweep_builds, self._recipe.backend, partial(self._recipe.key, plan=_WISH)
            )
        except StoreError as error:
            logger.warning("builds of earlier settings stay on disk: {}", error)

    async def aclose(self) -> None:
        """Stop all builds and wait until they have cleaned up."""
        await self._flights.aclose()

    async def _run(self, model: StoredModel, key: str, flight: Flight, *, anew: bool) -> None:
        name, backend, loop = model.name.display, self._recipe.backend, asyncio.get_running_loop()
        async with self._turn:
            if not anew and await asyncio.to_thread(self._store.builds.find, key) is not None:
                return
            began = loop.time()
            logger.info("building {} for {}", name, backend)
            try:
                await asyncio.to_thread(self._store.verify, model)
                with store_writing(f"building {name}"):
                    build = await self._made(model, key, flight, anew=anew)
            except HomeportError as error:
                self._cooldown.note_failure(key, now=loop.time(), revision=0)
                message = f"{name} cannot be built for {backend}: {error.message}"
                logger.error("{}", message)
                if isinstance(error, PullError):
                    kind = type(error) if isinstance(error, JobFaultError) else PullError
                    raise kind(message, hint=error.hint or _INSTALLED_HINT) from error
                raise
            self._cooldown.note_success(key)
            weights, seconds = build.report.weights, loop.time() - began
            logger.info(
                "built {} for {} in {:.1f} s: {}, {} bytes", name, backend, seconds, weights, build.size_bytes
            )

    async def _made(self, model: StoredModel, key: str, flight: Flight, *, anew: bool) -> Build:
        stack = ExitStack()
        flight.report(self._progress())
        try:
            staging = await uninterrupted(stack.enter_context, self._store.staging())
            staged = staging / _BUILD_FOLDER
            room_bytes = await asyncio.to_thread(self._store.free_bytes)
            plan = BuildPlan(threads=usable_cores(), room_bytes=room_bytes)
            async with aclosing(build_model(self._recipe, model.folder, staged, plan)) as steps:
                async for step in steps:
                    if step.stage is Stage.DONE:
                        record = self._record(model, key, step)
                    elif step.stage is Stage.BUILDING:
                        flight.report(self._progress(step.completed, step.total))
            return await uninterrupted(self._store.place_build, staged, record, replaces=anew)
        finally:
            await uninterrupted(stack.close)

    def _key(self, model: StoredModel) -> str:
        return self._recipe.key(model.manifest.files, _WISH)

    def _progress(self, completed: int = 0, total: int = 0) -> PullProgress:
        status = f"building for {self._recipe.backend}"
        return PullProgress(status=status, total=total or None, completed=completed)

    def _record(self, model: StoredModel, key: str, last: BuildStep) -> BuildRecord:
        """Describe a finished build.

        Raises:
            PullError: Its process said that it is done, and no more.
        """
        if last.report is None:
            raise PullError("the building process was done without a report")
        return BuildRecord(
            key=key,
            source=source_of(model.manifest.files),
            backend=self._recipe.backend,
            builder=self._recipe.builder,
            builder_version=self._recipe.version,
            report=last.report,
            files=last.files,
        )


def is_built(model: StoredModel) -> bool:
    """Say whether a model is built before it is loaded, where there is a workshop."""
    return model.manifest.form is StoredForm.SAFETENSORS
