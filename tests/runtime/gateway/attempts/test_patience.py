import asyncio

import pytest

from homeport import DeadlineError
from homeport.gateway.attempts.patience import Patience
from homeport.gateway.deadline import Deadline
from homeport.testing.virtual_time import in_virtual_time


async def pauses(*seconds):
    """Give an event after each pause."""
    for number, pause in enumerate(seconds):
        await asyncio.sleep(pause)
        yield number


@in_virtual_time
async def test_each_event_has_its_own_time():
    """Many short waits together may be longer than one may be."""
    patience, events = Patience(Deadline.after(1000)), pauses(*[4.0] * 20)
    assert [await patience.next(events, "stall", 5.0) for _ in range(20)] == list(range(20))
    with pytest.raises(StopAsyncIteration):
        await patience.next(events, "stall", 5.0)
    patience.close()


@in_virtual_time
async def test_silence_is_named_by_its_stage():
    """The error comes when the time is over, and says which time that was."""
    loop = asyncio.get_running_loop()
    patience, events = Patience(Deadline.after(1000)), pauses(1.0, 100.0)
    await patience.next(events, "first token", 30.0)
    with pytest.raises(DeadlineError, match="stall took longer than 5 s") as caught:
        await patience.next(events, "stall", 5.0)
    assert (caught.value.stage, loop.time()) == ("stall", pytest.approx(6.0))
    assert asyncio.current_task().cancelling() == 0


@in_virtual_time
async def test_time_that_began_earlier_is_over_earlier():
    """What the backend took to open its stream counts to the time of the first token."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    patience, events = Patience(Deadline.after(1000)), pauses(100.0)
    await asyncio.sleep(20)
    with pytest.raises(DeadlineError, match="first token took longer than 30 s"):
        await patience.next(events, "first token", 30.0, since=began_at)
    assert loop.time() - began_at == pytest.approx(30.0)


@in_virtual_time
async def test_whole_time_of_a_request_wins_where_it_is_shorter():
    """It is then the total that is named, with or without a time for the stage."""
    for seconds in (5.0, None):
        patience = Patience(Deadline.after(3))
        with pytest.raises(DeadlineError, match="total took longer than 3 s"):
            await patience.next(pauses(100.0), "stall", seconds)


@in_virtual_time
async def test_time_between_waits_is_nobodys_silence():
    """A client that reads slowly does not use up the backend's time."""
    patience, events = Patience(Deadline.after(1000)), pauses(1.0, 1.0, 1.0)
    for number in range(3):
        assert await patience.next(events, "stall", 5.0) == number
        await asyncio.sleep(50)


@in_virtual_time
async def test_cancellation_from_elsewhere_stays_one():
    """Only the timer's own becomes an error, also where both come at once."""
    patience = Patience(Deadline.after(1000))
    task = asyncio.ensure_future(patience.next(pauses(100.0), "stall", 5.0))
    asyncio.get_running_loop().call_later(5.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
