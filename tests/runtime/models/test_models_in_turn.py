"""Three real models that do not fit together, asked for in turn by eight clients."""

import asyncio
import hashlib
import json
import shutil
from collections import Counter
from contextlib import asynccontextmanager

import aiohttp
import attrs
import blockbuster
import psutil
import pytest

from homeport.config.settings import ModelSettings, PluginSettings, Settings
from homeport.models.manifest import ModelFile
from homeport.models.names import ModelName
from homeport.models.store import ModelStore
from homeport.runtime import Runtime
from homeport.server.listener import serve

MIB = 1024**2
MOST_BYTES = 600 * MIB
"""Two of the three fit: each is predicted at 93 MiB of files, 112 of program and 32 of cache."""
ROUNDS = 4
CLIENTS = 8
PLACES = ("Paris", "Water", "Mathematics")


@pytest.fixture
def three_models(starter_folder, tmp_path):
    """Store the starter model three times, each with a template, and so with answers, of its own."""
    source = ModelStore(starter_folder.parents[1]).find(ModelName.parse("smollm2:135m"))
    store = ModelStore(tmp_path / "models")
    for place in PLACES:
        with store.staging() as folder:
            staged = folder / "entry"
            staged.mkdir()
            for file in source.manifest.files:
                target = staged / file.path
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(source.folder / file.path, target)
            _set_template(staged / "tokenizer_config.json", f"{place} is")
            files = tuple(_described(staged, file.path) for file in source.manifest.files)
            store.commit(staged, attrs.evolve(source.manifest, files=files), [ModelName.parse(place)])


def _set_template(path, text):
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": text}))


def _described(folder, path):
    data = (folder / path).read_bytes()
    return ModelFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


@pytest.fixture
def settings(tmp_path):
    """Little memory for models, and for each a cache of a fixed size."""
    return Settings(
        home=tmp_path,
        plugins=PluginSettings(enabled=("transformers-cpu",), strict=True),
        models=ModelSettings(
            most_memory=MOST_BYTES,
            least_free="64MiB",
            cache_memory="32MiB",
            context_length=512,
            slots=8,
        ),
    )


def workers():
    """List the worker processes of this one."""
    return [each for each in psutil.Process().children() if "homeport.worker" in _command(each)]


def _command(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def held_bytes():
    """Add up what all workers hold, those too that are about to end."""
    total = 0
    for worker in workers():
        try:
            total += worker.memory_info().rss
        except psutil.Error:
            continue
    return total


@attrs.frozen
class Served:
    """A runtime that listens, and a client."""

    runtime: Runtime
    http: aiohttp.ClientSession

    async def json(self, path, body):
        async with self.http.post(path, json=body) as response:
            return response.status, await response.json()


@asynccontextmanager
async def serving(settings):
    """Open a runtime on a free port, and watch its loop for blocking calls."""
    async with (
        Runtime.open(settings) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession(url) as http,
    ):
        with blockbuster.blockbuster_ctx(scanned_modules=["homeport"]) as watch:
            for function in watch.functions.values():
                function.can_block_in("loguru/_handler.py", "emit")
                # A look at the file of keys, 2 microseconds, so that a revoked key is out at once.
                function.can_block_in("server/key_file.py", "signature")
            yield Served(runtime, http)


async def answer_of(served, model):
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Go on."}],
        "stream": False,
        "options": {"temperature": 0, "num_predict": 12},
    }
    status, answer = await served.json("/api/chat", body)
    assert status == 200, answer
    return answer["message"]["content"]


async def take_turns(served, first, expected):
    """Ask for each model in turn; give how many answers were as expected."""
    right = 0
    for turn in range(ROUNDS * len(PLACES)):
        model = PLACES[(first + turn) % len(PLACES)]
        right += await answer_of(served, model) == expected[model]
    return right


async def watch(served, highest):
    """Note the most that workers hold, and every model that is seen in memory, until cancelled."""
    while True:
        highest["bytes"] = max(highest["bytes"], await asyncio.to_thread(held_bytes))
        highest["models"] = max(highest["models"], len(served.runtime.residents()))
        await asyncio.sleep(0.05)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.usefixtures("three_models")
async def test_models_that_do_not_fit_together_are_served_in_turn(settings):
    """Every answer is right, and at no time do the workers hold more than the models may have."""
    async with serving(settings) as served:
        expected = {model: await answer_of(served, model) for model in PLACES}
        assert len(set(expected.values())) == len(PLACES)
        loaded = [resident.info.name for resident in served.runtime.residents()]
        assert sorted(loaded) == ["Mathematics:latest", "Water:latest"], "the least recently used one left"
        highest = Counter()
        async with asyncio.timeout(300), asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch(served, highest))
            clients = [tasks.create_task(take_turns(served, number, expected)) for number in range(CLIENTS)]
            right = sum([await client for client in clients])
            watching.cancel()
        assert right == CLIENTS * ROUNDS * len(PLACES)
        assert 1 <= highest["models"] <= 2
        assert highest["bytes"] <= MOST_BYTES


@pytest.mark.model
@pytest.mark.usefixtures("three_models")
async def test_eviction_gives_the_memory_back(settings):
    """Two seconds after a model had to go, at least 95 % of what it held is free."""
    async with serving(settings) as served:
        await answer_of(served, "Paris")
        (worker,) = workers()
        held = worker.memory_info().rss
        assert held > 100 * MIB
        clock = asyncio.get_running_loop()
        began = clock.time()
        await served.json("/api/generate", {"model": "Paris", "keep_alive": 0})
        while worker.is_running():
            await asyncio.sleep(0.01)
            assert clock.time() - began < 2
        assert held_bytes() <= held * 0.05
