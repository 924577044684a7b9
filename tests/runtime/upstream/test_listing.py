import asyncio
from datetime import UTC, datetime

import attrs
import pytest

from homeport import BackendError, InvalidRequestError, ModelInfo, OverloadedError
from homeport.upstream.listing import FIRST_LOOK_SECONDS, ModelListing
from homeport.upstream.refused import UnreachableError

MODEL = ModelInfo(name="m:1", digest="ab" * 32, backend="b", modified_at=datetime(2026, 1, 1, tzinfo=UTC))
AWAY = attrs.evolve(MODEL, is_away=True)


class Server:
    """Answers looks as it is told."""

    def __init__(self):
        self.answer = (MODEL,)
        self.looks = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def look(self):
        await self.gate.wait()
        self.looks += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def listing(server):
    listing = ModelListing("b", server.look, every_seconds=3600)
    yield listing
    await listing.aclose()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a look tells nobody
            await asyncio.sleep(0.005)


async def test_first_to_ask_waits_for_the_first_look(listing, server):
    """A request that comes right after the start finds the models."""
    assert await listing.models() == (MODEL,)
    assert await listing.models() == (MODEL,)
    assert server.looks == 1


async def test_nobody_waits_long_for_a_server_that_says_nothing(listing, server):
    """The first look delays a request by a bounded time."""
    server.gate.clear()
    started = asyncio.get_running_loop().time()
    assert await listing.models() == ()
    assert asyncio.get_running_loop().time() - started < FIRST_LOOK_SECONDS + 0.5


async def test_models_are_away_while_the_server_is(listing, server):
    """It goes with the next look, and comes back with a later one, sooner than usual."""
    assert await listing.models() == (MODEL,)
    server.answer = BackendError("gone")
    listing.look_soon()
    await until(lambda: not listing.is_up)
    assert await listing.models() == (AWAY,)
    server.answer = (MODEL,)
    await until(lambda: listing.is_up)
    assert await listing.models() == (MODEL,)


async def test_server_that_takes_no_connection_is_gone_at_once(listing, server):
    """The next request is told that its models are away, and it is looked at again soon."""
    await listing.models()
    with pytest.raises(UnreachableError), listing.watching():
        raise UnreachableError("refused")
    assert await listing.models() == (AWAY,)
    await until(lambda: listing.is_up)


@pytest.mark.parametrize(
    ("error", "looks"),
    [(BackendError("cut"), 2), (OverloadedError("busy"), 2), (InvalidRequestError("bad"), 1)],
)
async def test_fault_of_the_server_asks_for_a_look(listing, server, error, looks):
    """Faults of the request do not, and neither kind removes the models before the look."""
    await listing.models()
    with pytest.raises(type(error)), listing.watching():
        raise error
    assert listing.known == (MODEL,)
    if looks > 1:
        await until(lambda: server.looks == looks)
    assert server.looks == looks


async def test_look_that_raises_anything_is_survived(listing, server):
    """A bug in a look does not end all further ones."""
    server.answer = KeyError("x")
    assert await listing.models() == ()
    server.answer = (MODEL,)
    await until(lambda: listing.is_up)


async def test_busy_server_is_not_asked(server):
    """One that answers requests on all its connections is there."""
    listing = ModelListing("b", server.look, every_seconds=3600, is_busy=lambda: server.looks > 0)
    await listing.models()
    listing.look_soon()
    await asyncio.sleep(0)
    assert server.looks == 1
    await listing.aclose()


async def test_models_are_found_in_any_case(listing):
    """Names are compared without regard to case."""
    await listing.models()
    assert listing.find("M:1") == MODEL
    assert listing.find("other:1") is None
