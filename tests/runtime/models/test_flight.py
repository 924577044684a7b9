import asyncio

import pytest

from homeport.domain.errors import PullError
from homeport.models.flight import Flight, PullProgress


def step(status, completed=None):
    """One progress."""
    return PullProgress(status=status, completed=completed)


async def follow(flight):
    """Follow to the end."""
    return [progress async for progress in flight.follow()]


async def test_late_listeners_see_every_stage():
    """Who joins late gets the last progress of each stage that is over, in order."""
    flight = Flight()
    go_on = asyncio.Event()

    async def work():
        for progress in (step("a", 1), step("a", 2), step("b", 1)):
            flight.report(progress)
        await go_on.wait()
        flight.report(step("b", 2))
        flight.report(step("c"))

    flight.launch(work())
    following = flight.follow()
    early = [await anext(following) for _ in range(2)]
    assert early == [step("a", 2), step("b", 1)]
    go_on.set()
    assert [progress async for progress in following] == [step("b", 2), step("c")]
    assert await follow(flight) == [step("a", 2), step("b", 2), step("c")]


async def test_stages_that_alternate_are_kept_once():
    """Items that take turns leave one progress each, however often."""
    flight = Flight()

    async def work():
        for done in range(1000):
            flight.report(step("a", done))
            flight.report(step("b", done))

    flight.launch(work())
    assert await follow(flight) == [step("a", 999), step("b", 999)]


async def test_an_error_reaches_all():
    """Whoever follows a failed pull gets its error, also after the fact."""
    flight = Flight()

    async def work():
        await asyncio.sleep(0)
        raise PullError("broken")

    flight.launch(work())
    for outcome in await asyncio.gather(follow(flight), follow(flight), return_exceptions=True):
        assert isinstance(outcome, PullError)
    with pytest.raises(PullError, match="broken"):
        await follow(flight)
    assert flight.is_over


async def test_cancelling_waits_for_the_end():
    """A cancelled pull has cleaned up when ``cancel`` returns, and says that it was interrupted."""
    flight = Flight()
    cleaned = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    flight.launch(work())
    await asyncio.sleep(0)
    await flight.cancel()
    assert cleaned
    with pytest.raises(PullError, match="interrupted"):
        await follow(flight)


async def test_knows_when_nobody_follows():
    """A flight is abandoned before the first and after the last listener."""
    flight = Flight()
    flight.launch(asyncio.sleep(0))
    assert flight.is_abandoned
    await follow(flight)
    assert flight.is_abandoned
