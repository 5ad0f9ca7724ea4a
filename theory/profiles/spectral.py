"""Spectral rescaled entropic time (Stancevic et al., final version, section 5.4).

The squared error of a denoiser splits over the frequencies of an image. Every frequency has a
rescaled entropy R_k(sigma) = int_0^sigma mmse_k / s^2 ds of its own; each is normalised to 1 at the
highest level and weighted by the amplitude A_k of that frequency in the data:

    R_spec = sum_k A_k R_k(sigma) / R_k(sigma_max) / sum_k A_k.

What "amplitude" means the paper leaves open: E|x_k| or the root mean square; for Gaussian data they
differ by a common factor, which cancels.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.checks import Array, floats, monotone, require, vector
from theory.profiles.profile import Profile


def spectral_mmse(sigma: ArrayLike, mmse: ArrayLike, amplitude: ArrayLike) -> Array:
    """The curve whose rescaled entropy from sigma[0] is R_spec, shape (m,), in 1 / data unit.

    sum_k A_k mmse_k / R_k / sum_k A_k, R_k by the trapezoid rule in log sigma over the grid,
    without what lies below it, as the paper's algorithms start at R_0 = 0. So one curve stands
    for all frequencies, wherever mmse itself can stand.

    Args:
        sigma: See `spectral_rescaled_entropy`, as the next two.
        mmse: Shape (F, m).
        amplitude: Shape (F,).
    """
    levels, table, weights = _checked(sigma, mmse, amplitude)
    used = weights > 0
    total = np.asarray(np.trapezoid(table[used] / levels, np.log(levels), axis=1))
    _require_errors(total, np.flatnonzero(used))
    return np.asarray((weights[used] / total) @ table[used] / weights.sum())


def spectral_rescaled_entropy(sigma: ArrayLike, mmse: ArrayLike, amplitude: ArrayLike) -> Array:
    """R_spec at the levels of the grid, shape (m,), rising to 1.

    Args:
        sigma: Noise levels, shape (m,), m >= 4, positive and rising, in data units.
        mmse: Squared error of every frequency, shape (F, m), >= 0.
        amplitude: A_k, shape (F,), >= 0, of any unit.

    Raises:
        ValueError: Shapes disagree, no amplitude is positive, or a frequency that has one has no
            error at all.
    """
    levels, table, weights = _checked(sigma, mmse, amplitude)
    out = np.zeros_like(levels)
    for k in np.flatnonzero(weights > 0):
        rescaled = Profile(1, levels, table[k]).rescaled_entropy()
        _require_errors(rescaled[-1:], np.array([k]))
        out += weights[k] * rescaled / rescaled[-1]
    return np.asarray(out / weights.sum())


def _checked(sigma: ArrayLike, mmse: ArrayLike, amplitude: ArrayLike) -> tuple[Array, Array, Array]:
    """Levels (m,), squared errors (F, m) and amplitudes (F,)."""
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
    """Raise ValueError unless every one of these frequencies has an error somewhere."""
    if not np.all(total > 0):
        k = int(frequencies[int(np.argmin(total))])
        raise ValueError(f"mmse must be positive somewhere, got 0 throughout at frequency {k}")
