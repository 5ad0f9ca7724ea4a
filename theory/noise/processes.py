r"""Coordinates of the noise level sigma (x = x0 + sigma eps): maps in both directions, derivatives.

Every coordinate is an immutable object with the methods `time(sigma)`, `sigma(time)` and
`dsigma_dtime(time)`. Those of a process x_t = alpha x0 + alpha sigma eps also have `alpha(time)`,
its signal scale. All methods take numbers or arrays of any shape and return float64 of that shape.
A value outside the range of the coordinate raises ValueError. Sigma is in data units.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, floats, one_of, positive, scalars, within
from theory.noise.ddpm import DDPM, Cosine

__all__ = [
    "DDPM",
    "EDM",
    "PROCESSES",
    "SNR",
    "VP",
    "Coordinate",
    "Cosine",
    "Flow",
    "LogSNR",
    "Process",
    "named_process",
]


class Coordinate(Protocol):
    """Interface of a strictly monotone coordinate of the noise level."""

    def time(self, sigma: ArrayLike) -> Array:
        """The coordinate at noise level sigma, shape of sigma."""

    def sigma(self, time: ArrayLike) -> Array:
        """The noise level at this coordinate, in data units, shape of time."""

    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative of sigma in this coordinate; negative if the coordinate falls with sigma."""


def _log_one_plus_square(sigma: Array) -> Array:
    """log(1 + sigma^2) without overflow, and without cancellation at small sigma."""
    small, big = np.minimum(sigma, 1.0), np.maximum(sigma, 1.0)
    return np.asarray(2.0 * np.log(big) + np.log1p((small / big) ** 2))


@dataclass(frozen=True)
class VP:
    """Time t >= 0 of the variance-preserving SDE with linear beta (Song et al. 2021, eq. 32).

    B(t) = beta_min t + (beta_max - beta_min) t^2 / 2, sigma = sqrt(exp(B) - 1) and
    alpha = exp(-B / 2). Usually t is in [1e-3, 1]; larger t are allowed.

    Args:
        beta_min: Rate beta at t = 0, positive.
        beta_max: Rate beta at t = 1, at least beta_min.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if positive("beta_min", self.beta_min) > positive("beta_max", self.beta_max):
            raise ValueError(f"beta_max must be at least beta_min, got {self.beta_max:g}")

    def _exponent(self, time: Array) -> Array:
        return time * (self.beta_min + 0.5 * (self.beta_max - self.beta_min) * time)

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """Time t = 2 B / (beta_min + sqrt(beta_min^2 + 2 (beta_max - beta_min) B)) at sigma."""
        exponent = _log_one_plus_square(within("sigma", sigma, 0.0))
        slope = self.beta_max - self.beta_min
        root = np.sqrt(self.beta_min**2 + 2.0 * slope * exponent)
        return np.asarray(2.0 * exponent / (self.beta_min + root))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level sqrt(exp(B) - 1) at time t, without overflow of exp(B)."""
        exponent = self._exponent(within("time", time, 0.0))
        return np.asarray(np.exp(0.5 * exponent) * np.sqrt(-np.expm1(-exponent)))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative beta(t) (1 + sigma^2) / (2 sigma) of sigma in t; t must be positive."""
        t = above_zero("time", time)
        exponent = self._exponent(t)
        beta = self.beta_min + (self.beta_max - self.beta_min) * t
        return np.asarray(0.5 * beta * np.exp(0.5 * exponent) / np.sqrt(-np.expm1(-exponent)))

    @scalars
    def alpha(self, time: ArrayLike) -> Array:
        """Signal scale exp(-B / 2) = 1 / sqrt(1 + sigma^2) at time t."""
        return np.asarray(np.exp(-0.5 * self._exponent(within("time", time, 0.0))))


@dataclass(frozen=True)
class EDM:
    """Time of the EDM process: sigma itself, with signal scale 1 (Karras et al. 2022, table 1)."""

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """The time, which is sigma."""
        return within("sigma", sigma, 0.0)

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """The noise level, which is the time."""
        return within("time", time, 0.0)

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative of sigma in the time, 1 everywhere."""
        return np.ones_like(within("time", time, 0.0))

    @scalars
    def alpha(self, time: ArrayLike) -> Array:
        """Signal scale, 1 everywhere."""
        return np.ones_like(within("time", time, 0.0))


@dataclass(frozen=True)
class SNR:
    """Signal-to-noise ratio 1 / sigma^2, a ratio of powers; it falls with sigma."""

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """The ratio 1 / sigma^2."""
        return np.asarray(above_zero("sigma", sigma) ** -2.0)

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level snr^(-1/2) at the ratio snr."""
        return np.asarray(1.0 / np.sqrt(above_zero("time", time)))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative -snr^(-3/2) / 2 of sigma in snr."""
        return np.asarray(-0.5 * above_zero("time", time) ** -1.5)


@dataclass(frozen=True)
class LogSNR:
    """Logarithm of the signal-to-noise ratio, -2 log sigma, in nats; it falls with sigma."""

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """The log ratio -2 log sigma."""
        return np.asarray(-2.0 * np.log(above_zero("sigma", sigma)))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level exp(-log_snr / 2) at the log ratio."""
        return np.asarray(np.exp(-0.5 * floats("time", time)))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative -sigma / 2 of sigma in log_snr."""
        return np.asarray(-0.5 * self.sigma(time))


@dataclass(frozen=True)
class Flow:
    """Flow-matching time u in [0, 1): x_u = (1 - u) x0 + u eps, sigma = u / (1 - u).

    Near u = 1 float64 resolves 1 - u to no better than 1.1e-16, so that the round trip of
    sigma = 1e8 has a relative error of about 1e-8.
    """

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """Time u = sigma / (1 + sigma) at noise level sigma."""
        s = within("sigma", sigma, 0.0)
        return np.asarray(s / (1.0 + s))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level u / (1 - u) at time u."""
        u = within("time", time, 0.0, 1.0)
        return np.asarray(u / (1.0 - u))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative (1 - u)^(-2) of sigma in u."""
        return np.asarray((1.0 - within("time", time, 0.0, 1.0)) ** -2.0)

    @scalars
    def alpha(self, time: ArrayLike) -> Array:
        """Signal scale 1 - u at time u."""
        return np.asarray(1.0 - within("time", time, 0.0, 1.0))


@dataclass(frozen=True)
class Process:
    """A named process: its standard time, its default range of sigma, its initial law.

    Args:
        name: Name on the command line.
        coordinate: Standard time of the process.
        sigma_min: Default lowest noise level, in data units.
        sigma_max: Default highest noise level, in data units.
        variance_preserving: Whether sampling starts from N(0, I) in the scaled state
            alpha (x0 + sigma eps), which is N(0, (1 + sigma_max^2) I) in x0 + sigma eps. Otherwise
            it starts from N(0, sigma_max^2 I).
    """

    name: str
    coordinate: Coordinate
    sigma_min: float
    sigma_max: float
    variance_preserving: bool = False

    def start_std(self, sigma_max: float | None = None) -> float:
        """Standard deviation of the initial noise, in data units.

        Args:
            sigma_max: Highest noise level, in data units. Default: that of the process.
        """
        top = self.sigma_max if sigma_max is None else positive("sigma_max", sigma_max)
        return float(np.hypot(1.0, top)) if self.variance_preserving else top


PROCESSES = {
    "edm": Process("edm", EDM(), 0.002, 80.0),
    "vp": Process("vp", VP(), float(VP().sigma(1e-3)), float(VP().sigma(1.0)), True),
}


def named_process(name: str) -> Process:
    """The process of that name; an unknown name raises ValueError with a suggestion."""
    return PROCESSES[one_of("process", name, PROCESSES)]
