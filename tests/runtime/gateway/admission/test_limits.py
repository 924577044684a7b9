import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport import BackendError, DeadlineError, GenerationError, OverloadedError, RateLimitedError
from homeport.gateway.admission.limits import FIRST_LIMIT, MOST_LIMIT, AdaptiveLimit

OVERLOADS = [OverloadedError("busy"), DeadlineError("first token", 30), RateLimitedError("slow down")]


def succeed(limit, calls):
    for _ in range(calls):
        limit.note(None, epoch=limit.epoch, in_flight=limit.limit)


def grown(to):
    limit = AdaptiveLimit()
    while limit.limit < to:
        succeed(limit, 1)
    return limit


def test_limit_grows_by_one_per_window_of_successes():
    """From 2 it takes two successes to 3, and three more to 4."""
    limit = AdaptiveLimit()
    seen = []
    for _ in range(5):
        succeed(limit, 1)
        seen.append(limit.limit)
    assert seen == [FIRST_LIMIT, 3, 3, 3, 4]


@pytest.mark.parametrize("error", OVERLOADS, ids=lambda error: type(error).__name__)
def test_refusal_halves_the_limit_once_for_calls_under_way_together(error):
    """The calls that were under way at the cut do not cut again; those begun after it do."""
    limit = grown(16)
    epoch = limit.epoch
    for _ in range(16):
        limit.note(error, epoch=epoch, in_flight=16)
    assert limit.limit == 8
    limit.note(error, epoch=limit.epoch, in_flight=8)
    assert limit.limit == 4


@pytest.mark.parametrize(
    "error", [BackendError("gone"), GenerationError("failed"), DeadlineError("total", 0.1), KeyError()]
)
def test_failures_that_are_not_overload_leave_the_limit(error):
    """Neither a broken answer nor a short deadline of a caller says that there was too much."""
    limit = grown(16)
    limit.note(error, epoch=limit.epoch, in_flight=16)
    assert limit.limit == 16


def test_limit_that_is_not_used_does_not_grow():
    """One call at a time says nothing of ten."""
    limit = grown(10)
    for _ in range(1000):
        limit.note(None, epoch=limit.epoch, in_flight=1)
    assert limit.limit == 10


@given(st.lists(st.sampled_from([None, *OVERLOADS]), max_size=300))
def test_limit_stays_within_its_bounds(outcomes):
    """Whatever happens it is from 1 to 256."""
    limit = AdaptiveLimit()
    for error in outcomes:
        limit.note(error, epoch=limit.epoch, in_flight=limit.limit)
        assert 1 <= limit.limit <= MOST_LIMIT


def test_limit_stops_at_its_bound():
    """Success without end ends at 256."""
    limit = grown(MOST_LIMIT)
    succeed(limit, 1000)
    assert limit.limit == MOST_LIMIT
