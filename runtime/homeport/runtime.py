"""The one owner of all state: builds every room of the house and closes it again."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import attrs
from loguru import logger

from homeport.config.loading import plugin_config
from homeport.config.settings import Settings
from homeport.config.structuring import unstructure
from homeport.domain.errors import ConfigError, ModelNotFoundError
from homeport.domain.models import ResidentModel
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
from homeport.models.store import ModelStore
from homeport.plugin.imports import import_object, reference_to
from homeport.plugin.manager import load_plugins
from homeport.plugin.protocols import Backend
from homeport.plugin.records import BackendKind, BackendSpec, Record
from homeport.plugin.registry import PluginRegistry, Registered, chosen

RecordT = TypeVar("RecordT", bound=Record)

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
    _backends: Mapping[str, Backend]
    _store: ModelStore
    _aliases: AliasTable
    _puller: Puller

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, *, plugins: Mapping[str, object] | None = None
    ) -> "AsyncIterator[Runtime]":
        """Build everything, and close it at the end.

        Args:
            settings: Of this homeport.
            plugins: Plugin objects by name, besides the installed ones.

        Raises:
            PluginError: Plugins that cannot live together.
            ConfigError: A setting that names what does not exist.
        """
        registry = load_plugins(settings, plugins)
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(BackgroundTasks())
            builder = _Builder(settings, registry, tasks)
            bus = EventBus(builder.build_all(registry.monitors))
            tasks.start(bus.run(), name="event bus")
            backends = builder.backends(bus)
            for backend in backends.values():
                stack.push_async_callback(backend.aclose)
            puller = builder.puller()
            stack.push_async_callback(puller.aclose)
            yield builder.runtime(cls, backends, bus, puller)

    def residents(self) -> tuple[ResidentModel, ...]:
        """List the models in memory."""
        local = [backend for backend in self._backends.values() if isinstance(backend, LocalBackend)]
        return tuple(resident for backend in local for resident in backend.residents())

    def pull(self, name: str, *, force: bool = False) -> AsyncIterator[PullProgress]:
        """Install a model.

        Args:
            name: As users type it.
            force: Fetch it again although it is there.

        Raises:
            PullError: It could not be found, fetched or converted.
        """
        return self._puller.pull(name, force=force)

    async def remove(self, name: str) -> None:
        """Unload and uninstall a model.

        Raises:
            ModelNotFoundError: It is not installed.
        """
        stored = self._aliases.canonical(ModelName.parse(name))
        try:
            await self.gateway.unload(name)
        except ModelNotFoundError:
            logger.debug("{} is in no catalogue; the store may still know a damaged one", name)
        await asyncio.to_thread(self._store.delete, stored)


class _Builder:
    """Turns records into objects, in the order in which they need each other."""

    def __init__(self, settings: Settings, registry: PluginRegistry, tasks: BackgroundTasks) -> None:
        self._settings = settings
        self._registry = registry
        self._tasks = tasks
        self._store = ModelStore(settings.home / "models")
        own_aliases = settings.home / ALIASES_FILE
        self._aliases = AliasTable.load(own_aliases if own_aliases.is_file() else None)

    def runtime(
        self, cls: type[Runtime], backends: Mapping[str, Backend], bus: EventBus, puller: Puller
    ) -> Runtime:
        catalog = Catalog(backends, self._aliases)
        return cls(
            settings=self._settings,
            registry=self._registry,
            catalog=catalog,
            gateway=self._gateway(catalog, backends, bus),
            started_at=time.monotonic(),
            backends=backends,
            store=self._store,
            aliases=self._aliases,
            puller=puller,
        )

    def backends(self, bus: EventBus) -> dict[str, Backend]:
        """Build all usable backends, the preferred local one first."""
        preferred = self._settings.models.backend
        usable = dict(self._usable(self._registry.backends))
        if preferred is not None and preferred not in usable:
            allowed = ", ".join(usable) or "none is usable"
            message = f"$.models.backend: no usable backend {preferred!r}; known: {allowed}"
            raise ConfigError(message, hint="Run: homeport plugins")
        names = sorted(usable, key=lambda name: (name != preferred, name))
        return {name: self._backend(usable[name].record, bus) for name in names}

    def build_all(self, known: Mapping[str, Registered[RecordT]]) -> list[tuple[str, Any]]:
        """Build every usable record of a kind."""
        return [(name, self._build(entry.record)) for name, entry in self._usable(known)]

    def _usable(self, known: Mapping[str, Registered[RecordT]]) -> list[tuple[str, Registered[RecordT]]]:
        for name, entry in known.items():
            if entry.missing:
                logger.warning(
                    "{} is not used, it needs {}: {}", name, ", ".join(entry.missing), entry.remedy
                )
        return [(name, entry) for name, entry in known.items() if not entry.missing]

    def _backend(self, record: BackendSpec, bus: EventBus) -> Backend:
        if record.kind is BackendKind.REMOTE:
            backend: Backend = self._build(record)
            return backend
        recipe = WorkerRecipe(
            backend=record.name,
            factory=record.factory,
            config_class=None if record.config is None else reference_to(record.config),
            config=self._plain_config(record),
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
        gateway = self._settings.gateway
        routers = chosen("routers", gateway.routers, self._registry.routers)
        validators = chosen("validators", gateway.validators, self._registry.validators)
        return Gateway(
            catalog=catalog,
            backends=backends,
            admission=Admission(gateway.max_requests),
            routing=Routing([(entry.record.name, self._build(entry.record)) for entry in routers]),
            guards=[guard for _, guard in self.build_all(self._registry.guards)],
            validation=Validation([(entry.record.name, self._build(entry.record)) for entry in validators]),
            bus=bus,
        )

    def puller(self) -> Puller:
        """Build the puller with every usable source."""
        sources = {}
        for name, entry in self._usable(self._registry.model_sources):
            config = self._config(entry.record)
            sources[name] = PullSource(
                source=import_object(entry.record.factory)(*config),
                factory=entry.record.factory,
                config=config[0] if config else None,
            )
        return Puller(self._store, self._aliases, sources)

    def _build(self, record: Record) -> Any:  # noqa: ANN401 - what the record's kind promises
        return import_object(record.factory)(*self._config(record))

    def _config(self, record: Record) -> tuple[Any, ...]:
        if record.config is None:
            return ()
        return (plugin_config(self._settings, record.name, record.config),)

    def _plain_config(self, record: Record) -> dict[str, Any]:
        config = self._config(record)
        return unstructure(config[0]) if config else {}
