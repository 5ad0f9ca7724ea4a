"""Closed forms for data N(0, c^2 I_d): information, any table's exact law, the optimal grid.

x = x0 + sigma eps; sigma and c in data units, entropies in nats. sigma may be a number or an
array of any shape, positive; results have its shape.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, positive, whole
from theory.levels import Span
from theory.solvers.table import SolverTable


def _arguments(sigma: ArrayLike, c: float, dim: int) -> tuple[Array, float, int]:
    return above_zero("sigma", sigma), positive("c", c), whole("dim", dim, 1)


def gaussian_mmse(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """The mmse d c^2 sigma^2 / (c^2 + sigma^2), in squared data units."""
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(d * (s * (c / np.hypot(c, s))) ** 2)


def gaussian_entropy_rate(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """Rate dH/dsigma = d c^2 / (sigma (c^2 + sigma^2)), nats per data unit."""
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(d * (c / np.hypot(c, s)) ** 2 / s)


def gaussian_conditional_entropy(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """H[x0|x] = d / 2 log(2 pi e c^2 sigma^2 / (c^2 + sigma^2)), differential, in nats."""
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(d * (0.5 * np.log(2.0 * np.pi * np.e) + np.log(s * (c / np.hypot(c, s)))))


def gaussian_mutual_information(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """I[x0; x] = d / 2 log(1 + c^2 / sigma^2), in nats."""
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(0.5 * d * np.log1p((c / s) ** 2))


def gaussian_rescaled_entropy(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """R = d c arctan(sigma / c), the integral of sigma dH from 0, in data units."""
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(d * c * np.arctan(s / c))


def table_variances(table: SolverTable, c: float) -> Array:
    """Variance of every state of a sampler on N(0, c^2) data, shape (rows + 1,), per coordinate.

    The denoiser is linear there, D = c^2 / (c^2 + sigma^2) x, so every state is the start
    times a coefficient, plus an independent Gaussian. The coefficient is carried by itself and
    the noise as a covariance of the states in reach: exact for any history, O(H^2) a row.

    Args:
        table: Any table; the start has variance table.start_std**2.
        c: Standard deviation of the data, positive.
    """
    shrink = (positive("c", c) / np.hypot(c, table.sigma)) ** 2
    rows, size = table.nfe, max(table.keep.shape[1], table.weights.shape[1])
    gains = np.zeros((rows, size))  # of x_{r-h} in x_{r+1}
    gains[:, : table.keep.shape[1]] += table.keep
    for h in range(min(table.weights.shape[1], rows)):
        gains[h:, h] += table.weights[h:, h] * shrink[: rows - h]
    coefficients = np.zeros(size)
    coefficients[0] = table.start_std
    covariance = np.zeros((size, size))
    out = np.empty(rows + 1)
    out[0] = table.start_std**2
    for r in range(rows):
        row = gains[r]
        to_new = row @ covariance
        variance = to_new @ row + table.noise[r] ** 2
        covariance[1:, 1:] = covariance[:-1, :-1].copy()
        covariance[0, 0], covariance[0, 1:], covariance[1:, 0] = variance, to_new[:-1], to_new[:-1]
        new = row @ coefficients
        coefficients[1:] = coefficients[:-1].copy()
        coefficients[0] = new
        out[r + 1] = new**2 + variance
    return out


def _excess(x: Array, log1p_x: Array) -> Array:
    """The excess x - log(1 + x), without cancellation at small x; x may have rounded to -1."""
    y = x / (2.0 + x)  # log(1 + x) = 2 artanh(y), and x - 2 y = x y
    odd, series = y**3, np.zeros_like(x)
    small = np.abs(x) < 0.5
    for k in range(3, 29, 2):
        series, odd = series + odd / k, odd * y**2
    near = x * y - 2.0 * np.where(small, series, 0.0)
    return np.asarray(np.where(small, near, x - log1p_x))


def gaussian_kl_data_model(
    data_variance: ArrayLike, model_variance: ArrayLike, dim: int = 1
) -> Array:
    """KL(N(0, v_data I) || N(0, v_model I)) = d / 2 (r - 1 - log r), r = v_data / v_model, nats.

    Args:
        data_variance: Positive, any shape.
        model_variance: Positive, of a shape that broadcasts with it.
        dim: Number of coordinates d.
    """
    data = above_zero("data_variance", data_variance)
    model = above_zero("model_variance", model_variance)
    log_ratio = np.log(data) - np.log(model)
    return np.asarray(0.5 * whole("dim", dim, 1) * _excess((data - model) / model, log_ratio))


def _log_shrinkage(n_steps: int, sigma_max: float, sigma_min: float, c: float) -> float:
    """log(cos^(2 N)(delta)), delta the angle of one step of the arctan grid."""
    span = Span(n_steps, sigma_max, sigma_min)
    scale = positive("c", c)
    # arctan(p) - arctan(q) = arctan((p - q) / (1 + p q)), scaled by c against overflow
    rise = (span.sigma_max - span.sigma_min) / (scale + span.sigma_max * (span.sigma_min / scale))
    return float(n_steps * np.log1p(-(np.sin(np.arctan(rise) / n_steps) ** 2)))


def arctan_ddim_variance(n_steps: int, sigma_max: float, sigma_min: float, c: float) -> float:
    """Variance after DDIM on `arctan_sigmas` (terminal "stop") from the true law at sigma_max.

    (c^2 + sigma_min^2) cos^(2 N)(delta), delta = (arctan(sigma_max / c) - arctan(sigma_min / c))
    / N: the Euler product telescopes. No other grid of N steps loses less variance.

    Args:
        n_steps: N, 1..10^6.
        sigma_max: In data units.
        sigma_min: In data units.
        c: Standard deviation of the data.
    """
    log_shrinkage = _log_shrinkage(n_steps, sigma_max, sigma_min, c)
    return float(np.hypot(c, sigma_min) ** 2 * np.exp(log_shrinkage))


def arctan_ddim_kl_data_model(
    n_steps: int, sigma_max: float, sigma_min: float, c: float, dim: int = 1
) -> float:
    """KL in nats of the true law at sigma_min from that sampler's: d / 2 (1 / r - 1 + log r).

    r = cos^(2 N)(delta), see `arctan_ddim_variance`.

    Args:
        n_steps: N, 1..10^6.
        sigma_max: In data units.
        sigma_min: In data units.
        c: Standard deviation of the data.
        dim: Number of coordinates d.
    """
    log_ratio = -np.asarray(_log_shrinkage(n_steps, sigma_max, sigma_min, c))
    return float(0.5 * whole("dim", dim, 1) * _excess(np.expm1(log_ratio), log_ratio))
