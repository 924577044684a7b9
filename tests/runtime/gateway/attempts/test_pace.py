import math

import pytest

from homeport.config.gateway_settings import TimeoutSettings
from homeport.gateway.attempts.pace import UNMEASURED_TOKENS_PER_SECOND, Pace
from homeport.gateway.target import TargetKey

A, B = TargetKey("a", "m"), TargetKey("b", "m")
SETTINGS = TimeoutSettings()


def test_a_short_prompt_has_the_configured_time():
    """The first token of a short prompt may take what the settings say."""
    assert Pace().first_token_seconds(A, 10, SETTINGS) == 30.0
    assert Pace().first_token_seconds(A, -1, SETTINGS) == 30.0


def test_a_long_prompt_has_three_times_what_it_is_expected_to_take():
    """A slow prompt is not a failure: its time grows with its length and the measured pace."""
    pace = Pace()
    assert pace.first_token_seconds(A, 6000, SETTINGS) == 3 * 6000 / UNMEASURED_TOKENS_PER_SECOND
    pace.observe(A, tokens=1000, seconds=10.0)
    assert pace.first_token_seconds(A, 6000, SETTINGS) == pytest.approx(180)
    assert pace.tokens_per_second(B) is None


def test_the_pace_follows_what_is_measured():
    """Old figures fade, and a long prompt weighs more than a short one."""
    pace = Pace()
    for _ in range(50):
        pace.observe(A, tokens=100, seconds=1.0)
    for _ in range(50):
        pace.observe(A, tokens=100, seconds=4.0)
    assert pace.tokens_per_second(A) == pytest.approx(25, rel=0.05)
    pace.observe(A, tokens=1, seconds=0.001)
    assert pace.tokens_per_second(A) == pytest.approx(25, rel=0.05)


@pytest.mark.parametrize(
    ("tokens", "seconds"), [(0, 1.0), (-3, 1.0), (5, 0.0), (5, -1.0), (5, math.nan), (5, math.inf)]
)
def test_impossible_figures_are_not_believed(tokens, seconds):
    """A backend that lies about its work moves nothing."""
    pace = Pace()
    pace.observe(A, tokens=tokens, seconds=seconds)
    assert pace.tokens_per_second(A) is None
