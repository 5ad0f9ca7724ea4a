"""Densities on the line, in logarithms: a few Gaussians, or very many equal ones."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.special import log_ndtr, logsumexp, ndtr

from theory.checks import Array
from toys import kernels
from toys.sampling import available_threads

NORMALISE = np.log(np.sqrt(2 * np.pi))


class Density(Protocol):
    """A density on the line."""

    def log_density(self, x: Array) -> Array:
        """Log density at x, of x's shape."""

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high]."""


@dataclass(frozen=True)
class Components:
    """A small Gaussian mixture: log weights, means, stds, shape (K,) each."""

    log_weights: Array
    means: Array
    stds: Array

    def log_density(self, x: Array) -> Array:
        """Log density at x, of x's shape."""
        terms = self.log_weights - np.log(self.stds) - NORMALISE
        z = (np.asarray(x)[..., None] - self.means) / self.stds
        return np.asarray(logsumexp(terms - 0.5 * z**2, axis=-1))

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high]."""
        return _interval_logs(self.log_weights, self.means, self.stds, low, high)


@dataclass(frozen=True)
class GaussianSums:
    """Sum of equal Gaussians: panels (P, LANES) of means and log masses, one std."""

    mean: Array
    mass: Array
    std: float

    @cached_property
    def _sorted(self) -> tuple[Array, Array, Array, float]:
        low, high = self.mean.min(axis=1), self.mean.max(axis=1)
        order = np.argsort(0.5 * (low + high), kind="stable")
        half_width = 0.5 * float((high - low).max())
        return (
            np.ascontiguousarray((0.5 * (low + high))[order]),
            np.ascontiguousarray(self.mean[order]),
            np.ascontiguousarray(self.mass[order]),
            half_width,
        )

    def log_density(self, x: Array) -> Array:
        """Log density at x, of x's shape."""
        centre, mean, mass, half_width = self._sorted
        flat = np.ascontiguousarray(x).ravel()
        out = np.empty_like(flat)

        def part(i: int) -> None:
            kernels.log_gaussian_sums(
                flat[i : i + step], centre, mean, mass, self.std, half_width, out[i : i + step]
            )

        threads = available_threads()
        step = max(256, -(-flat.size // threads))
        if flat.size <= step:
            part(0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, range(0, flat.size, step)))
        return out.reshape(np.shape(x))

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high]."""
        return _interval_logs(self.mass.ravel(), self.mean.ravel(), self.std, low, high)


def _interval_logs(
    log_weights: Array, means: Array, std: Array | float, low: Array, high: Array
) -> Array:
    """Log probability of intervals under a Gaussian mixture, exact in both tails."""
    out = np.empty(np.shape(low))
    for i in range(out.size):
        a, b = (low.flat[i] - means) / std, (high.flat[i] - means) / std
        flip = a > 0  # work in the left tail, where log_ndtr is accurate
        a, b = np.where(flip, -b, a), np.where(flip, -a, b)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_b, log_a = log_ndtr(b), log_ndtr(a)
            apart = np.where(np.isneginf(log_a), 0.0, log_a - log_b)
            logs = np.where(
                a < -1.0,
                log_b + np.log(-np.expm1(np.minimum(apart, 0.0)) + (np.isneginf(log_a))),
                np.log(np.maximum(ndtr(b) - ndtr(a), 0.0)),
            )
        out.flat[i] = logsumexp(log_weights + logs)
    return out
