import pytest

from homeport.domain.overload import CoolingError
from homeport.models.restarts import Restarts


def delay(restarts, now):
    return restarts.delay_seconds("tiny:latest", "digest", now=now)


def test_delay_doubles_with_each_death():
    """1, 2, 4, 8 s after the death, less what has passed already."""
    restarts, delays = Restarts(), []
    for now in (0.0, 10.0, 20.0, 30.0):
        restarts.note_death("digest", now=now)
        delays.append(delay(restarts, now + 0.5))
    assert delays == [0.5, 1.5, 3.5, 7.5]


def test_fifth_death_leaves_the_model_alone_for_ten_minutes():
    """Five deaths in ten minutes are no accident."""
    restarts = Restarts()
    for now in range(5):
        restarts.note_death("digest", now=now * 100.0)
    with pytest.raises(CoolingError, match="died 5 times") as refused:
        delay(restarts, 401.0)
    assert refused.value.retry_after_seconds == 599
    assert delay(restarts, 1001.0) == 0


def test_deaths_of_long_ago_do_not_count():
    """A death per hour delays nothing but its own restart."""
    restarts = Restarts()
    for now in range(20):
        restarts.note_death("digest", now=now * 3600.0)
    assert delay(restarts, 19 * 3600.0) == 1.0


def test_delay_over_is_no_delay():
    """Who asks later does not wait."""
    restarts = Restarts()
    restarts.note_death("digest", now=0.0)
    assert delay(restarts, 60.0) == 0
    assert delay(Restarts(), 0.0) == 0
