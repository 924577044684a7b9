import asyncio
import math

import pytest

from homeport import DeadlineError, InvalidRequestError
from homeport.gateway.deadline import Deadline
from homeport.testing.virtual_time import run_virtual


def outlast(seconds, stage_seconds, *, pause=0.0):
    """Let a stage of a deadline wait for ever; give its error and when it came."""

    async def wait():
        deadline = Deadline.after(seconds)
        await asyncio.sleep(pause)
        with pytest.raises(DeadlineError) as caught:
            async with deadline.stage("queue", stage_seconds):
                await asyncio.Event().wait()
        return caught.value, asyncio.get_running_loop().time()

    return run_virtual(wait())


def test_stage_that_is_over_first_is_named():
    """The error of a stage has its name and its time, and comes on time."""
    error, ended_at = outlast(10, 3, pause=2)
    assert (error.stage, ended_at) == ("queue", pytest.approx(5))
    assert "queue took longer than 3 s" in str(error)


@pytest.mark.parametrize("stage_seconds", [None, 100.0, math.inf])
def test_whole_that_is_over_first_is_named(stage_seconds):
    """No stage outlasts the request, whatever it may take itself."""
    error, ended_at = outlast(10, stage_seconds, pause=2)
    assert (error.stage, ended_at) == ("total", pytest.approx(10))


def test_stage_of_a_request_that_is_over_does_not_begin():
    """A late stage fails before it does anything."""

    async def late():
        deadline = Deadline.after(1)
        await asyncio.sleep(1)
        async with deadline.stage("load", 5):
            pytest.fail("began")

    with pytest.raises(DeadlineError, match="total"):
        run_virtual(late())


def test_timeout_of_the_work_itself_is_passed_on():
    """A ``TimeoutError`` that is not ours stays what it is."""

    async def fail():
        async with Deadline.after(10).stage("connect", 5):
            raise TimeoutError("of a socket")

    with pytest.raises(TimeoutError, match="of a socket"):
        run_virtual(fail())


def test_what_is_left_goes_down_with_the_clock():
    """A deadline is a moment, and not a duration that begins again with each stage."""

    async def measure():
        deadline = Deadline.after(10)
        async with deadline.stage("queue", 5):
            await asyncio.sleep(4)
        return deadline.left(), deadline.at, deadline.began_at

    assert run_virtual(measure()) == pytest.approx((6, 10, 0))


def test_endless_deadline_never_comes():
    """Infinity sets no bound."""

    async def wait():
        async with Deadline.after(math.inf).stage("queue", None):
            await asyncio.sleep(1e5)

    run_virtual(wait())


@pytest.mark.parametrize("seconds", [-1, math.nan, -math.inf])
async def test_impossible_time_is_refused(seconds):
    """A deadline before its beginning, and no number, are the caller's fault."""
    with pytest.raises(InvalidRequestError, match="deadline_seconds"):
        Deadline.after(seconds)


async def test_no_time_at_all_is_over_at_once():
    """Zero seconds are a deadline that has passed."""
    with pytest.raises(DeadlineError):
        Deadline.after(0).check()
