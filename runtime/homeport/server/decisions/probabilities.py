"""From log-probabilities of labels to what answers tell."""

import math
from collections.abc import Sequence

from homeport.domain.generation import TokenLogprob


def shares(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Give probabilities that sum to 1, from log-probabilities up to a constant.

    Args:
        logprobs: At least one, and one of them finite.
    """
    most = max(logprobs)
    weights = [math.exp(each - most) for each in logprobs]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def read_labels(labels: Sequence[str], logprobs: Sequence[TokenLogprob]) -> tuple[float, ...] | None:
    """Read how likely each label is; None where that is not what a backend reported.

    Args:
        labels: That were asked for.
        logprobs: Of the answer.
    """
    if len(logprobs) != 1 or [label for label, _ in logprobs[0].alternatives] != list(labels):
        return None
    values = [logprob for _, logprob in logprobs[0].alternatives]
    if not math.isfinite(max(values)) or any(math.isnan(value) for value in values):
        return None
    return shares(values)


def best(probabilities: Sequence[float]) -> int:
    """Give the place of the likeliest, the first of equals."""
    return max(range(len(probabilities)), key=probabilities.__getitem__)


def expected(probabilities: Sequence[float]) -> float:
    """Give the mean level, counted from 0."""
    return math.fsum(level * share for level, share in enumerate(probabilities))


def choice_confidence(probabilities: Sequence[float]) -> float:
    """Say how far the likeliest option stands above chance: 0 is a guess, 1 is certain."""
    count = len(probabilities)
    if count == 1:
        return 1.0
    return _bounded((max(probabilities) - 1 / count) / (1 - 1 / count))


def score_confidence(probabilities: Sequence[float]) -> float:
    """Say how close to the likeliest level the others are, measured by the spread of all levels.

    1 - E|level - best| / d, where d is the mean distance of the levels from their middle.
    """
    count = len(probabilities)
    if count == 1:
        return 1.0
    middle = (count - 1) / 2
    spread = math.fsum(abs(level - middle) for level in range(count)) / count
    top = best(probabilities)
    away = math.fsum(abs(level - top) * share for level, share in enumerate(probabilities))
    return _bounded(1 - away / spread)


def _bounded(value: float) -> float:
    return min(max(value, 0.0), 1.0)
