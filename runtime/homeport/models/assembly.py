"""All about models, from records to objects: where they lie, how they come there, and who runs them."""

from collections.abc import Callable, Mapping

import attrs
from loguru import logger

from homeport.config.settings import Settings
from homeport.config.structuring import unstructure
from homeport.domain.errors import ConfigError, StoreError
from homeport.domain.events import Event
from homeport.domain.quantisation import Quantisation, WeightsWish
from homeport.models.aliases import AliasTable
from homeport.models.background import BackgroundTasks
from homeport.models.blobs import Blobs
from homeport.models.build_recipe import BuildRecipe
from homeport.models.creation import Creator
from homeport.models.loader import WorkerRecipe
from homeport.models.local import LocalBackend
from homeport.models.manager import ModelManager
from homeport.models.measurements import Measurements
from homeport.models.names import ModelName
from homeport.models.pressure import Pressure
from homeport.models.pull import Puller, PullSource
from homeport.models.remote import RemoteBackend
from homeport.models.room import Room
from homeport.models.shelves import Shelves
from homeport.models.store import ModelStore
from homeport.models.workshop import Workshop
from homeport.plugin.construction import Construction
from homeport.plugin.imports import reference_to
from homeport.plugin.protocols import Backend, Shelf
from homeport.plugin.records import BackendKind, BackendSpec, Record, StoredForm
from homeport.plugin.registry import PluginRegistry, Registered
from homeport.worker.spare import SpareWorker

ALIASES_FILE = "aliases.toml"
MEASUREMENTS_FILE = "footprints.json"
_SPARE_SECONDS = 60.0
"""So long a process waits for the first model; it holds 50 to 70 MB."""


class ModelsAssembly:
    """Builds backends, and what installs models for them, in the order in which they need each other.

    Attributes:
        store: Where models lie.
        aliases: What short names mean.
        local: Backends that load models, by name, as they were built.
        pressure: How short of memory the system is.
        room: Memory that they share.

    Args:
        settings: Of this homeport.
        registry: What plugins declared.
        tasks: Runs what goes on beside requests.
        construction: Builds what records name.
        spare: A worker process that the first model may have.
    """

    def __init__(
        self,
        settings: Settings,
        registry: PluginRegistry,
        tasks: BackgroundTasks,
        construction: Construction,
        spare: SpareWorker | None = None,
    ) -> None:
        self._spare = spare
        self._settings = settings
        self._registry = registry
        self._tasks = tasks
        self._construction = construction
        self.store = ModelStore(settings.home / "models")
        own_aliases = settings.home / ALIASES_FILE
        self.aliases = AliasTable.load(own_aliases if own_aliases.is_file() else None)
        self.local: dict[str, LocalBackend] = {}
        self.pressure = Pressure()
        self.room = Room(settings.models, may_evict=lambda: not self.pressure.is_tight)
        self._served: frozenset[StoredForm] = frozenset()
        self._shelves: Shelves | None = None
        self._measurements = Measurements(settings.home / MEASUREMENTS_FILE)

    def is_installed(self, name: ModelName) -> bool:
        """Say whether a model is there and sound; blocks."""
        try:
            return self.store.find(name) is not None
        except StoreError:
            return False

    def workshop(self) -> Workshop | None:
        """Build what builds models for the backend that serves them; None where it loads them as they are.

        Raises:
            ConfigError: The preferred backend is none, or its settings are wrong.
        """
        records = (entry.record for entry in self._usable_backends().values())
        local = (each for each in records if each.kind is BackendKind.LOCAL)
        record = next((each for each in local if StoredForm.SAFETENSORS in each.reads), None)
        recipe = None if record is None else BuildRecipe.of(record, self._config(record))
        return None if recipe is None else Workshop(recipe, self.store)

    def puller(self, workshop: Workshop | None) -> Puller:
        """Build the puller with every usable source, and know the shelves among these."""
        sources = {}
        for name, source in self._construction.build_all("model_sources").items():
            record = self._registry.model_sources[name].record
            sources[name] = PullSource(source=source, factory=record.factory, config=self._config(record))
        quantisation = Quantisation(self._settings.models.quant)
        puller = Puller(
            self.store, self.aliases, sources, quantisation, workshop=workshop, forms=self._loaded_forms()
        )
        shelves = {name: each.source for name, each in sources.items() if isinstance(each.source, Shelf)}
        self._shelves = Shelves(shelves, puller, self._tasks) if shelves else None
        return puller

    def backends(self, emit: Callable[[Event], None], workshop: Workshop | None) -> dict[str, Backend]:
        """Build all usable backends in order; a stored model is served by the first that can load it.

        Args:
            emit: Told what happens to models.
            workshop: Of the backend that serves safetensors.

        Raises:
            ConfigError: The preferred backend is none, or settings of one are wrong.
        """
        built: dict[str, Backend] = {}
        for registered in self._usable_backends().values():
            if registered.record.kind is BackendKind.LOCAL:
                local = self._local_backend(registered.record, emit, workshop)
                self.local[registered.record.name] = built[registered.record.name] = local
            else:
                built.update(self._remote_backends(registered))
        if not self.local:
            logger.warning("no backend can run installed models; see what is missing with: homeport plugins")
        if self._spare is not None:
            self._prepare(self._spare)
        return built

    def blobs(self) -> Blobs:
        """Open the folder of uploads."""
        return Blobs(self.store.root / "blobs", self._settings.server.max_blob_bytes)

    def creator(self, puller: Puller, blobs: Blobs, workshop: Workshop | None) -> Creator:
        """Build what makes models."""
        usual = WeightsWish(Quantisation(self._settings.models.quant))
        return Creator(self.store, blobs, self.aliases, puller.pull, usual, workshop=workshop)

    def _loaded_forms(self) -> frozenset[StoredForm]:
        """Say what can be pulled: what a backend loads, and safetensors, for backends to come."""
        records = (entry.record for entry in self._usable_backends().values())
        local = (each.reads for each in records if each.kind is BackendKind.LOCAL)
        return frozenset({StoredForm.SAFETENSORS}).union(*local)

    def _usable_backends(self) -> dict[str, Registered[BackendSpec]]:
        """List them: the preferred, local ones, first of them those that need no build, then others."""
        preferred = self._settings.models.backend
        usable = self._construction.usable("backends")
        if preferred is not None and preferred not in usable:
            allowed = ", ".join(usable) or "none is usable"
            message = f"$.models.backend: no usable backend {preferred!r}; known: {allowed}"
            raise ConfigError(message, hint="Run: homeport plugins")

        def rank(name: str) -> tuple[bool, bool, bool, str]:
            record = usable[name].record
            is_remote = record.kind is BackendKind.REMOTE
            return name != preferred, is_remote, record.builder is not None, name

        return {name: usable[name] for name in sorted(usable, key=rank)}

    def _remote_backends(self, registered: Registered[BackendSpec]) -> Mapping[str, Backend]:
        """Build the backends of one record: none where it cannot be built or its settings leave it off."""
        name = registered.record.name
        remote = self._construction.attempt(f"backends:{name}", registered)
        if remote is None:
            return {}
        named = (
            {f"{name}-{key}": each for key, each in remote.items()}
            if registered.record.is_many
            else {name: remote}
        )
        return {each: RemoteBackend(each, backend) for each, backend in named.items()}

    def _prepare(self, spare: SpareWorker) -> None:
        """Let the spare worker get ready for the first backend that loads models, for a time."""
        first = next(iter(self.local), None)
        if first is not None:
            spare.prepare(self._registry.backends[first].record.factory)
        seconds = 0 if first is None else _SPARE_SECONDS
        self._tasks.start(spare.expire(seconds), name="end of the spare worker")

    def _local_backend(
        self, record: BackendSpec, emit: Callable[[Event], None], workshop: Workshop | None
    ) -> LocalBackend:
        config = self._config(record)
        recipe = WorkerRecipe(
            backend=record.name,
            factory=record.factory,
            config_class=None if record.config is None else reference_to(record.config),
            config={} if config is None else unstructure(config),
            log_level=self._settings.log.level,
        )
        forms = record.reads - self._served
        self._served |= forms
        serves_stored = StoredForm.SAFETENSORS in forms
        manager = ModelManager(
            recipe=recipe,
            store=self.store,
            settings=self._settings.models,
            room=self.room,
            measurements=self._measurements,
            tasks=self._tasks,
            emit=emit,
            workshop=workshop if serves_stored else None,
            spare=self._spare,
        )
        return LocalBackend(
            record.name,
            self.store,
            manager,
            forms=forms,
            slots=self._settings.models.slots,
            shelves=self._shelves if serves_stored else None,
        )

    def _config(self, record: Record) -> attrs.AttrsInstance | None:
        """Give the settings of a record; None where it has none."""
        return next(iter(self._construction.config(record)), None)
