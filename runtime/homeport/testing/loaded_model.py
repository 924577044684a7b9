"""A token model that is loaded, and the few ways in which a test drives it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from homeport import LoadPlan, TokenBatch, TokenModel, TokenModelFacts, TokenRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class LoadedModel:
    """A model, what it told of itself, and what it was loaded with."""

    model: TokenModel
    facts: TokenModelFacts
    plan: LoadPlan

    @property
    def window(self) -> int:
        """Tokens that a slot holds."""
        return min(self.plan.context_length, self.facts.context_length)

    def tokens(self, count: int, seed: int = 0) -> list[int]:
        """Draw ids that differ from seed to seed, by the multiplicative generator of Lehmer (1949)."""
        state, drawn = seed * 7919 + 1, []
        for _ in range(count):
            state = state * 48271 % (2**31 - 1)
            drawn.append(state % self.facts.vocabulary_size)
        return drawn

    def forward(self, *rows: TokenRow) -> "NDArray[np.float32]":
        """Compute a batch."""
        return self.model.forward(TokenBatch(rows))

    def logits(self, tokens: Sequence[int], *, slot: int = 0, start: int = 0) -> "NDArray[np.float32]":
        """Compute one row alone and give the logits behind its last token: [vocabulary_size]."""
        row: NDArray[np.float32] = self.forward(TokenRow(slot, start, tokens, logits=1))[0]
        return row
