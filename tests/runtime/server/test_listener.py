"""Where the host listens, and how it stops."""

import socket

import aiohttp
import attrs
import pytest

from homeport import ConfigError
from homeport.config.settings import ServerSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve


async def test_an_open_server_still_checks_the_host(settings, serving):
    """Insecure opens the port, not the door for rebound names."""
    server = attrs.evolve(settings.server, insecure=True)
    headers = {"Host": "evil.example"}
    async with (
        serving(attrs.evolve(settings, server=server)) as served,
        served.http.get("/", headers=headers) as response,
    ):
        assert response.status == 403


async def test_a_taken_port_is_named(settings):
    """The message says where it could not listen and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with Runtime.open(settings) as runtime:
            with pytest.raises(ConfigError, match=f"127.0.0.1 port {port}.*--port"):
                async with serve(runtime, host="127.0.0.1", port=port):
                    pytest.fail("listened")


async def test_the_settings_say_where_to_listen(settings):
    """Without arguments the configured address is taken."""
    server = ServerSettings(host="[::1]", port=0) if socket.has_ipv6 else ServerSettings(port=0)
    async with (
        Runtime.open(attrs.evolve(settings, server=server)) as runtime,
        serve(runtime) as url,
        aiohttp.ClientSession() as http,
        http.get(url) as response,
    ):
        assert await response.text() == "Ollama is running"


async def test_an_unknown_name_cannot_be_listened_on(settings):
    """A name that means no address is an error of the settings."""
    async with Runtime.open(settings) as runtime:
        with pytest.raises(ConfigError, match="no such host"):
            async with serve(runtime, host="no-such-host.invalid", port=0):
                pytest.fail("listened")
