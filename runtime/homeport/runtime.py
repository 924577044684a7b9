"""The one owner of all state: builds every room of the house and closes it again."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
from loguru import logger

from homeport.config.loading import LoadedSettings
from homeport.config.settings import Settings
from homeport.domain.errors import ConfigError, LoadError, ModelNotFoundError, StoreError
from homeport.domain.models import ModelInfo, ResidentModel
from homeport.domain.quantisation import Quantisation
from homeport.gateway.assembly import GatewayAssembly
from homeport.gateway.checking import all_faults
from homeport.gateway.events import EventBus
from homeport.gateway.pipeline import Gateway
from homeport.gateway.routing.standings import Standings
from homeport.models.aliases import AliasTable
from homeport.models.assembly import ModelsAssembly
from homeport.models.background import BackgroundTasks
from homeport.models.blobs import Blobs
from homeport.models.catalog import Catalog
from homeport.models.creation import Creation, Creator
from homeport.models.flight import PullProgress
from homeport.models.local import LocalBackend
from homeport.models.names import ModelName
from homeport.models.preload import Preload
from homeport.models.pressure import Pressure, relieve
from homeport.models.pull import Puller
from homeport.models.store import ModelStore
from homeport.models.store_faults import store_writing
from homeport.models.workshop import Workshop
from homeport.plugin.construction import Construction
from homeport.plugin.manager import load_plugins
from homeport.plugin.protocols import Backend, Monitor, Route
from homeport.plugin.registry import PluginRegistry
from homeport.reload import Reloadable, SettingsReload
from homeport.worker.spare import SpareWorker

STANDINGS_FILE = "standings.json"


@attrs.frozen(kw_only=True)
class Runtime:
    """A running homeport; open it with :meth:`open`.

    Attributes:
        settings: As loaded.
        registry: Plugins and what they declared.
        catalog: All models.
        gateway: Serves requests.
        backends: All that were built, by name.
        routes: Routes that plugins add to the HTTP API, by name.
        pressure: How short of memory the system is.
        events: Tells what happens.
        reload: Reads the settings anew.
        blobs: Uploaded files.
        started_at: On the monotonic clock, in seconds.
    """

    settings: Settings
    registry: PluginRegistry
    catalog: Catalog
    gateway: Gateway
    backends: Mapping[str, Backend]
    routes: Mapping[str, Route]
    pressure: Pressure
    events: EventBus
    reload: SettingsReload
    blobs: Blobs
    started_at: float
    _preload: Preload
    _local: Mapping[str, LocalBackend]
    _store: ModelStore
    _aliases: AliasTable
    _puller: Puller
    _creator: Creator
    _workshop: Workshop | None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        plugins: Mapping[str, object] | None = None,
        origins: Mapping[str, str] | None = None,
        load: Callable[[], LoadedSettings] | None = None,
        sweeps_builds: bool = False,
        spare: SpareWorker | None = None,
    ) -> AsyncIterator["Runtime"]:
        """Build everything, and close it at the end.

        Args:
            settings: Of this homeport.
            plugins: Plugin objects by name, besides the installed ones.
            origins: Place of each setting by its dotted path, for messages.
            load: Reads the settings anew, where they can be; may block.
            sweeps_builds: Whether builds of other settings than these are removed: the business of a host
                that stays, not of one for a single command.
            spare: A worker process that the first model may have; its owner closes it.

        Raises:
            PluginError: Plugins that cannot live together.
            ConfigError: A setting that names what does not exist, one line per fault.
        """
        origins = origins or {}
        registry = load_plugins(settings, plugins)
        faults = all_faults(settings, registry, origins)
        if faults:
            raise ConfigError("\n".join(faults))
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(BackgroundTasks())
            construction = Construction(settings, registry, origins)
            stack.push_async_callback(construction.aclose)
            builder = _Builder(settings, registry, tasks, construction, load=load, spare=spare)
            bus = EventBus(builder.monitors())
            tasks.start(bus.run(), name="event bus")
            workshop = builder.models.workshop()
            puller = builder.models.puller(workshop)
            backends = builder.models.backends(bus.emit, workshop)
            for backend in backends.values():
                stack.push_async_callback(backend.aclose)
            standings = await asyncio.to_thread(Standings.load, settings.home / STANDINGS_FILE)
            stack.push_async_callback(standings.flush)
            tasks.start(standings.run(), name="standings")
            if workshop is not None:
                stack.push_async_callback(workshop.aclose)
                if sweeps_builds:
                    tasks.start(workshop.sweep(), name="sweep of builds")
            stack.push_async_callback(puller.aclose)
            blobs = builder.models.blobs()
            tasks.start(blobs.keep_swept(), name="sweep of uploads")
            creator = builder.models.creator(puller, blobs, workshop)
            stack.push_async_callback(creator.aclose)
            # The last to come is the first to go: copies settle with guards that are open.
            copies = await stack.enter_async_context(BackgroundTasks())
            yield builder.runtime(
                cls,
                backends,
                bus,
                puller=puller,
                creator=creator,
                workshop=workshop,
                standings=standings,
                copies=copies,
            )

    @property
    def is_ready(self) -> bool:
        """Whether the models are loaded that the settings want loaded at the start, or could not be."""
        return self._preload.is_done

    def residents(self) -> tuple[ResidentModel, ...]:
        """List the models in memory."""
        return tuple(resident for backend in self._local.values() for resident in backend.residents())

    def pull(
        self, name: str, *, force: bool = False, quantisation: Quantisation | None = None
    ) -> AsyncGenerator[PullProgress, None]:
        """Install a model.

        Args:
            name: As users type it.
            force: Fetch it again although it is there.
            quantisation: What to make of its weights; None is what the settings say.

        Raises:
            PullError: It could not be found, fetched or converted.
        """
        return self._puller.pull(name, force=force, quantisation=quantisation)

    async def build_progress(self, model: ModelInfo) -> PullProgress | None:
        """Say how far the build is that a model awaits; None where none is at work."""
        if self._workshop is None or not model.awaits_build:
            return None
        try:
            stored = await asyncio.to_thread(self._store.find, ModelName.parse(model.name))
        except StoreError:
            return None
        return None if stored is None else self._workshop.progress(stored)

    async def create(self, creation: Creation) -> AsyncGenerator[PullProgress, None]:
        """Begin to make a model; what comes back tells how far it is, and cancels the work when closed.

        Raises:
            InvalidRequestError: It cannot be made as asked, which is known before it begins.
        """
        await self._creator.check(creation)
        return self._creator.create(creation)

    async def copy(self, source: str, destination: ModelName) -> None:
        """Give a model a further name; one that lies on a shelf is installed first.

        Raises:
            ModelNotFoundError: It is not here.
            PullError: It could not be installed.
        """
        model = await asyncio.to_thread(self._creator.find, source)
        if model is None:
            offered = [each.model for each in await self.catalog.candidates(source)]
            shelved = next((each.name for each in offered if each.origin), None)
            if shelved is not None:
                async for _ in self.pull(shelved):
                    pass
                model = await asyncio.to_thread(self._creator.find, shelved)
        if model is None:
            raise ModelNotFoundError(source, hint=await self._place(source))
        if model.name != destination:
            with store_writing(f"naming {destination.display}"):
                await asyncio.to_thread(self._store.give_name, model, destination)

    async def remove(self, name: str) -> None:
        """Uninstall a model; it leaves the memory with its last name.

        Raises:
            ModelNotFoundError: It is not installed.
        """
        wanted = ModelName.parse(name)
        is_own = await asyncio.to_thread(self._store.has, wanted)
        stored = wanted if is_own else self._aliases.canonical(wanted)
        if not await asyncio.to_thread(self._store.has_further_names, stored):
            await self._unload(name)
        try:
            with store_writing(f"removing {stored.display}"):
                await asyncio.to_thread(self._store.delete, stored)
        except ModelNotFoundError as error:
            raise ModelNotFoundError(name, hint=await self._place(name)) from error

    async def _place(self, name: str) -> str | None:
        """Say whose a model is that is not in the store; None where it is nobody's."""
        found = self.catalog.among(await self.catalog.offers(), name)
        places = [each.model.origin or each.backend for each in found]
        return f"it is not in homeport's own folder: it belongs to {places[0]}" if places else None

    async def _unload(self, name: str) -> None:
        try:
            for each in await self.catalog.candidates(name):
                if each.backend in self._local:
                    await self._local[each.backend].unload(each.model.name)
        except (ModelNotFoundError, LoadError) as error:
            logger.debug("{} cannot be unloaded; the store may still know a damaged one: {}", name, error)


class _Builder:
    """Turns records into objects, in the order in which they need each other."""

    def __init__(
        self,
        settings: Settings,
        registry: PluginRegistry,
        tasks: BackgroundTasks,
        construction: Construction,
        *,
        load: Callable[[], LoadedSettings] | None,
        spare: SpareWorker | None,
    ) -> None:
        self._settings = settings
        self._load = load
        self._registry = registry
        self._tasks = tasks
        self._construction = construction
        self.models = ModelsAssembly(settings, registry, tasks, construction, spare)

    def runtime(
        self,
        cls: type[Runtime],
        backends: Mapping[str, Backend],
        bus: EventBus,
        *,
        puller: Puller,
        creator: Creator,
        workshop: Workshop | None,
        standings: Standings,
        copies: BackgroundTasks,
    ) -> Runtime:
        parts = self.models
        catalog = Catalog(backends, parts.aliases, parts.is_installed)
        assembly = GatewayAssembly(
            catalog=catalog,
            backends=backends,
            local=parts.local,
            standings=standings,
            bus=bus,
            tasks=copies,
            is_strained=lambda: parts.pressure.is_severe,
            chance=random.Random(),  # noqa: S311 - shares of traffic and delays are no secret
        )
        gateway = assembly.gateway(self._settings, self._construction)
        routes = self._construction.build_all("routes")
        reloadable = Reloadable(
            registry=self._registry,
            construction=self._construction,
            assembly=assembly,
            gateway=gateway,
            local=parts.local,
            room=parts.room,
        )
        models = self._settings.models
        preload = Preload(catalog, parts.local, pinned=models.pin, others=models.preload)
        self._tasks.start(preload.run(), name="preload")
        self._tasks.start(relieve(parts.pressure, parts.room), name="memory pressure")
        return cls(
            settings=self._settings,
            registry=self._construction.registry,
            catalog=catalog,
            gateway=gateway,
            backends=backends,
            routes=routes,
            pressure=parts.pressure,
            events=bus,
            reload=SettingsReload(self._load, self._settings, reloadable),
            started_at=time.monotonic(),
            preload=preload,
            local=parts.local,
            store=parts.store,
            aliases=parts.aliases,
            puller=puller,
            blobs=creator.blobs,
            creator=creator,
            workshop=workshop,
        )

    def monitors(self) -> list[tuple[str, Monitor]]:
        """Build every usable monitor."""
        return list(self._construction.build_all("monitors").items())
