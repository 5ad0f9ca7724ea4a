"""The prior from which InfoNoise draws noise levels during the warm-up.

`theory.infonoise.allocation.InfoNoise` uses it until its first refresh.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from theory.checks import Array, floats, positive
from theory.infonoise.loss_bins import LossBins

Prior = str | tuple[float, float] | Callable[[int, np.random.Generator], ArrayLike]
LEAST_MASS = 1e-6  # that a log-normal prior must have within the range


class WarmUp:
    """Law of the noise levels during the warm-up.

    Args:
        bins: Bins whose range of levels the law covers.
        prior: "log_uniform"; or (p_mean, p_std) for log sigma ~ N(p_mean, p_std^2) cut to the
            range; or a function of n and a generator that draws n levels within the range.

    Raises:
        ValueError: The prior is none of these, or has a mass below 1e-6 within the range.
    """

    def __init__(self, bins: LossBins, prior: Prior) -> None:
        self._bins, self._draw = bins, prior if callable(prior) else None
        self._mean, self._std, self.name = 0.0, 1.0, "callable"
        if callable(prior):
            return
        if isinstance(prior, str):
            if prior != "log_uniform":
                rule = "be 'log_uniform', (p_mean, p_std) or a function"
                raise ValueError(f"prior must {rule}, got {prior!r}")
            self.name = prior
            return
        if np.shape(prior) != (2,):
            raise ValueError(f"prior must be two numbers p_mean and p_std, got {prior!r}")
        self._mean, self._std = float(floats("p_mean", prior[0])), positive("p_std", prior[1])
        self.name = f"log_normal {self._mean!r} {self._std!r}"
        self._ends = ndtr((bins.edges[[0, -1]] - self._mean) / self._std)
        inside = float(self._ends[1] - self._ends[0])
        if inside < LEAST_MASS:
            rule = f"hold at least {LEAST_MASS:g} of its mass in [{bins.low:g}, {bins.high:g}]"
            raise ValueError(f"prior must {rule}, got {inside:g}")

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Independent draws of noise levels, shape (n,), in data units."""
        if self._draw is not None:
            drawn = self._bins.inside("prior", self._draw(n, rng))
            if drawn.size != n:
                raise ValueError(f"prior must draw {n} levels, got {drawn.size}")
            return drawn
        u, low, high = rng.random(n), self._bins.edges[0], self._bins.edges[-1]
        if self.name == "log_uniform":
            x = low + u * (high - low)
        else:
            start, end = self._ends
            x = self._mean + self._std * ndtri(start + u * (end - start))
        return np.asarray(np.clip(np.exp(x), self._bins.low, self._bins.high))

    def density(self, sigma: Array) -> Array:
        """Density per unit of sigma, shape of sigma; ValueError for a prior that is a function."""
        if self._draw is not None:
            rule = "be 'log_uniform' or (p_mean, p_std) for a density in warm-up"
            raise ValueError(f"prior must {rule}, got a function")
        if self.name == "log_uniform":
            return np.asarray(1.0 / (sigma * (self._bins.edges[-1] - self._bins.edges[0])))
        z = (np.log(sigma) - self._mean) / self._std
        mass = np.sqrt(2.0 * np.pi) * self._std * (self._ends[1] - self._ends[0])
        return np.asarray(np.exp(-0.5 * z**2) / (sigma * mass))
