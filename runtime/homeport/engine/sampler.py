"""Choosing the next token of one sequence from its row of logits.

Order, as in Ollama's own sampler: penalties, top-k, temperature, softmax, top-p, min-p, draw.
"""

import secrets
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.domain.errors import GenerationError
from homeport.domain.generation import Sampling

_GREEDY_BELOW = 1e-5
"""Temperatures below are greedy: dividing by them overflows before it changes the choice."""

Logits = NDArray[np.float32]
Probabilities = NDArray[np.float64]


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
        seed = secrets.randbits(64) if sampling.seed is None else sampling.seed
        self._random = np.random.default_rng(seed % 2**64)

    def choose(self, logits: Logits, history: Sequence[int]) -> Choice:
        """Choose the next token.

        Args:
            logits: One per id, float32 [vocabulary]; not changed.
            history: The sequence so far, for the penalties.

        Raises:
            GenerationError: The model gave NaN or nothing but minus infinity.
        """
        if np.isnan(logits).any() or not np.isfinite(logits.max()):
            message = "the model computed logits that are not numbers"
            raise GenerationError(
                message, hint="Pull it again with --force, or choose a wider type for its weights"
            )
        penalised = self._penalised(logits, history)
        token = (
            int(penalised.argmax()) if self._sampling.temperature < _GREEDY_BELOW else self._draw(penalised)
        )
        return self._report(token, logits)

    def _penalised(self, logits: Logits, history: Sequence[int]) -> Logits:
        sampling = self._sampling
        if sampling.repeat_penalty == 1 and not sampling.presence_penalty and not sampling.frequency_penalty:
            return logits
        last = sampling.repeat_last_n
        window = history if last < 0 else history[max(len(history) - last, 0) :]
        seen, counts = np.unique(np.asarray(window, dtype=np.int64), return_counts=True)
        scores = logits.copy()
        values = scores[seen]
        values = np.where(values > 0, values / sampling.repeat_penalty, values * sampling.repeat_penalty)
        scores[seen] = values - sampling.presence_penalty - sampling.frequency_penalty * counts
        return scores

    def _draw(self, logits: Logits) -> int:
        ids, scores = _likeliest(logits, self._sampling.top_k)
        probabilities = _softmax(scores / self._sampling.temperature)
        keep = len(probabilities)
        if self._sampling.top_p < 1:
            reached = np.cumsum(probabilities)
            keep = int(np.searchsorted(reached, self._sampling.top_p)) + 1
        if self._sampling.min_p > 0:
            likely = int((probabilities >= self._sampling.min_p * probabilities[0]).sum())
            keep = min(keep, likely)
        kept = np.cumsum(probabilities[: max(keep, 1)])
        place = np.searchsorted(kept, self._random.random() * kept[-1], side="right")
        return int(ids[min(int(place), len(kept) - 1)])

    def _report(self, token: int, logits: Logits) -> Choice:
        wanted = self._sampling.top_logprobs
        if wanted is None:
            return Choice(token)
        scores = logits.astype(np.float64)
        normaliser = float(np.logaddexp.reduce(scores))
        ids, best = _likeliest(logits, wanted) if wanted else ((), ())
        alternatives = tuple(
            (int(other), float(score) - normaliser) for other, score in zip(ids, best, strict=True)
        )
        return Choice(token, float(scores[token]) - normaliser, alternatives)


def _likeliest(logits: Logits, count: int) -> tuple[NDArray[np.int64], Probabilities]:
    """Give ids and scores of the ``count`` highest logits (all for 0 or less), best first, ties by id."""
    size = len(logits)
    if 0 < count < size:
        ids = np.sort(np.argpartition(logits, size - count)[size - count :])
    else:
        ids = np.arange(size)
    order = np.argsort(-logits[ids], kind="stable")
    ranked = ids[order]
    return ranked, logits[ranked].astype(np.float64)


def _softmax(scores: Probabilities) -> Probabilities:
    shifted = np.exp(scores - scores[0])
    result: Probabilities = shifted / shifted.sum()
    return result
