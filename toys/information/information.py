"""Exact information curves of a mixture in the channel x = x0 + sigma eps, in nats.

In one dimension every quantity is an integral over x of a *non-negative* function that vanishes
with it, so that small values keep their relative accuracy: mmse = E Var(x0 | x), the discrete
conditional entropy = E H(r), the mutual information = E KL(r || weights) + its part within the
components, r the responsibilities given x. Nothing is obtained by subtraction of larger numbers.
Where a mixture is a product over coordinates, its factors are summed; other mixtures of d > 1 are
estimated by Monte Carlo, with standard errors.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree
from scipy.special import logsumexp

from theory.checks import Array
from toys.information.channel import Channel
from toys.information.quadrature import Ints, log_integrals
from toys.mixture import SIGMA_RANGE, Mixture
from toys.progress import progress

RTOL = 1e-12
SAMPLES = 2**15  # Monte Carlo samples a noise level, d > 1


@dataclass(frozen=True)
class Curves:
    """Information about x0 in x_sigma, each entry of shape (m,), in nats or squared data units.

    conditional_entropy is that of a discrete law for points, a differential entropy for
    mixtures of positive stds, and None where both kinds of component are mixed. The standard
    errors are 0 where the values are exact.
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
        """Rate of the conditional entropy per unit of sigma: mmse / sigma**3 (paper A eq. 13)."""
        return np.exp(self.log_mmse - 3.0 * np.log(self.sigma))


def curves(toy: Mixture, sigma: ArrayLike, samples: int = SAMPLES, seed: int = 0) -> Curves:
    """All information curves of a mixture at noise levels sigma (m,).

    One dimension and products: mmse and mutual information to 1e-12 relative where they exceed
    1e-290, for sigma from 1e-6 to 1e6 (checked against 40-digit quadrature). Otherwise means
    over `samples` noisy states, the same normals at every level.
    """
    sigma = np.atleast_1d(np.asarray(sigma, dtype=np.float64))
    low, high = SIGMA_RANGE
    bad = ~((sigma >= low) & (sigma <= high))
    if sigma.ndim != 1 or bad.any():
        raise ValueError(f"sigma must lie in [{low:g}, {high:g}], got {sigma[bad][:1]}")
    factors = factorise(toy)
    if factors is None:
        return _estimated(toy, sigma, samples, seed)
    levels = progress(sigma.tolist(), "information")
    parts = np.array([[_exact_1d(f, s) for f in factors] for s in levels])  # (m, d, 3)
    log_mmse = logsumexp(parts[:, :, 0], axis=1)
    information = parts[:, :, 1].sum(axis=1)
    entropy: Array | None = None
    if toy.is_points:
        entropy = parts[:, :, 2].sum(axis=1)
    elif toy.has_density:
        entropy = differential_entropy(toy) - information
    zero = np.zeros_like(sigma)
    return Curves(sigma, np.exp(log_mmse), log_mmse, information, entropy, zero, zero, zero)


def mmse(toy: Mixture, sigma: ArrayLike) -> Array:
    """Minimum mean squared error of x0, shape (m,), summed over coordinates; see `curves`."""
    return _like(sigma, curves(toy, sigma).mmse)


def log_mmse(toy: Mixture, sigma: ArrayLike) -> Array:
    """Log of `mmse`, shape (m,), good also where mmse itself underflows."""
    return _like(sigma, curves(toy, sigma).log_mmse)


def mutual_information(toy: Mixture, sigma: ArrayLike) -> Array:
    """I(x0; x_sigma), shape (m,), in nats; see `curves`."""
    return _like(sigma, curves(toy, sigma).mutual_information)


def conditional_entropy(toy: Mixture, sigma: ArrayLike) -> Array:
    """H(x0 | x_sigma), shape (m,), in nats: discrete for points, differential for densities."""
    entropy = curves(toy, sigma).conditional_entropy
    if entropy is None:
        raise ValueError(
            "stds must be all 0 or all positive, got both; the entropy has no one kind"
        )
    return _like(sigma, entropy)


def entropy_rate(toy: Mixture, sigma: ArrayLike) -> Array:
    """dH(x0 | x_sigma) / dsigma = mmse / sigma**3, shape (m,) (paper A eq. 13)."""
    return _like(sigma, curves(toy, sigma).entropy_rate)


def _like(sigma: ArrayLike, values: Array) -> Array:
    """Values by level, or the only one where sigma is a number."""
    return values if np.ndim(sigma) else cast("Array", float(values[0]))


def entropy(toy: Mixture) -> float:
    """H(x0) in nats: discrete for points, differential (to 1e-12) for densities."""
    if toy.is_points:
        weights = merged(toy).weights
        return float(-np.sum(weights * np.log(weights)))
    if not toy.has_density:
        raise ValueError(
            "stds must be all 0 or all positive, got both; the entropy has no one kind"
        )
    return differential_entropy(toy)


def renyi_entropy(toy: Mixture, order: float) -> float:
    """Renyi entropy log(sum p^order) / (1 - order) of points, in nats; Shannon's at order 1."""
    if not toy.is_points:
        raise ValueError(f"stds must be 0 for a Renyi entropy, got {toy.stds.max():g}")
    if not order >= 0 or not np.isfinite(order):
        raise ValueError(f"order must be at least 0 and finite, got {order:g}")
    if order == 1:
        return entropy(toy)
    return float(logsumexp(order * np.log(merged(toy).weights)) / (1.0 - order))


@lru_cache(maxsize=64)
def differential_entropy(toy: Mixture) -> float:
    """Differential entropy, stds positive: to 1e-12 nats in 1-D and for products, else sampled."""
    factors = factorise(toy)
    if not toy.has_density:
        raise ValueError("stds must be positive, got 0; points have no differential entropy")
    if factors is None:
        return _sampled_entropy(toy)[0]
    total = 0.0
    for factor in factors:
        parts = Channel(merged(factor), 0.0)
        # An upper bound of the log density makes the integrand p (bound - log p) non-negative.
        bound = float(logsumexp(parts.log_w - parts.log_std)) - 0.5 * np.log(2 * np.pi)

        def log_f(anchor: Ints, offset: Array, parts=parts, bound=bound) -> Array:  # type: ignore[no-untyped-def]
            log_p = parts.posterior(anchor, offset)[0]
            with np.errstate(divide="ignore"):
                return np.asarray((log_p + np.log(np.maximum(bound - log_p, 0.0)))[None])

        total += float(np.exp(log_integrals(log_f, *parts.panels(), RTOL)[0][0])) - bound
    return total


def factorise(toy: Mixture) -> tuple[Mixture, ...] | None:
    """The 1-D factors of a mixture that is a product over its coordinates, else None."""
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
    """The same law without repeated components, in rising order of the first coordinate."""
    rows = np.concatenate([toy.means, toy.stds], axis=1)
    kinds, label = np.unique(rows, axis=0, return_inverse=True)
    weights = np.bincount(label.ravel(), weights=toy.weights)
    return Mixture(weights, kinds[:, : toy.dim], kinds[:, toy.dim :])


@lru_cache(maxsize=4096)
def _exact_1d(toy: Mixture, sigma: float) -> tuple[float, float, float]:
    """Log mmse, mutual information and E H(component | x) of a 1-D mixture."""
    parts = Channel(merged(toy), sigma)

    def log_f(anchor: Ints, offset: Array) -> Array:
        log_p, log_var, log_entropy, log_gain = parts.posterior(anchor, offset)
        return np.stack([log_p + log_var, log_p + log_gain, log_p + log_entropy])

    logs, _ = log_integrals(log_f, *parts.panels(), RTOL)
    within = float(parts.w @ (0.5 * np.log1p((parts.std0 / sigma) ** 2)))
    return float(logs[0]), float(np.exp(logs[1])) + within, float(np.exp(logs[2]))


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
    """R(sigma) = int_0^sigma mmse / s^2 ds, shape (m,), in data units (paper A, section 5).

    By a cubic spline of log mmse over log s, from a level so low that mmse is C s^2 (densities,
    which leaves mmse / s below it) or has underflowed (points).

    Args:
        toy: The data.
        sigma: Noise levels, rising, shape (m,).
        points: Levels of the grid that the spline is put through, besides sigma.
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
    """Smallest positive std, or for points their smallest distance; 1 for a single point."""
    positive = toy.stds[toy.stds > 0]
    if positive.size:
        return float(positive.min())
    points = merged(toy).means
    if len(points) == 1:
        return 1.0
    gaps, _ = cKDTree(points).query(points, k=2)
    return float(gaps[:, 1].min())
