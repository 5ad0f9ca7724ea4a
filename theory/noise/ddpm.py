"""Noise coordinates of the DDPM family: the index of betas, and the cosine time.

All have the interface of `theory.noise.processes.Coordinate`; import them from that module.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import (
    Array,
    above_zero,
    floats,
    positive,
    require,
    scalars,
    vector,
    whole,
    within,
)


class Index(ABC):
    """Index 0..m - 1 of a table of noise levels.

    sigma is exact at whole indices; between them log sigma is linear in the index.
    """

    @property
    @abstractmethod
    def levels(self) -> Array:
        """Sigma at every whole index, shape (m,), rising; the last may be infinite."""

    def _segment(self, time: ArrayLike) -> tuple[Array, Array, Array]:
        """Sigma at the left knot, log of the ratio to the right knot, fraction between."""
        index = floats("time", time)
        good = (index >= 0) & (index <= self.levels.size - 1)
        require(good, "time", index, f"be an index in 0..{self.levels.size - 1}")
        left = np.minimum(np.floor(index).astype(np.int64), self.levels.size - 2)
        start = self.levels[left]
        return start, np.log(self.levels[left + 1] / start), np.asarray(index - left)

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """Index at noise level sigma, not rounded; sigma must lie in the range of the indices."""
        s, table = floats("sigma", sigma), self.levels
        rule = f"be in {table[0]:.6g}..{table[-1]:.6g}, the range of the indices"
        require((s >= table[0]) & (s <= table[-1]), "sigma", s, rule)
        return np.asarray(np.interp(np.log(s), np.log(table), np.arange(float(self.levels.size))))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level sqrt((1 - alpha-bar) / alpha-bar) at the index."""
        start, log_ratio, fraction = self._segment(time)
        with np.errstate(invalid="ignore"):  # 0 times the infinite ratio to pure noise
            between = start * np.exp(fraction * log_ratio)
        between = np.where(fraction == 0.0, start, between)
        return np.asarray(np.where(fraction == 1.0, self.levels[-1], between))

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
class DDPM(Index):
    """Index 0..n_steps - 1 of DDPM's linear betas (Ho et al. 2020, section 4).

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
    def levels(self) -> Array:
        """Sigma at every whole index, shape (n_steps,), rising."""
        return _levels(np.linspace(self.beta_first, self.beta_last, self.n_steps))


@dataclass(frozen=True)
class Betas(Index):
    """Index 0..m - 1 of m given betas.

    Args:
        betas: The betas, 2 to 10^6, each in (0, 1).
        zero_snr: Whether they are rescaled so that the last level is pure noise, sigma infinite
            (Lin et al. 2023, algorithm 1): sqrt(alpha-bar) is shifted to 0 at the end and scaled to
            what it was at the start.
    """

    betas: tuple[float, ...]
    zero_snr: bool = False

    def __post_init__(self) -> None:
        betas = vector("betas", self.betas, 2)
        whole("number of betas", betas.size, 2, 10**6)
        require((betas > 0) & (betas < 1), "betas", betas, "be in (0, 1)")

    @cached_property
    def levels(self) -> Array:
        """Sigma at every whole index, shape (m,), rising."""
        betas = np.array(self.betas)
        if not self.zero_snr:
            return _levels(betas)
        root = np.exp(0.5 * np.cumsum(np.log1p(-betas)))
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        with np.errstate(divide="ignore"):
            return np.asarray(np.sqrt((1.0 - root) * (1.0 + root)) / root)


def _levels(betas: Array) -> Array:
    """sqrt((1 - alpha-bar) / alpha-bar) after every beta, without cancellation."""
    exponent = -np.cumsum(np.log1p(-betas))  # -log of alpha-bar
    return np.asarray(np.exp(0.5 * exponent) * np.sqrt(-np.expm1(-exponent)))


def scaled_linear_betas(n_steps: int, first: float, last: float) -> Array:
    """Betas whose roots are linear in the index, shape (n_steps,): latent diffusion's."""
    low, high = positive("first beta", first) ** 0.5, positive("last beta", last) ** 0.5
    return np.asarray(np.linspace(low, high, whole("n_steps", n_steps, 2, 10**6)) ** 2)


def cosine_betas(n_steps: int, offset: float = 0.008, largest: float = 0.999) -> Array:
    """Betas of the cosine alpha-bar, at most 0.999 (Nichol & Dhariwal 2021, eq. 17)."""
    t = np.linspace(0.0, 1.0, whole("n_steps", n_steps, 2, 10**6) + 1)
    product = np.cos((t + offset) / (1.0 + offset) * 0.5 * np.pi) ** 2
    return np.asarray(np.minimum(1.0 - product[1:] / product[:-1], largest))


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
