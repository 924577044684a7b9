import asyncio

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


async def test_model_that_is_installed_but_not_loaded_is_not_resident(served, settings, install):
    """It would have to be loaded first."""
    install(settings, "shelved:1b")
    _, answer = await served.json("GET", "/v1/replica")
    shelved = [model for model in answer["models"] if model["name"] == "shelved:1b"]
    assert all(model["resident"] is False for model in shelved)


async def test_replica_says_nothing_of_hosts_and_paths(served, settings):
    """Other homeports need neither."""
    async with served.http.get("/v1/replica") as response:
        text = await response.text()
    assert str(settings.home) not in text
    assert "127.0.0.1" not in text
