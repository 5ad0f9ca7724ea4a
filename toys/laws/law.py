"""The law of a 1-D sampler's final state: its interface, and laws that end with noise.

A row with noise maps a density q to q'(y) = int q(x) N(y; F(x), noise**2) dx, where F is the
deterministic map of the rows since the last noise. A final stretch without noise transports q along
F (`toys.laws.transported`). All densities are kept as logarithms, since the data have mass where
the sampler's density is far below 1e-300. A law has one resolution and domain;
`toys.laws.passes` repeats a computation with finer panels on a wider domain until it converges.
"""

from abc import ABC, abstractmethod

import numpy as np

from theory.checks import Array
from toys.laws.densities import GaussianSums


class Law(ABC):
    """Law of a final state on the line, at one resolution and domain."""

    @property
    @abstractmethod
    def support(self) -> tuple[float, float]:
        """An interval that contains the mass, except for what lies beyond the reach."""

    @abstractmethod
    def log_density(self, y: Array) -> Array:
        """Log density at y, in nats, shape (n,); -inf where the state cannot be."""

    @abstractmethod
    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high], shape (n,); -inf for an empty one."""

    @abstractmethod
    def moments(self, centre: float = 0.0) -> tuple[float, float]:
        """Mean and mean square of the state less a centre, in data units and their square."""

    @abstractmethod
    def folds(self, low: float, high: float) -> Array:
        """States in (low, high) at which the density is singular or jumps, rising."""

    @abstractmethod
    def places(self) -> Array:
        """States around the bulk of the mass, rising, close where it is narrow."""

    @abstractmethod
    def holes(self, low: float, high: float) -> bool:
        """Whether the state cannot reach some interval within [low, high]."""

    def cdf(self, y: Array) -> Array:
        """Probability that the state is at most y, shape (n,)."""
        return np.asarray(np.exp(self.log_mass(np.full(y.shape, -np.inf), y)))


class NoisyLaw(Law):
    """Law of a sampler whose last row adds noise: a sum of Gaussians.

    Args:
        density: The density of the final state.
        domain: Ends of the interval on which the density is known, in data units.
    """

    def __init__(self, density: GaussianSums, domain: tuple[float, float]) -> None:
        self.density, self._domain = density, domain

    @property
    def support(self) -> tuple[float, float]:
        """An interval that contains the mass, except for what lies beyond the reach."""
        return self._domain

    def log_density(self, y: Array) -> Array:
        """Log density at y, in nats, shape (n,)."""
        return self.density.log_density(y)

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high], shape (n,)."""
        return self.density.log_mass(low, high)

    def moments(self, centre: float = 0.0) -> tuple[float, float]:
        """Mean and mean square of the state less a centre, in data units and their square."""
        weight, mean = np.exp(self.density.mass), self.density.mean - centre
        square = float(np.sum(weight * (mean**2 + self.density.std**2)))
        return float(np.sum(weight * mean)), square

    def folds(self, low: float, high: float) -> Array:
        """None: the density is smooth."""
        return np.empty(0)

    def places(self) -> Array:
        """States around the bulk of the mass, rising, close where it is narrow."""
        return self.density.places()

    def holes(self, low: float, high: float) -> bool:
        """Never: a Gaussian is positive everywhere."""
        return False
