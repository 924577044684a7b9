"""The field ``keep_alive``."""

import math

import pytest

from homeport import InvalidRequestError
from homeport.server.keep_alive import read_keep_alive


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (0.5, 0.5),
        (300, 300.0),
        (-1, math.inf),
        (10**400, math.inf),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("300ms", 0.3),
        ("-1m", math.inf),
        ("0", 0.0),
        ("0s", 0.0),
    ],
)
def test_numbers_are_seconds_and_texts_are_durations(value, seconds):
    """A number counts seconds, a text is a Go duration, negative is for ever."""
    assert read_keep_alive(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("-1", 'time: missing unit in duration "-1"'),
        ("x", 'time: invalid duration "x"'),
        ("", 'time: invalid duration ""'),
        (True, 'keep_alive must be a number of seconds or a duration such as "5m", got true'),
        (["5m"], 'keep_alive must be a number of seconds or a duration such as "5m", got ["5m"]'),
    ],
)
def test_anything_else_is_refused(value, text):
    """Wrong durations get Go's text, other types one that says what is allowed."""
    with pytest.raises(InvalidRequestError) as caught:
        read_keep_alive(value)
    assert (caught.value.message, caught.value.field) == (text, "keep_alive")


@pytest.mark.timeout(2)
def test_an_endless_number_is_refused_at_once():
    """A megabyte of digits costs no time."""
    with pytest.raises(InvalidRequestError, match="invalid duration"):
        read_keep_alive("1" * 1_000_000)
