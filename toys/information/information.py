"""Exact information curves of a mixture in the channel x = x0 + sigma eps, in nats.

In one dimension every quantity is an integral over x of a *non-negative* function that vanishes
with it, so that small values keep their relative accuracy. With r the responsibilities given x,
mmse = E Var(x0 | x), the discrete conditional entropy is E H(r), and the mutual information is
E KL(r || weights) plus its part within the components. No quantity is a difference of larger
numbers. The values of a product over coordinates are sums over its factors. Other mixtures of d > 1
are estimated by Monte Carlo, with standard errors.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array
from toys.information.channel import Components, components
from toys.information.moments import log_moments
from toys.information.quadrature import log_sum
from toys.mixture import SIGMA_RANGE, Mixture
from toys.progress import progress

SAMPLES = 2**15  # Monte Carlo samples per noise level, for d > 1


@dataclass(frozen=True)
class Curves:
    """Information about x0 in x = x0 + sigma eps at m noise levels.

    Attributes:
        sigma: Noise levels, shape (m,), in data units.
        mmse: Minimum mean squared error, summed over coordinates, shape (m,), squared data units.
        log_mmse: Logarithm of the mmse, shape (m,), finite even where the mmse underflows.
        mutual_information: I(x0; x), shape (m,), in nats.
        conditional_entropy: H(x0 | x), shape (m,), in nats: discrete for points, differential for
            mixtures of positive stds, None for mixtures of both kinds.
        mmse_stderr: Standard errors of the mmse, shape (m,); 0 where it is exact.
        information_stderr: Standard errors of the mutual information, shape (m,).
        entropy_stderr: Standard errors of the conditional entropy, shape (m,).
    """

    sigma: Array
    mmse: Array
    log_mmse: Array
    mutual_information: Array
    conditional_entropy: Array | None
    mmse_stderr: Array
    information_stderr: Array
    entropy_stderr: Array

    @property
    def entropy_rate(self) -> Array:
        """Rate dH/dsigma = mmse / sigma**3 (paper A, eq. 13), shape (m,), in nats per data unit."""
        return np.exp(self.log_mmse - 3.0 * np.log(self.sigma))


def curves(toy: Mixture, sigma: ArrayLike, samples: int = SAMPLES, seed: int = 0) -> Curves:
    """All information curves of a mixture in the channel x = x0 + sigma eps.

    In one dimension and for products over coordinates, the mmse and the mutual information have a
    relative accuracy of 1e-12 where they exceed 1e-290, for sigma from 1e-6 to 1e6 (checked against
    40-digit quadrature). For other mixtures they are means over noisy states, with the same normals
    at every level.

    Args:
        toy: The data.
        sigma: Noise levels, shape (m,) or a number, in [1e-12, 1e12], in data units.
        samples: Number of Monte Carlo samples per level, where they are needed.
        seed: Seed of the samples, an integer in [0, 2**32).

    Raises:
        ValueError: A level is out of its range, or a quadrature does not converge.
    """
    sigma = np.atleast_1d(np.asarray(sigma, dtype=np.float64))
    if sigma.size == 0:
        raise ValueError("sigma must be a list of at least 1, got none")
    low, high = SIGMA_RANGE
    bad = ~((sigma >= low) & (sigma <= high))
    if sigma.ndim != 1 or bad.any():
        raise ValueError(f"sigma must lie in [{low:g}, {high:g}], got {sigma[bad][:1]}")
    factors = factorise(toy)
    if factors is None:
        return _estimated(toy, sigma, samples, seed)
    levels = progress(sigma.tolist(), "information")
    parts = np.array([[_exact_1d(f, s) for f in factors] for s in levels])  # (m, d, 3)
    log_mmse = log_sum(parts[:, :, 0])
    information = parts[:, :, 1].sum(axis=1)
    entropy: Array | None = None
    if toy.is_points:
        entropy = parts[:, :, 2].sum(axis=1)
    elif toy.has_density:
        entropy = differential_entropy(toy) - information
    zero = np.zeros_like(sigma)
    return Curves(sigma, np.exp(log_mmse), log_mmse, information, entropy, zero, zero, zero)


def mmse(toy: Mixture, sigma: ArrayLike) -> Array:
    """Minimum mean squared error of x0 given x0 + sigma eps, shape of sigma.

    It is summed over coordinates, in squared data units. `curves` states the accuracy.

    Args:
        toy: The data.
        sigma: Noise levels, shape (m,) or a number, in [1e-12, 1e12], in data units.

    Raises:
        ValueError: A level is out of its range.
    """
    return _like(sigma, curves(toy, sigma).mmse)


def log_mmse(toy: Mixture, sigma: ArrayLike) -> Array:
    """Logarithm of `mmse`, shape of sigma, finite even where the mmse underflows.

    Args:
        toy: The data.
        sigma: Noise levels, shape (m,) or a number, in [1e-12, 1e12], in data units.

    Raises:
        ValueError: A level is out of its range.
    """
    return _like(sigma, curves(toy, sigma).log_mmse)


def mutual_information(toy: Mixture, sigma: ArrayLike) -> Array:
    """Mutual information I(x0; x0 + sigma eps), in nats, shape of sigma.

    `curves` states the accuracy.

    Args:
        toy: The data.
        sigma: Noise levels, shape (m,) or a number, in [1e-12, 1e12], in data units.

    Raises:
        ValueError: A level is out of its range.
    """
    return _like(sigma, curves(toy, sigma).mutual_information)


def conditional_entropy(toy: Mixture, sigma: ArrayLike) -> Array:
    """Conditional entropy H(x0 | x0 + sigma eps), in nats, shape of sigma.

    It is discrete for points and differential for mixtures of positive stds.

    Args:
        toy: The data.
        sigma: Noise levels, shape (m,) or a number, in [1e-12, 1e12], in data units.

    Raises:
        ValueError: A level is out of its range, or only some stds are 0.
    """
    entropy = curves(toy, sigma).conditional_entropy
    if entropy is None:
        raise ValueError(
            "stds must be all 0 or all positive, got both; the entropy has no one kind"
        )
    return _like(sigma, entropy)


def entropy_rate(toy: Mixture, sigma: ArrayLike) -> Array:
    """Rate dH/dsigma = mmse / sigma**3 of the conditional entropy, shape of sigma.

    It is eq. 13 of paper A (Stancevic et al.), in nats per data unit.

    Args:
        toy: The data.
        sigma: Noise levels, shape (m,) or a number, in [1e-12, 1e12], in data units.

    Raises:
        ValueError: A level is out of its range.
    """
    return _like(sigma, curves(toy, sigma).entropy_rate)


def _like(sigma: ArrayLike, values: Array) -> Array:
    """Values per level, or a number if sigma is a number."""
    return values if np.ndim(sigma) else cast("Array", float(values[0]))


def entropy(toy: Mixture) -> float:
    """Entropy H(x0) in nats: discrete for points, differential for positive stds.

    Raises:
        ValueError: Only some stds are 0.
    """
    if toy.is_points:
        weights = merged(toy).weights
        return float(-np.sum(weights * np.log(weights)))
    if not toy.has_density:
        raise ValueError(
            "stds must be all 0 or all positive, got both; the entropy has no one kind"
        )
    return differential_entropy(toy)


def renyi_entropy(toy: Mixture, order: float) -> float:
    """Renyi entropy log(sum p^order) / (1 - order) of points, in nats; Shannon's at order 1.

    Args:
        toy: The data, a finite set of points.
        order: Order, at least 0, finite.

    Raises:
        ValueError: A std is not 0, or the order is out of its range.
    """
    if not toy.is_points:
        raise ValueError(f"stds must be 0 for a Renyi entropy, got {toy.stds.max():g}")
    if not order >= 0 or not np.isfinite(order):
        raise ValueError(f"order must be at least 0 and finite, got {order:g}")
    if order == 1:
        return entropy(toy)
    return float(log_sum(order * np.log(merged(toy).weights)) / (1.0 - order))


@lru_cache(maxsize=64)
def differential_entropy(toy: Mixture) -> float:
    """Differential entropy of a mixture of positive stds, in nats.

    Its error is 1e-12 in one dimension and for products over coordinates. For other mixtures it is
    a Monte Carlo estimate.

    Raises:
        ValueError: A std is 0.
    """
    factors = factorise(toy)
    if not toy.has_density:
        raise ValueError("stds must be positive, got 0; points have no differential entropy")
    if factors is None:
        return _sampled_entropy(toy)[0]
    total = 0.0
    for factor in factors:
        parts = _components(factor)
        # h(x0) = I(component; x0) + the entropy within the components.
        total += np.exp(log_moments(parts, 0.0)[2])
        total += parts.w @ np.log(parts.std0) + 0.5 * np.log(2.0 * np.pi * np.e)
    return float(total)


def factorise(toy: Mixture) -> tuple[Mixture, ...] | None:
    """The 1-D factors of a mixture that is a product over its coordinates; otherwise None."""
    if toy.dim == 1:
        return (toy,)
    toy = merged(toy)
    factors, labels, expected = [], [], np.ones(toy.size)
    for j in range(toy.dim):
        pairs = np.stack([toy.means[:, j], toy.stds[:, j]], axis=1)
        kinds, label = np.unique(pairs, axis=0, return_inverse=True)
        label = label.ravel()
        share = np.bincount(label, weights=toy.weights)
        factors.append(Mixture(share, kinds[:, 0], kinds[:, 1]))
        labels.append(label)
        expected = expected * share[label]
        if np.prod([f.size for f in factors], dtype=float) > toy.size:
            return None
    full = np.prod([f.size for f in factors]) == len(np.unique(np.stack(labels), axis=1).T)
    if not full or not np.allclose(expected, toy.weights, rtol=1e-14 * toy.dim, atol=0):
        return None
    return tuple(factors)


@lru_cache(maxsize=64)
def merged(toy: Mixture) -> Mixture:
    """The same law without repeated components, sorted by the first coordinate."""
    rows = np.concatenate([toy.means, toy.stds], axis=1)
    kinds, label = np.unique(rows, axis=0, return_inverse=True)
    weights = np.bincount(label.ravel(), weights=toy.weights)
    return Mixture(weights, kinds[:, : toy.dim], kinds[:, toy.dim :])


@lru_cache(maxsize=16)
def _components(toy: Mixture) -> Components:
    """The distinct components of a 1-D mixture; few are kept, because they may be large."""
    return components(merged(toy))


@lru_cache(maxsize=4096)
def _exact_1d(toy: Mixture, sigma: float) -> tuple[float, float, float]:
    """Log mmse, mutual information and E H(component | x) of a 1-D mixture."""
    parts = _components(toy)
    log_mmse, log_entropy, log_gain = log_moments(parts, sigma)
    within = float(parts.w @ (0.5 * np.log1p((parts.std0 / sigma) ** 2)))
    return log_mmse, float(np.exp(log_gain)) + within, float(np.exp(log_entropy))


def _estimated(toy: Mixture, sigma: Array, samples: int, seed: int) -> Curves:
    """Curves of a mixture of d > 1 by Monte Carlo over noisy states."""
    toy = merged(toy)
    rows = []
    for s in progress(sigma.tolist(), "information"):
        x = toy.sample_noisy(samples, s, seed)
        r = toy.responsibilities(x, s)
        with np.errstate(divide="ignore", invalid="ignore"):
            uncertain = -np.where(r > 0, r * np.log(r), 0.0).sum(axis=1)
            gain = np.where(r > 0, r * np.log(r / toy.weights), 0.0).sum(axis=1)
        within = float(toy.weights @ (0.5 * np.log1p((toy.stds / s) ** 2).sum(axis=1)))
        var = toy.posterior_variance(x, s)
        root = np.sqrt(samples)
        rows.append(
            [
                var.mean(),
                gain.mean() + within,
                uncertain.mean(),
                var.std(ddof=1) / root,
                gain.std(ddof=1) / root,
                uncertain.std(ddof=1) / root,
            ]
        )
    columns = np.array(rows).T
    entropy: Array | None = None
    error = columns[5]
    if toy.is_points:
        entropy = columns[2]
    elif toy.has_density:
        whole, whole_error = _sampled_entropy(toy)
        entropy, error = whole - columns[1], np.hypot(whole_error, columns[4])
    with np.errstate(divide="ignore"):
        log_mmse = np.log(columns[0])
    return Curves(sigma, columns[0], log_mmse, columns[1], entropy, columns[3], columns[4], error)


@lru_cache(maxsize=64)
def _sampled_entropy(toy: Mixture) -> tuple[float, float]:
    """Differential entropy of a mixture of d > 1 and its standard error, by Monte Carlo."""
    logs = toy.log_density(toy.sample(SAMPLES, seed=0))
    return float(-logs.mean()), float(logs.std(ddof=1) / np.sqrt(SAMPLES))


def rescaled_entropy(toy: Mixture, sigma: ArrayLike, points: int = 400) -> Array:
    """Rescaled entropy R(sigma) = int_0^sigma mmse / s^2 ds, shape (m,), in data units.

    It is that of paper A (Stancevic et al.), section 5.3. The integrand is a cubic spline of log
    mmse over log s. The grid begins at a level so low that mmse is C s^2 for a density, so that
    the part below is mmse / s, or underflows for points.

    Args:
        toy: The data.
        sigma: Noise levels, shape (m,), strictly increasing, in data units.
        points: Number of levels of the spline's grid, besides sigma.

    Raises:
        ValueError: A level is out of its range.
    """
    levels = np.atleast_1d(np.asarray(sigma, dtype=np.float64))
    share = 1e-2 if toy.is_points else 1e-4
    low = max(min(share * _finest_scale(toy), 0.5 * float(levels[0])), SIGMA_RANGE[0])
    grid = np.geomspace(low, levels[-1], points)
    apart = np.abs(np.log(grid[:, None] / levels)).min(axis=1) > 1e-9
    grid = np.unique(np.concatenate([grid[apart], levels]))
    found = curves(toy, grid)
    good = found.mmse > 1e-290
    x, log_mmse = np.log(grid[good]), found.log_mmse[good]
    out = np.zeros(levels.size)
    if x.size < 2:
        return out
    from scipy.interpolate import CubicSpline  # slow to import

    spline = CubicSpline(x, log_mmse)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = 0.5 * np.diff(x)
    u = 0.5 * (x[1:] + x[:-1])[:, None] + half[:, None] * nodes
    pieces = np.exp(spline(u) - u) @ weights * half
    below = found.mmse[good][0] / grid[good][0]
    total = np.concatenate([[0.0], np.cumsum(pieces)]) + (0.0 if toy.is_points else below)
    at = np.searchsorted(grid[good], levels)
    seen = good[np.searchsorted(grid, levels)]
    out[seen] = total[at[seen]]
    return out


def _finest_scale(toy: Mixture) -> float:
    """Smallest positive std, or smallest distance of points; 1 for a single point."""
    positive = toy.stds[toy.stds > 0]
    if positive.size:
        return float(positive.min())
    points = merged(toy).means
    if len(points) == 1:
        return 1.0
    from scipy.spatial import cKDTree  # slow to import

    gaps, _ = cKDTree(points).query(points, k=2)
    return float(gaps[:, 1].min())
