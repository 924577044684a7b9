"""Routes by what counts to the caller: speed, quality, cost, staying here, or a balance of all."""

import math
import statistics
from collections.abc import Mapping, Sequence

import attrs

from homeport import Candidate, Request, Strategy
from homeport_routers.capability import capability, parameters
from homeport_routers.config import StrategyConfig, Weights
from homeport_routers.groups import noted, within_groups

DEFAULT_WEIGHTS: Mapping[str, Weights] = {
    Strategy.BALANCED: Weights(availability=0.2, success=0.2, latency=0.2, quality=0.2, cost=0.2),
    Strategy.SPEED: Weights(availability=0.2, success=0.15, latency=0.6, quality=0.05),
    Strategy.QUALITY: Weights(availability=0.1, success=0.2, latency=0.05, quality=0.65),
    Strategy.COST: Weights(availability=0.1, success=0.15, latency=0.05, cost=0.7),
    Strategy.LOCAL_FIRST: Weights(availability=0.1, success=0.15, latency=0.15, cost=0.6),
}
_TOLERANCE = 0.05
"""Scores that differ by less are equal, so that a router behind this one may share requests among them."""
_LEAST_LATENCY_SECONDS = 0.001
_COLD = 0.5
"""Availability of a model that has to be loaded first, of one that is in memory."""
_REMOTE_COST = 0.0
_LARGEST_LOCAL_COST = 0.5
"""Scores of cost; the smallest local model has 1. Prices are the business of the router ``cost``."""


class StrategyRouter:
    """Adds up criteria, each from 0 to 1, by the weights of the strategy that was asked for.

    Args:
        config: Weights to use instead of ``DEFAULT_WEIGHTS``.
    """

    def __init__(self, config: StrategyConfig) -> None:
        self._weights = {**DEFAULT_WEIGHTS, **config.weights}

    def rank(self, request: Request, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Order candidates by their scores; ``balanced`` where no strategy was asked for."""
        strategy = request.terms.strategy or Strategy.BALANCED
        weights = self._weights[strategy]
        found = list(zip(candidates, _criteria(candidates), strict=True))
        told = [noted(each, criteria.told(strategy, weights)) for each, criteria in found]
        scores = {id(each): criteria.score(weights) for each, (_, criteria) in zip(told, found, strict=True)}
        return within_groups(told, lambda group: _by_score(group, scores))


@attrs.frozen(kw_only=True)
class _Criteria:
    """How a candidate rates beside the others, each from 0 to 1, 1 being the best; as ``Weights`` lists."""

    availability: float
    success: float
    latency: float
    quality: float
    cost: float

    def score(self, weights: Weights) -> float:
        """Average them by their weights."""
        parts = (
            (self.availability, weights.availability),
            (self.success, weights.success),
            (self.latency, weights.latency),
            (self.quality, weights.quality),
            (self.cost, weights.cost),
        )
        return math.fsum(value * weight for value, weight in parts) / math.fsum(weight for _, weight in parts)

    def told(self, strategy: str, weights: Weights) -> str:
        """Write score and criteria for the trace."""
        each = ", ".join(f"{name} {value:.2f}" for name, value in attrs.asdict(self).items())
        return f"{strategy} {self.score(weights):.2f} ({each})"


def _criteria(candidates: Sequence[Candidate]) -> list[_Criteria]:
    latencies = [each.standing.latency_seconds for each in candidates]
    known = [latency for latency in latencies if latency is not None]
    fastest = max(min(known, default=_LEAST_LATENCY_SECONDS), _LEAST_LATENCY_SECONDS)
    neutral = statistics.median(known) if known else fastest
    ladder = sorted({capability(each) for each in candidates})
    local = sorted({parameters(each.model) for each in candidates if not each.model.is_remote})
    return [
        _Criteria(
            availability=_availability(each),
            success=min(1.0, max(0.0, each.standing.success_rate)),
            latency=fastest / max(fastest, neutral if latency is None else latency),
            quality=_share(ladder.index(capability(each)), len(ladder)),
            cost=_cost(each, local),
        )
        for each, latency in zip(candidates, latencies, strict=True)
    ]


def _availability(candidate: Candidate) -> float:
    standing = candidate.standing
    busy = (standing.in_flight + standing.waiting) / max(1, standing.slots)
    return (1.0 if standing.is_resident else _COLD) / (1 + busy)


def _cost(candidate: Candidate, local: Sequence[float]) -> float:
    if candidate.model.is_remote:
        return _REMOTE_COST
    place = local.index(parameters(candidate.model))
    return 1.0 - (1.0 - _LARGEST_LOCAL_COST) * place / max(1, len(local) - 1)


def _share(place: int, length: int) -> float:
    """Scale a place on a ladder to 0..1; who stands alone stands on top."""
    return place / (length - 1) if length > 1 else 1.0


def _by_score(group: Sequence[Candidate], scores: Mapping[int, float]) -> list[list[Candidate]]:
    """Sort by score, and put together what hardly differs from the best of its part."""
    parts: list[list[Candidate]] = []
    for each in sorted(group, key=lambda each: -scores[id(each)]):
        if not parts or scores[id(parts[-1][0])] - scores[id(each)] > _TOLERANCE:
            parts.append([])
        parts[-1].append(each)
    return parts
