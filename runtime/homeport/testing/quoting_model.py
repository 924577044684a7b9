"""A model that says what it is told to: for tests of what is made of an answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homeport import LoadPlan, TokenBatch, TokenModelFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CONTEXT_LENGTH = 8192


class QuotingModel:
    """A ``TokenModel`` whose every sequence goes on with the same tokens, and then with the end.

    Where a sequence goes its own way, because something forces it to, the quotation waits: its next token
    stays the likeliest.

    Args:
        tokens: What it says behind any prompt.
        prompt_tokens: How long that prompt is.
        vocabulary_size: Ids in all.
        end_token: What it says then, for ever.
    """

    def __init__(
        self, tokens: Sequence[int], *, prompt_tokens: int, vocabulary_size: int, end_token: int
    ) -> None:
        self._tokens = tuple(tokens)
        self._prompt_tokens = prompt_tokens
        self._vocabulary_size = vocabulary_size
        self._end_token = end_token
        self._cache: list[list[int]] = []

    def load(self, path: Path, plan: LoadPlan) -> TokenModelFacts:  # noqa: ARG002 - there is nothing to read
        """Make room for the slots."""
        self._cache = [[] for _ in range(plan.slots)]
        return TokenModelFacts(
            vocabulary_size=self._vocabulary_size,
            context_length=_CONTEXT_LENGTH,
            kv_bytes_per_token=8,
            computes="quotations, Python",
        )

    def forward(self, batch: TokenBatch) -> "NDArray[np.float32]":
        """Give the next token of the quotation a logit of 10, all others 0."""
        import numpy as np

        likeliest = []
        for row in batch.rows:
            cached = self._cache[row.slot]
            cached[row.start :] = row.tokens
            ends = range(len(cached) - row.logits + 1, len(cached) + 1)
            likeliest += [self._next(cached[self._prompt_tokens : end]) for end in ends]
        logits = np.zeros((len(likeliest), self._vocabulary_size), dtype=np.float32)
        logits[range(len(likeliest)), likeliest] = 10.0
        return logits

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Copy cached tokens."""
        self._cache[target] = self._cache[source][:length]

    def release(self, slot: int, length: int) -> None:
        """Forget cached tokens."""
        del self._cache[slot][length:]

    def embed(self, inputs: Sequence[Sequence[int]]) -> "NDArray[np.float32]":
        """Embed nothing.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def _next(self, said: Sequence[int]) -> int:
        """Find the next token of the quotation behind what of it was said."""
        place = 0
        for token in said:
            place += place < len(self._tokens) and token == self._tokens[place]
        return self._tokens[place] if place < len(self._tokens) else self._end_token
