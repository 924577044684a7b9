"""Locally typical sampling."""

import numpy as np
import pytest

from homeport.engine.typical import typical_places

WEIGHTS = np.exp(np.array([3.0, 2.0, 1.0, 0.0, -1.0]))
"""Entropy 1.00 nats; the second of them, with a surprise of 1.45, is the most typical."""


@pytest.mark.parametrize(
    ("share", "places"),
    [
        (0.0, [1]),
        (0.2, [1]),
        (0.3, [0, 1]),
        (0.8, [0, 1]),
        (0.9, [0, 1, 2]),
        (0.999, [0, 1, 2, 3, 4]),
    ],
)
def test_the_most_typical_tokens_stay(share, places):
    """Least distance of their surprise from the entropy first, until their share is passed."""
    assert typical_places(WEIGHTS, share).tolist() == places


def test_impossible_tokens_are_never_typical():
    """A weight of 0 is no number to take the logarithm of."""
    assert typical_places(np.array([1.0, 0.0, 0.0]), 0.5).tolist() == [0]


def test_one_token_stays():
    """Where there is no other."""
    assert typical_places(np.array([2.0]), 0.0).tolist() == [0]
