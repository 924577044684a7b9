"""Local backends that load what a builder made of their models."""

import asyncio
import itertools
from contextlib import asynccontextmanager

import pytest

from homeport import (
    GenerationRequest,
    LoadError,
    ModelLoadFailed,
    Sampling,
    TextDelta,
    TextPrompt,
)
from homeport.config.settings import ModelSettings
from homeport.models.background import BackgroundTasks
from homeport.models.loader import WorkerRecipe
from homeport.models.local import LocalBackend
from homeport.models.manager import ModelManager
from homeport.models.measurements import Measurements
from homeport.models.room import Room
from homeport.models.workshop import Workshop
from homeport.testing.tiny_model import checksum_answer

NUMBERS = itertools.count()


@pytest.fixture
def open_backend(orders, store):
    """Open a backend with a workshop, as a host does that starts with a flavour in its settings."""

    @asynccontextmanager
    async def opened(flavour="plain", events=None):
        recipe = orders.recipe(flavour)
        workshop, settings = Workshop(recipe, store), ModelSettings()
        async with BackgroundTasks() as tasks:
            manager = ModelManager(
                recipe=WorkerRecipe(
                    backend="scripted",
                    factory="scripted_builder:BuiltModel",
                    config_class=recipe.config_class,
                    config=dict(recipe.config),
                ),
                store=store,
                settings=settings,
                room=Room(settings),
                measurements=Measurements(),
                tasks=tasks,
                emit=(events if events is not None else []).append,
                workshop=workshop,
            )
            try:
                yield LocalBackend("scripted", store, manager, slots=2)
            finally:
                await manager.close()
                await workshop.aclose()

    return opened


async def ask(backend, prompt="hello"):
    request = GenerationRequest(
        id=f"r{next(NUMBERS)}",
        model="tiny",
        prompt=TextPrompt(prompt),
        sampling=Sampling(temperature=0, max_tokens=5),
    )
    async with backend.generate(request) as events:
        return "".join([event.text async for event in events if isinstance(event, TextDelta)])


async def test_a_model_is_built_before_its_first_load_for_all_who_ask(
    open_backend, install_tiny, store, orders
):
    """Requests that come before there is a build wait for one, which the worker loads."""
    install_tiny(store)
    async with open_backend() as backend:
        answers = await asyncio.gather(*(ask(backend, prompt) for prompt in ("a", "b", "c")))
        assert answers == [checksum_answer(prompt, 5) for prompt in ("a", "b", "c")]
        assert orders.builds == 1
    async with open_backend() as backend:
        assert await ask(backend) == checksum_answer("hello", 5)
    assert orders.builds == 1


async def test_lists_tell_of_the_build(open_backend, install_tiny, store):
    """The weights of what serves stand beside those of the model, whose size and digest stay its own."""
    stored = install_tiny(store)
    async with open_backend() as backend:
        (before,) = await backend.models()
        assert (before.build, before.weights) == (None, "")
        assert (before.awaits_build, before.format) == (True, "safetensors")
        await ask(backend)
        (info,) = await backend.models()
        (resident,) = backend.residents()
    assert (info.weights, info.weights_note) == ("", "")
    assert (info.build.weights, info.build.weights_note) == ("int8", "as ordered")
    assert (info.digest, info.size_bytes) == (stored.digest, stored.size)
    assert not info.awaits_build
    assert info.build.figures == {"tokens": 5.0}
    assert info.build.kv_bytes_per_token == 8
    assert info.build.size_bytes == stored.size + 1000
    assert resident.info.build == info.build


async def test_other_settings_of_a_backend_build_anew(open_backend, install_tiny, store, orders):
    """A host that starts with other settings loads nothing that was built by the old ones."""
    install_tiny(store)
    for flavour in ("plain", "strong", "plain"):
        async with open_backend(flavour) as backend:
            assert await ask(backend) == checksum_answer("hello", 5)
    assert orders.builds == 2


async def test_a_build_that_rotted_is_made_anew_by_the_load_that_finds_it(
    open_backend, install_tiny, store, orders
):
    """Content is checked beside the start of each worker; nobody who asks sees that it was damaged."""
    install_tiny(store)
    async with open_backend() as backend:
        await ask(backend)
    (built,) = store.root.glob("builds/*/built.bin")
    built.write_bytes(b"plain" + b"!" * (built.stat().st_size - 5))
    events = []
    async with open_backend(events=events) as backend:
        assert await ask(backend) == checksum_answer("hello", 5)
    assert orders.builds == 2
    assert not [event for event in events if isinstance(event, ModelLoadFailed)]


async def test_unloading_does_not_wait_for_a_build(open_backend, install_tiny, store, orders, meeting):
    """A model that is built is not in memory yet; whoever stops or removes it need not wait for minutes."""
    model = install_tiny(store)
    orders.give(meeting=meeting.port)
    async with open_backend() as backend:
        asking = asyncio.create_task(ask(backend))
        guest = await meeting.guests.get()
        async with asyncio.timeout(20):
            await backend.unload("tiny")
        store.delete(model.name)
        await meeting.guests.put(guest)
        await meeting.dismiss()
        with pytest.raises(LoadError, match="was removed at once"):
            await asking
    assert not list(store.root.glob("builds/*"))


async def test_a_killed_builder_is_told_to_whoever_asks(open_backend, install_tiny, store, orders):
    """The first answer names the likely cause and the ways out, to clients elsewhere too."""
    install_tiny(store)
    orders.give(ending="killed")
    async with open_backend() as backend:
        with pytest.raises(LoadError) as caught:
            await ask(backend)
    assert caught.value.public_message == (
        "tiny:latest cannot be built for scripted: "
        "the building process was killed, most likely for lack of memory"
    )
    assert "fewer bits for its weights, a smaller model, or another backend" in caught.value.public_hint
    assert caught.value.code == "build_killed"


async def test_a_model_that_cannot_be_built_cannot_be_loaded(open_backend, install_tiny, store, orders):
    """The error says what to do, the event is told, and the next request is refused at once."""
    install_tiny(store)
    orders.give(ending="exit")
    events = []
    async with open_backend(events=events) as backend:
        with pytest.raises(LoadError, match="the building process ended with code 3") as caught:
            await ask(backend)
        assert "homeport pull tiny:latest" in caught.value.public_hint
        assert len([event for event in events if isinstance(event, ModelLoadFailed)]) == 1
        for _ in range(2):
            with pytest.raises(Exception, match="it is tried again in"):
                await ask(backend)
            await backend.models()
    assert orders.builds == 1
