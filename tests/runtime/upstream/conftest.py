import pytest

from homeport.testing.raw_server import RawServer


@pytest.fixture
async def raw():
    """A server that plays scripts."""
    async with RawServer.listening() as server:
        yield server
