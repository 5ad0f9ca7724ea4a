"""InfoNoise's regularisation of an entropy-rate profile at low noise (Raya et al., 2026)."""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, monotone, positive, require, vector

GATE_POWER = 3.0
ONSET = 0.002


def gate(sigma: ArrayLike, c: float, power: float = GATE_POWER) -> Array:
    """sigma^n / (sigma^n + c^n), shape of sigma: eqs. (17) and (50), n = 3 in the paper.

    Args:
        sigma: Noise levels, positive, in data units.
        c: Pivot, positive, in data units.
        power: The exponent n, positive.
    """
    levels, pivot, n = above_zero("sigma", sigma), positive("c", c), positive("power", power)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(1.0 / (1.0 + (pivot / levels) ** n))


def onset_pivot(sigma: ArrayLike, rate: ArrayLike, onset: float = ONSET) -> float:
    """The largest noise level at which the ungated rate still reaches onset of its maximum.

    Eq. (18): c = inf{sigma: rate(s) / max rate < p for all s >= sigma}, scanned from the high end
    and interpolated log-linearly between the two levels around the crossing.

    Args:
        sigma: Noise levels, shape (m,), rising, in data units.
        rate: Entropy rate mmse / sigma^3 per unit of sigma, shape (m,), >= 0.
        onset: The threshold p, in (0, 1].

    Raises:
        ValueError: The rate is 0 everywhere, or still above the threshold at the highest level.
    """
    levels, rates = vector("sigma", sigma, 2), vector("rate", rate, 2)
    require(levels > 0, "sigma", levels, "be positive")
    monotone("sigma", levels)
    if rates.shape != levels.shape:
        raise ValueError(f"rate must have shape {levels.shape}, got {rates.shape}")
    require(rates >= 0, "rate", rates, "be at least 0")
    if not 0 < onset <= 1:
        raise ValueError(f"onset must be in (0, 1], got {onset:g}")
    threshold = onset * rates.max()
    above = np.flatnonzero(rates >= threshold)
    if threshold == 0:
        raise ValueError("rate must be positive somewhere, got 0 everywhere")
    i = int(above[-1])
    if i == levels.size - 1:
        rule = f"fall below {onset:g} of its maximum within the grid"
        raise ValueError(f"rate must {rule}, got {rates[i] / rates.max():g} at the highest sigma")
    if rates[i + 1] == 0:
        return float(levels[i])
    x, y = np.log(levels[i : i + 2]), np.log(rates[i : i + 2])
    return float(np.exp(x[0] + (np.log(threshold) - y[0]) / (y[1] - y[0]) * (x[1] - x[0])))
