"""What a request adds to the logits of single tokens."""

import math
from collections.abc import Sequence

import numpy as np

from homeport.domain.errors import InvalidRequestError
from homeport.engine.logits import Logits

_FIELD = "logit_bias"


class LogitBias:
    """Adds to logits.

    Args:
        pairs: A token id and what is added to its logit; of pairs with one id the last counts.
    """

    def __init__(self, pairs: Sequence[tuple[int, float]]) -> None:
        added = dict(pairs)
        self._ids = np.array(list(added), dtype=np.int64)
        self._values = np.array(list(added.values()), dtype=np.float32)

    def apply(self, logits: Logits) -> Logits:
        """Give the changed logits; the same array where nothing is added."""
        if not self._ids.size:
            return logits
        scores = logits.copy()
        scores[self._ids] += self._values
        return scores


def check_bias(pairs: Sequence[tuple[int, float]], vocabulary_size: int) -> None:
    """Refuse what cannot be added.

    Raises:
        InvalidRequestError: An id that the model does not have, or a value that is no finite number.
    """
    for token, value in pairs:
        if not 0 <= token < vocabulary_size:
            known = f"expected 0 to {vocabulary_size - 1}"
            message = f"invalid {_FIELD}: token {token} is outside the vocabulary: {known}"
            raise InvalidRequestError(message, field=_FIELD)
        if not math.isfinite(value):
            message = f"invalid {_FIELD}: expected a finite number for token {token}, got {value!r}"
            raise InvalidRequestError(message, field=_FIELD)
