"""Spectral rescaled entropic time (Stancevic et al., final version, section 5.4).

The squared error of a denoiser is a sum over the frequencies of an image. Each frequency k has its
own rescaled entropy R_k(sigma) = int_0^sigma mmse_k / s^2 ds. It is normalised to 1 at the highest
level and weighted by the amplitude A_k of that frequency in the data:

    R_spec = sum_k A_k R_k(sigma) / R_k(sigma_max) / sum_k A_k.

The paper does not say whether the amplitude is E|x_k| or the root mean square. For Gaussian data
the two differ by a common factor, which cancels.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.checks import Array, floats, monotone, require, vector
from theory.profiles.profile import Profile


def spectral_mmse(sigma: ArrayLike, mmse: ArrayLike, amplitude: ArrayLike) -> Array:
    """The curve whose rescaled entropy from sigma[0] is R_spec, shape (m,), in data units.

    The curve is sum_k A_k mmse_k / R_k / sum_k A_k and can be used in place of the mmse. R_k is the
    integral over the grid by the trapezoid rule in log sigma. It excludes the part below the grid,
    since the paper's algorithms start at R_0 = 0.

    Args:
        sigma: Noise levels, shape (m,), m >= 4, positive, strictly increasing, in data units.
        mmse: Squared error of every frequency, shape (F, m), at least 0, in squared data units.
        amplitude: Amplitudes A_k, shape (F,), at least 0, in any unit.

    Raises:
        ValueError: The shapes disagree, no amplitude is positive, or a frequency of positive
            amplitude has no error at any level.
    """
    levels, table, weights = _checked(sigma, mmse, amplitude)
    used = weights > 0
    total = np.asarray(np.trapezoid(table[used] / levels, np.log(levels), axis=1))
    _require_errors(total, np.flatnonzero(used))
    return np.asarray((weights[used] / total) @ table[used] / weights.sum())


def spectral_rescaled_entropy(sigma: ArrayLike, mmse: ArrayLike, amplitude: ArrayLike) -> Array:
    """The spectral rescaled entropy R_spec at the levels of the grid, shape (m,), 1 at the highest.

    Args:
        sigma: Noise levels, shape (m,), m >= 4, positive, strictly increasing, in data units.
        mmse: Squared error of every frequency, shape (F, m), at least 0, in squared data units.
        amplitude: Amplitudes A_k, shape (F,), at least 0, in any unit.

    Raises:
        ValueError: The shapes disagree, no amplitude is positive, or a frequency of positive
            amplitude has no error at any level.
    """
    levels, table, weights = _checked(sigma, mmse, amplitude)
    out = np.zeros_like(levels)
    for k in np.flatnonzero(weights > 0):
        rescaled = Profile(1, levels, table[k]).rescaled_entropy()
        _require_errors(rescaled[-1:], np.array([k]))
        out += weights[k] * rescaled / rescaled[-1]
    return np.asarray(out / weights.sum())


def _checked(sigma: ArrayLike, mmse: ArrayLike, amplitude: ArrayLike) -> tuple[Array, Array, Array]:
    """Checked levels (m,), squared errors (F, m) and amplitudes (F,)."""
    levels, weights = vector("sigma", sigma, 4), vector("amplitude", amplitude)
    require(levels > 0, "sigma", levels, "be positive")
    monotone("sigma", levels)
    table = floats("mmse", mmse)
    if table.shape != (weights.size, levels.size):
        raise ValueError(f"mmse must have shape {(weights.size, levels.size)}, got {table.shape}")
    require(table >= 0, "mmse", table, "be at least 0")
    require(weights >= 0, "amplitude", weights, "be at least 0")
    if not weights.sum() > 0:
        raise ValueError("amplitude must be positive for some frequency, got 0 for all")
    return levels, table, weights


def _require_errors(total: Array, frequencies: NDArray[np.int64]) -> None:
    """Raise ValueError unless each of these frequencies has a positive total error."""
    if not np.all(total > 0):
        k = int(frequencies[int(np.argmin(total))])
        raise ValueError(f"mmse must be positive somewhere, got 0 throughout at frequency {k}")
