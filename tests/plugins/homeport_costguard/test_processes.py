"""Several processes on one ledger, and processes that are killed."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import config, run
from .ledger_view import RESERVED, check_sums, rows, spent

SCRIPT = Path(__file__).with_name("spending_process.py")
ROOM = 10
KILLS = 20
MOST_ACKNOWLEDGED = 40


@pytest.fixture
def spending(tmp_path):
    """Start a process that spends on the test's ledger."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(tmp_path), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_overspend_nothing(spending, tmp_path):
    """64 attempts of two processes at once into room for ten: ten pass, in whichever they are."""
    both = [spending("race", 32, ROOM) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    passed = [int(process.stdout.readline()) for process in both]
    assert sum(passed) == ROOM
    for process in both:
        process.stdin.write("done\n")
        process.stdin.flush()
        assert process.wait(60) == 0
    assert spent(tmp_path)[3] == ROOM
    check_sums(tmp_path)


async def kill_and_count(spending, tmp_path, opened, kills):
    """Kill a spending process again and again; give the names of the attempts that it acknowledged."""
    random_ = random.Random(20261121)
    server = spending("kill")
    acknowledged = []
    for number in range(kills):
        server.stdin.write(f"{number}\n")
        server.stdin.flush()
        pid = int(server.stdout.readline())
        lines = iter(server.stdout.readline, "")
        acknowledged += [next(lines).strip() for _ in range(random_.randrange(MOST_ACKNOWLEDGED))]
        for _ in range(random_.randrange(20_000)):
            pass
        os.kill(pid, signal.SIGKILL)
        for line in lines:
            if line == "dead\n":
                break
            acknowledged.append(line.strip())
    return acknowledged


async def check_killed(spending, tmp_path, opened, kills):
    acknowledged = await kill_and_count(spending, tmp_path, opened, kills)
    async with opened(config()) as guard:
        await run(guard)
    entries = [name for (name,) in rows(tmp_path, "SELECT request FROM entries WHERE request != 'r'")]
    assert len(acknowledged) > kills
    assert len(set(entries)) == len(entries)
    assert set(acknowledged) <= set(entries)
    reserved = rows(tmp_path, f"SELECT {RESERVED} FROM accounts")
    assert all(amounts == (0, 0, 0, 0) for amounts in reserved)
    check_sums(tmp_path)


async def test_killed_processes_lose_no_acknowledged_charge_and_charge_none_twice(spending, tmp_path, opened):
    """What was told to be charged is in the ledger once; what was only reserved is free again."""
    await check_killed(spending, tmp_path, opened, KILLS)


@pytest.mark.slow
async def test_two_hundred_kills_lose_nothing(spending, tmp_path, opened):
    """The same, ten times as often."""
    await check_killed(spending, tmp_path, opened, 10 * KILLS)


def test_budget_without_room_lets_no_attempt_of_another_process_in(tmp_path):
    """A budget with room for none lets nobody in, in a process of its own too."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "race", "3", "0"],
        input="go\ndone\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[1]) == 0
