from datetime import UTC, datetime, timedelta

import pytest

from homeport.cli import figures

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("byte_count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 KB"),
        (1_500, "1.5 KB"),
        (91_734_000, "91 MB"),
        (4_661_224_676, "4.7 GB"),
        (10_000_000_000, "10 GB"),
        (2 * 10**12, "2 TB"),
    ],
)
def test_sizes_are_decimal_and_short(byte_count, shown):
    """A size has one decimal below ten of its unit and none from there on."""
    assert figures.size(byte_count) == shown


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0s"),
        (740, "740ns"),
        (1_500, "1.5µs"),
        (101_397_084, "101.397084ms"),
        (1_000_000_000, "1s"),
        (2_174_560_334, "2.174560334s"),
        (62_500_000_000, "1m2.5s"),
        (3_600_000_000_000, "1h0m0s"),
    ],
)
def test_durations_read_as_go_prints_them(nanoseconds, shown):
    """A duration is exact to the nanosecond, without trailing zeros."""
    assert figures.duration(nanoseconds) == shown


@pytest.mark.parametrize(
    ("ahead", "shown"),
    [
        (timedelta(milliseconds=-200), "Less than a second ago"),
        (timedelta(seconds=-1), "1 second ago"),
        (timedelta(seconds=-59), "59 seconds ago"),
        (timedelta(seconds=-61), "About a minute ago"),
        (timedelta(minutes=4, seconds=59), "4 minutes from now"),
        (timedelta(minutes=-61), "About an hour ago"),
        (timedelta(hours=-47), "47 hours ago"),
        (timedelta(days=-3), "3 days ago"),
        (timedelta(days=-20), "2 weeks ago"),
        (timedelta(days=-90), "3 months ago"),
        (timedelta(days=-800), "2 years ago"),
        (timedelta(days=100 * 365), "Forever"),
    ],
)
def test_moments_are_told_by_their_distance(ahead, shown):
    """A moment is told in its largest unit; what is decades ahead never comes."""
    assert figures.moment(NOW + ahead, now=NOW) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(134_515_008, "134.52M"), (1_100_000_000, "1.1B"), (7, "7"), (22_000, "22K")]
)
def test_parameter_counts_are_short(count, shown):
    """A number of weights has at most two decimals."""
    assert figures.parameter_count(count) == shown
