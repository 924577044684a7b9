import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport import InvalidRequestError
from homeport.domain.durations import keep_alive_seconds, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("300ms", 0.3),
        ("-1m", -60),
        ("0", 0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("2us", 2e-6),
    ],
)
def test_go_durations_are_read(text, seconds):
    """Every form of Go's documentation has its value in seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1", 'time: missing unit in duration "-1"'),
        ("5", 'time: missing unit in duration "5"'),
        ("x", 'time: invalid duration "x"'),
        ("", 'time: invalid duration ""'),
        ("5m3", 'time: missing unit in duration "5m3"'),
        ("5y", 'time: unknown unit "y" in duration "5y"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
    ],
)
def test_other_text_is_refused_in_gos_words(text, message):
    """The error is the one that Ollama's users know."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_duration(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("value", "seconds"), [(10, 10), (0, 0), (-1, math.inf), ("-1m", math.inf), (1.5, 1.5), (1e300, math.inf)]
)
def test_negative_and_huge_keep_alive_is_for_ever(value, seconds):
    """A model is kept for seconds, or for ever."""
    assert keep_alive_seconds(value) == seconds


def test_keep_alive_that_is_no_number_is_refused():
    """NaN is no time."""
    with pytest.raises(InvalidRequestError, match="nan"):
        keep_alive_seconds(math.nan)


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_an_error(text):
    """No input does anything else."""
    try:
        seconds = parse_duration(text)
    except InvalidRequestError:
        return
    assert math.isfinite(seconds)
