"""The noise levels that a network is trained on, and the loss weight, behind one interface.

Training minimises E_{sigma ~ pi} w(sigma) E|D(x0 + sigma eps, sigma) - x0|^2. A *noise* is the pair
(pi, w). This module has the fixed ones. InfoNoise, whose pi follows the losses, is in
`theory.infonoise.allocation`.

    name           pi
    log_uniform    uniform in log sigma on [sigma_min, sigma_max]
    edm            log sigma ~ N(mean, std^2), by default -1.2 and 1.2 (Karras et al. 2022)
    uniform_time   t uniform in [1e-3, 1], with sigma of the VP process with beta 0.1 .. 20
    min_snr        as uniform_time, always with the weight min_snr
    infonoise      proportional to the gated entropy rate over w (Raya et al. 2026)

    weighting      w
    edm            (sigma^2 + s^2) / (sigma s)^2, s = sigma_data: an untrained network's loss is 1
                   per coordinate at every sigma
    one            1
    min_snr        min(snr, 5), snr = 1 / sigma^2 (Hang et al. 2023, for x0-predictions)

What a network learns depends on the emphasis pi w. InfoNoise divides by w, so that its emphasis is
the gated rate whatever w is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, floats, one_of, positive
from theory.infonoise.allocation import InfoNoise, edm_weight
from theory.noise.processes import VP

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
TIME_MIN, TIME_MAX = 1e-3, 1.0
MOST_SNR = 5.0
WEIGHTINGS = ("edm", "one", "min_snr")
Weight = Callable[[Array], Array]


class TrainingNoise(Protocol):
    """A sampler of training noise levels with the loss weight that goes with it."""

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Noise levels, shape (n,), in data units."""

    def record(self, sigma: ArrayLike, loss: ArrayLike) -> None:
        """Record unweighted losses |D - x0|^2, summed over coordinates, shape (n,) each."""

    def weight(self, sigma: ArrayLike) -> Array:
        """The loss weight w, shape of sigma."""

    def density(self, sigma: ArrayLike) -> Array:
        """The density pi per unit of sigma, shape of sigma."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that further draws depend on, as numbers, strings and arrays."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""


@dataclass(frozen=True)
class Fixed:
    """A noise that does not adapt: `record` does nothing, and the state is empty."""

    loss_weight: Weight = field(default_factory=lambda: np.ones_like)

    def record(self, sigma: ArrayLike, loss: ArrayLike) -> None:
        """Do nothing."""

    def weight(self, sigma: ArrayLike) -> Array:
        """The loss weight w, shape of sigma."""
        return self.loss_weight(above_zero("sigma", sigma))

    def state_dict(self) -> dict[str, Any]:
        """An empty state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Check that the state is empty."""
        if state:
            raise ValueError(f"state must be empty, got {', '.join(state):.80}")


@dataclass(frozen=True)
class LogUniform(Fixed):
    """Uniform in log sigma."""

    sigma_min: float = SIGMA_MIN
    sigma_max: float = SIGMA_MAX

    def __post_init__(self) -> None:
        if not positive("sigma_min", self.sigma_min) < positive("sigma_max", self.sigma_max):
            raise ValueError(f"sigma_max must exceed sigma_min, got {self.sigma_max:g}")

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Noise levels, shape (n,)."""
        span = np.log(self.sigma_max / self.sigma_min)
        return np.asarray(self.sigma_min * np.exp(span * rng.random(n)))

    def density(self, sigma: ArrayLike) -> Array:
        """1 / (sigma log(sigma_max / sigma_min)) between the two ends, 0 outside."""
        s = above_zero("sigma", sigma)
        inside = (s >= self.sigma_min) & (s <= self.sigma_max)
        return np.where(inside, 1.0 / (s * np.log(self.sigma_max / self.sigma_min)), 0.0)


@dataclass(frozen=True)
class LogNormal(Fixed):
    """Log sigma is normal, as in EDM's training, without truncation."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        floats("mean", self.mean)
        positive("std", self.std)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Noise levels, shape (n,)."""
        return np.asarray(np.exp(self.mean + self.std * rng.standard_normal(n)))

    def density(self, sigma: ArrayLike) -> Array:
        """Density of the log-normal law."""
        s = above_zero("sigma", sigma)
        z = (np.log(s) - self.mean) / self.std
        return np.asarray(np.exp(-0.5 * z**2) / (s * self.std * np.sqrt(2.0 * np.pi)))


@dataclass(frozen=True)
class UniformTime(Fixed):
    """Uniform in the time of the linear VP process, t in [1e-3, 1]."""

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Noise levels, shape (n,)."""
        return VP().sigma(TIME_MIN + (TIME_MAX - TIME_MIN) * rng.random(n))

    def density(self, sigma: ArrayLike) -> Array:
        """The slope dt / dsigma over the length of the time interval, 0 outside."""
        time = VP().time(above_zero("sigma", sigma))
        inside = (time >= TIME_MIN) & (time <= TIME_MAX)
        return np.where(inside, 1.0 / VP().dsigma_dtime(time) / (TIME_MAX - TIME_MIN), 0.0)


NOISES = ("log_uniform", "edm", "uniform_time", "min_snr", "infonoise")
_FIXED: dict[str, Callable[..., TrainingNoise]] = {
    "log_uniform": LogUniform,
    "edm": LogNormal,
    "uniform_time": UniformTime,
    "min_snr": UniformTime,
}
_OPTIONS: dict[str, tuple[str, ...]] = {
    "log_uniform": ("sigma_min", "sigma_max"),
    "edm": ("mean", "std"),
    "uniform_time": (),
    "min_snr": (),
    "infonoise": (
        *("sigma_min", "sigma_max", "bins", "capacity", "ema", "refresh", "least", "warmup"),
        *("gate_power", "onset", "pivot", "floor", "smoothing", "patience"),
    ),
}


def loss_weight(weighting: str, sigma_data: float) -> Weight:
    """The weight of this name, a function of sigma; sigma_data is in data units."""
    one_of("weighting", weighting, WEIGHTINGS)
    if weighting == "edm":
        return partial(edm_weight, sigma_data=positive("sigma_data", sigma_data))
    return np.ones_like if weighting == "one" else _min_snr


def make_noise(
    name: str, weighting: str, sigma_data: float, dim: int, options: Mapping[str, Any] | None = None
) -> TrainingNoise:
    """The noise of this name.

    Args:
        name: One of NOISES.
        weighting: One of WEIGHTINGS. It must be min_snr if the name is min_snr.
        sigma_data: Standard deviation of the data, for the weighting edm, in data units.
        dim: Number of coordinates of a sample, for infonoise.
        options: Options of the noise: its ends, its mean and std, or those of InfoNoise.
    """
    one_of("noise", name, NOISES)
    options = dict(options or {})
    for key in options:
        if key not in _OPTIONS[name]:
            takes = ", ".join(_OPTIONS[name]) or "none"
            raise ValueError(f"options of noise {name} must be among {takes}, got {key!r}")
    if name == "min_snr" and weighting != "min_snr":
        raise ValueError(f"weighting must be min_snr with noise min_snr, got {weighting!r}")
    weight = loss_weight(weighting, sigma_data)
    if name == "infonoise":
        return InfoNoise(dim, weight=weight, reduction="sum", **options)
    return _FIXED[name](loss_weight=weight, **options)


def _min_snr(sigma: Array) -> Array:
    return np.minimum(1.0 / sigma**2, MOST_SNR)
