"""Isotonic regression of risks, which then never increase with SNR."""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, vector


def isotonic(risk: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Nearest risks that never increase with SNR, by weighted least squares, shape (n,).

    The mmse never increases with SNR. The risk of a network can, and noisy estimates often do.

    Args:
        risk: Risks in the order of increasing SNR, shape (n,).
        weight: Positive weights such as 1 / stderr^2, shape (n,). Default: equal weights.
    """
    from scipy.optimize import isotonic_regression

    risks = vector("risk", risk)
    weights = None if weight is None else vector("weight", weight)
    return np.asarray(isotonic_regression(risks, weights=weights, increasing=False).x)
