"""Exact profiles of mixtures as tasks of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from theory.checks import Array, positive, within
from theory.noise.processes import named_process
from theory.profiles.profile import Profile
from toys.files import load_toy, toy_spec, toy_text
from toys.information import information
from toys.mixture import SIGMA_RANGE, Mixture

PROFILE_POINTS = 400  # levels of an exact profile
SHOWN_POINTS = 200  # levels that `entropic profile` prints by default
SAMPLED_POINTS = 100  # levels of a profile estimated by Monte Carlo


@dataclass(frozen=True)
class ToyProfile:
    """The exact profile of a mixture on log-spaced sigmas.

    Args:
        toy: Name in the zoo, or the text of a mixture file.
        sigma_min: Lowest level, in data units.
        sigma_max: Highest level.
        points: Number of levels.
    """

    toy: str
    sigma_min: float
    sigma_max: float
    points: int = PROFILE_POINTS
    computed_by: ClassVar[tuple[str, ...]] = ()

    @property
    def own_code(self) -> str:
        """The mixture, for the key of the stored result."""
        return toy_text(self.toy)

    def run(self) -> dict[str, Any]:
        """Grid, mmse, its standard error and the exact entropies."""
        sigma = np.geomspace(self.sigma_min, self.sigma_max, self.points)
        sigma[0], sigma[-1] = self.sigma_min, self.sigma_max
        return curves_row(load_toy(self.toy), sigma)


def curves_row(toy: Mixture, sigma: Array) -> dict[str, Any]:
    """Information curves as plain lists."""
    found = information.curves(toy, sigma)
    entropy = found.conditional_entropy
    exact = not found.mmse_stderr.any()
    return {
        "dim": toy.dim,
        "sigma": sigma.tolist(),
        "mmse": found.mmse.tolist(),
        "stderr": None if exact else found.mmse_stderr.tolist(),
        "information_stderr": None if exact else found.information_stderr.tolist(),
        "entropy_stderr": None if exact else found.entropy_stderr.tolist(),
        "mutual_information": found.mutual_information.tolist(),
        "conditional_entropy": None if entropy is None else entropy.tolist(),
        "entropy_rate": found.entropy_rate.tolist(),
    }


def to_profile(row: dict[str, Any], source: dict[str, Any]) -> Profile:
    """A Profile from the result of a ToyProfile."""
    return Profile(row["dim"], row["sigma"], row["mmse"], row["stderr"], source)


def toy_profile(spec: str, low: float, high: float) -> Profile:
    """A toy's profile between two levels."""
    exact = information.factorise(load_toy(spec)) is not None
    task = ToyProfile(spec, low, high, PROFILE_POINTS if exact else SAMPLED_POINTS)
    return to_profile(task.run(), {})


def toy_row(
    toy: str | Mixture,
    process: str = "edm",
    sigma: Sequence[float] = (),
    rescaled: bool = False,
) -> dict[str, Any]:
    """Information curves of a toy as plain lists.

    Args:
        toy: A mixture, the name of a toy, or a mixture file.
        process: "edm" or "vp"; its range gives log-spaced levels if `sigma` is empty.
        sigma: Noise levels, in any order, in data units.
        rescaled: Whether to add the rescaled entropy, which needs hundreds of other levels; it is
            None otherwise.
    """
    data, span = load_toy(toy_spec(toy)), named_process(process)
    exact = information.factorise(data) is not None
    count = SHOWN_POINTS if exact else SAMPLED_POINTS
    levels = np.geomspace(span.sigma_min, span.sigma_max, count)
    if len(sigma):
        levels = np.unique(np.asarray(sigma, dtype=np.float64))
    row = curves_row(data, levels)
    row["rescaled_entropy"] = None
    if rescaled:
        few = SAMPLED_POINTS if row["stderr"] else PROFILE_POINTS
        row["rescaled_entropy"] = information.rescaled_entropy(data, levels, few).tolist()
    return row


def profile(
    mixture: str | Mixture,
    process: str = "edm",
    *,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
) -> Profile:
    """The exact profile mmse(sigma) of a mixture, or one with standard errors.

    Mixtures that are products of one-dimensional ones have an exact profile. The profile of any
    other mixture is estimated by Monte Carlo and holds its standard errors.

    Args:
        mixture: A mixture, the name of a toy, or a mixture file.
        process: "edm" or "vp", which sets the default range of noise levels.
        sigma_min: Lowest level, in data units. Default: the lowest level of the process.
        sigma_max: Highest level, in data units. Default: the highest level of the process.
    """
    low, high = ends(process, sigma_min, sigma_max)
    if not low < high:
        raise ValueError(f"sigma_min must be below sigma_max {high:g}, got {low:g}")
    return toy_profile(toy_spec(mixture), low, high)


def ends(process: str, low: float | None, high: float | None) -> tuple[float, float]:
    """Ends of a schedule: the process's unless given, and within what a mixture resolves."""
    default = named_process(process)
    given = {
        "sigma_min": default.sigma_min if low is None else low,
        "sigma_max": default.sigma_max if high is None else high,
    }
    for name, value in given.items():
        within(name, positive(name, value), *SIGMA_RANGE)
    return given["sigma_min"], given["sigma_max"]
