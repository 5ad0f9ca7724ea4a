"""Closed forms for data N(0, c^2 I_d): information, exact laws of samplers, the optimal grid.

The channel is x = x0 + sigma eps. sigma and c are in data units, entropies in nats. sigma may be a
positive number or an array of positive numbers of any shape; results have its shape.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, positive, scalars, whole
from theory.levels import Span
from theory.solvers.table import SolverTable


def _arguments(sigma: ArrayLike, c: float, dim: int) -> tuple[Array, float, int]:
    return above_zero("sigma", sigma), positive("c", c), whole("dim", dim, 1)


@scalars
def gaussian_mmse(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """The mmse d c^2 sigma^2 / (c^2 + sigma^2), in squared data units, shape of sigma.

    Args:
        sigma: Noise levels, positive, in data units.
        c: Standard deviation of the data, in data units.
        dim: Number of coordinates d.
    """
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(d * (s * (c / np.hypot(c, s))) ** 2)


@scalars
def gaussian_entropy_rate(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """The rate dH/dsigma = d c^2 / (sigma (c^2 + sigma^2)), in nats per data unit, shape of sigma.

    Args:
        sigma: Noise levels, positive, in data units.
        c: Standard deviation of the data, in data units.
        dim: Number of coordinates d.
    """
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(d * (c / np.hypot(c, s)) ** 2 / s)


@scalars
def gaussian_conditional_entropy(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """The differential entropy H[x0|x], in nats, shape of sigma.

    H = d / 2 log(2 pi e c^2 sigma^2 / (c^2 + sigma^2)).

    Args:
        sigma: Noise levels, positive, in data units.
        c: Standard deviation of the data, in data units.
        dim: Number of coordinates d.
    """
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(d * (0.5 * np.log(2.0 * np.pi * np.e) + np.log(s * (c / np.hypot(c, s)))))


@scalars
def gaussian_mutual_information(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """The mutual information I[x0; x] = d / 2 log(1 + c^2 / sigma^2), in nats, shape of sigma.

    Args:
        sigma: Noise levels, positive, in data units.
        c: Standard deviation of the data, in data units.
        dim: Number of coordinates d.
    """
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(0.5 * d * np.log1p((c / s) ** 2))


@scalars
def gaussian_rescaled_entropy(sigma: ArrayLike, c: float, dim: int = 1) -> Array:
    """The rescaled entropy R = d c arctan(sigma / c), in data units, shape of sigma.

    R is the integral of sigma dH from 0 (Stancevic et al., v1, eq. 23).

    Args:
        sigma: Noise levels, positive, in data units.
        c: Standard deviation of the data, in data units.
        dim: Number of coordinates d.
    """
    s, c, d = _arguments(sigma, c, dim)
    return np.asarray(d * c * np.arctan(s / c))


def table_variances(table: SolverTable, c: float) -> Array:
    """Variance per coordinate of every state of a sampler on N(0, c^2) data, shape (rows + 1,).

    The exact denoiser is linear, D = c^2 / (c^2 + sigma^2) x, so that every state is a multiple of
    the initial state plus an independent Gaussian. The recursion carries that multiple, and the
    covariance of the noise in the states that later rows use. It is exact for any history H and
    costs O(H^2) per row.

    Args:
        table: Any table; the initial state has the variance table.start_std**2.
        c: Standard deviation of the data, positive, in data units.
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
    """The excess x - log(1 + x), without cancellation at small x; x may be rounded to -1."""
    y = x / (2.0 + x)  # log(1 + x) = 2 artanh(y), and x - 2 y = x y
    odd, series = y**3, np.zeros_like(x)
    small = np.abs(x) < 0.5
    for k in range(3, 29, 2):
        series, odd = series + odd / k, odd * y**2
    near = x * y - 2.0 * np.where(small, series, 0.0)
    return np.asarray(np.where(small, near, x - log1p_x))


@scalars
def gaussian_kl_data_model(
    data_variance: ArrayLike, model_variance: ArrayLike, dim: int = 1
) -> Array:
    """KL(N(0, v_data I) || N(0, v_model I)) = d / 2 (r - 1 - log r) in nats, r = v_data / v_model.

    Args:
        data_variance: Variance v_data per coordinate, positive, of any shape.
        model_variance: Variance v_model, positive, of a shape that broadcasts with v_data's.
        dim: Number of coordinates d.
    """
    data = above_zero("data_variance", data_variance)
    model = above_zero("model_variance", model_variance)
    log_ratio = np.log(data) - np.log(model)
    return np.asarray(0.5 * whole("dim", dim, 1) * _excess((data - model) / model, log_ratio))


def _log_shrinkage(n_steps: int, sigma_max: float, sigma_min: float, c: float) -> float:
    """log(cos^(2 N)(delta)), where delta is the angle of one step of the arctan grid."""
    span = Span(n_steps, sigma_max, sigma_min)
    scale = positive("c", c)
    # arctan(p) - arctan(q) = arctan((p - q) / (1 + p q)), scaled by c against overflow
    rise = (span.sigma_max - span.sigma_min) / (scale + span.sigma_max * (span.sigma_min / scale))
    return float(n_steps * np.log1p(-(np.sin(np.arctan(rise) / n_steps) ** 2)))


def arctan_ddim_variance(n_steps: int, sigma_max: float, sigma_min: float, c: float) -> float:
    """Variance per coordinate after deterministic DDIM on the arctan grid, in squared data units.

    The sampler starts from the true law at sigma_max and ends at sigma_min, on the levels of
    `theory.schedules.arctan.arctan_sigmas` with terminal "stop". Its Euler product telescopes to
    (c^2 + sigma_min^2) cos^(2 N)(delta) with delta = (arctan(sigma_max / c) -
    arctan(sigma_min / c)) / N. No other grid of N steps loses less variance.

    Args:
        n_steps: Number of steps N, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, positive, in data units.
        c: Standard deviation of the data, in data units.
    """
    log_shrinkage = _log_shrinkage(n_steps, sigma_max, sigma_min, c)
    return float(np.hypot(c, sigma_min) ** 2 * np.exp(log_shrinkage))


def arctan_ddim_kl_data_model(
    n_steps: int, sigma_max: float, sigma_min: float, c: float, dim: int = 1
) -> float:
    """KL(true law at sigma_min || law of deterministic DDIM on the arctan grid), in nats.

    It is d / 2 (1 / r - 1 + log r) with r = cos^(2 N)(delta). The sampler and delta are those of
    `arctan_ddim_variance`.

    Args:
        n_steps: Number of steps N, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, positive, in data units.
        c: Standard deviation of the data, in data units.
        dim: Number of coordinates d.
    """
    log_ratio = -np.asarray(_log_shrinkage(n_steps, sigma_max, sigma_min, c))
    return float(0.5 * whole("dim", dim, 1) * _excess(np.expm1(log_ratio), log_ratio))
