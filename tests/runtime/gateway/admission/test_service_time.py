import pytest

from homeport.gateway.admission.service_time import ServiceTime, whole_retry_seconds


def measured(*seconds):
    service = ServiceTime()
    for each in seconds:
        service.observe(each)
    return service


def test_nothing_is_foretold_from_few_requests():
    """An estimate that refuses somebody needs twenty requests behind it."""
    assert measured(*[5.0] * 19).least_wait_seconds(100, 1) == 0
    assert measured(*[5.0] * 20).least_wait_seconds(100, 1) == pytest.approx(500)


def test_wait_is_counted_in_whole_rounds():
    """With four at once the eighth in line waits for one round, and the fifth for none that is sure."""
    service = measured(*[2.0] * 30)
    assert service.least_wait_seconds(3, 4) == 0
    assert service.least_wait_seconds(7, 4) == pytest.approx(2)


def test_times_that_scatter_foretell_little():
    """Where requests take from nothing to ten seconds no wait is sure."""
    assert measured(*[0.0, 10.0] * 30).least_wait_seconds(10, 1) == pytest.approx(0, abs=5)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, 1), (0.2, 1), (1, 1), (1.2, 2), (119.5, 120), (1e9, 120), (float("inf"), 120)]
)
def test_time_to_come_back_is_a_whole_number(seconds, told):
    """From 1 to 120, rounded up: clients take nothing else."""
    assert whole_retry_seconds(seconds) == told
