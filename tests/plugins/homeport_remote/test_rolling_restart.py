"""Two homeports behind one, restarted one after the other under load."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import aiohttp
import pytest

import homeport_remote.plugin
from homeport import Settings
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import EchoPlugin

QUESTION = {"model": "echo:latest", "messages": [{"role": "user", "content": "one two"}], "stream": True}
CLIENTS = 4
PACE_SECONDS = 0.01
ASKED_BETWEEN = 100
"""A tenth of them may be tried again, as ``[gateway.retry]`` says, which is more than there are clients."""


class Replica:
    """A homeport that echoes and can be restarted where it was."""

    def __init__(self, home):
        self._home = home
        self._stack = AsyncExitStack()
        self._port = 0

    async def start(self):
        settings = Settings(home=self._home, plugins=PluginSettings(enabled=("echo",), strict=True))
        plugins = {"echo": EchoPlugin()}
        runtime = await self._stack.enter_async_context(Runtime.open(settings, plugins=plugins))
        url = await self._stack.enter_async_context(serve(runtime, host="127.0.0.1", port=self._port))
        self._port = int(url.rpartition(":")[2])
        return url

    async def stop(self):
        await self._stack.aclose()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - figures tell nobody
            await asyncio.sleep(0.02)


async def ask(http, outcomes, stop):
    """Ask at a steady pace until told to stop, and count what came of it."""
    while not stop.is_set():
        async with http.post("/v1/chat/completions", json=QUESTION) as response:
            text = await response.text()
            outcomes["whole" if text.endswith("data: [DONE]\n\n") else text] += 1
        await asyncio.sleep(PACE_SECONDS)


@pytest.mark.slow
async def test_no_request_is_lost_while_replicas_restart_in_turn(tmp_path):
    """What one turns away or does not take, the other answers."""
    replicas = {name: Replica(tmp_path / name) for name in ("one", "two")}
    upstreams = {
        name: {"url": await replica.start(), "kind": "homeport", "health_seconds": 1.0}
        for name, replica in replicas.items()
    }
    settings = Settings(
        home=tmp_path / "front",
        plugins=PluginSettings(enabled=("theirs",), strict=True, tables={"remote": {"upstreams": upstreams}}),
    )
    outcomes, stop = Counter(), asyncio.Event()
    async with (
        Runtime.open(settings, plugins={"theirs": homeport_remote.plugin}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession(url) as http,
        asyncio.TaskGroup() as clients,
    ):
        for _ in range(CLIENTS):
            clients.create_task(ask(http, outcomes, stop))
        for name, replica in replicas.items():
            backend, before = runtime.backends[f"remote-{name}"], outcomes.total()
            await until(lambda before=before: outcomes.total() > before + ASKED_BETWEEN)
            await replica.stop()
            await until(lambda backend=backend: not backend.stats()["is_up"])
            await replica.start()
            await until(lambda backend=backend: backend.stats()["is_up"])
        stop.set()
    for replica in replicas.values():
        await replica.stop()
    assert set(outcomes) == {"whole"}
    assert outcomes.total() > 100
