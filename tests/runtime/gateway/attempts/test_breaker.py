import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport import BackendError, BudgetError, DeadlineError, InvalidRequestError, OverloadedError
from homeport.config.gateway_settings import BreakerSettings
from homeport.domain.events import BreakerState
from homeport.gateway.attempts.breaker import Breaker
from homeport.testing import in_virtual_time, run_virtual

FAILURE = BackendError("down")
STEADY = BreakerSettings(jitter=0.0)


def breaker(settings=STEADY, **options):
    return Breaker(settings, Random(1), **options)


def fail(tested, count=1):
    for _ in range(count):
        tested.call().end(FAILURE, 0.1)


def succeed(tested, count=1):
    for _ in range(count):
        tested.call().end(None, 0.1)


@in_virtual_time
async def test_a_breaker_opens_at_its_share_and_not_before_enough_calls():
    """Four failures are too few to judge by; five are a share of one."""
    tested = breaker()
    fail(tested, 4)
    assert tested.state is BreakerState.CLOSED
    fail(tested)
    assert tested.state is BreakerState.OPEN
    assert tested.refusal() == "breaker open for 10.0 s more, 5 of 5 calls failed"


@in_virtual_time
async def test_a_breaker_stays_closed_below_its_share():
    """49 % of failures are below 50 %."""
    tested = breaker(BreakerSettings(calls=100))
    succeed(tested, 51)
    fail(tested, 49)
    assert tested.state is BreakerState.CLOSED


@in_virtual_time
async def test_only_the_last_calls_count():
    """A failure is forgotten when enough calls came after it."""
    tested = breaker(BreakerSettings(calls=6, jitter=0.0))
    fail(tested, 2)
    succeed(tested, 4)
    fail(tested, 2)
    assert tested.state is BreakerState.CLOSED
    fail(tested)
    assert tested.state is BreakerState.OPEN


@in_virtual_time
async def test_old_calls_do_not_count():
    """A failure is forgotten when the window is over."""
    tested = breaker()
    fail(tested, 4)
    await asyncio.sleep(30.1)
    fail(tested, 4)
    assert tested.state is BreakerState.CLOSED


@in_virtual_time
async def test_a_breaker_may_open_after_failures_in_a_row():
    """Three in a row open it where the settings say so, whatever the share; a success between begins anew."""
    tested = breaker(BreakerSettings(consecutive_failures=3, open_seconds=60.0, jitter=0.0))
    succeed(tested, 20)
    fail(tested, 2)
    succeed(tested)
    fail(tested, 2)
    assert tested.state is BreakerState.CLOSED
    fail(tested)
    assert tested.state is BreakerState.OPEN
    assert tested.seconds_until_retry == 60.0


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("bad"),
        BudgetError("spent"),
        OverloadedError("busy"),
        DeadlineError("queue", 60),
        DeadlineError("total", 5),
        asyncio.CancelledError(),
        GeneratorExit(),
    ],
)
@in_virtual_time
async def test_what_does_not_speak_against_the_backend_does_not_count(error):
    """Wrong requests, spent budgets, our own queue and clients that leave open no breaker."""
    tested = breaker()
    for _ in range(50):
        tested.call().end(error, 0.1)
    assert tested.state is BreakerState.CLOSED
    assert tested.record.calls == 0


@pytest.mark.parametrize(
    "error", [FAILURE, DeadlineError("stall", 15), DeadlineError("first token", 30), ZeroDivisionError()]
)
@in_virtual_time
async def test_what_speaks_against_the_backend_counts(error):
    """Unreachable, silent and buggy backends are left alone."""
    tested = breaker()
    for _ in range(5):
        tested.call().end(error, 0.1)
    assert tested.state is BreakerState.OPEN


async def opened(settings=STEADY, **options):
    tested = breaker(settings, **options)
    fail(tested, 5)
    await asyncio.sleep(tested.seconds_until_retry)
    return tested


@in_virtual_time
async def test_one_probe_closes_it():
    """When the time is over one call is let through, others are refused, and its success lets all in."""
    tested = await opened()
    assert tested.state is BreakerState.HALF_OPEN
    assert tested.refusal() == ""
    probe = tested.call()
    assert probe.is_probe
    assert tested.refusal() == "breaker half open, one call tries it"
    probe.end(None, 0.1)
    assert tested.state is BreakerState.CLOSED
    assert tested.refusal() == ""
    fail(tested, 4)
    assert tested.state is BreakerState.CLOSED


@in_virtual_time
async def test_failed_probes_keep_it_open_longer_and_longer():
    """Each opening in a row is longer by the first one, up to the bound; a success begins anew."""
    tested = breaker(BreakerSettings(jitter=0.0, most_open_seconds=35.0))
    fail(tested, 5)
    lengths = []
    for _ in range(5):
        lengths.append(tested.seconds_until_retry)
        await asyncio.sleep(lengths[-1])
        fail(tested)
    assert lengths == pytest.approx([10, 20, 30, 35, 35])
    await asyncio.sleep(tested.seconds_until_retry)
    succeed(tested)
    fail(tested, 5)
    assert tested.seconds_until_retry == pytest.approx(10)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), InvalidRequestError("bad")])
@in_virtual_time
async def test_a_probe_that_says_nothing_is_given_back(error):
    """A probe whose client left leaves the question open for the next call."""
    tested = await opened()
    tested.call().end(error, 0.1)
    assert tested.state is BreakerState.HALF_OPEN
    assert tested.refusal() == ""
    assert tested.call().is_probe


@in_virtual_time
async def test_a_call_ends_once():
    """What is said of a call a second time changes nothing."""
    tested = breaker()
    call = tested.call()
    for _ in range(9):
        call.end(FAILURE, 0.1)
    assert tested.record.calls == 1
    assert tested.state is BreakerState.CLOSED


@in_virtual_time
async def test_calls_of_an_earlier_time_change_nothing():
    """A call that began before the breaker opened neither closes it nor opens it after a reset."""
    tested = breaker()
    early = [tested.call() for _ in range(12)]
    fail(tested, 5)
    early[0].end(None, 0.1)
    assert tested.state is BreakerState.OPEN
    tested.reset()
    for call in early:
        call.end(FAILURE, 0.1)
    assert tested.state is BreakerState.CLOSED


@in_virtual_time
async def test_a_call_let_through_an_open_breaker_can_close_it():
    """The last of a group is called although it is open: a success is welcome, a failure changes nothing."""
    tested = breaker()
    fail(tested, 5)
    fail(tested, 3)
    assert tested.seconds_until_retry == 10.0
    succeed(tested)
    assert tested.state is BreakerState.CLOSED


@in_virtual_time
async def test_an_operator_opens_and_closes_it():
    """What is forced open stays open through time and successes until it is reset."""
    tested = breaker()
    tested.force_open()
    await asyncio.sleep(1e5)
    succeed(tested)
    assert tested.state is BreakerState.OPEN
    assert tested.refusal() == "opened by an operator"
    assert tested.seconds_until_retry == 0.0
    tested.reset()
    assert tested.refusal() == ""


@in_virtual_time
async def test_a_reset_forgets_failures():
    """After a reset it takes as many failures as at the start."""
    tested = breaker(BreakerSettings(consecutive_failures=3))
    fail(tested, 2)
    tested.reset()
    fail(tested, 2)
    assert tested.state is BreakerState.CLOSED


@in_virtual_time
async def test_changes_are_told_in_order():
    """Who listens hears each state once, with its reason."""
    heard = []
    tested = await opened(on_change=lambda state, reason: heard.append((state.value, reason)))
    succeed(tested)
    tested.reset()
    assert heard == [
        ("open", "5 of 5 calls failed"),
        ("half_open", "the time is over"),
        ("closed", "a call succeeded"),
    ]


def test_openings_are_spread_by_chance_within_their_bound():
    """Breakers that open together do not try together, and none waits longer than it may."""

    async def lengths():
        generator = Random(3)
        drawn = []
        for _ in range(200):
            tested = Breaker(BreakerSettings(), generator)
            fail(tested, 5)
            drawn.append(tested.seconds_until_retry)
        return drawn

    drawn = run_virtual(lengths())
    assert 8.0 <= min(drawn) < 8.2
    assert 9.8 < max(drawn) <= 10.0


@in_virtual_time
async def test_other_settings_apply_at_once():
    """After a reload the next failure is judged by the new share."""
    tested = breaker()
    fail(tested, 4)
    tested.reconfigure(BreakerSettings(calls=2, least_calls=2))
    fail(tested)
    assert tested.state is BreakerState.OPEN


@in_virtual_time
async def test_a_breaker_guards_a_block_and_a_function():
    """The same breaker counts and refuses calls in both forms."""
    tested = breaker()

    @tested.guard()
    async def call(*, works):
        if not works:
            raise FAILURE
        return 5

    assert await call(works=True) == 5
    for _ in range(3):
        with pytest.raises(BackendError):
            await call(works=False)
    with pytest.raises(BackendError):
        async with tested.guard():
            raise FAILURE
    with pytest.raises(OverloadedError, match="4 of 5 calls failed") as refused:
        await call(works=True)
    assert refused.value.retry_after_seconds == 10
    await asyncio.sleep(10)
    assert await call(works=True) == 5
    assert tested.state is BreakerState.CLOSED


@given(
    steps=st.lists(
        st.one_of(
            st.just("begin"),
            st.tuples(st.integers(0, 9), st.sampled_from([None, FAILURE, asyncio.CancelledError()])),
            st.floats(0.0, 40.0),
            st.sampled_from(["force", "reset"]),
        ),
        max_size=60,
    )
)
def test_a_breaker_keeps_its_rules_whatever_happens(steps):
    """There is at most one probe, only while half open, and no opening is longer than the bound."""

    async def check():
        tested, calls = breaker(BreakerSettings(least_calls=2, most_open_seconds=25.0)), []
        for step in steps:
            match step:
                case "begin":
                    calls.append(tested.call())
                case "force":
                    tested.force_open()
                case "reset":
                    tested.reset()
                case float():
                    await asyncio.sleep(step)
                case number, error if calls:
                    calls.pop(number % len(calls)).end(error, 1.0)
            held = [call for call in calls if call is tested._probe]
            assert len(held) <= 1
            assert not held or tested.state is BreakerState.HALF_OPEN
            assert 0.0 <= tested.seconds_until_retry <= 25.0
            assert (tested.refusal() == "") == (
                tested.state is BreakerState.CLOSED or (tested.state is BreakerState.HALF_OPEN and not held)
            )
            assert tested.record.failures_in_a_row <= tested.record.failures

    run_virtual(check())
