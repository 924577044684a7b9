"""Locally typical sampling: tokens about as surprising as the model expects the next one to be.

Meister et al. 2022, Locally Typical Sampling, https://arxiv.org/abs/2202.00666
"""

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]


def typical_places(weights: Weights, share: float) -> NDArray[np.intp]:
    """Choose the most typical tokens that hold a share of the probability.

    Args:
        weights: Probabilities times any sum, at least one above 0.
        share: In [0, 1); one token is kept whatever it is.

    Returns:
        Their places, rising.
    """
    probabilities = weights / weights.sum()
    with np.errstate(divide="ignore"):
        surprise = -np.log(probabilities)
    possible = probabilities > 0
    entropy = float(probabilities[possible] @ surprise[possible])
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    kept = int(probabilities[order].cumsum().searchsorted(share, side="right")) + 1
    return np.sort(order[:kept])
