"""Risks pooled so that they never rise with SNR."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from theory.checks import Array, vector


def isotonic(risk: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """The nearest risks that never rise with SNR (weighted least squares), shape (n,).

    The mmse never does; a network's risks can, and noisy estimates do.

    Args:
        risk: In the order of rising SNR, shape (n,).
        weight: Such as 1 / stderr^2, same shape, positive.
    """
    risks = vector("risk", risk)
    weights = None if weight is None else vector("weight", weight)
    return np.asarray(isotonic_regression(risks, weights=weights, increasing=False).x)
