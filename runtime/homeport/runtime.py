"""The one owner of all state: builds every room of the house and closes it again."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
from loguru import logger

from homeport.config.settings import Settings
from homeport.config.structuring import unstructure
from homeport.domain.errors import ConfigError, LoadError, ModelNotFoundError, StoreError
from homeport.domain.models import ResidentModel
from homeport.domain.quantisation import Quantisation
from homeport.gateway.admission import Admission
from homeport.gateway.events import EventBus
from homeport.gateway.pipeline import Gateway
from homeport.gateway.routing import Routing
from homeport.gateway.validation import Validation
from homeport.models.aliases import AliasTable
from homeport.models.background import BackgroundTasks
from homeport.models.catalog import Catalog
from homeport.models.flight import PullProgress
from homeport.models.local import LocalBackend
from homeport.models.manager import ModelManager, WorkerRecipe
from homeport.models.names import ModelName
from homeport.models.pull import Puller, PullSource
from homeport.models.remote import RemoteBackend
from homeport.models.store import ModelStore
from homeport.plugin.construction import Construction
from homeport.plugin.imports import reference_to
from homeport.plugin.manager import load_plugins
from homeport.plugin.protocols import Backend, Guard, Monitor
from homeport.plugin.records import BackendKind, BackendSpec
from homeport.plugin.registry import PluginRegistry, Registered, chosen
from homeport.plugin.tables import table_faults

ALIASES_FILE = "aliases.toml"


@attrs.frozen(kw_only=True)
class Runtime:
    """A running homeport; open it with :meth:`open`.

    Attributes:
        settings: As loaded.
        registry: Plugins and what they declared.
        catalog: All models.
        gateway: Serves requests.
        started_at: On the monotonic clock, in seconds.
    """

    settings: Settings
    registry: PluginRegistry
    catalog: Catalog
    gateway: Gateway
    started_at: float
    _local: Mapping[str, LocalBackend]
    _store: ModelStore
    _aliases: AliasTable
    _puller: Puller

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        plugins: Mapping[str, object] | None = None,
        origins: Mapping[str, str] | None = None,
    ) -> AsyncIterator["Runtime"]:
        """Build everything, and close it at the end.

        Args:
            settings: Of this homeport.
            plugins: Plugin objects by name, besides the installed ones.
            origins: Place of each setting by its dotted path, for messages.

        Raises:
            PluginError: Plugins that cannot live together.
            ConfigError: A setting that names what does not exist, one line per fault.
        """
        origins = origins or {}
        registry = load_plugins(settings, plugins)
        faults = tuple(table_faults(settings, registry, origins))
        if faults:
            raise ConfigError("\n".join(faults))
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(BackgroundTasks())
            builder = _Builder(settings, registry, tasks, Construction(settings, registry, origins))
            bus = EventBus(builder.monitors())
            tasks.start(bus.run(), name="event bus")
            backends = builder.backends(bus)
            for backend in backends.values():
                stack.push_async_callback(backend.aclose)
            puller = builder.puller()
            stack.push_async_callback(puller.aclose)
            yield builder.runtime(cls, backends, bus, puller)

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

    async def remove(self, name: str) -> None:
        """Unload and uninstall a model.

        Raises:
            ModelNotFoundError: It is not installed.
        """
        stored = self._aliases.canonical(ModelName.parse(name))
        try:
            await self.gateway.unload(name)
        except (ModelNotFoundError, LoadError) as error:
            logger.debug("{} cannot be unloaded; the store may still know a damaged one: {}", name, error)
        await asyncio.to_thread(self._store.delete, stored)


class _Builder:
    """Turns records into objects, in the order in which they need each other."""

    def __init__(
        self, settings: Settings, registry: PluginRegistry, tasks: BackgroundTasks, construction: Construction
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._tasks = tasks
        self._construction = construction
        self._store = ModelStore(settings.home / "models")
        own_aliases = settings.home / ALIASES_FILE
        self._aliases = AliasTable.load(own_aliases if own_aliases.is_file() else None)
        self._local: dict[str, LocalBackend] = {}

    def runtime(
        self, cls: type[Runtime], backends: Mapping[str, Backend], bus: EventBus, puller: Puller
    ) -> Runtime:
        catalog = Catalog(backends, self._aliases, self._is_installed)
        gateway = self._gateway(catalog, backends, bus)
        return cls(
            settings=self._settings,
            registry=self._construction.registry,
            catalog=catalog,
            gateway=gateway,
            started_at=time.monotonic(),
            local=self._local,
            store=self._store,
            aliases=self._aliases,
            puller=puller,
        )

    def _is_installed(self, name: ModelName) -> bool:
        try:
            return self._store.find(name) is not None
        except StoreError:
            return False

    def monitors(self) -> list[tuple[str, Monitor]]:
        """Build every usable monitor."""
        return list(self._construction.build_all("monitors").items())

    def backends(self, bus: EventBus) -> dict[str, Backend]:
        """Build all usable backends, the preferred local one first."""
        preferred = self._settings.models.backend
        usable = self._construction.usable("backends")
        if preferred is not None and preferred not in usable:
            allowed = ", ".join(usable) or "none is usable"
            message = f"$.models.backend: no usable backend {preferred!r}; known: {allowed}"
            raise ConfigError(message, hint="Run: homeport plugins")
        built: dict[str, Backend] = {}
        for name in sorted(usable, key=lambda name: (name != preferred, name)):
            backend = self._backend(usable[name], bus)
            if backend is not None:
                built[name] = backend
        if not self._local:
            logger.warning("no backend can run installed models; see what is missing with: homeport plugins")
        return built

    def _backend(self, registered: Registered[BackendSpec], bus: EventBus) -> Backend | None:
        name = registered.record.name
        if registered.record.kind is BackendKind.LOCAL:
            self._local[name] = self._local_backend(registered.record, bus)
            return self._local[name]
        remote = self._construction.attempt(f"backends:{name}", registered)
        return None if remote is None else RemoteBackend(name, remote)

    def _local_backend(self, record: BackendSpec, bus: EventBus) -> LocalBackend:
        config = self._construction.config(record)
        recipe = WorkerRecipe(
            backend=record.name,
            factory=record.factory,
            config_class=None if record.config is None else reference_to(record.config),
            config=unstructure(config[0]) if config else {},
            log_level=self._settings.log.level,
        )
        manager = ModelManager(
            recipe=recipe,
            store=self._store,
            settings=self._settings.models,
            tasks=self._tasks,
            emit=bus.emit,
        )
        return LocalBackend(record.name, self._store, manager)

    def _gateway(self, catalog: Catalog, backends: Mapping[str, Backend], bus: EventBus) -> Gateway:
        settings = self._settings.gateway
        return Gateway(
            catalog=catalog,
            backends=backends,
            local=self._local,
            admission=Admission(settings.max_requests),
            routing=Routing(self._chosen("routers", settings.routers)),
            guards=self._guards(),
            validation=Validation(self._chosen("validators", settings.validators)),
            bus=bus,
        )

    def _guards(self) -> list[Guard]:
        """Build every guard: without one that cannot be built, what it forbids would be allowed."""
        return [guard for _, guard in self._chosen("guards", tuple(self._registry.guards))]

    def _chosen(self, kind: str, names: tuple[str, ...]) -> list[tuple[str, Any]]:
        """Build what a setting lists; nothing that the user asked for is left out."""
        return [
            (entry.record.name, self._construction.build(f"{kind}:{entry.record.name}", entry))
            for entry in chosen(kind, names, getattr(self._registry, kind))
        ]

    def puller(self) -> Puller:
        """Build the puller with every usable source."""
        sources = {}
        for name, source in self._construction.build_all("model_sources").items():
            record = self._registry.model_sources[name].record
            config = self._construction.config(record)
            sources[name] = PullSource(
                source=source, factory=record.factory, config=config[0] if config else None
            )
        quantisation = Quantisation(self._settings.models.quant)
        return Puller(self._store, self._aliases, sources, quantisation)
