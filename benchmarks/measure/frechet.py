"""Frechet distance between samples: that of the Gaussians with their means and covariances.

The squared distance is |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2). The last trace is computed
as the nuclear norm of F1^T F2 with S = F F^T. On equal singular covariances its error is 1e-13,
where a matrix square root of the product has an error of 1e-6. Statistics of many samples are kept
as (count, mean, centred scatter) of parts and merged (Chan, Golub and LeVeque 1983), which loses no
digits to a large mean.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh, svdvals

from theory.checks import Array, floats, require, whole


class Moments(NamedTuple):
    """Mean, shape (d,), and covariance (d, d), divided by n - 1."""

    mean: Array
    covariance: Array


@dataclass(frozen=True, eq=False)
class Statistics:
    """Count, mean (d,) and scatter matrix sum (x - mean)(x - mean)^T, (d, d), of samples."""

    count: int
    mean: Array
    scatter: Array

    def __post_init__(self) -> None:
        whole("count", self.count, 1)
        _check("mean and scatter", self.mean, self.scatter)

    def moments(self) -> Moments:
        """Mean and covariance; ValueError for fewer than 2 samples."""
        if self.count < 2:
            raise ValueError(f"samples must be at least 2, got {self.count}")
        return Moments(self.mean, self.scatter / (self.count - 1))


@np.errstate(over="ignore", invalid="ignore")  # an overflow is refused below as not finite
def statistics_of(samples: ArrayLike) -> Statistics:
    """Statistics of samples, shape (n, d), in float64; n and d are at least 1."""
    x = floats("samples", samples)
    if x.ndim != 2 or x.size < 1:
        raise ValueError(f"samples must have shape (n, d) with n >= 1, got {x.shape}")
    mean = x.mean(axis=0)
    mean = mean + (x - mean).mean(axis=0)  # corrects the rounding of a large mean
    x -= mean
    return Statistics(len(x), mean, x.T @ x)


@np.errstate(over="ignore", invalid="ignore")
def merge(a: Statistics, b: Statistics) -> Statistics:
    """Statistics of the samples of both together."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"samples must have {a.mean.size} coordinates, got {b.mean.size}")
    n, gap = a.count + b.count, b.mean - a.mean
    mean = a.mean + gap * (b.count / n)
    scatter = a.scatter + b.scatter + np.outer(gap, gap) * (a.count * b.count / n)
    return Statistics(n, mean, scatter)


def merge_all(parts: Iterable[Statistics]) -> Statistics:
    """Statistics of all parts together, merged pairwise in an order that depends on theirs alone.

    Pairs of parts are merged, then pairs of pairs, and so on. Of n parts at most log2(n) + 1 are
    in memory, and the result does not depend on which process computed them.
    """
    held: list[tuple[int, Statistics]] = []  # parts merged so far, and how many in each
    for part in parts:
        size = 1
        while held and held[-1][0] == size:
            part, size = merge(held.pop()[1], part), 2 * size
        held.append((size, part))
    if not held:
        raise ValueError("parts must be at least 1, got none")
    total = held.pop()[1]
    while held:
        total = merge(held.pop()[1], total)
    return total


def moments(samples: ArrayLike) -> Moments:
    """Mean and covariance of samples, shape (n, d), n at least 2."""
    return statistics_of(samples).moments()


def frechet(a: Moments, b: Moments) -> float:
    """Squared Frechet distance of two Gaussians, in squared units of the samples."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"moments must have {a.mean.size} coordinates, got {b.mean.size}")
    for part in (a, b):
        _check("mean and covariance", *part)
    cross = svdvals(_factor(a.covariance).T @ _factor(b.covariance)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * cross
    return float(np.sum((a.mean - b.mean) ** 2) + spread)


def gaussian_like(samples: Array, n: int, rng: np.random.Generator) -> Array:
    """Draws, shape (n, d), of the Gaussian with the mean and covariance of samples (m, d)."""
    mean, covariance = moments(samples)
    root = _factor(covariance, symmetric=True)
    return np.asarray(mean + rng.standard_normal((n, mean.size)) @ root)


def _factor(covariance: Array, symmetric: bool = False) -> Array:
    """F with F F^T the covariance, (d, d); eigenvalues that rounding made negative count as 0."""
    # Divide and conquer: faster than SciPy's default at d = 2048, and no less exact.
    values, vectors = eigh(covariance, driver="evd")
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(factor @ vectors.T if symmetric else factor)


def _check(name: str, mean: Array, matrix: Array) -> None:
    if mean.shape != (mean.size,) or mean.size < 1 or matrix.shape != (mean.size, mean.size):
        shapes = f"{mean.shape} and {matrix.shape}"
        raise ValueError(f"{name} must have shapes (d,) and (d, d), got {shapes}")
    for values in (mean, matrix):
        require(np.isfinite(values), name, values, "be finite")
