"""Each hook, from what a plugin declares to the object at work in a live runtime."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from importlib import import_module

import aiohttp
import attrs
import numpy as np
import pytest
from safetensors.numpy import save_file

from homeport import (
    BackendKind,
    BackendSpec,
    GenerationRequest,
    GuardSpec,
    ModelSourceSpec,
    MonitorSpec,
    RefusedError,
    RequestFinished,
    RouterSpec,
    RouteScope,
    RouteSpec,
    Settings,
    TextDelta,
    TextPrompt,
    ValidatorSpec,
    Verdict,
    hookimpl,
)
from homeport.config.settings import GatewaySettings, PluginSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import EchoBackend, EchoPlugin

HERE = __name__


@pytest.fixture
def open_runtime(tmp_path):
    """Open a runtime with a plugin under test and the echo backend, and no installed ones."""

    @asynccontextmanager
    async def opened(plugin, *, echo=True, tables=None, **gateway):
        given = {"tested": plugin, **({"echo": EchoPlugin()} if echo else {})}
        settings = Settings(
            home=tmp_path / "home",
            gateway=GatewaySettings(**gateway),
            plugins=PluginSettings(enabled=tuple(given), strict=True, tables=tables or {}),
        )
        async with Runtime.open(settings, plugins=given) as runtime:
            yield runtime

    return opened


async def ask(runtime, prompt):
    """Give the route and the text of an answer."""
    request = GenerationRequest(id="r", model="echo", prompt=TextPrompt(prompt))
    async with runtime.gateway.generate(request) as reply:
        text = "".join([event.text async for event in reply if isinstance(event, TextDelta)])
    return reply.route, text


@attrs.frozen(kw_only=True)
class LoudConfig:
    """Settings of the loud backend."""

    mark: str = "!"


class Loud(EchoBackend):
    """Serves the echo's model too, and shouts."""

    def __init__(self, config):
        self._mark = config.mark

    async def _events(self, request):
        async for event in super()._events(request):
            yield TextDelta(event.text.upper() + self._mark) if isinstance(event, TextDelta) else event


class LoudPlugin:
    @hookimpl
    def homeport_backends(self):
        yield BackendSpec(name="loud", kind=BackendKind.REMOTE, factory=f"{HERE}:Loud", config=LoudConfig)


class LastFirst:
    """A router."""

    def rank(self, request, candidates):
        return candidates[::-1]


class NoQuestions:
    """A guard."""

    def objection(self, request, candidate):
        return ""

    @asynccontextmanager
    async def attempt(self, attempt):
        if attempt.request.prompt.text.endswith("?"):
            raise RefusedError(f"no questions to {attempt.candidate.backend}")
        yield


class NoApology:
    """A validator."""

    async def check(self, request, answer):
        return Verdict("sorry" not in answer.text, "it says sorry")


class Tally:
    """A monitor that tells what it saw to whoever waits."""

    def __init__(self):
        Tally.finished = asyncio.get_running_loop().create_future()

    async def observe(self, event):
        if isinstance(event, RequestFinished):
            Tally.finished.set_result(event)


async def test_homeport_backends_serve_requests(open_runtime):
    """A declared backend is built with its own settings and answers."""
    async with open_runtime(LoudPlugin(), echo=False, tables={"loud": {"mark": "?!"}}) as runtime:
        route, text = await ask(runtime, "hello")
    assert (route.backend, text) == ("loud", "HELLO?!")


SHELF = """
import shutil
from pathlib import Path
import attrs
from homeport import Artifact

@attrs.frozen
class ShelfConfig:
    folder: str = ""

class Shelf:
    def __init__(self, config):
        self._folder = Path(config.folder)

    def locate(self, locator):
        return Artifact(source="shelf", locator=locator) if locator == "booklet:latest" else None

    def fetch(self, artifact, into, progress):
        shutil.copytree(self._folder, into, dirs_exist_ok=True)
"""


async def test_homeport_model_sources_are_pulled_from(open_runtime, tiny_folder, tmp_path, monkeypatch):
    """What a declared source locates in the host and fetches in a process of its own gets installed."""
    shelf = tmp_path / "shelf"
    shutil.copytree(tiny_folder, shelf)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **sizes}
    (shelf / "config.json").write_text(json.dumps(config))
    save_file({"weights": np.ones((4, 8), np.float32)}, shelf / "model.safetensors")
    path = tmp_path / "path"
    path.mkdir()
    (path / "shelf_source.py").write_text(SHELF)
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.setenv("PYTHONPATH", str(path))

    class Plugin:
        @hookimpl
        def homeport_model_sources(self):
            module = import_module("shelf_source")
            yield ModelSourceSpec(name="shelf", factory="shelf_source:Shelf", config=module.ShelfConfig)

    async with open_runtime(Plugin(), tables={"shelf": {"folder": str(shelf)}}) as runtime:
        statuses = [progress.status async for progress in runtime.pull("booklet")]
        assert statuses[-1] == "success"
        await runtime.remove("booklet")


async def test_homeport_routers_reorder_candidates(open_runtime):
    """A router that the settings pick decides who answers; one that they do not pick is idle."""

    class Plugin(LoudPlugin):
        @hookimpl
        def homeport_routers(self):
            yield RouterSpec(name="last-first", factory=f"{HERE}:LastFirst")

    async with open_runtime(Plugin()) as runtime:
        assert (await ask(runtime, "hello"))[1] == "hello"
    async with open_runtime(Plugin(), routers=("last-first",)) as runtime:
        route, text = await ask(runtime, "hello")
    assert (text, route.backend, route.reason) == ("HELLO!", "loud", "last-first")


async def test_homeport_guards_surround_every_attempt(open_runtime):
    """A guard needs no setting: being installed, it may refuse."""

    class Plugin:
        @hookimpl
        def homeport_guards(self):
            yield GuardSpec(name="no-questions", factory=f"{HERE}:NoQuestions")

    async with open_runtime(Plugin()) as runtime:
        assert (await ask(runtime, "hello"))[1] == "hello"
        with pytest.raises(RefusedError, match="no questions to echo"):
            await ask(runtime, "hello?")


async def test_homeport_validators_reject_answers(open_runtime):
    """A validator that the settings pick sees whole answers before the client does."""

    class Plugin:
        @hookimpl
        def homeport_validators(self):
            yield ValidatorSpec(name="no-apology", factory=f"{HERE}:NoApology")

    async with open_runtime(Plugin(), validators=("no-apology",)) as runtime:
        assert (await ask(runtime, "gladly"))[1] == "gladly"
        with pytest.raises(RefusedError, match="'no-apology' rejected the answer: it says sorry"):
            await ask(runtime, "so sorry")


async def test_homeport_monitors_observe_events(open_runtime):
    """A monitor hears how a request ended and what it used."""

    class Plugin:
        @hookimpl
        def homeport_monitors(self):
            yield MonitorSpec(name="tally", factory=f"{HERE}:Tally")

    async with open_runtime(Plugin()) as runtime, asyncio.timeout(10):
        await ask(runtime, "one two three")
        finished = await Tally.finished
    assert (finished.backend, finished.error_code, finished.usage.completion_tokens) == ("echo", None, 3)


class Bill:
    """A route, and a monitor: one object."""

    def __init__(self):
        self._words = 0

    async def observe(self, event):
        if isinstance(event, RequestFinished):
            self._words += event.usage.completion_tokens
            Bill.charged.set()

    async def answer(self, call):
        return {"words": self._words, "by": call.query.get("by")}


async def test_homeport_routes_answer_over_http(open_runtime):
    """A declared route is served; records with one factory and one table share the object behind it."""

    class Plugin:
        @hookimpl
        def homeport_routes(self):
            yield RouteSpec(
                name="bill",
                path="/v1/bill",
                scope=RouteScope.ADMIN,
                factory=f"{HERE}:Bill",
                summary="What was said",
            )

        @hookimpl
        def homeport_monitors(self):
            yield MonitorSpec(name="bill", factory=f"{HERE}:Bill")

    Bill.charged = asyncio.Event()
    async with (
        open_runtime(Plugin()) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession(url) as http,
        asyncio.timeout(10),
    ):
        await ask(runtime, "one two three")
        await Bill.charged.wait()
        async with http.get("/v1/bill?by=day") as response:
            assert await response.json() == {"words": 3, "by": "day"}


GREETING = """
import click
from homeport import CommandSpec, hookimpl

@hookimpl
def homeport_commands():
    yield CommandSpec(name="greet", factory="greeting:greet", summary="Greet somebody")

@click.command()
@click.argument("name")
def greet(name):
    click.echo(f"Hello {name}")
"""


def test_homeport_commands_are_verbs_of_the_command_line(tmp_path):
    """An installed command runs as ``homeport NAME``, and not when its plugin is blocked."""
    info = tmp_path / "greeting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[homeport.plugins]\ngreeting = greeting\n")
    (tmp_path / "greeting.py").write_text(GREETING)

    def homeport(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "homeport", *arguments],
            env={**os.environ, "PYTHONPATH": str(tmp_path), "HOMEPORT_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert homeport("greet", "Ada").stdout == "Hello Ada\n"
    blocked = homeport("-p", "no:greeting", "greet", "Ada")
    assert (blocked.returncode, blocked.stdout) == (2, "")
