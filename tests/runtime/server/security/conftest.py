"""A server that wants keys, and requests that no proper client would send."""

import asyncio

import attrs
import pytest

from homeport.config.settings import ServerSettings

KEY = "k-1234567890"


@pytest.fixture
def key():
    """The key of the settings, which is for everything."""
    return KEY


@pytest.fixture
async def locked(settings, serving):
    """A server that wants a key."""
    async with serving(attrs.evolve(settings, server=ServerSettings(api_key=KEY))) as served:
        yield served


@pytest.fixture
def send_raw():
    """Send bytes as they are and give all that comes back."""

    async def send(served, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    return send
