import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.gateway.admission.rates import Rate


def test_minute_of_calls_may_come_at_once_and_then_they_trickle():
    """Sixty a minute are sixty now and one per second from then on."""
    rate = Rate(60)
    for _ in range(60):
        assert rate.wait_seconds("k", 0.0, least=1) == 0
        rate.take("k", 1, 0.0)
    assert rate.wait_seconds("k", 0.0, least=1) == pytest.approx(1)
    assert rate.wait_seconds("k", 0.75, least=1) == pytest.approx(0.25)
    assert rate.wait_seconds("k", 1.0, least=1) == pytest.approx(0)


def test_time_that_nobody_used_is_lost():
    """After an hour of silence there is a minute's worth, and not sixty."""
    rate = Rate(60)
    rate.take("k", 60, 0.0)
    rate.take("k", 60, 3600.0)
    assert rate.wait_seconds("k", 3600.0, least=1) == pytest.approx(1)


def test_debt_is_worked_off():
    """Tokens are known when they are spent: who overspent waits until the debt is gone."""
    rate = Rate(600)
    rate.take("k", 1000, 0.0)
    assert rate.wait_seconds("k", 0.0, least=0) == pytest.approx(40)
    assert rate.wait_seconds("k", 40.0, least=0) == pytest.approx(0)


def test_owners_do_not_share():
    """What one spends another has."""
    rate = Rate(1)
    rate.take("a", 1, 0.0)
    assert rate.wait_seconds("a", 0.0, least=1) > 0
    assert rate.wait_seconds("b", 0.0, least=1) == 0


def test_no_rate_is_no_bound():
    """Zero lets everything pass and remembers nobody."""
    rate = Rate(0)
    rate.take("k", 1e9, 0.0)
    assert rate.wait_seconds("k", 0.0, least=1) == 0
    assert len(rate) == 0


@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf, -5, 0])
def test_impossible_amounts_change_nothing(amount):
    """Neither no number nor a negative one makes anybody richer or poorer."""
    rate = Rate(60)
    rate.take("k", 60, 0.0)
    rate.take("k", amount, 0.0)
    assert rate.wait_seconds("k", 0.0, least=1) == pytest.approx(1)


def test_clock_that_goes_back_gives_nothing():
    """Time before the last look is no time."""
    rate = Rate(60)
    rate.take("k", 60, 100.0)
    assert rate.wait_seconds("k", 0.0, least=1) == pytest.approx(1)


def test_those_who_owe_nothing_are_forgotten():
    """Many callers who come once do not fill the memory; a debtor is remembered among them."""
    rate = Rate(60)
    rate.take("debtor", 1e6, 0.0)
    for number in range(5000):
        rate.take(f"k{number}", 1, number * 2.0)
    assert len(rate) < 1100
    assert rate.wait_seconds("debtor", 10_000.0, least=0) > 0


def test_other_rate_keeps_the_debts():
    """Whoever reloads the settings does not forgive."""
    rate = Rate(60)
    rate.take("k", 120, 0.0)
    rate.reconfigure(30, 0.0)
    assert rate.wait_seconds("k", 0.0, least=0) == pytest.approx(120)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5)), max_size=100))
def test_nobody_gets_more_than_the_rate(calls):
    """Over any time, at most a minute's worth and what came in is taken."""
    rate, now, taken = Rate(20), 0.0, 0
    for pause, amount in calls:
        now += pause
        if rate.wait_seconds("k", now, least=amount) == 0:
            rate.take("k", amount, now)
            taken += amount
        assert taken <= 20 + now / 3 + 1e-6
