"""Attempts that begin, end, fail and are cancelled in any order, while settings are reloaded."""

import asyncio
import random
from contextlib import suppress

import pytest

from homeport import Attempt, BackendError, BudgetError, Usage
from homeport.testing import run_virtual
from homeport_costguard.guard import CostGuard

from .conftest import FREE, candidate, config, request
from .ledger_view import check_sums, rows, spent

SEEDS = 25
ATTEMPTS = 150
EVENTS = 60
WORST_CASE = 5 + 64 + 2 * 10
"""Of ``request()``, in micro-USD."""
CAP = 10 * WORST_CASE
BUDGETS = (
    {"all": {"hard_usd": CAP / 1e6}},
    {"all": {"hard_usd": CAP / 1e6, "hard_calls": 30}},
    {"all": {"hard_usd": CAP / 1e6}, "each": {"scope": "agent", "hard_calls": 25}},
)
"""Between which reloads change; free attempts are counted by some only."""


async def play(folder, chance):
    """Run all attempts, each cancelled, failed or well, and reload in between."""
    guard = CostGuard(config(budgets=chance.choice(BUDGETS)), state=folder)

    async def one():
        await asyncio.sleep(chance.uniform(0, 2))
        attempt = Attempt(
            request=request(agent=chance.choice("ab")), candidate=chance.choice((candidate(), FREE))
        )
        with suppress(BudgetError, BackendError):
            async with guard.attempt(attempt):
                await asyncio.sleep(chance.random())
                if chance.random() < 0.2:
                    raise BackendError("gone")
                attempt.usage = Usage(
                    prompt_tokens=chance.randrange(69), completion_tokens=chance.randrange(10)
                )
                if chance.random() < 0.1:
                    attempt.error = BackendError("cut")
                    raise attempt.error

    tasks = [asyncio.ensure_future(one()) for _ in range(ATTEMPTS)]
    for _ in range(EVENTS):
        await asyncio.sleep(chance.uniform(0, 0.06))
        if chance.random() < 0.3:
            guard.reconfigure(config(budgets=chance.choice(BUDGETS)))
        else:
            chance.choice(tasks).cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await guard.aclose()


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_no_order_of_events_overspends_or_leaves_a_reservation(tmp_path, seed):
    """Money stays below its cap, every account is the sum of its entries, and nothing stays reserved."""
    run_virtual(play(tmp_path, random.Random(seed)), seed=seed, work_seconds=0.05)
    assert 0 < spent(tmp_path)[0] <= CAP
    assert rows(tmp_path, "SELECT * FROM reservations") == []
    check_sums(tmp_path)
