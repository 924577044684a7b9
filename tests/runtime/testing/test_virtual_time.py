import asyncio
import itertools
import subprocess
import sys
import time

import pytest

from homeport.testing import HangError, in_virtual_time, run_virtual


def test_hours_pass_in_no_time():
    """A sleep moves the clock of the loop by its length and costs no real time."""

    async def sleep():
        await asyncio.sleep(36_000)
        return asyncio.get_running_loop().time()

    before = time.monotonic()
    assert run_virtual(sleep()) == pytest.approx(36_000)
    assert time.monotonic() - before < 5


@in_virtual_time
async def test_timeouts_and_sleeps_keep_their_order():
    """What falls due earlier happens earlier, however far apart it is."""
    seen = []

    async def note(seconds):
        await asyncio.sleep(seconds)
        seen.append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for seconds in (500.0, 0.001, 3.0, 0.0):
            tasks.create_task(note(seconds))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(11)
        assert seen == [0.0, 0.001, 3.0]
    assert seen[-1] == 500.0


@in_virtual_time
async def test_work_for_an_executor_is_done_in_place():
    """A thread's work is done at once, and its error reaches who waits for it."""
    assert await asyncio.to_thread(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)
    assert asyncio.get_running_loop().time() == 0


def test_work_for_an_executor_may_take_virtual_time():
    """Its length is drawn by the seed, within its bound."""

    async def work():
        await asyncio.to_thread(lambda: None)
        return asyncio.get_running_loop().time()

    lengths = {run_virtual(work(), seed=seed, work_seconds=2.0) for seed in range(50)}
    assert len(lengths) == 50
    assert 0 <= min(lengths) < 0.5
    assert 1.5 < max(lengths) <= 2.0


def test_a_wait_for_nothing_is_an_error_that_names_the_line():
    """A hang ends the run at once and says where it is."""

    async def wait_for_nobody():
        await asyncio.Event().wait()

    with pytest.raises(HangError, match=r"nothing can happen any more at 0 s; .*wait_for_nobody, line \d+"):
        run_virtual(wait_for_nobody())


def test_what_never_ends_is_stopped():
    """A loop of timers without end is found when its time is over."""

    async def tick():
        for second in itertools.count():
            await asyncio.sleep(second)

    with pytest.raises(HangError, match="not at its end after 60 s"):
        run_virtual(tick(), most_seconds=60)


def _order(seed):
    async def collect():
        seen = []
        async with asyncio.TaskGroup() as tasks:
            for number in range(12):
                tasks.create_task(asyncio.sleep(1)).add_done_callback(
                    lambda _task, number=number: seen.append(number)
                )
        return seen

    return run_virtual(collect(), seed=seed)


def test_seeds_choose_the_order_of_what_falls_due_together():
    """Each seed has an order of its own, and always the same one."""
    assert _order(0) == _order(0) != _order(1)
    assert _order(1) == _order(1) != _order(2)
    assert sorted(_order(1)) == list(range(12))


_CANCELLING = """
import asyncio
from homeport.testing import run_virtual

async def main():
    ended = []
    async def work(number):
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(number)
    async def fail():
        await asyncio.sleep(1)
        raise ValueError
    ballast = [object() for _ in range(%d)]
    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                ballast.append(bytearray(number * %d))
                tasks.create_task(work(number))
            tasks.create_task(fail())
    except* ValueError:
        pass
    print(ended)

run_virtual(main())
"""


def test_sets_of_tasks_have_the_same_order_in_every_process():
    """A group that cancels its tasks does so in one order, wherever they lie in memory."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _CANCELLING % (ballast, ballast)],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for ballast in (0, 7, 1111)
    }
    assert len(outputs) == 1
