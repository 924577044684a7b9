import asyncio
import itertools
import math
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psutil
import pytest
from loguru import logger

from homeport import (
    ContextOverflowError,
    GenerationRequest,
    LoadError,
    ModelLoaded,
    ModelUnloaded,
    Sampling,
    StoreError,
    TextDelta,
    TextPrompt,
    WorkerDiedError,
)
from homeport.config.settings import ModelSettings
from homeport.models.background import BackgroundTasks
from homeport.models.local import LocalBackend
from homeport.models.manager import ModelManager, WorkerRecipe
from homeport.models.store import ModelStore
from homeport.testing.tiny_model import checksum_answer
from homeport.testing.whole_answer import WholeAnswer

REQUEST_NUMBERS = itertools.count()


def workers():
    """List the workers that this process started."""
    children = psutil.Process().children()
    return [child for child in children if "homeport.worker" in child.cmdline()]


async def load_begun():
    """Wait until a worker process was started."""
    async with asyncio.timeout(10):
        while not workers():  # noqa: ASYNC110 - a process tells nobody that it began
            await asyncio.sleep(0.01)


class House:
    """A local backend of the checksum model, its manager and the events they told."""

    def __init__(self, store, model, manager, events, news):
        self.store = store
        self.model = model
        self.manager = manager
        self.events = events
        self.news = news
        self.backend = LocalBackend("checksum", store, manager)

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    async def wait_for(self, kind, count=1):
        """Wait until so many events of a kind were told, and give the last of them."""
        async with asyncio.timeout(10):
            while len(self.told(kind)) < count:
                self.news.clear()
                await self.news.wait()
        return self.told(kind)[count - 1]

    def request(self, prompt="hello", tokens=5, **more):
        return GenerationRequest(
            id=f"r{next(REQUEST_NUMBERS)}",
            model="tiny",
            prompt=TextPrompt(prompt),
            sampling=Sampling(temperature=0, max_tokens=tokens),
            **more,
        )

    async def ask(self, *args, **more):
        text = ""
        async with self.backend.generate(self.request(*args, **more)) as events:
            async for event in events:
                text += event.text if isinstance(event, TextDelta) else ""
        return text


@pytest.fixture
def open_house(tmp_path, install_tiny):
    """Open a house with the tiny model installed."""

    @asynccontextmanager
    async def opened(config=None, **settings):
        store = ModelStore(tmp_path / "models")
        model = install_tiny(store)
        events, news = [], asyncio.Event()

        def emit(event):
            events.append(event)
            news.set()

        recipe = WorkerRecipe(
            backend="checksum",
            factory="homeport.testing.tiny_model:ChecksumModel",
            config_class="homeport.testing.tiny_model:ChecksumConfig",
            config=config or {},
        )
        async with BackgroundTasks() as tasks:
            manager = ModelManager(
                recipe=recipe,
                store=store,
                settings=ModelSettings(**settings),
                tasks=tasks,
                emit=emit,
            )
            try:
                yield House(store, model, manager, events, news)
            finally:
                await manager.close()

    return opened


async def test_memory_of_the_cache_is_bounded_as_set(open_house):
    """A prompt for which the bytes do not suffice is refused, and one that fits is answered."""
    async with open_house(cache_memory=64 * 8) as house:
        with pytest.raises(ContextOverflowError, match="holds 64 tokens of 8 bytes"):
            await house.ask("x" * 64)
        assert await house.ask("x" * 20) == checksum_answer("x" * 20, 5)


async def test_machine_without_memory_bounds_the_cache_to_one_window(open_house):
    """A share that comes to no byte is not taken for no bound."""
    async with open_house(cache_memory="0.0000000001%") as house:
        for letter in "xy":
            await house.ask(letter * 300)
        async with house.backend.generate(house.request("x" * 300)) as events:
            answer = await WholeAnswer.read(events)
        assert answer.text == checksum_answer("x" * 300, 5)
        assert answer.end.usage.cached_tokens < 256


@pytest.mark.parametrize(("remembers", "known"), [(True, 99), (False, 0)])
async def test_what_was_computed_is_remembered_where_that_is_set(open_house, remembers, known):
    """The usage of a second request tells how much of its prompt the first one left."""
    async with open_house(prefix_cache=remembers, slots=1) as house:
        await house.ask("x" * 100)
        async with house.backend.generate(house.request("x" * 100)) as events:
            answer = await WholeAnswer.read(events)
        assert answer.text == checksum_answer("x" * 100, 5)
        assert answer.end.usage.cached_tokens == known


async def test_many_first_requests_cause_one_load(open_house):
    """32 simultaneous requests for a model that is not loaded start one worker."""
    async with open_house() as house:
        answers = await asyncio.gather(*(house.ask() for _ in range(32)))
        assert set(answers) == {checksum_answer("hello", 5)}
        assert len(house.told(ModelLoaded)) == 1


async def test_load_tells_what_the_model_computes_in(open_house):
    """The event, the log and the list of what is in memory pass on what the backend told."""
    lines = []
    handler = logger.add(lines.append, format="{message}")
    async with open_house() as house:
        await house.ask()
        (resident,) = house.manager.residents()
    logger.remove(handler)
    (loaded,) = house.told(ModelLoaded)
    assert loaded.computes == resident.computes == "checksums, Python"
    (line,) = (line for line in lines if line.startswith("loaded tiny:latest on checksum in"))
    assert " s (checksums, Python, pid " in line


async def test_model_leaves_after_its_time_and_its_process_ends(open_house):
    """keep_alive counts from going idle; then the worker is gone."""
    async with open_house(keep_alive="200ms") as house:
        await house.ask()
        (resident,) = house.manager.residents()
        assert resident.resident_bytes > 1_000_000
        (worker,) = workers()
        assert (await house.wait_for(ModelUnloaded)).reason == "expired"
        assert house.manager.residents() == ()
        assert not worker.is_running()


async def test_last_request_decides_how_long_a_model_stays(open_house):
    """A keep-alive of a request overrides the default, for ever too."""
    async with open_house(keep_alive="1ms") as house:
        await house.ask(keep_alive_seconds=math.inf)
        (resident,) = house.manager.residents()
        assert resident.expires_at is None
        await house.ask(keep_alive_seconds=0)
        assert (await house.wait_for(ModelUnloaded)).reason == "expired"


async def test_model_in_use_does_not_leave(open_house):
    """The clock does not run while a request does."""
    async with open_house({"step_seconds": 0.02}, keep_alive="1ms") as house:
        assert await house.ask(tokens=20) == checksum_answer("hello", 20)


async def test_unload_lets_running_requests_finish(open_house):
    """An unload takes the model out of service and ends it after its last request."""
    async with open_house() as house:
        async with house.backend.generate(house.request(tokens=20)) as events:
            await anext(events)
            await house.backend.unload("tiny")
            assert house.manager.residents() == ()
            rest = [event.text async for event in events if isinstance(event, TextDelta)]
        assert "".join(rest) == checksum_answer("hello", 20)
        assert (await house.wait_for(ModelUnloaded)).reason == "requested"


async def test_dead_worker_is_replaced_by_the_next_request(open_house):
    """After ``kill -9`` the running request gets an error and the next one an answer."""
    async with open_house({"step_seconds": 0.01}) as house:
        with pytest.raises(WorkerDiedError):
            async with house.backend.generate(house.request(tokens=300)) as events:
                await anext(events)
                (worker,) = workers()
                worker.kill()
                async for _ in events:
                    pass
        assert (await house.wait_for(ModelUnloaded)).reason == "died"
        assert await house.ask() == checksum_answer("hello", 5)


async def test_larger_window_reloads_and_a_smaller_one_does_not(open_house):
    """A model loaded with more than asked for serves as it is."""
    async with open_house(context_length=64) as house:
        await house.ask()
        await house.ask(context_length=32)
        assert len(house.told(ModelLoaded)) == 1
        await house.ask(context_length=128)
        assert len(house.told(ModelLoaded)) == 2
        assert (await house.wait_for(ModelUnloaded)).reason == "replaced"
        assert [resident.context_length for resident in house.manager.residents()] == [128]


async def test_flipped_byte_is_refused_with_the_way_to_mend_it(open_house):
    """A damaged file is found at load, also when its size is right; nothing stays running."""
    async with open_house() as house:
        file = house.model.folder / "tokenizer_config.json"
        content = file.read_bytes()
        file.write_bytes(content.replace(b"assistant", b"assistanT"))
        with pytest.raises(StoreError, match="homeport pull tiny"):
            await house.ask()
        assert house.manager.residents() == ()
        file.write_bytes(content)
        assert await house.ask() == checksum_answer("hello", 5)


async def test_model_that_cannot_be_loaded_fails_for_all_who_wait(open_house):
    """Everybody who waited for a load is told why it failed."""
    async with open_house({"no_such_setting": 1}) as house:
        outcomes = await asyncio.gather(*(house.ask() for _ in range(3)), return_exceptions=True)
    assert all("no_such_setting" in str(outcome) for outcome in outcomes)


async def test_load_that_takes_too_long_is_an_error(open_house):
    """A load has a bound."""
    async with open_house(load_timeout_seconds=0.01) as house:
        with pytest.raises(LoadError, match="load_timeout_seconds"):
            await house.ask()


async def test_impatient_client_does_not_stop_the_load_of_others(open_house):
    """A waiter that leaves takes nothing with it."""
    async with open_house() as house:
        async with asyncio.TaskGroup() as tasks:
            impatient = tasks.create_task(house.ask())
            patient = tasks.create_task(house.ask())
            await load_begun()
            impatient.cancel()
        assert patient.result() == checksum_answer("hello", 5)
        assert len(house.told(ModelLoaded)) == 1


async def test_load_that_fails_for_any_reason_answers_all_who_wait(open_house, monkeypatch):
    """An operating system that refuses to start a process is an error, not a wait without end."""
    monkeypatch.setattr("homeport.worker.process.sys.executable", "/no/such/python")
    async with open_house() as house, asyncio.timeout(10):
        outcomes = await asyncio.gather(*(house.ask() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, LoadError) for outcome in outcomes)


async def test_model_nobody_waited_for_leaves_too(open_house):
    """When all clients leave during the load, the model does not stay for ever."""
    async with open_house(keep_alive="10ms") as house:
        impatient = asyncio.create_task(house.ask())
        await load_begun()
        impatient.cancel()
        assert (await house.wait_for(ModelUnloaded)).reason == "expired"


async def test_model_in_use_is_reported_with_the_time_it_was_given(open_house):
    """``ps`` counts from now while a request runs."""
    async with open_house() as house:
        async with house.backend.generate(house.request(keep_alive_seconds=600)) as events:
            await anext(events)
            (resident,) = house.manager.residents()
            left = (resident.expires_at - datetime.now(UTC)).total_seconds()
        assert 590 < left < 601


async def test_closing_ends_workers_that_are_about_to_end(open_house):
    """No process outlives its house, not even one whose unload had just begun."""
    async with open_house(keep_alive="0") as house:
        await house.ask()
        (worker,) = workers()
    assert not worker.is_running()
