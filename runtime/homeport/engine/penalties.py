"""Penalties for tokens that a sequence already holds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from homeport.domain.generation import Sampling
from homeport.engine.logits import Ids, Logits


class Penalties:
    """Lowers the logits of the last tokens of one sequence.

    The counts of the window are kept from step to step, so a step costs by the different tokens in the
    window and not by its length.

    Attributes:
        active: Whether they change anything.

    Args:
        sampling: How strong they are, and how far back they look.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._repeat = sampling.repeat_penalty
        self._presence = sampling.presence_penalty
        self._frequency = sampling.frequency_penalty
        self._window = sampling.repeat_last_n
        off = self._repeat == 1 and not self._presence and not self._frequency
        self.active = self._window != 0 and not off
        self._counts = TokenCounts(())
        self._begin = self._end = 0

    def apply(self, logits: Logits, history: Sequence[int]) -> Logits:
        """Give the penalised logits.

        Args:
            logits: Float32 [vocabulary]; not changed.
            history: The sequence so far: that of the call before, continued or cut.
        """
        self._follow(history)
        seen, counts = self._counts.tokens, self._counts.counts
        values = logits[seen]
        values = np.where(values > 0, values / self._repeat, values * self._repeat)
        scores = logits.copy()
        scores[seen] = values - self._presence - self._frequency * counts
        return scores

    def _follow(self, history: Sequence[int]) -> None:
        end = len(history)
        begin = 0 if self._window < 0 else max(end - self._window, 0)
        if self._begin <= begin <= self._end <= end:
            for token in history[self._end : end]:
                self._counts.add(token)
            for token in history[self._begin : begin]:
                self._counts.remove(token)
        else:
            self._counts = TokenCounts(history[begin:end])
        self._begin, self._end = begin, end


class TokenCounts:
    """How often each token occurs, as arrays that change by one token in constant time.

    Args:
        tokens: Counted to begin with.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens, self._counts = np.unique(np.asarray(tokens, dtype=np.int64), return_counts=True)
        self._size = len(self._tokens)
        self._places = {token: place for place, token in enumerate(self._tokens.tolist())}

    @property
    def tokens(self) -> Ids:
        """The different tokens, in no order."""
        return self._tokens[: self._size]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each of them occurs, at least once."""
        return self._counts[: self._size]

    def add(self, token: int) -> None:
        """Count a token once more."""
        place = self._places.setdefault(token, self._size)
        if place < self._size:
            self._counts[place] += 1
            return
        if place == len(self._tokens):
            room = np.zeros(place + 1, dtype=np.int64)
            self._tokens = np.concatenate((self._tokens, room))
            self._counts = np.concatenate((self._counts, room))
        self._tokens[place] = token
        self._counts[place] = 1
        self._size += 1

    def remove(self, token: int) -> None:
        """Count a token once less; it must have been counted. The last one takes a place that gets free."""
        place = self._places[token]
        self._counts[place] -= 1
        if self._counts[place]:
            return
        self._size -= 1
        last = int(self._tokens[self._size])
        self._tokens[place] = last
        self._counts[place] = self._counts[self._size]
        self._places[last] = place
        del self._places[token]
