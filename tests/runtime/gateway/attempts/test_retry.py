import asyncio
from random import Random

import pytest

from homeport import BackendError, BackendRefusedError, OverloadedError, WorkerDiedError
from homeport.config.gateway_settings import RetrySettings
from homeport.gateway.attempts.retry import RetryBudget, delay_seconds
from homeport.testing import in_virtual_time, run_virtual

DOWN = BackendError("down")


def delays(number, error=DOWN, settings=RetrySettings(), count=500):  # noqa: B008 - frozen
    generator = Random(number)
    return [delay_seconds(settings, number, error, generator) for _ in range(count)]


def test_delays_are_anything_up_to_a_bound_that_doubles():
    """Full jitter: from nothing to the bound, and the bound doubles up to its own."""
    for number, bound in ((1, 0.1), (2, 0.2), (5, 1.6), (7, 5.0), (10, 5.0)):
        drawn = delays(number, settings=RetrySettings(extra_attempts=10))
        assert 0 <= min(drawn) < bound / 20
        assert bound * 0.95 < max(drawn) <= bound


def test_a_backend_that_names_a_time_is_left_alone_until_then():
    """Retry-After comes before the jitter, and one that is too long is not waited for."""
    assert min(delays(1, OverloadedError("busy", retry_after_seconds=30))) >= 30
    assert delays(1, OverloadedError("busy", retry_after_seconds=31), count=1) == [None]
    assert min(delays(1, OverloadedError("busy", retry_after_seconds=-5))) >= 0


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (3, DOWN),
        (1, BackendRefusedError("wrong key")),
        (1, ZeroDivisionError()),
        (1, asyncio.CancelledError()),
        (2, WorkerDiedError("died")),
    ],
)
def test_what_no_wait_mends_is_not_waited_for(number, error):
    """Used up attempts, errors that stay, bugs, and a second death of a worker end the retries."""
    assert delays(number, error, count=1) == [None]


def test_a_dead_worker_gets_one_more_chance():
    """The first death is retried on a fresh worker."""
    assert delays(1, WorkerDiedError("died"), count=1)[0] is not None


@in_virtual_time
async def test_a_few_retries_are_always_allowed():
    """A quiet host may retry three times a minute."""
    budget = RetryBudget(RetrySettings())
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]


@in_virtual_time
async def test_retries_are_a_share_of_the_requests():
    """A hundred requests pay for ten further attempts, and none is taken twice."""
    budget = RetryBudget(RetrySettings())
    for _ in range(100):
        budget.note_request()
    assert sum(budget.take() for _ in range(50)) == 10
    assert (budget.spent, budget.allowed) == (10, 10)


@in_virtual_time
async def test_the_budget_forgets_after_a_minute():
    """What was asked and taken more than a minute ago no longer counts."""
    budget = RetryBudget(RetrySettings(least_per_minute=0))
    for _ in range(100):
        budget.note_request()
    await asyncio.sleep(59)
    assert sum(budget.take() for _ in range(50)) == 10
    await asyncio.sleep(1)
    assert (budget.spent, budget.allowed) == (10, 0)
    await asyncio.sleep(59)
    assert budget.spent == 0


@in_virtual_time
async def test_other_settings_apply_at_once():
    """After a reload the share is another one, and what was spent stays spent."""
    budget = RetryBudget(RetrySettings())
    for _ in range(3):
        assert budget.take()
    budget.reconfigure(RetrySettings(least_per_minute=4))
    assert [budget.take(), budget.take()] == [True, False]


def test_in_any_minute_retries_stay_within_their_share():
    """Over random traffic, what was granted in the last minute never exceeds what its requests allow."""

    async def check(seed):
        generator, budget = Random(seed), RetryBudget(RetrySettings())
        now = asyncio.get_running_loop().time
        requests, extras = [], []
        for _ in range(400):
            await asyncio.sleep(generator.choice((0.0, 0.1, 0.7, 5.0, 70.0)))
            for _ in range(generator.randrange(12)):
                budget.note_request()
                requests.append(int(now()))
            extras += [int(now())] * sum(budget.take() for _ in range(generator.randrange(6)))
            recent = int(now()) - 60
            asked = sum(second > recent for second in requests)
            granted = [second for second in extras if second > recent]
            assert budget.spent == len(granted)
            assert budget.allowed == max(3, int(asked * 0.1))

    for seed in range(5):
        run_virtual(check(seed))
