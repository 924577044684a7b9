"""Rule 1: the loopback address, or a key, or a decision of the operator."""

import attrs
import pytest

from homeport import ConfigError
from homeport.config.settings import ServerSettings
from homeport.runtime import Runtime
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.keys import KeyRing
from homeport.server.listener import check_exposure, serve
from homeport.server.scopes import Scope


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.5", "8.8.8.8"])
async def test_an_open_address_needs_a_key(host):
    """Without a key nothing but loopback is listened on."""
    with pytest.raises(ConfigError, match="without an API key"):
        await check_exposure(ServerSettings(), host, KeyRing())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
async def test_loopback_needs_no_key(host):
    """All names of loopback are fine."""
    await check_exposure(ServerSettings(), host, KeyRing())


async def test_a_key_or_insecure_opens_the_address():
    """Either is a decision of the operator."""
    await check_exposure(ServerSettings(), "0.0.0.0", KeyRing("k"))
    await check_exposure(ServerSettings(insecure=True), "::", KeyRing())


async def test_an_empty_key_is_no_key():
    """An empty variable does not open the network."""
    with pytest.raises(ConfigError):
        await check_exposure(ServerSettings(), "0.0.0.0", KeyRing(""))


async def test_a_key_of_the_file_opens_the_address_and_an_empty_file_does_not(tmp_path):
    """A key made with ``homeport keys create`` counts like that of the settings, as long as it is there."""
    file = KeyFile(tmp_path / FILE_NAME)
    file.create("laptop", {Scope.INFER})
    await check_exposure(ServerSettings(), "0.0.0.0", await KeyRing.load(None, file))
    file.revoke("laptop")
    with pytest.raises(ConfigError, match="homeport keys create"):
        await check_exposure(ServerSettings(), "0.0.0.0", await KeyRing.load(None, file))


async def test_a_refused_address_is_never_bound(settings):
    """The check comes before the socket."""
    async with Runtime.open(settings) as runtime:
        with pytest.raises(ConfigError):
            async with serve(runtime, host="0.0.0.0", port=0):
                pytest.fail("listened")


async def test_a_damaged_file_of_keys_stops_the_start(settings):
    """Who wrote keys down wants them checked: what cannot be read opens nothing, on loopback neither."""
    (settings.home / FILE_NAME).write_text('{"version": 1, "keys": [{"name": ')
    async with Runtime.open(attrs.evolve(settings)) as runtime:
        with pytest.raises(ConfigError, match=r"keys\.json.*cannot be used"):
            async with serve(runtime, host="127.0.0.1", port=0):
                pytest.fail("listened")
