"""What becomes of requests while the only server of a model is away."""

from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

import homeport_remote.plugin
from homeport import Settings
from homeport.config.gateway_settings import GatewaySettings, RouteSettings
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import EchoPlugin

BODY = {"messages": [{"role": "user", "content": "one two"}]}


@asynccontextmanager
async def upstream(home):
    settings = Settings(home=home, plugins=PluginSettings(enabled=("echo",), strict=True))
    async with (
        Runtime.open(settings, plugins={"echo": EchoPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
    ):
        yield url


@asynccontextmanager
async def front(home, url, *, fallbacks=(), routes=None):
    tables = {"remote": {"upstreams": {"c": {"url": url, "models": {"smart": "echo:latest"}}}}}
    settings = Settings(
        home=home,
        plugins=PluginSettings(enabled=("echo", "theirs"), strict=True, tables=tables),
        gateway=GatewaySettings(fallbacks=fallbacks),
        routes=routes or {},
    )
    plugins = {"echo": EchoPlugin(), "theirs": homeport_remote.plugin}
    async with (
        Runtime.open(settings, plugins=plugins) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as address,
        aiohttp.ClientSession(address) as http,
    ):

        async def ask(model):
            async with http.post("/v1/chat/completions", json={"model": model, **BODY}) as response:
                return response.status, response.headers.get("x-homeport-route", ""), await response.json()

        yield ask, http


@pytest.mark.parametrize("model", ["smart", "desk"])
async def test_fallback_serves_for_as_long_as_the_server_is_away(tmp_path, model):
    """Not only the request that finds it out, but every one behind it."""
    routes = {"desk": RouteSettings(models=("smart",), fallbacks=("echo",))}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(upstream(tmp_path / "other"))
        async with front(tmp_path / "front", url, fallbacks=("echo",), routes=routes) as (ask, _):
            status, route, _ = await ask(model)
            assert (status, "backend=remote-c;" in route) == (200, True)
            await stack.aclose()
            for _ in range(8):
                status, route, _ = await ask(model)
                assert (status, "backend=echo;" in route, "reason=fallback" in route) == (200, True, True)


async def test_without_a_fallback_the_server_is_said_to_be_away(tmp_path):
    """Its models are not said to be unknown, and are in no list."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(upstream(tmp_path / "other"))
        async with front(tmp_path / "front", url) as (ask, http):
            await ask("smart")
            await stack.aclose()
            answers = [await ask("smart") for _ in range(3)]
            async with http.get("/v1/models") as response:
                names = {model["id"] for model in (await response.json())["data"]}
    assert {status for status, _, _ in answers} == {502}
    assert {answer["error"]["message"] for _, _, answer in answers} == {"remote model is unavailable"}
    assert names == {"echo:latest"}


async def test_server_that_is_away_at_the_start_is_made_up_for_too(tmp_path):
    """The settings say what it has, so that nobody is told that there is no such model."""
    async with upstream(tmp_path / "other") as url:
        gone = url
    async with front(tmp_path / "front", gone, fallbacks=("echo",)) as (ask, _):
        status, route, _ = await ask("smart")
    assert (status, "backend=echo;" in route) == (200, True)
