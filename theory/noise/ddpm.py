"""Noise coordinates of the DDPM family: the index of linear betas, and the cosine time.

Both have the interface of `theory.noise.processes.Coordinate`; import them from that module.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, floats, positive, require, scalars, whole, within


@dataclass(frozen=True)
class DDPM:
    """Index 0..n_steps - 1 of DDPM's linear betas (Ho et al. 2020, section 4).

    sigma is exact at whole indices; between them log sigma is linear in the index.

    Args:
        n_steps: Number of betas, 2 to 10^6.
        beta_first: First beta, positive.
        beta_last: Last beta, in [beta_first, 1).
    """

    n_steps: int = 1000
    beta_first: float = 1e-4
    beta_last: float = 0.02

    def __post_init__(self) -> None:
        whole("n_steps", self.n_steps, 2, 10**6)
        first, last = positive("beta_first", self.beta_first), positive("beta_last", self.beta_last)
        if not first <= last < 1.0:
            raise ValueError(f"beta_last must be in [beta_first, 1), got {last:g}")

    @cached_property
    def _table(self) -> Array:
        """Sigma at every whole index, shape (n_steps,), rising."""
        betas = np.linspace(self.beta_first, self.beta_last, self.n_steps)
        exponent = -np.cumsum(np.log1p(-betas))  # -log of alpha-bar
        return np.asarray(np.exp(0.5 * exponent) * np.sqrt(-np.expm1(-exponent)))

    def _segment(self, time: ArrayLike) -> tuple[Array, Array, Array]:
        """Sigma at the left knot, log of the ratio to the right knot, fraction between."""
        index = floats("time", time)
        good = (index >= 0) & (index <= self.n_steps - 1)
        require(good, "time", index, f"be an index in 0..{self.n_steps - 1}")
        left = np.minimum(np.floor(index).astype(np.int64), self.n_steps - 2)
        start = self._table[left]
        return start, np.log(self._table[left + 1] / start), np.asarray(index - left)

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """Index at noise level sigma, not rounded; sigma must lie in the range of the indices."""
        s, table = floats("sigma", sigma), self._table
        rule = f"be in {table[0]:.6g}..{table[-1]:.6g}, the range of the indices"
        require((s >= table[0]) & (s <= table[-1]), "sigma", s, rule)
        return np.asarray(np.interp(np.log(s), np.log(table), np.arange(float(self.n_steps))))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level sqrt((1 - alpha-bar) / alpha-bar) at the index."""
        start, log_ratio, fraction = self._segment(time)
        between = start * np.exp(fraction * log_ratio)
        return np.asarray(np.where(fraction == 1.0, self._table[-1], between))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative of sigma in the index, from the right at whole indices, the last excepted."""
        start, log_ratio, fraction = self._segment(time)
        return np.asarray(start * np.exp(fraction * log_ratio) * log_ratio)

    @scalars
    def alpha(self, time: ArrayLike) -> Array:
        """Signal scale sqrt(alpha-bar) = 1 / sqrt(1 + sigma^2) at the index."""
        return np.asarray(1.0 / np.hypot(1.0, self.sigma(time)))


@dataclass(frozen=True)
class Cosine:
    """Time t in [0, 1) of iDDPM's cosine schedule (Nichol & Dhariwal 2021, eq. 17).

    alpha-bar = cos^2(theta) / cos^2(theta_0) with theta = (t + offset) / (1 + offset) pi / 2 and
    theta_0 its value at t = 0. Near t = 1 float64 resolves 1 - t to no better than 1.1e-16.

    Args:
        offset: The paper's s, at least 0.
    """

    offset: float = 0.008

    def __post_init__(self) -> None:
        within("offset", self.offset, 0.0)

    @property
    def _rate(self) -> float:
        """Derivative of theta in t."""
        return 0.5 * np.pi / (1.0 + self.offset)

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """Time at noise level sigma, (theta - theta_0) / theta', without cancellation."""
        s = within("sigma", sigma, 0.0)
        sine, cosine = np.sin(self._rate * self.offset), np.cos(self._rate * self.offset)
        far = np.hypot(s, sine)
        # far - sine = s^2 / (far + sine); 0 / 0 at s = 0 without an offset.
        rise = s * np.divide(s, far + sine, out=np.zeros_like(s), where=s > 0)
        return np.asarray(np.arctan2(cosine * rise, cosine**2 + far * sine) / self._rate)

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level sqrt(sin(theta - theta_0) sin(theta + theta_0)) / cos(theta) at time t."""
        t = within("time", time, 0.0, 1.0)
        product = np.sin(self._rate * t) * np.sin(self._rate * (t + 2.0 * self.offset))
        return np.asarray(np.sqrt(product) / np.sin(self._rate * (1.0 - t)))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative theta' tan(theta) (1 + sigma^2) / sigma of sigma in t; t must be positive."""
        t, s = above_zero("time", time), self.sigma(time)
        tangent = np.sin(self._rate * (t + self.offset)) / np.sin(self._rate * (1.0 - t))
        return np.asarray((s + 1.0 / s) * tangent * self._rate)

    @scalars
    def alpha(self, time: ArrayLike) -> Array:
        """Signal scale sqrt(alpha-bar) = 1 / sqrt(1 + sigma^2) at time t."""
        return np.asarray(1.0 / np.hypot(1.0, self.sigma(time)))
