"""Guessing the next tokens of one sequence from its own text, for the model to check in one pass.

Prompt lookup decoding (Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding): where the last
few tokens occurred before, what followed them then is a fair guess of what follows now. Answers that quote,
edit or repeat hold many such places.
"""

from collections.abc import Sequence

import numpy as np

from homeport.engine.draft_length import DraftLength
from homeport.engine.logits import Ids

_SHORTEST_MATCH = 2
_LONGEST_MATCH = 8
_NOWHERE = np.zeros(0, dtype=np.int64)


class Drafter:
    """Knows the tokens of one sequence and proposes how they go on.

    Tokens are searched, not indexed: a search of 32,768 takes 15 us and always finds the longest match,
    where an index of n-grams takes 17 ms to build and 9 MB to keep (4 bytes a token here).

    Attributes:
        proposed: Tokens that were checked so far.
        accepted: Those of them that came true.

    Args:
        tokens: The sequence so far.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.proposed = 0
        self.accepted = 0
        self._tokens = np.array(tokens, dtype=np.int32)
        self._count = len(tokens)
        self._length = DraftLength()

    def extend(self, tokens: Sequence[int]) -> None:
        """Take note of tokens that now belong to the sequence, guessed or not."""
        count = self._count + len(tokens)
        if count > len(self._tokens):
            self._tokens = np.concatenate((self._tokens, np.zeros(count, dtype=np.int32)))
        self._tokens[self._count : count] = tokens
        self._count = count
        self._length.pass_over(len(tokens))

    def propose(self, most: int) -> list[int]:
        """Guess the next tokens; asking changes nothing.

        They are what followed an earlier occurrence of the last tokens: of the longest match, two to eight
        tokens, the latest that leaves enough, or else the one that leaves most.

        Args:
            most: Bound of the guess; past success may bound it further.

        Returns:
            Nothing where not even the last two tokens occurred before, or guesses did not pay.
        """
        most = min(most, self._length.tokens)
        ends = self._matches() if most > 0 else _NOWHERE
        if not ends.size:
            return []
        enough = int(ends.searchsorted(self._count - most, side="right"))
        begin = int(ends[max(enough - 1, 0)])
        guess: list[int] = self._tokens[begin : min(begin + most, self._count)].tolist()
        return guess

    def record(self, proposed: int, accepted: int) -> None:
        """Take note of how many tokens of a guess were checked, and how many of those came true."""
        if proposed > 0:
            self.proposed += proposed
            self.accepted += accepted
            self._length.record(proposed, accepted)

    def _matches(self) -> Ids:
        """Give the places, rising, before which the last tokens occurred: the longest match there is."""
        tokens = self._tokens[: self._count]
        if len(tokens) <= _SHORTEST_MATCH:
            return _NOWHERE
        ends = np.flatnonzero((tokens[1:-1] == tokens[-1]) & (tokens[:-2] == tokens[-2])) + _SHORTEST_MATCH
        for length in range(_SHORTEST_MATCH + 1, _LONGEST_MATCH + 1):
            possible = ends[ends.searchsorted(length) :]
            longer = possible[tokens[possible - length] == tokens[-length]] if possible.size else possible
            if not longer.size:
                break
            ends = longer
        return ends
