import asyncio

import aiohttp
import pytest

from homeport import BackendKind, BackendSpec, hookimpl
from homeport.config.settings import ModelSettings, PluginSettings, Settings
from homeport.models.aliases import AliasTable
from homeport.models.background import BackgroundTasks
from homeport.models.catalog import Catalog
from homeport.models.loader import WorkerRecipe
from homeport.models.local import LocalBackend
from homeport.models.manager import ModelManager
from homeport.models.measurements import Measurements
from homeport.models.preload import Preload
from homeport.models.room import Room
from homeport.models.store import ModelStore
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing.tiny_model import ChecksumConfig


@pytest.fixture
async def backend(tmp_path, install_tiny):
    """A local backend with the tiny model."""
    store = ModelStore(tmp_path / "models")
    install_tiny(store)
    settings = ModelSettings(keep_alive="1h")
    async with BackgroundTasks() as tasks:
        manager = ModelManager(
            recipe=WorkerRecipe(backend="checksum", factory="homeport.testing.tiny_model:ChecksumModel"),
            store=store,
            settings=settings,
            room=Room(settings),
            measurements=Measurements(),
            tasks=tasks,
            emit=lambda _: None,
        )
        try:
            yield LocalBackend("checksum", store, manager)
        finally:
            await manager.close()


def preload(backend, **names):
    local = {"checksum": backend}
    given = {"pinned": (), "others": ()} | names
    return Preload(Catalog(local, AliasTable.load(None)), local, **given)


async def test_models_are_loaded_and_the_pinned_ones_stay(backend):
    """One name in both lists is loaded once, and pinned."""
    subject = preload(backend, pinned=("tiny",), others=("tiny", "tiny"))
    assert not subject.is_done
    await subject.run()
    assert subject.is_done
    (resident,) = backend.residents()
    assert resident.is_pinned
    assert resident.expires_at is None


async def test_preloaded_model_leaves_in_its_time(backend):
    """What is preloaded only is kept as after a request."""
    await preload(backend, others=("tiny",)).run()
    (resident,) = backend.residents()
    assert not resident.is_pinned
    assert resident.expires_at is not None


async def test_name_that_cannot_be_loaded_holds_up_nobody(backend):
    """An unknown name, and one that is none, are logged; the others are loaded."""
    subject = preload(backend, pinned=("no-such-model", "::"), others=("tiny",))
    await subject.run()
    assert subject.is_done
    assert len(backend.residents()) == 1


async def test_nothing_to_load_is_done_at_once(backend):
    """A host without such settings is ready from its start."""
    assert preload(backend).is_done


class ChecksumPlugin:
    """Offers the checksum model as a local backend."""

    @hookimpl
    def homeport_backends(self):
        yield BackendSpec(
            name="checksum",
            kind=BackendKind.LOCAL,
            factory="homeport.testing.tiny_model:ChecksumModel",
            config=ChecksumConfig,
        )


async def test_server_is_ready_when_its_models_are_loaded(tmp_path, install_tiny):
    """Probes are told that it starts until the pinned model is in memory; requests are served meanwhile."""
    install_tiny(ModelStore(tmp_path / "models"))
    settings = Settings(
        home=tmp_path,
        plugins=PluginSettings(enabled=("checksum",), strict=True),
        models=ModelSettings(pin=("tiny",)),
    )
    async with (
        Runtime.open(settings, plugins={"checksum": ChecksumPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession(url) as http,
    ):
        async with http.get("/readyz") as response:
            assert (response.status, (await response.json())["status"]) == (503, "starting")
            assert response.headers["Retry-After"] == "1"
        async with asyncio.timeout(30):
            while (await http.get("/readyz")).status != 200:  # noqa: ASYNC110 - a probe asks again too
                await asyncio.sleep(0.02)
        async with http.get("/api/ps") as response:
            (row,) = (await response.json())["models"]
        assert (row["name"], row["pinned"], row["expires_at"] > "2100") == ("tiny:latest", True, True)
