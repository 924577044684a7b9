"""A process that spends: ``race`` for room in a budget, or ``kill`` children that are killed while they do.

Usage: spending_process.py FOLDER race ATTEMPTS ROOM, or spending_process.py FOLDER kill
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from homeport import (
    Attempt,
    BudgetError,
    Candidate,
    GenerationRequest,
    ModelInfo,
    Sampling,
    TextPrompt,
    Usage,
)
from homeport_costguard.config import BudgetSettings, CostGuardConfig, PriceSettings
from homeport_costguard.guard import CostGuard

PRICES = {"paid": PriceSettings(input=1.0, output=2.0, as_of="2026-11-01")}
AT_ONCE = 4
MODEL = ModelInfo(
    name="paid:latest", digest="a" * 64, backend="far", modified_at=datetime.now(UTC), is_remote=True
)


def attempt(name):
    request = GenerationRequest(
        id=name, model="any", prompt=TextPrompt("hi"), sampling=Sampling(max_tokens=9)
    )
    usage = Usage(prompt_tokens=3, completion_tokens=4)
    return Attempt(request=request, candidate=Candidate("far", MODEL), usage=usage)


def say(line):
    os.write(1, f"{line}\n".encode())


async def race(folder, attempts, room):
    """Start all attempts at once on a word; tell how many got in; let them end on another word."""
    budgets = {"all": BudgetSettings(hard_calls=room)}
    guard = CostGuard(CostGuardConfig(prices=PRICES, budgets=budgets), state=folder)
    decided, done, passed = asyncio.Semaphore(0), asyncio.Event(), []

    async def one(name):
        try:
            async with guard.attempt(attempt(name)):
                passed.append(name)
                decided.release()
                await done.wait()
        except BudgetError:
            decided.release()

    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    async with asyncio.TaskGroup() as group:
        for number in range(attempts):
            group.create_task(one(f"{os.getpid()}-{number}"))
        for _ in range(attempts):
            await decided.acquire()
        say(len(passed))
        await asyncio.to_thread(sys.stdin.readline)
        done.set()
    await guard.aclose()


async def spend_for_ever(folder, name):
    """Make attempts until killed, and acknowledge each that was charged."""
    guard = CostGuard(CostGuardConfig(prices=PRICES), state=folder)

    async def many(lane):
        number = 0
        while True:
            number += 1
            async with guard.attempt(attempt(f"{name}-{lane}-{number}")):
                await asyncio.sleep(0)
            say(f"{name}-{lane}-{number}")

    await asyncio.gather(*(many(lane) for lane in range(AT_ONCE)))


def fork_children(folder):
    """Start a child per line of standard input, and tell when it was killed."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(spend_for_ever(folder, line.strip()))
        say(pid)
        os.waitpid(pid, 0)
        say("dead")


if __name__ == "__main__":
    folder, task, *arguments = sys.argv[1:]
    if task == "race":
        asyncio.run(race(Path(folder), *map(int, arguments)))
    else:
        fork_children(Path(folder))
