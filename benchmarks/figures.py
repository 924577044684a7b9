"""Repeated measurements: what is told of them, and how those of rivals are interleaved."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import attrs

_DIGITS = 4
_PAUSE_SECONDS = 0.05
"""Between rivals: threads of OpenMP spin for some milliseconds after their last work."""


@attrs.frozen(kw_only=True)
class Spread:
    """Several values of one figure.

    Attributes:
        n: How many.
        median: The middle one.
        low: The smallest.
        high: The largest.
    """

    n: int
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Sum up at least one value."""
        taken = list(values)
        return cls(
            n=len(taken),
            median=rounded(statistics.median(taken)),
            low=rounded(min(taken)),
            high=rounded(max(taken)),
        )


def rounded(value: float) -> float:
    """Keep four digits: none of these figures is known better."""
    return float(f"{value:.{_DIGITS}g}")


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def interleaved(rivals: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure rivals in turns, so that a noisy machine hits them alike.

    Each is called once before, unrecorded, and every round begins with another one.
    """
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    names = list(rivals)
    for measure in rivals.values():
        measure()
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            time.sleep(_PAUSE_SECONDS)
            taken[name].append(rivals[name]())
    return taken
