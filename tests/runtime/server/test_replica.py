import asyncio

import aiohttp

from homeport import BackendKind, BackendSpec, Settings, hookimpl
from homeport.config.settings import PluginSettings
from homeport.models.store import ModelStore
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.worker.memory import available_bytes


async def test_replica_tells_models_memory_and_load(served):
    """What another homeport needs to decide whom to send a request to."""
    status, answer = await served.json("GET", "/v1/replica")
    assert status == 200
    assert (answer["object"], answer["draining"]) == ("replica", False)
    assert (answer["running"], answer["waiting"]) == (0, 0)
    assert 0.2 < answer["free_bytes"] / await asyncio.to_thread(available_bytes) < 5
    models = {model["name"]: model for model in answer["models"]}
    assert set(models) == {"echo:latest", "scripted:1b", "vectors:latest", "acme/tiny:q8"}
    model = models["scripted:1b"]
    assert model["digest"] == "ab" * 32
    assert model["capabilities"] == ["completion"]
    assert model["modified_at"] == "2026-03-01T12:30:00+00:00"
    assert (model["context_length"], model["embedding_length"], model["size_bytes"]) == (2048, 64, 1000)
    assert model["resident"] is True
    assert (model["is_remote"], model["hops"]) == (False, 0)


class ChecksumPlugin:
    """Offers the checksum model as a local backend."""

    @hookimpl
    def homeport_backends(self):
        factory = "homeport.testing.tiny_model:ChecksumModel"
        return [BackendSpec(name="checksum", kind=BackendKind.LOCAL, factory=factory)]


async def test_local_model_is_resident_once_it_is_loaded(tmp_path, install_tiny):
    """Before that it would have to be loaded first."""
    install_tiny(ModelStore(tmp_path / "models"))
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("checksum",), strict=True))
    async with (
        Runtime.open(settings, plugins={"checksum": ChecksumPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession(url) as http,
    ):

        async def resident():
            async with http.get("/v1/replica") as response:
                (model,) = (await response.json())["models"]
            return model["resident"], model["slots"]

        assert await resident() == (False, settings.models.slots)
        await runtime.gateway.load("tiny", None)
        assert await resident() == (True, settings.models.slots)


async def test_replica_says_nothing_of_hosts_and_paths(served, settings):
    """Other homeports need neither."""
    async with served.http.get("/v1/replica") as response:
        text = await response.text()
    assert str(settings.home) not in text
    assert "127.0.0.1" not in text
