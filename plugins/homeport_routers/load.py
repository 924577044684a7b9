"""Shares requests among equals by the power of two choices."""

import statistics
from collections.abc import Sequence
from random import Random

from homeport import Candidate, Request
from homeport_routers.capability import is_same_model
from homeport_routers.config import LoadConfig
from homeport_routers.groups import noted, within_groups

_NEUTRAL_SECONDS = 1.0
"""Latency of all where none is known."""
_LEAST_LATENCY_SECONDS = 0.001
_LEAST_SUCCESS = 0.05
_LEAST_WEIGHT = 1e-6
_TOLERANCE = 0.05
"""Costs that differ by less count as equal: latencies are not known better, and weights are to hold."""


class Load:
    """Draws two of a set of equals, by their weights, and takes the one where a request costs less time.

    The cost is the smoothed latency, divided by the share of successes, times one more than the requests per
    place and weight there (Mitzenmacher 2001, The Power of Two Choices in Randomized Load Balancing). A new
    member has the median latency of the others. Two draws may give the same member, so that weights hold when
    all costs are equal.

    Args:
        config: Who are equals.
    """

    def __init__(self, config: LoadConfig) -> None:
        self._shares_group = config.among == "group"

    def rank(self, request: Request, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Order each set of equals: the one drawn first, the others by cost."""
        seed = request.terms.seed
        random = Random(f"load {request.id if seed is None else seed}")  # noqa: S311 - picks, not secrets

        def parts(group: Sequence[Candidate]) -> list[Sequence[Candidate]]:
            return [_shared(equals, random) for equals in self._equals(group)]

        return within_groups(candidates, parts)

    def _equals(self, group: Sequence[Candidate]) -> list[list[Candidate]]:
        """Collect those that share requests, in the order in which each set first appears."""
        if self._shares_group or any(each.standing.weight != 1 for each in group):
            return [list(group)]
        sets: list[list[Candidate]] = []
        for each in group:
            found = next((known for known in sets if is_same_model(known[0], each)), None)
            if found is None:
                sets.append([each])
            else:
                found.append(each)
        return sets


def _shared(equals: Sequence[Candidate], random: Random) -> Sequence[Candidate]:
    if len(equals) == 1:
        return equals
    weights = [max(each.standing.weight, _LEAST_WEIGHT) for each in equals]
    costs = _costs(equals, weights)
    one, other = random.choices(range(len(equals)), weights, k=2)
    best = other if costs[other] < costs[one] * (1 - _TOLERANCE) else one
    rest = sorted(
        (place for place in range(len(equals)) if place != best),
        key=lambda place: (equals[place].standing.weight <= 0, costs[place]),
    )
    return [noted(equals[place], f"load costs {costs[place]:.3g} s") for place in (best, *rest)]


def _costs(equals: Sequence[Candidate], weights: Sequence[float]) -> list[float]:
    """Estimate what a further request costs at each, in seconds."""
    known = [each.standing.latency_seconds for each in equals if each.standing.latency_seconds is not None]
    neutral = statistics.median(known) if known else _NEUTRAL_SECONDS
    mean = statistics.fmean(weights)
    found = []
    for each, weight in zip(equals, weights, strict=True):
        standing = each.standing
        latency = neutral if standing.latency_seconds is None else standing.latency_seconds
        busy = (standing.in_flight + standing.waiting) / max(1, standing.slots) * mean / weight
        success = max(standing.success_rate, _LEAST_SUCCESS)
        found.append(max(latency, _LEAST_LATENCY_SECONDS) / success * (1 + busy))
    return found
