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
    HomeportError,
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
from homeport.domain.overload import CoolingError, NoRoomError, TooManyModelsError
from homeport.models.background import BackgroundTasks
from homeport.models.loader import WorkerRecipe
from homeport.models.local import LocalBackend
from homeport.models.manager import ModelManager
from homeport.models.measurements import Measurements
from homeport.models.room import Room
from homeport.models.store import ModelStore
from homeport.testing.tiny_model import checksum_answer
from homeport.testing.whole_answer import WholeAnswer
from homeport.worker.cores import usable_cores
from homeport.worker.spare import SpareWorker

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

    def __init__(self, store, model, manage, events, news):
        self.store = store
        self.model = model
        self.manage = manage
        self.manager = manage()
        self.events = events
        self.news = news
        self.backend = LocalBackend("checksum", store, self.manager, slots=32)

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @asynccontextmanager
    async def neighbour(self):
        """Open another backend in the same room."""
        manager = self.manage()
        try:
            yield LocalBackend("neighbour", self.store, manager)
        finally:
            await manager.close()

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
def install_another(install_tiny, tiny_folder):
    """Put a second model into a store, whose files differ."""

    def install(store, name="another"):
        file = tiny_folder / "note.txt"
        file.write_text("another")
        try:
            return install_tiny(store, name)
        finally:
            file.unlink()

    return install


@pytest.fixture
def open_house(tmp_path, install_tiny):
    """Open a house with the tiny model installed."""

    @asynccontextmanager
    async def opened(config=None, spare=None, **settings):
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
        room, measurements = Room(ModelSettings(**settings)), Measurements()
        async with BackgroundTasks() as tasks:

            def manage():
                return ModelManager(
                    recipe=recipe,
                    store=store,
                    settings=ModelSettings(**settings),
                    room=room,
                    measurements=measurements,
                    tasks=tasks,
                    emit=emit,
                    spare=spare,
                )

            house = House(store, model, manage, events, news)
            try:
                yield house
            finally:
                await house.manager.close()

    return opened


@pytest.mark.skipif(usable_cores() == 1, reason="no worker is started ahead on one core")
async def test_the_first_load_takes_the_process_that_waits(open_house):
    """It is claimed memory for, and let go, like one that a load starts."""
    async with SpareWorker.waiting(threads=1, log_level="INFO") as spare:
        pid = spare.pid
        async with open_house(spare=spare, threads=1) as house:
            assert await house.ask() == checksum_answer("hello", 5)
            assert [worker.pid for worker in workers()] == [pid]
        assert not psutil.pid_exists(pid)


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


async def test_weights_that_a_pull_replaced_leave_memory(open_house, install_another):
    """However long they were to stay: nobody can ask for them any more."""
    async with open_house() as house:
        await house.ask(keep_alive_seconds=math.inf)
        install_another(house.store, "tiny")
        await house.backend.models()
        gone = await house.wait_for(ModelUnloaded)
        assert gone.reason == "replaced"
        assert await house.ask() == checksum_answer("hello", 5)
        assert len(house.manager.residents()) == 1


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


async def test_unload_during_a_load_waits_for_it(open_house):
    """Whoever asked for the load is answered, and then the model goes, however long it was to stay."""
    async with open_house() as house, asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(house.ask(keep_alive_seconds=math.inf))
        await load_begun()
        await house.backend.unload("tiny")
        assert (await house.wait_for(ModelUnloaded)).reason == "requested"
        assert await answer == checksum_answer("hello", 5)


async def test_memory_comes_back_when_nobody_waits_for_the_end(open_house, install_another):
    """A client that leaves during an unload does not keep the place of the model."""
    async with open_house(most_loaded=1) as house:
        another = install_another(house.store)
        await house.ask()
        workers()[0].suspend()
        leaving = asyncio.create_task(house.backend.unload("tiny"))
        async with asyncio.timeout(10):
            while house.manager.residents():  # noqa: ASYNC110 - nothing tells it before the end
                await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        async with asyncio.timeout(10):
            await house.backend.load(another.name.display, None)
        assert len(workers()) == 1


async def test_dead_worker_is_replaced_by_the_next_request(open_house):
    """After ``kill -9`` the running request gets an error and the next one an answer; the log tells why."""
    lines = []
    handler = logger.add(lines.append, format="{message}", level="ERROR")
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
    logger.remove(handler)
    told = f"(pid {worker.pid}): signal 9, SIGKILL: most likely memory ran out"
    assert [line for line in lines if told in line]


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


async def test_flipped_byte_is_refused_with_the_way_to_mend_it(open_house, install_tiny):
    """A damaged file is found at load, and the model left alone until it is mended or a pause is over."""
    async with open_house() as house:
        file = house.model.folder / "tokenizer_config.json"
        file.write_bytes(file.read_bytes().replace(b"assistant", b"assistanT"))
        with pytest.raises(StoreError, match="homeport pull tiny"):
            await house.ask()
        assert house.manager.residents() == ()
        with pytest.raises(CoolingError, match="tried again in 10 s"):
            await house.ask()
        install_tiny(house.store)
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
    monkeypatch.setattr("homeport.worker.spawned.sys.executable", "/no/such/python")
    async with open_house() as house, asyncio.timeout(10):
        outcomes = await asyncio.gather(*(house.ask() for _ in range(3)), return_exceptions=True)
    assert isinstance(outcomes[0], LoadError)
    assert all(isinstance(outcome, LoadError | CoolingError) for outcome in outcomes)  # it fails within 1 ms


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


async def test_failed_load_is_not_tried_again_by_everybody(open_house):
    """Those who waited are told why it failed, who comes after them when to come again; one worker began."""
    async with open_house({"no_such_setting": 1}) as house:
        with pytest.raises(HomeportError, match="no_such_setting"):
            await house.ask()
        for _ in range(3):
            with pytest.raises(CoolingError) as refused:
                await house.ask()
        assert 8 <= refused.value.retry_after_seconds <= 10
        await house.backend.models()
        assert "tried again" in house.backend.would_fit("tiny:latest")


async def test_idle_model_leaves_for_another(open_house, install_another):
    """With room for one, the model asked for takes the place of the idle one, across windows too."""
    async with open_house(most_loaded=1) as house:
        another = install_another(house.store)
        await house.ask()
        (before,) = workers()
        await house.backend.load(another.name.display, None)
        assert (await house.wait_for(ModelUnloaded)).reason == "evicted"
        assert not before.is_running()
        assert [resident.info.name for resident in house.manager.residents()] == ["another:latest"]


async def test_backends_share_one_room(open_house, install_another):
    """A model of one backend leaves for a model of another."""
    async with open_house(most_loaded=1) as house, house.neighbour() as neighbour:
        another = install_another(house.store)
        await house.ask()
        await neighbour.load(another.name.display, None)
        assert house.manager.residents() == ()
        assert len(workers()) == 1


async def test_model_in_use_is_waited_for_and_not_ended(open_house, install_another):
    """The running answer stays whole while another model waits for its place."""
    async with open_house({"step_seconds": 0.01}, most_loaded=1) as house:
        another = install_another(house.store)
        async with asyncio.TaskGroup() as tasks:
            answer = tasks.create_task(house.ask(tokens=300))
            await house.wait_for(ModelLoaded)
            tasks.create_task(house.backend.load(another.name.display, None))
        assert answer.result() == checksum_answer("hello", 300)
        assert len(house.told(ModelLoaded)) == 2


async def test_pinned_model_stays_for_whoever_asks(open_house, install_another):
    """Neither time nor another model nor a request's keep-alive makes it go."""
    async with open_house(most_loaded=1, keep_alive="0") as house:
        another = install_another(house.store)
        await house.backend.pin("tiny")
        await house.ask(keep_alive_seconds=0)
        with pytest.raises(TooManyModelsError):
            await house.backend.load(another.name.display, None)
        (resident,) = house.manager.residents()
        assert resident.is_pinned
        assert resident.expires_at is None
        assert not house.told(ModelUnloaded)
        await house.backend.unload("tiny")
        assert house.manager.residents() == ()


async def test_pinned_model_comes_back_when_its_worker_died(open_house):
    """Nobody has to ask for it."""
    async with open_house() as house:
        await house.backend.pin("tiny")
        workers()[0].kill()
        await house.wait_for(ModelLoaded, count=2)


async def test_model_stays_pinned_when_a_pull_replaced_its_weights(open_house, install_another):
    """Settings pin names, not weights."""
    async with open_house(keep_alive="0") as house:
        await house.backend.pin("tiny")
        install_another(house.store, "tiny")
        await house.backend.models()
        assert (await house.wait_for(ModelUnloaded)).reason == "replaced"
        await house.ask()
        (resident,) = house.manager.residents()
        assert resident.is_pinned


async def test_stopped_worker_is_replaced(open_house):
    """A process that does not move any more ends its request with an error, and the next one is served."""
    async with open_house({"step_seconds": 0.01}, step_timeout_seconds=0.8) as house:
        with pytest.raises(WorkerDiedError, match="did not move"):
            async with house.backend.generate(house.request(tokens=400)) as events:
                await anext(events)
                workers()[0].suspend()
                async for _ in events:
                    pass
        assert (await house.wait_for(ModelUnloaded)).reason == "died"
        assert await house.ask() == checksum_answer("hello", 5)


@pytest.mark.slow
async def test_model_that_dies_too_often_is_left_alone(open_house):
    """After the fifth death requests are refused, with the time to wait."""
    async with open_house({"die_at_token": 7}) as house:
        for death in range(1, 6):
            with pytest.raises(WorkerDiedError):
                await house.ask()
            await house.wait_for(ModelUnloaded, count=death)
        with pytest.raises(CoolingError, match="died 5 times") as refused:
            await house.ask()
        assert 590 <= refused.value.retry_after_seconds <= 600


async def test_next_load_is_predicted_by_what_the_last_took(open_house):
    """The peak of a worker is told by itself and kept."""
    async with open_house(cache_memory="1MiB", keep_alive="50ms", step_timeout_seconds=0.4) as house:
        await house.ask(keep_alive_seconds=0.5)
        await house.wait_for(ModelUnloaded)
        await house.ask()
        (resident,) = house.manager.residents()
        assert resident.predicted_bytes == pytest.approx(resident.peak_bytes, rel=0.15)
        assert (resident.in_use, resident.threads > 0, resident.slots) == (0, True, 32)


async def test_backend_says_what_is_in_memory_and_what_would_fit(open_house):
    """Routing can ask without loading anything."""
    async with open_house() as house:
        (listed,) = await house.backend.models()
        assert (listed.slots, listed.continues) == (32, True)
        assert not house.backend.is_resident("tiny:latest")
        assert house.backend.would_fit("tiny:latest") == ""
        assert house.backend.would_fit("no-such") == "is not installed"
        await house.ask()
        assert house.backend.is_resident("tiny:latest")
    async with open_house(most_memory="1MiB") as house:
        await house.backend.models()
        assert house.backend.would_fit("tiny:latest").startswith("needs ")
        with pytest.raises(NoRoomError, match="requires more system memory"):
            await house.ask()
        assert not workers()
