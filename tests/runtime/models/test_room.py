import asyncio

import attrs
import pytest

from homeport.config.settings import ModelSettings
from homeport.domain.memory_amount import MemoryAmount
from homeport.domain.overload import NoRoomError, TooManyModelsError
from homeport.models.footprint import Footprint
from homeport.models.room import Machine, Room
from homeport.testing import in_virtual_time

LEAVE_SECONDS = 0.1


@attrs.define(eq=False)
class Guest:
    """A tenant that does as it is told.

    Attributes:
        users: Who use it now.
        used_at: When it was used last.
        is_pinned: Whether it never leaves by itself.
        is_leaving: Whether it was told to go.
    """

    house: "House"
    name: str
    users: int = 0
    used_at: float = 0.0
    is_pinned: bool = False
    is_leaving: bool = False
    claim: object = None

    @property
    def is_idle(self):
        return not self.users and not self.is_leaving

    async def leave(self, reason):
        assert reason == "evicted"
        assert not self.is_leaving
        self.is_leaving = True
        if not self.users:
            await self.go()

    async def go(self):
        await asyncio.sleep(LEAVE_SECONDS)
        self.house.gone.append(self.name)
        self.house.room.release(self.claim)

    async def finish(self):
        """End its last request."""
        self.users = 0
        self.house.room.tell()
        if self.is_leaving:
            await self.go()


class House:
    """A room of 1000 bytes, and its guests."""

    def __init__(self, *, free=10_000, may_evict=lambda: True, **settings):
        given = {"most_memory": 1000, "least_free": 1} | settings
        machine = Machine(total_bytes=lambda: 10_000, available_bytes=lambda _: self.free)
        self.free = free
        self.room = Room(ModelSettings(**given), machine=machine, may_evict=may_evict)
        self.gone = []

    async def claim(self, size, *, within=300.0, name="new"):
        return await self.room.claim(name, footprint(size), within_seconds=within)

    async def load(self, name, size, **more):
        guest = Guest(self, name, **more)
        guest.claim = await self.claim(size, name=name)
        guest.claim.tenant = guest
        return guest


def footprint(size):
    return Footprint(fixed_bytes=size, window_bytes=0, most_cache_bytes=0, cache=MemoryAmount(share=0.5))


@in_virtual_time
async def test_loads_that_fit_together_come_together():
    """Nobody leaves while there is room."""
    house = House()
    await house.load("a", 500)
    await house.load("b", 500)
    assert not house.gone


@in_virtual_time
async def test_least_recently_used_leaves_first():
    """Of idle models, the one that was used longest ago."""
    house = House()
    await house.load("a", 300, used_at=3)
    await house.load("b", 300, used_at=1)
    await house.load("c", 300, used_at=2)
    await house.claim(500)
    assert house.gone == ["b", "c"]


@in_virtual_time
async def test_memory_is_granted_when_the_process_has_ended():
    """A load does not begin while the one before it still ends."""
    house = House()
    await house.load("a", 800)
    began = asyncio.get_running_loop().time()
    await house.claim(800)
    assert asyncio.get_running_loop().time() - began >= LEAVE_SECONDS


@in_virtual_time
async def test_two_loads_do_not_take_the_same_memory():
    """What one was promised is not there for another, though nothing is written yet."""
    house = House()
    await house.claim(600)
    with pytest.raises(NoRoomError):
        await house.claim(600, within=1)


@in_virtual_time
async def test_pinned_and_used_models_stay():
    """The idle one leaves, whoever was used later."""
    house = House()
    await house.load("pinned", 300, used_at=0, is_pinned=True)
    await house.load("used", 300, used_at=1, users=1)
    await house.load("idle", 300, used_at=2)
    await house.claim(400)
    assert house.gone == ["idle"]


@in_virtual_time
async def test_nobody_leaves_in_vain():
    """A load that would not fit anyway evicts nothing and is told what it needs and could have."""
    house = House()
    await house.load("pinned", 400, is_pinned=True)
    await house.load("idle", 300)
    with pytest.raises(NoRoomError) as refused:
        await house.claim(700)
    assert (refused.value.needed_bytes, refused.value.free_bytes) == (700, 600)
    assert refused.value.status == 503
    assert not house.gone


@in_virtual_time
async def test_load_waits_for_a_model_in_use():
    """A model that becomes idle in time makes room."""
    house = House()
    busy = await house.load("busy", 800, users=1)
    waiting = asyncio.ensure_future(house.claim(800))
    await asyncio.sleep(1)
    assert not waiting.done()
    await busy.finish()
    await waiting
    assert house.gone == ["busy"]


@in_virtual_time
async def test_model_that_is_never_idle_is_taken_out_of_service():
    """After two seconds it gets no new requests, and leaves with its last one; in use it is never ended."""
    house = House()
    busy = await house.load("busy", 800, users=1)
    waiting = asyncio.ensure_future(house.claim(800))
    await asyncio.sleep(3)
    assert busy.is_leaving
    assert not house.gone
    await asyncio.sleep(100)
    assert not house.gone
    await busy.finish()
    await waiting
    assert house.gone == ["busy"]


@in_virtual_time
async def test_one_that_leaves_already_is_waited_for():
    """Where those on their way out suffice, nobody else has to go."""
    house = House()
    first = await house.load("a", 500, users=1, used_at=0)
    other = await house.load("b", 500, users=1, used_at=1)
    waiting = asyncio.ensure_future(house.claim(400))
    await asyncio.sleep(5)
    assert first.is_leaving
    await other.finish()
    await asyncio.sleep(5)
    assert not other.is_leaving
    await first.finish()
    await waiting
    assert house.gone == ["a"]


@in_virtual_time
async def test_waiting_has_an_end():
    """A request is told in time that there was no room."""
    house = House()
    await house.load("busy", 800, users=1)
    began = asyncio.get_running_loop().time()
    with pytest.raises(NoRoomError):
        await house.claim(800, within=30)
    assert asyncio.get_running_loop().time() - began == pytest.approx(30)


@in_virtual_time
async def test_number_of_models_is_bounded():
    """With most_loaded one has to leave although memory would suffice."""
    house = House(most_loaded=2)
    await house.load("a", 10, used_at=1)
    await house.load("b", 10, used_at=2)
    await house.claim(10)
    assert house.gone == ["a"]


@in_virtual_time
async def test_full_house_is_not_called_a_lack_of_memory():
    """Where the number of models is the bound, the refusal says so."""
    house = House(most_loaded=1)
    await house.load("pinned", 10, is_pinned=True)
    with pytest.raises(TooManyModelsError, match="than 1, and none") as refused:
        await house.claim(10)
    assert refused.value.status == 503
    with pytest.raises(NoRoomError):
        await house.claim(5000)


@in_virtual_time
async def test_other_bounds_hold_from_then_on():
    """Each of the three can be changed while models are loaded."""
    house = House(most_loaded=1)
    await house.load("pinned", 400, is_pinned=True)
    house.room.reconfigure(ModelSettings(most_memory=1000, least_free=1))
    await house.claim(100)
    house.room.reconfigure(ModelSettings(most_memory=550, least_free=1))
    with pytest.raises(NoRoomError):
        await house.claim(100)
    house.room.reconfigure(ModelSettings(most_memory=1000, least_free=9450))
    with pytest.raises(NoRoomError):
        await house.claim(100)


@in_virtual_time
async def test_what_others_use_is_not_granted():
    """Memory that the system has not is not promised, whatever the settings allow."""
    house = House(free=300)
    with pytest.raises(NoRoomError) as refused:
        await house.claim(400)
    assert refused.value.free_bytes == 299


@in_virtual_time
async def test_memory_is_kept_free_for_others():
    """least_free is taken off what the system has."""
    house = House(free=500, least_free=200)
    await house.claim(300)
    with pytest.raises(NoRoomError):
        await House(free=500, least_free=201).claim(300)


@in_virtual_time
async def test_cache_gets_its_share_of_what_is_left():
    """Half of what remains beside the fixed part, and the claim counts all of it."""
    house = House()
    wanted = Footprint(fixed_bytes=200, window_bytes=0, most_cache_bytes=None, cache=MemoryAmount(share=0.5))
    claim = await house.room.claim("a", wanted, within_seconds=1)
    assert (claim.cache_bytes, claim.predicted_bytes) == (400, 600)


@in_virtual_time
async def test_under_pressure_nobody_leaves_for_another():
    """What fits is loaded, what does not is refused at once."""
    house = House(may_evict=lambda: False)
    await house.load("idle", 600)
    await house.load("fits", 300)
    with pytest.raises(NoRoomError):
        await house.claim(600)
    assert not house.gone


@in_virtual_time
async def test_objection_agrees_with_the_claim():
    """Idle models count as room, used and pinned ones do not; the reason has figures."""
    house = House()
    guest = await house.load("a", 800)
    assert house.room.objection(footprint(900)) == ""
    assert house.room.objection(footprint(1100)) == "needs 1100 bytes of memory, 1000 can be had"
    guest.users = 1
    assert house.room.objection(footprint(900)) == "needs 900 bytes of memory, 200 can be had"


@in_virtual_time
async def test_loads_take_turns_without_end():
    """Eight clients that want three models in turn, where one fits, are all served."""
    house = House()
    served = []
    loading = asyncio.Lock()
    current = {}

    async def serve(name):
        async with loading:
            guest = current.get(name)
            if guest is None or guest.is_leaving:
                guest = current[name] = await house.load(name, 800)
            guest.users += 1
        await asyncio.sleep(0.5)
        guest.used_at = asyncio.get_running_loop().time()
        if guest.users == 1:
            await guest.finish()
        else:
            guest.users -= 1
        served.append(name)

    async def client(number):
        for turn in range(6):
            await serve("abc"[(number + turn) % 3])

    async with asyncio.timeout(1000), asyncio.TaskGroup() as clients:
        for number in range(8):
            clients.create_task(client(number))
    assert len(served) == 48
