"""Log densities on the line: sums of a few Gaussians, or of very many of equal width."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from theory.checks import Array
from toys import kernels
from toys.information.quadrature import log_sum
from toys.sampling import available_threads

NORMALISE = np.log(np.sqrt(2 * np.pi))
THREADED = 2**16  # points from which on threads save more than they cost
FAR = 60.0  # nats below the largest term at which a term is first left out
NEGLIGIBLE = 40.0  # nats below the sum at which the terms that were left out do not matter
PLACES = np.array([-8.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0])  # in stds
SURE = 9.0  # stds inside an interval from which on its probability is 1 to 1e-18


class Density(Protocol):
    """Interface of a density on the line."""

    def log_density(self, x: Array) -> Array:
        """Log density at x, shape of x."""

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high], shape of low."""

    def places(self) -> Array:
        """Points around the bulk of the mass, rising, a few of them per width of a component."""


@dataclass(frozen=True)
class Components:
    """A Gaussian mixture of few components: log weights, means and stds, shape (K,) each."""

    log_weights: Array
    means: Array
    stds: Array

    def log_density(self, x: Array) -> Array:
        """Log density at x, shape of x."""
        terms = self.log_weights - np.log(self.stds) - NORMALISE
        z = (np.asarray(x)[..., None] - self.means) / self.stds
        return log_sum(terms - 0.5 * z**2)

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high], shape of low."""
        return _interval_logs(self.log_weights, self.means, self.stds, low, high)

    def places(self) -> Array:
        """Points around the bulk of the mass, rising, a few of them per width of a component."""
        return _places(self.log_weights, self.means, self.stds)


@dataclass(frozen=True)
class GaussianSums:
    """A sum of Gaussians of one std: means and log masses in panels, shape (P, LANES) each."""

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
        """Log density at x, shape of x."""
        centre, mean, mass, half_width = self._sorted
        flat = np.ascontiguousarray(x).ravel()
        out = np.empty_like(flat)

        def part(i: int) -> None:
            kernels.log_gaussian_sums(
                flat[i : i + step], centre, mean, mass, self.std, half_width, out[i : i + step]
            )

        threads = available_threads()
        if flat.size < THREADED or threads == 1:
            step = max(flat.size, 1)
            part(0)
        else:
            step = -(-flat.size // threads)
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, range(0, flat.size, step)))
        return out.reshape(np.shape(x))

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high], shape of low."""
        return _interval_logs(self.mass.ravel(), self.mean.ravel(), self.std, low, high)

    def places(self) -> Array:
        """Points around the bulk of the mass, rising, a few of them per width of a component."""
        means = self.mean.ravel()
        return _places(self.mass.ravel(), means, np.full(means.size, self.std))


def _places(log_weights: Array, means: Array, stds: Array) -> Array:
    """Points around the components at up to 35 quantiles of the mass, rising."""
    order = np.argsort(means)
    below = np.cumsum(np.exp(log_weights - log_weights.max())[order])
    shares = np.concatenate([[1e-6], np.linspace(0.0, 1.0, 35)[1:-1], [1.0 - 1e-6]])
    at = order[np.unique(np.searchsorted(below, shares * below[-1]).clip(max=means.size - 1))]
    return np.unique(means[at, None] + stds[at, None] * PLACES)


def _interval_logs(
    log_weights: Array, means: Array, std: Array | float, low: Array, high: Array
) -> Array:
    """Log probability of intervals under a Gaussian mixture, exact in both tails.

    The distance of a component from the interval bounds its term, so that few are computed.
    """
    out = np.empty(np.shape(low))
    for i in range(out.size):
        a, b = (low.flat[i] - means) / std, (high.flat[i] - means) / std
        bound = log_weights - 0.5 * np.maximum(np.maximum(a, -b), 0.0) ** 2
        least = bound.max() - FAR
        near = bound >= least
        value = log_sum(log_weights[near] + _log_masses(a[near], b[near]))
        if not value > least + np.log(bound.size) + NEGLIGIBLE:
            value = log_sum(log_weights + _log_masses(a, b))
        out.flat[i] = value
    return out


def _log_masses(a: Array, b: Array) -> Array:
    """Log probability of [a, b] under N(0, 1), shape (n,)."""
    from scipy.special import log_ndtr, ndtr

    out = np.zeros(a.shape)
    edge = (a > -SURE) | (b < SURE)
    a, b = a[edge], b[edge]
    flip = a > 0  # mirrored to the left tail, where log_ndtr is accurate
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_b, log_a = log_ndtr(b), log_ndtr(a)
        apart = np.where(np.isneginf(log_a), 0.0, log_a - log_b)
        out[edge] = np.where(
            a < -1.0,
            log_b + np.log(-np.expm1(np.minimum(apart, 0.0)) + (np.isneginf(log_a))),
            np.log(np.maximum(ndtr(b) - ndtr(a), 0.0)),
        )
    return out
