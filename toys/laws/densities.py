"""Log densities on the line: sums of a few Gaussians, or of very many of equal width."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from theory.checks import Array
from toys import kernels
from toys.information.quadrature import Ints, log_sum
from toys.sampling import available_threads

NORMALISE = np.log(np.sqrt(2 * np.pi))
THREADED = 2**16  # points from which on threads save more than they cost
THREADED_PAIRS = 2**22  # pairs of a point and a Gaussian from which on threads pay in `pullback`
FAR = 60.0  # nats below the largest term at which a term is first left out
NEGLIGIBLE = 40.0  # nats below the sum at which the terms that were left out do not matter
PLACES = np.array([-8.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0])  # in stds
SURE = 9.0  # stds inside an interval from which on its probability is 1 to 1e-18


class DensityGradient(NamedTuple):
    """Derivatives of a number that depends on log densities at points.

    by_x (n,) are those by the points, the others those by the log masses and means (P, LANES) and
    by the std of a sum of Gaussians; 0 where the density has no such parameters.
    """

    by_x: Array
    by_mass: Array
    by_mean: Array
    by_std: float


class Density(Protocol):
    """Interface of a density on the line."""

    def log_density(self, x: Array) -> Array:
        """Log density at x, shape of x."""

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high], shape of low."""

    def places(self) -> Array:
        """Points around the bulk of the mass, rising, a few of them per width of a component."""

    def pullback(self, x: Array, log_density: Array, seed: Array) -> DensityGradient:
        """Derivatives of sum_i seed_i log_density(x_i), for points and seeds (n,)."""

    def mass_pullback(
        self, low: Array, high: Array, log_unit: Array, seed: Array
    ) -> tuple[DensityGradient, Array, Array]:
        """Derivatives of sum_i seed_i mass_i / unit_i for the masses of intervals [low, high].

        Returns:
            Those by the parameters of the density, and by the ends low and high, (n,) each.
        """


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

    def pullback(self, x: Array, log_density: Array, seed: Array) -> DensityGradient:
        """Derivatives of sum_i seed_i log_density(x_i), for points and seeds (n,)."""
        terms = self.log_weights - np.log(self.stds) - NORMALISE
        gaps = x[:, None] - self.means
        with np.errstate(invalid="ignore"):
            shares = np.exp(terms - 0.5 * (gaps / self.stds) ** 2 - log_density[:, None])
        slopes = -np.sum(np.nan_to_num(shares) * gaps / self.stds**2, axis=1)
        return DensityGradient(seed * slopes, np.empty(0), np.empty(0), 0.0)

    def mass_pullback(
        self, low: Array, high: Array, log_unit: Array, seed: Array
    ) -> tuple[DensityGradient, Array, Array]:
        """Derivatives of sum_i seed_i mass_i / unit_i for the masses of intervals [low, high]."""
        none = DensityGradient(np.empty(0), np.empty(0), np.empty(0), 0.0)
        return none, *_edge_derivatives(self, low, high, log_unit, seed)


@dataclass(frozen=True)
class GaussianSums:
    """A sum of Gaussians of one std: means and log masses in panels, shape (P, LANES) each."""

    mean: Array
    mass: Array
    std: float

    @cached_property
    def _sorted(self) -> tuple[Array, Array, Array, float, Ints]:
        low, high = self.mean.min(axis=1), self.mean.max(axis=1)
        order = np.argsort(0.5 * (low + high), kind="stable")
        half_width = 0.5 * float((high - low).max())
        return (
            np.ascontiguousarray((0.5 * (low + high))[order]),
            np.ascontiguousarray(self.mean[order]),
            np.ascontiguousarray(self.mass[order]),
            half_width,
            order,
        )

    def log_density(self, x: Array) -> Array:
        """Log density at x, shape of x."""
        centre, mean, mass, half_width, _ = self._sorted
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

    def pullback(self, x: Array, log_density: Array, seed: Array) -> DensityGradient:
        """Derivatives of sum_i seed_i log_density(x_i), for points and seeds (n,)."""
        centre, mean, mass, half_width, order = self._sorted
        by_x = np.empty_like(x)
        threads = available_threads() if x.size * mean.size >= THREADED_PAIRS else 1
        step = max(-(-x.size // threads), 1)

        def part(i: int) -> tuple[float, Array, Array]:
            by_mass, by_mean = np.zeros_like(mass), np.zeros_like(mean)
            here = slice(i, i + step)
            given = x[here], seed[here], log_density[here], centre, mean, mass, self.std
            by_std = kernels.gaussian_sums_adjoint(*given, half_width, by_mass, by_mean, by_x[here])
            return by_std, by_mass, by_mean

        starts = range(0, x.size, step)
        if threads == 1:
            parts = [part(i) for i in starts]
        else:
            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(part, starts))
        by_mass, by_mean = np.empty_like(mass), np.empty_like(mean)
        by_mass[order], by_mean[order] = (sum(p[i] for p in parts) for i in (1, 2))
        return DensityGradient(by_x, by_mass, by_mean, float(sum(p[0] for p in parts)))

    def mass_pullback(
        self, low: Array, high: Array, log_unit: Array, seed: Array
    ) -> tuple[DensityGradient, Array, Array]:
        """Derivatives of sum_i seed_i mass_i / unit_i for the masses of intervals [low, high]."""
        by_mass, by_mean, by_std = np.zeros_like(self.mass), np.zeros_like(self.mean), 0.0
        for i in range(low.size):
            a, b = (low[i] - self.mean) / self.std, (high[i] - self.mean) / self.std
            shift = self.mass - log_unit[i]
            inside = _log_masses(a.ravel(), b.ravel()).reshape(a.shape)
            with np.errstate(under="ignore"):
                by_mass += seed[i] * np.exp(inside + shift)
                at_a, at_b = (seed[i] * np.exp(shift - 0.5 * z**2 - NORMALISE) for z in (a, b))
            by_mean -= (at_b - at_a) / self.std
            by_std -= float(np.sum(_product(at_b, b) - _product(at_a, a))) / self.std
        found = DensityGradient(np.empty(0), by_mass, by_mean, by_std)
        return found, *_edge_derivatives(self, low, high, log_unit, seed)


def _product(height: Array, z: Array) -> Array:
    """Height times z, 0 where the height is 0 at an infinite z."""
    return np.where(np.isfinite(z), height * np.where(np.isfinite(z), z, 0.0), 0.0)


def _edge_derivatives(
    density: Density, low: Array, high: Array, log_unit: Array, seed: Array
) -> tuple[Array, Array]:
    """Derivatives of sum_i seed_i mass_i / unit_i by the ends of the intervals, (n,) each."""
    found = []
    for sign, edge in ((-1.0, low), (1.0, high)):
        inner = np.isfinite(edge)
        height = np.zeros(edge.size)
        height[inner] = np.exp(density.log_density(edge[inner]) - log_unit[inner])
        found.append(sign * seed * height)
    return found[0], found[1]


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
