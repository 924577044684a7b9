import asyncio
import os
from datetime import UTC, datetime

import pytest

from homeport import (
    BackendKind,
    BackendSpec,
    BuildReport,
    ConfigError,
    GuardSpec,
    LoadError,
    ModelInfo,
    ModelNotFoundError,
    ModelSourceSpec,
    PluginError,
    PullError,
    Settings,
    StoredForm,
    hookimpl,
)
from homeport.config.gateway_settings import RouteSettings
from homeport.config.settings import ModelSettings, PluginSettings
from homeport.models.build_recipe import source_of
from homeport.models.build_record import BuildRecord
from homeport.models.names import ModelName
from homeport.models.store import ModelStore
from homeport.runtime import Runtime
from homeport.testing.tiny_model import ChecksumConfig


class Tiny:
    @hookimpl
    def homeport_backends(self):
        factory = "homeport.testing.tiny_model:ChecksumModel"
        yield BackendSpec(name="tiny", kind=BackendKind.LOCAL, factory=factory, config=ChecksumConfig)


class Attic:
    """A source, and the plugin that has it, with one model that lies on this machine."""

    @hookimpl
    def homeport_model_sources(self):
        yield ModelSourceSpec(name="attic", factory=f"{__name__}:Attic")

    def models(self):
        return [
            ModelInfo(
                name="shelved:latest",
                digest="ab" * 32,
                backend="",
                modified_at=datetime(2026, 1, 1, tzinfo=UTC),
                origin="attic",
            )
        ]

    def locate(self, _):
        return None

    def fetch(self, artifact, into, progress):
        raise NotImplementedError


async def test_model_that_was_damaged_meanwhile_can_be_removed(tmp_path, install_tiny):
    """What the catalogue still lists and the store cannot read is removed all the same."""
    model = install_tiny(ModelStore(tmp_path / "models"))
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("tiny",)))
    async with Runtime.open(settings, plugins={"tiny": Tiny()}) as runtime:
        assert [info.name for info in await runtime.catalog.list()] == ["tiny:latest"]
        (model.folder / "config.json").write_text("{}")
        await runtime.remove("tiny")
        assert await runtime.catalog.list() == ()
        with pytest.raises(ModelNotFoundError):
            await runtime.remove("tiny")


async def test_removed_model_leaves_memory_and_no_other_does(tmp_path, install_tiny):
    """A route of the same name is not what is removed, and need not be able to serve."""
    install_tiny(ModelStore(tmp_path / "models"))
    settings = Settings(
        home=tmp_path,
        plugins=PluginSettings(enabled=("tiny",)),
        routes={"tiny": RouteSettings(models=("absent",))},
    )
    async with Runtime.open(settings, plugins={"tiny": Tiny()}) as runtime:
        (candidate,) = await runtime.catalog.candidates("tiny")
        await runtime.backends[candidate.backend].load("tiny:latest", None)
        await runtime.remove("tiny")
        assert runtime.residents() == ()
        assert await runtime.catalog.list() == ()


async def test_name_that_the_disk_cannot_take_is_a_fault_of_the_store(tmp_path, install_tiny):
    """Giving a name fails with what is wrong and no path, and takes nothing away."""
    store = ModelStore(tmp_path / "models")
    model = install_tiny(store)
    blocked = store.root / "names" / "registry.ollama.ai" / "library" / "blocked"
    blocked.write_bytes(b"")
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("tiny",)))
    async with Runtime.open(settings, plugins={"tiny": Tiny()}) as runtime:
        with pytest.raises(PullError, match="the model store cannot be written") as caught:
            await runtime.copy("tiny", ModelName.parse("blocked"))
        assert str(tmp_path) not in str(caught.value)
        assert store.find(model.name) is not None


async def test_model_that_lies_on_a_shelf_is_not_removed(tmp_path):
    """Whoever tries is told whose it is, by the name as it was given."""
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("tiny", "attic")))
    async with Runtime.open(settings, plugins={"tiny": Tiny(), "attic": Attic()}) as runtime:
        with pytest.raises(ModelNotFoundError, match="model 'Shelved' not found") as caught:
            await runtime.remove("Shelved")
        assert caught.value.hint == "it is not in homeport's own folder: it belongs to attic"
        with pytest.raises(ModelNotFoundError) as caught:
            await runtime.remove("unheard-of")
        assert caught.value.hint is None


async def test_name_that_cannot_be_is_told_with_its_place(tmp_path):
    """What is wrong with a route stops the start, and the line is named."""
    settings = Settings(home=tmp_path, routes={"mine": RouteSettings(models=("../a",))})
    origins = {"routes.mine.models[0]": "homeport.toml line 7"}
    with pytest.raises(ConfigError, match=r"\$\.routes\.mine\.models\[0\].*line 7"):
        async with Runtime.open(settings, origins=origins):
            pass


class Careless:
    """Offers a guard that cannot work."""

    def __init__(self, **more):
        self._more = more

    @hookimpl
    def homeport_guards(self):
        return [GuardSpec(name="careless", factory="no_such_module:Guard", **self._more)]


@pytest.mark.parametrize("more", [{}, {"requires": ("no-such-distribution",)}])
async def test_guard_that_cannot_work_stops_the_start(tmp_path, more):
    """What a guard forbids is never allowed because the guard is broken; blocking it is a decision."""
    with pytest.raises(PluginError, match="careless"):
        async with Runtime.open(Settings(home=tmp_path), plugins={"careless": Careless(**more)}):
            pass
    blocked = Settings(home=tmp_path, plugins=PluginSettings(disabled=("careless",)))
    async with Runtime.open(blocked, plugins={"careless": Careless(**more)}):
        pass


class Building:
    """A backend that loads what it built, beside one that needs no builds."""

    @hookimpl
    def homeport_backends(self):
        factory = "homeport.testing.tiny_model:ChecksumModel"
        yield BackendSpec(
            name="building",
            kind=BackendKind.LOCAL,
            factory=factory,
            config=ChecksumConfig,
            builder=f"{__name__}:NoBuilder",
            reads=frozenset({StoredForm.SAFETENSORS, StoredForm.ONNX}),
        )
        yield BackendSpec(name="tiny", kind=BackendKind.LOCAL, factory=factory, config=ChecksumConfig)


@pytest.mark.parametrize(
    ("preferred", "serves"), [(None, "tiny"), ("tiny", "tiny"), ("building", "building")]
)
async def test_only_the_backend_that_serves_a_model_has_it_built(tmp_path, install_tiny, preferred, serves):
    """Builds take disk and time: none is made for a backend that another one stands before."""
    install_tiny(ModelStore(tmp_path / "models"))
    settings = Settings(
        home=tmp_path,
        plugins=PluginSettings(enabled=("building",)),
        models=ModelSettings(backend=preferred),
    )
    async with Runtime.open(settings, plugins={"building": Building()}) as runtime:
        (candidate,) = await runtime.catalog.candidates("tiny")
        assert candidate.backend == serves
        loading = runtime.backends[serves].load("tiny:latest", None)
        if serves == "building":
            with pytest.raises(LoadError, match="tiny:latest cannot be built for building"):
                await loading
        else:
            await loading
            assert not (tmp_path / "models" / "builds").exists()


class Carver:
    """A backend that builds, and its plugin; nothing is built here."""

    version = 1

    @hookimpl
    def homeport_backends(self):
        factory = "homeport.testing.tiny_model:ChecksumModel"
        builder = f"{__name__}:Carver"
        yield BackendSpec(name="carver", kind=BackendKind.LOCAL, factory=factory, builder=builder)


async def test_a_host_that_stays_removes_builds_of_earlier_settings(tmp_path, install_tiny):
    """One that runs for a single command leaves them: its settings may be a trial."""
    store = ModelStore(tmp_path / "models")
    source = source_of(install_tiny(store).manifest.files)
    record = BuildRecord(
        key="ab" * 32,
        source=source,
        backend="carver",
        builder=f"{__name__}:Carver",
        builder_version=1,
        report=BuildReport(weights="int8"),
        files=(),
    )
    with store.staging() as folder:
        (folder / "build").mkdir()
        earlier = store.place_build(folder / "build", record).folder
    os.utime(earlier / "build.json", (0, 0))
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("carver",)))
    for stays in (False, True):
        async with Runtime.open(settings, plugins={"carver": Carver()}, sweeps_builds=stays) as runtime:
            (model,) = await runtime.catalog.list()
            assert model.awaits_build
            assert await runtime.build_progress(model) is None
            sweeping = [task for task in asyncio.all_tasks() if task.get_name() == "sweep of builds"]
            await asyncio.gather(*sweeping)
        assert earlier.exists() is not stays
