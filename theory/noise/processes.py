r"""Other coordinates of the noise level sigma (x = x0 + sigma eps), both ways, with derivatives.

A coordinate is a frozen value with one face: `time(sigma)`, `sigma(time)`,
`dsigma_dtime(time)`. Those that belong to a process x_t = alpha x0 + alpha sigma eps also have
`alpha(time)`, its signal scale. All take numbers or arrays of any shape and return float64 of
that shape; a value outside the range of the coordinate raises ValueError. Sigma is in data units.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, floats, one_of, positive, within
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
    """A strictly monotone coordinate of the noise level."""

    def time(self, sigma: ArrayLike) -> Array:
        """The coordinate of noise level sigma."""

    def sigma(self, time: ArrayLike) -> Array:
        """The noise level at this coordinate."""

    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative of sigma in this coordinate; negative where time falls with sigma."""


def _log_one_plus_square(sigma: Array) -> Array:
    """log(1 + sigma^2) without overflow, and without cancellation at small sigma."""
    small, big = np.minimum(sigma, 1.0), np.maximum(sigma, 1.0)
    return np.asarray(2.0 * np.log(big) + np.log1p((small / big) ** 2))


@dataclass(frozen=True)
class VP:
    """Time t >= 0 of the variance-preserving SDE with linear beta (Song et al. 2021, eq. 32).

    B(t) = beta_min t + (beta_max - beta_min) t^2 / 2, sigma = sqrt(exp(B) - 1),
    alpha = exp(-B / 2). Usually t in [1e-3, 1]; larger t are allowed.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if positive("beta_min", self.beta_min) > positive("beta_max", self.beta_max):
            raise ValueError(f"beta_max must be at least beta_min, got {self.beta_max:g}")

    def _exponent(self, time: Array) -> Array:
        return time * (self.beta_min + 0.5 * (self.beta_max - self.beta_min) * time)

    def time(self, sigma: ArrayLike) -> Array:
        """Time t = 2 B / (beta_min + sqrt(beta_min^2 + 2 (beta_max - beta_min) B))."""
        exponent = _log_one_plus_square(within("sigma", sigma, 0.0))
        slope = self.beta_max - self.beta_min
        root = np.sqrt(self.beta_min**2 + 2.0 * slope * exponent)
        return np.asarray(2.0 * exponent / (self.beta_min + root))

    def sigma(self, time: ArrayLike) -> Array:
        """Noise level sqrt(exp(B) - 1), without overflow of exp(B)."""
        exponent = self._exponent(within("time", time, 0.0))
        return np.asarray(np.exp(0.5 * exponent) * np.sqrt(-np.expm1(-exponent)))

    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Slope beta(t) (1 + sigma^2) / (2 sigma), infinite at t = 0 and refused there."""
        t = above_zero("time", time)
        exponent = self._exponent(t)
        beta = self.beta_min + (self.beta_max - self.beta_min) * t
        return np.asarray(0.5 * beta * np.exp(0.5 * exponent) / np.sqrt(-np.expm1(-exponent)))

    def alpha(self, time: ArrayLike) -> Array:
        """Signal scale exp(-B / 2) = 1 / sqrt(1 + sigma^2)."""
        return np.asarray(np.exp(-0.5 * self._exponent(within("time", time, 0.0))))


@dataclass(frozen=True)
class EDM:
    """Time of the EDM process, sigma itself, signal scale 1 (Karras et al. 2022, table 1)."""

    def time(self, sigma: ArrayLike) -> Array:
        """Sigma."""
        return within("sigma", sigma, 0.0)

    def sigma(self, time: ArrayLike) -> Array:
        """The time."""
        return within("time", time, 0.0)

    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """One."""
        return np.ones_like(within("time", time, 0.0))

    def alpha(self, time: ArrayLike) -> Array:
        """One."""
        return np.ones_like(within("time", time, 0.0))


@dataclass(frozen=True)
class SNR:
    """Signal to noise ratio 1 / sigma^2, a power ratio; it falls with sigma."""

    def time(self, sigma: ArrayLike) -> Array:
        """Ratio 1 / sigma^2."""
        return np.asarray(above_zero("sigma", sigma) ** -2.0)

    def sigma(self, time: ArrayLike) -> Array:
        """Noise level snr^(-1/2)."""
        return np.asarray(1.0 / np.sqrt(above_zero("time", time)))

    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Slope -snr^(-3/2) / 2."""
        return np.asarray(-0.5 * above_zero("time", time) ** -1.5)


@dataclass(frozen=True)
class LogSNR:
    """Log of the signal to noise ratio, -2 log sigma, in nats; it falls with sigma."""

    def time(self, sigma: ArrayLike) -> Array:
        """Log ratio -2 log sigma."""
        return np.asarray(-2.0 * np.log(above_zero("sigma", sigma)))

    def sigma(self, time: ArrayLike) -> Array:
        """Noise level exp(-log_snr / 2)."""
        return np.asarray(np.exp(-0.5 * floats("time", time)))

    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Slope -sigma / 2."""
        return np.asarray(-0.5 * self.sigma(time))


@dataclass(frozen=True)
class Flow:
    """Flow-matching time u in [0, 1), x_u = (1 - u) x0 + u eps, sigma = u / (1 - u).

    At u near 1 float64 holds 1 - u to 1.1e-16 only: sigma = 1e8 comes back to 1e-8.
    """

    def time(self, sigma: ArrayLike) -> Array:
        """Time u = sigma / (1 + sigma)."""
        s = within("sigma", sigma, 0.0)
        return np.asarray(s / (1.0 + s))

    def sigma(self, time: ArrayLike) -> Array:
        """Noise level u / (1 - u)."""
        u = within("time", time, 0.0, 1.0)
        return np.asarray(u / (1.0 - u))

    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Slope (1 - u)^(-2)."""
        return np.asarray((1.0 - within("time", time, 0.0, 1.0)) ** -2.0)

    def alpha(self, time: ArrayLike) -> Array:
        """Signal scale 1 - u."""
        return np.asarray(1.0 - within("time", time, 0.0, 1.0))


@dataclass(frozen=True)
class Process:
    """A named process: its standard time, its default range of sigma, its start law.

    Args:
        name: As on the command line.
        coordinate: Its standard time.
        sigma_min: Default lowest noise level, in data units.
        sigma_max: Default highest noise level.
        variance_preserving: Whether sampling starts from N(0, I) in the scaled coordinate,
            that is N(0, (1 + sigma_max^2) I) in ours; otherwise from N(0, sigma_max^2 I).
    """

    name: str
    coordinate: Coordinate
    sigma_min: float
    sigma_max: float
    variance_preserving: bool = False

    def start_std(self, sigma_max: float | None = None) -> float:
        """Standard deviation of the start noise, in data units."""
        top = self.sigma_max if sigma_max is None else positive("sigma_max", sigma_max)
        return float(np.hypot(1.0, top)) if self.variance_preserving else top


PROCESSES = {
    "edm": Process("edm", EDM(), 0.002, 80.0),
    "vp": Process("vp", VP(), float(VP().sigma(1e-3)), float(VP().sigma(1.0)), True),
}


def named_process(name: str) -> Process:
    """The process of that name; ValueError with a suggestion for an unknown one."""
    return PROCESSES[one_of("process", name, PROCESSES)]
