"""A real homeport as the other server, and one that says what it is told."""

from collections.abc import AsyncIterator

import pytest

from homeport import Settings
from homeport.config.settings import PluginSettings, ServerSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import EchoPlugin
from homeport.testing.raw_server import RawServer

KEY = "a-key-of-the-other-server"


@pytest.fixture
def key_of_other() -> str:
    """What the homeport with a key wants."""
    return KEY


@pytest.fixture
async def other_homeport(tmp_path) -> AsyncIterator[str]:
    """The URL of a homeport that echoes, and needs ``KEY``."""
    settings = Settings(
        home=tmp_path / "other",
        plugins=PluginSettings(enabled=("echo",), strict=True),
        server=ServerSettings(api_key=KEY),
    )
    async with (
        Runtime.open(settings, plugins={"echo": EchoPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
    ):
        yield url


@pytest.fixture
async def open_homeport(tmp_path) -> AsyncIterator[str]:
    """The URL of a homeport that echoes for everybody on this machine."""
    settings = Settings(home=tmp_path / "open", plugins=PluginSettings(enabled=("echo",), strict=True))
    async with (
        Runtime.open(settings, plugins={"echo": EchoPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
    ):
        yield url


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    """A server that plays scripts."""
    async with RawServer.listening() as server:
        yield server
