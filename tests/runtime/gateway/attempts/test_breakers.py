import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import attrs
import pytest

from homeport import BackendError, BreakerChanged
from homeport.config.gateway_settings import BreakerSettings
from homeport.domain.events import BreakerState
from homeport.gateway.attempts.breakers import Breakers
from homeport.gateway.target import TargetKey
from homeport.testing import in_virtual_time

A, B, C, D = (TargetKey(backend, "m:latest") for backend in "abcd")
LEGACY_FIELDS = (
    "name", "state", "total_requests", "successful_requests", "failed_requests", "consecutive_failures",
    "success_rate", "trip_count", "average_response_time", "last_failure_time", "last_success_time",
    "state_changed_at", "time_until_retry",
)  # fmt: skip


@pytest.fixture
def events():
    return []


@pytest.fixture
def breakers(events):
    return Breakers(BreakerSettings(jitter=0.0), events.append, Random(1))


def fail(breakers, *keys):
    for key in keys:
        for _ in range(5):
            breakers.call(key).end(BackendError("down"), 0.2)


def out(breakers, *group):
    return [key for key in group if breakers.refusal(key, group)]


@in_virtual_time
async def test_targets_fail_each_for_itself(breakers):
    """The same model elsewhere, and another model there, are still called."""
    other = TargetKey("a", "other:latest")
    fail(breakers, A)
    assert out(breakers, A, B, other) == [A]
    assert "5 of 5 calls failed" in breakers.refusal(A, (A, B))


@pytest.mark.parametrize(
    ("group", "failing", "expected"),
    [
        ((A,), (A,), []),
        ((A, B), (A, B), [A]),
        ((A, B, C), (A, B), [A]),
        ((A, B, C, D), (A, B, C), [A, B]),
        ((A, B, C, D), (A, B, C, D), [A, B]),
        ((), (A,), []),
    ],
)
@in_virtual_time
async def test_half_of_a_group_stays_and_never_less_than_one(breakers, group, failing, expected):
    """At most half of a group is out, however many fail, and one alone never is."""
    fail(breakers, *failing)
    assert out(breakers, *group) == expected
    if not group:
        assert breakers.refusal(A, group) == ""


@in_virtual_time
async def test_where_all_may_be_out_the_last_stays(events):
    """A share of one still leaves a member."""
    breakers = Breakers(BreakerSettings(most_out_share=1.0), events.append, Random(1))
    fail(breakers, A, B, C)
    assert len(out(breakers, A, B, C)) == 2


@in_virtual_time
async def test_calls_go_to_those_that_come_back_soonest(breakers):
    """Where more fail than may be out, the ones that opened last stay out."""
    fail(breakers, B)
    await asyncio.sleep(5)
    fail(breakers, A)
    assert out(breakers, A, B) == [A]


@in_virtual_time
async def test_what_an_operator_opened_is_out_even_alone(breakers):
    """A manual override is stronger than the rule of the last member, and counts among those that are out."""
    breakers.force_open(A)
    assert out(breakers, A) == [A]
    fail(breakers, B)
    assert out(breakers, A, B) == [A]
    breakers.reset(A)
    assert out(breakers, A, B) == [B]


@in_virtual_time
async def test_a_probe_in_flight_refuses_others_only_where_there_are_others(breakers):
    """Others fail fast while one call probes, unless nobody else could serve them."""
    fail(breakers, A)
    await asyncio.sleep(10)
    assert out(breakers, A, B) == []
    probe = breakers.call(A)
    assert out(breakers, A, B) == [A]
    assert out(breakers, A) == []
    probe.end(None, 0.1)
    assert out(breakers, A, B) == []


@in_virtual_time
async def test_changes_are_events(breakers, events):
    """Monitors hear which target changed, to what, and why."""
    fail(breakers, A)
    breakers.reset(A)
    assert events == [
        BreakerChanged(backend="a", model="m:latest", state=BreakerState.OPEN, reason="5 of 5 calls failed"),
        BreakerChanged(
            backend="a", model="m:latest", state=BreakerState.CLOSED, reason="reset by an operator"
        ),
    ]


@in_virtual_time
async def test_stats_tell_what_happened(breakers):
    """Counts, times and moments are those of the calls, in the order of names."""
    before = datetime.now(UTC)
    for seconds in (1.0, 2.0, 3.0):
        breakers.call(B).end(None, seconds)
    await asyncio.sleep(3600)
    breakers.call(B).end(BackendError("down"), 6.0)
    breakers.call(B).end(asyncio.CancelledError(), 99.0)
    fail(breakers, A)
    await asyncio.sleep(4)
    first, second = breakers.stats()
    assert (first.name, first.state, first.trip_count, first.time_until_retry) == (
        "a/m:latest",
        "open",
        1,
        6.0,
    )
    assert (first.success_rate, first.last_success_time) == (0.0, None)
    assert (second.name, second.state, second.total_requests) == ("b/m:latest", "closed", 4)
    assert (second.successful_requests, second.failed_requests, second.consecutive_failures) == (3, 1, 1)
    assert (second.success_rate, second.average_response_time) == (0.75, 3.0)
    assert (second.p50_response_time, second.p99_response_time) == (2.0, 6.0)
    assert second.state_changed_at is None
    assert second.last_success_time < before - timedelta(seconds=3500)
    assert abs(second.last_failure_time - before) < timedelta(seconds=60)
    assert {field.name for field in attrs.fields(type(first))} >= set(LEGACY_FIELDS)


@in_virtual_time
async def test_a_target_that_was_never_called_is_fine(breakers):
    """Asking makes no record."""
    assert breakers.refusal(A, (A, B)) == ""
    assert breakers.stats() == ()


@in_virtual_time
async def test_other_settings_reach_all_of_them(breakers):
    """A reload changes breakers that exist and those to come."""
    breakers.call(A).end(BackendError("down"), 0.1)
    breakers.reconfigure(BreakerSettings(consecutive_failures=2))
    breakers.call(A).end(BackendError("down"), 0.1)
    for _ in range(2):
        breakers.call(B).end(BackendError("down"), 0.1)
    assert [each.state for each in breakers.stats()] == ["open", "open"]
