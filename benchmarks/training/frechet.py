"""Frechet distance between samples: that of the Gaussians with their means and covariances.

|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), the last trace as the nuclear norm of
S1^(1/2) S2^(1/2): on equal singular covariances it errs by 1e-13 where a matrix square root of
the product errs by 1e-6.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, svdvals

from theory.checks import Array


class Moments(NamedTuple):
    """Mean, shape (d,), and covariance (d, d), divided by n - 1."""

    mean: Array
    covariance: Array


def moments(samples: Array) -> Moments:
    """Of samples, shape (n, d), n at least 2."""
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"samples must have shape (n, d) with n >= 2, got {x.shape}")
    mean = x.mean(axis=0)
    return Moments(mean, (x - mean).T @ (x - mean) / (len(x) - 1))


def frechet(a: Moments, b: Moments) -> float:
    """The squared distance, in squared units of the samples."""
    cross = svdvals(_root(a.covariance) @ _root(b.covariance)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * cross
    return float(np.sum((a.mean - b.mean) ** 2) + spread)


def gaussian_like(samples: Array, n: int, rng: np.random.Generator) -> Array:
    """Draws, shape (n, d), of the Gaussian with the mean and covariance of samples (m, d)."""
    mean, covariance = moments(samples)
    return np.asarray(mean + rng.standard_normal((n, mean.size)) @ _root(covariance))


def _root(covariance: Array) -> Array:
    """Symmetric square root, shape (d, d); eigenvalues that rounding made negative count as 0."""
    values, vectors = eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
