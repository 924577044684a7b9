"""Homeports that are each other's upstream."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp
import pytest

import homeport_remote.plugin
from homeport import Settings
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve

QUESTION = {"model": "ghost:latest", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def circle(tmp_path, unused_tcp_port_factory):
    """Two homeports; each takes the other for a server that has the model ``ghost``."""
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    async with AsyncExitStack() as stack:
        for own, other in (ports, ports[::-1]):
            upstream = {"url": f"http://127.0.0.1:{other}", "models": {"ghost": "ghost:latest"}}
            settings = Settings(
                home=tmp_path / str(own),
                plugins=PluginSettings(
                    enabled=("theirs",),
                    strict=True,
                    tables={"remote": {"upstreams": {"twin": upstream | {"health_seconds": 0.2}}}},
                ),
            )
            runtime = await stack.enter_async_context(
                Runtime.open(settings, plugins={"theirs": homeport_remote.plugin})
            )
            await stack.enter_async_context(serve(runtime, host="127.0.0.1", port=own))
        yield f"http://127.0.0.1:{ports[0]}"


async def test_request_that_goes_in_circles_ends_with_an_error(circle):
    """It is refused by the one that is asked the fifth time at the latest, and nobody hangs."""
    async with (
        asyncio.timeout(20),
        aiohttp.ClientSession(circle) as http,
        http.post("/v1/chat/completions", json=QUESTION) as response,
    ):
        assert response.status >= 400
