"""Logistic regression on soft targets."""

import numpy as np
from numpy.typing import NDArray

_RIDGE = 1e-3
"""Of the mean loss."""
_NEWTON_STEPS = 25

Array = NDArray[np.float64]


def fitted_logistic(inputs: Array, targets: Array) -> Array:
    """Fit weights by Newton's method.

    Args:
        inputs: [examples, features]; one of them is 1 throughout where a bias is wanted.
        targets: Probabilities, [examples].
    """
    weights = np.zeros(inputs.shape[1])
    ridge = _RIDGE * len(inputs) * np.eye(len(weights))
    for _ in range(_NEWTON_STEPS):
        shares = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (shares - targets) + ridge @ weights
        curve = (inputs * (shares * (1 - shares))[:, None]).T @ inputs + ridge
        weights = weights - np.linalg.solve(curve, slope)
    return weights
