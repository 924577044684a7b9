"""Choosing the next token of one sequence from its row of logits.

Order, as in Ollama's own sampler: penalties, top-k, temperature, softmax, typical-p, top-p, min-p, draw. What
is added to single logits comes before all of them; behind the penalties only tokens that a form allows are
looked at.
"""

import math
import secrets
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.domain.errors import GenerationError
from homeport.domain.generation import Sampling
from homeport.engine.logit_bias import LogitBias
from homeport.engine.logits import Ids, Logits, exponential_sum, likeliest, log_sum_exp
from homeport.engine.penalties import Penalties
from homeport.engine.typical import typical_places

__all__ = ["Choice", "Logits", "Sampler"]

_GREEDY_BELOW = 1e-5
"""Temperatures below are greedy: dividing by them overflows before it changes the choice."""
_HEADS = (1024, 16_384)
"""Likeliest ids that are ranked where top-k is off: a draw rarely falls outside, and then all are."""

Weights = NDArray[np.float64]
"""Probabilities times their sum: exp((logit - highest) / temperature)."""


@attrs.frozen
class Choice:
    """The token chosen and, where asked for, log-probabilities before any filter.

    Attributes:
        token: Its id.
        logprob: Its natural log-probability; 0 when none were asked for.
        alternatives: (id, log-probability) of the likeliest tokens, best first.
    """

    token: int
    logprob: float = 0.0
    alternatives: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Draws the tokens of one sequence: equal seeds and logits give equal tokens in any batch."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._greedy = sampling.temperature < _GREEDY_BELOW
        self._filtered = sampling.top_p < 1 or sampling.min_p > 0
        self._bias = LogitBias(sampling.logit_bias)
        self._penalties = Penalties(sampling)
        seed = secrets.randbits(64) if sampling.seed is None else sampling.seed
        self._random = np.random.default_rng(seed % 2**64)

    def skip(self, count: int) -> None:
        """Draw as for so many tokens that were chosen before, by another sampler with the same seed."""
        if not self._greedy:
            self._random.random(count)

    def choose(self, logits: Logits, history: Sequence[int], allowed: Ids | None = None) -> Choice:
        """Choose the next token.

        Args:
            logits: One per id, float32 [vocabulary]; not changed.
            history: The sequence so far, for the penalties: that of the call before, continued or cut.
            allowed: Ids to choose from, rising, at least one; None allows all.

        Raises:
            GenerationError: The model gave NaN or nothing but minus infinity.
        """
        best = int(logits.argmax())
        top = float(logits[best])
        if not math.isfinite(top):  # argmax finds a NaN before any number
            message = "the model computed logits that are not numbers"
            raise GenerationError(
                message, hint="Pull it again with --force, or choose a wider type for its weights"
            )
        scores = self._bias.apply(logits)
        if self._penalties.active:
            scores = self._penalties.apply(scores, history)
        if allowed is not None:
            scores = scores[allowed]
        if scores is not logits:
            best = int(scores.argmax())
        place = best if self._greedy else self._draw(scores, float(scores[best]))
        token = place if allowed is None else int(allowed[place])
        return Choice(token) if self._sampling.top_logprobs is None else self._report(token, logits, top)

    def _draw(self, logits: Logits, top: float) -> int:
        """Draw by inversion over ranked ids, of which a head mostly decides."""
        ticket = float(self._random.random())
        top_k = self._sampling.top_k
        is_typical = self._sampling.typical_p < 1
        if not is_typical and not 0 < top_k < len(logits):
            token = self._draw_from_heads(logits, top, ticket)
            if token is not None:
                return token
        ids = likeliest(logits, top_k)
        weights = self._weights(logits, ids)
        if is_typical:
            places = typical_places(weights, self._sampling.typical_p)
            ids, weights = ids[places], weights[places]
        reached = weights.cumsum()
        keep = min(self._kept(weights, reached, float(reached[-1])), len(ids))
        return int(ids[_place(reached, ticket * float(reached[keep - 1]), keep)])

    def _draw_from_heads(self, logits: Logits, top: float, ticket: float) -> int | None:
        """Give the id that a ticket in [0, 1) falls on; None when that takes a ranking of all."""
        heads = [count for count in _HEADS if count < len(logits)]
        total = exponential_sum(logits, top, self._sampling.temperature) if heads else 0.0
        for count in heads:
            ids = likeliest(logits, count)
            weights = self._weights(logits, ids)
            reached = weights.cumsum()
            keep = self._kept(weights, reached, total)
            if keep > count and self._filtered:
                continue
            target = ticket * (total if keep > count else float(reached[keep - 1]))
            if target < reached[-1]:
                return int(ids[_place(reached, target, min(keep, count))])
        return None

    def _kept(self, weights: Weights, reached: Weights, total: float) -> int:
        """Count what top-p and min-p keep; more than there are weights when none of them ends here."""
        keep = len(weights) + 1
        if self._sampling.top_p < 1:
            keep = int(reached.searchsorted(self._sampling.top_p * total)) + 1
        if self._sampling.min_p > 0:
            likely = int(np.count_nonzero(weights >= self._sampling.min_p * weights[0]))
            keep = min(keep, likely) if likely < len(weights) else keep
        return keep

    def _weights(self, logits: Logits, ids: Ids) -> Weights:
        scores = logits[ids].astype(np.float64)
        scores -= scores[0]
        scores /= self._sampling.temperature
        np.exp(scores, out=scores)
        return scores

    def _report(self, token: int, logits: Logits, top: float) -> Choice:
        normaliser = log_sum_exp(logits, top)
        wanted = self._sampling.top_logprobs
        ids = likeliest(logits, wanted) if wanted else ()
        alternatives = tuple((int(other), float(logits[other]) - normaliser) for other in ids)
        return Choice(token, float(logits[token]) - normaliser, alternatives)


def _place(reached: Weights, target: float, keep: int) -> int:
    """Give the first of ``keep`` places whose cumulated weight exceeds the target."""
    return min(int(reached.searchsorted(target, side="right")), keep - 1)
