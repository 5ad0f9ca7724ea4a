"""Meanings of a column of noise levels or times in a log, by name.

Every meaning is a `theory.noise.processes.Coordinate`. Names are those of `--times`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, one_of, scalars, vector, whole, within
from theory.noise.ddpm import DDPM, Betas, Index, cosine_betas, scaled_linear_betas
from theory.noise.processes import EDM, SNR, VP, Coordinate, Flow, LogSNR
from theory.reading import StrPath, looks_like_path, naming, read_text

TIMES = (
    "sigma",
    "snr",
    "log-snr",
    "half-log-snr",
    "alpha-bar",
    "vp",
    "ddpm",
    "flow",
    "flow-reversed",
    "edm",
)
# Values that mean no noise, and pure noise, where there are such.
ENDS: dict[str, tuple[float | None, float | None]] = {
    "sigma": (0.0, None),
    "snr": (None, 0.0),
    "alpha-bar": (1.0, 0.0),
    "vp": (0.0, None),
    "flow": (0.0, 1.0),
    "flow-reversed": (1.0, 0.0),
}
BETAS = ("linear", "scaled-linear", "cosine")


@dataclass(frozen=True)
class HalfLogSNR:
    """Half the logarithm of the signal-to-noise ratio, -log sigma, in nats: DPM-Solver's lambda."""

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """The half log ratio -log sigma."""
        return np.asarray(0.5 * np.asarray(LogSNR().time(sigma)))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level exp(-lambda)."""
        return np.asarray(np.exp(-floats("time", time)))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative -sigma of sigma in lambda."""
        return np.asarray(-np.asarray(self.sigma(time)))


@dataclass(frozen=True)
class AlphaBar:
    """alpha-bar = 1 / (1 + sigma^2) of the DDPM family, in (0, 1]; it falls with sigma."""

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """alpha-bar at noise level sigma."""
        return np.asarray(1.0 / (1.0 + within("sigma", sigma, 0.0) ** 2))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level sqrt((1 - alpha-bar) / alpha-bar)."""
        product = within("time", time, 0.0, np.nextafter(1.0, 2.0))
        with np.errstate(divide="ignore"):
            return np.asarray(np.sqrt((1.0 - product) / product))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative -(1 + sigma^2)^2 / (2 sigma) of sigma in alpha-bar."""
        s = np.asarray(self.sigma(time))
        return np.asarray(-0.5 * (1.0 + s**2) ** 2 / s)


@dataclass(frozen=True)
class LogSigmaQuarter:
    """log(sigma) / 4, the noise condition of EDM's networks (Karras et al. 2022, table 1)."""

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """The condition log(sigma) / 4."""
        return np.asarray(-0.125 * np.asarray(LogSNR().time(sigma)))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level exp(4 time)."""
        return np.asarray(np.exp(4.0 * floats("time", time)))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative 4 sigma of sigma in the condition."""
        return np.asarray(4.0 * np.asarray(self.sigma(time)))


@dataclass(frozen=True)
class Reversed:
    """A time in [0, 1] that runs from noise to data: 1 - time of another coordinate.

    Args:
        of: The other coordinate.
    """

    of: Coordinate

    @scalars
    def time(self, sigma: ArrayLike) -> Array:
        """The time at noise level sigma."""
        return np.asarray(1.0 - np.asarray(self.of.time(sigma)))

    @scalars
    def sigma(self, time: ArrayLike) -> Array:
        """Noise level at this time."""
        return np.asarray(self.of.sigma(1.0 - floats("time", time)))

    @scalars
    def dsigma_dtime(self, time: ArrayLike) -> Array:
        """Derivative of sigma in this time."""
        return np.asarray(-np.asarray(self.of.dsigma_dtime(1.0 - floats("time", time))))


def coordinate_of(times: str, betas: str | None = None, zero_snr: bool = False) -> Coordinate:
    """The coordinate of that name.

    Args:
        times: One of TIMES.
        betas: For "ddpm" "linear" (default), "scaled-linear", "cosine", "FIRST,LAST" for linear
            betas, or a file: diffusers' scheduler_config.json or a JSON list of all betas. For "vp"
            "FIRST,LAST", the rates beta at t = 0 and 1; 0.1,20 by default.
        zero_snr: Whether the betas of "ddpm" were rescaled so that the last level is pure noise
            (Lin et al. 2023).

    Raises:
        ValueError: A name is unknown, or an option means nothing to the coordinate.
    """
    one_of("times", times, TIMES)
    if betas is not None and times not in ("ddpm", "vp"):
        raise ValueError(f"betas must come with times ddpm or vp, got times {times!r}")
    if zero_snr and times != "ddpm":
        raise ValueError(f"zero_snr must come with times ddpm, got times {times!r}")
    if times == "ddpm":
        return index_of(betas, zero_snr)
    if times == "vp":
        return VP() if betas is None else VP(*_pair(betas))
    simple: dict[str, Coordinate] = {
        "sigma": EDM(),
        "snr": SNR(),
        "log-snr": LogSNR(),
        "half-log-snr": HalfLogSNR(),
        "alpha-bar": AlphaBar(),
        "flow": Flow(),
        "flow-reversed": Reversed(Flow()),
        "edm": LogSigmaQuarter(),
    }
    return simple[times]


def index_of(betas: str | None = None, zero_snr: bool = False) -> Index:
    """The index of betas; the arguments are those of `coordinate_of` for "ddpm"."""
    name = "linear" if betas is None else betas.replace("_", "-")
    name = "cosine" if name == "squaredcos-cap-v2" else name  # diffusers' name for it
    if name == "linear" and not zero_snr:
        return DDPM()
    if name in BETAS:
        every = {
            "linear": lambda: np.linspace(1e-4, 0.02, 1000),
            "scaled-linear": lambda: scaled_linear_betas(1000, 0.00085, 0.012),
            "cosine": lambda: cosine_betas(1000),
        }[name]()
        return Betas(tuple(every.tolist()), zero_snr)
    assert betas is not None
    if looks_like_path(betas) and "," not in betas:
        return _index_of_file(betas, zero_snr)
    if "," not in betas:
        one_of("betas", betas, [*BETAS, "FIRST,LAST", "a file"])
    first, last = _pair(betas)
    if zero_snr:
        return Betas(tuple(np.linspace(first, last, 1000).tolist()), True)
    return DDPM(1000, first, last)


def _pair(text: str) -> tuple[float, float]:
    """Two numbers separated by a comma."""
    try:
        first, last = (float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"betas must be two numbers FIRST,LAST, got {text!r}") from None
    return first, last


def _index_of_file(path: StrPath, zero_snr: bool) -> Betas:
    """The index of the betas in a scheduler's config or in a list."""
    text = read_text(path)
    with naming(path):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"the file must be valid JSON, got {error}") from None
        if isinstance(found, list):
            return Betas(tuple(vector("betas", found, 2).tolist()), zero_snr)
        if not isinstance(found, dict):
            raise ValueError(f"the file must hold an object or a list, got {found!r:.40}")
        rescaled = found.get("rescale_betas_zero_snr", False)
        return Betas(tuple(_betas_of(found).tolist()), zero_snr or bool(rescaled))


def _betas_of(config: dict[str, Any]) -> Array:
    """The betas of a diffusers scheduler's config."""
    if config.get("trained_betas") is not None:
        return vector("trained_betas", config["trained_betas"], 2)
    missing = [k for k in ("beta_schedule", "num_train_timesteps") if k not in config]
    if missing:
        name = config.get("_class_name", "this object")
        raise ValueError(f"the config must have {missing[0]}, got none in {name}")
    count = whole("num_train_timesteps", config["num_train_timesteps"], 2, 10**6)
    kind = one_of(
        "beta_schedule", config["beta_schedule"], ("linear", "scaled_linear", "squaredcos_cap_v2")
    )
    if kind == "squaredcos_cap_v2":
        return cosine_betas(count)
    ends = [
        config.get(name, default) for name, default in (("beta_start", 1e-4), ("beta_end", 0.02))
    ]
    first, last = vector("beta_start and beta_end", ends).tolist()
    return (
        np.linspace(first, last, count)
        if kind == "linear"
        else scaled_linear_betas(count, first, last)
    )
