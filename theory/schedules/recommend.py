"""What a recommended schedule rests on: its bootstrap band, and warnings about the risks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from theory.checks import Array
from theory.profiles.level_errors import LevelErrors, read_level_errors
from theory.profiles.loss_log import LossLog, bootstrap_band, scattered
from theory.profiles.profile import Profile
from theory.reading import StrPath
from theory.schedules.las import Objective
from theory.writing import is_special

REPLICATES, BAND = 200, 0.9
FEWER_REPLICATES, MOST_STEPS = 20, 100  # with a penalty, where a replicate takes far longer
WIDEST = 0.8  # decades between neighbouring levels, beyond which a warning says so
SURE = 3.0  # standard errors by which a measured risk has to break a law before it is reported

Draw = Callable[[np.random.Generator], Profile]


def kept_errors(path: StrPath, profile: Profile) -> LevelErrors | None:
    """The errors of single samples that stand beside the file of a profile of a network.

    Args:
        path: File of the profile.
        profile: The profile in that file.

    Returns:
        The errors, or None if the profile names no such file, the file is missing, or the profile
        does not come from a regular file.
    """
    name = profile.source.get("errors")
    if not isinstance(name, str) or Path(name).name != name or is_special(path):
        return None
    file = Path(path).with_name(name)
    return read_level_errors(file, profile) if file.exists() else None


def drawing(
    profile: Profile, log: LossLog | None, errors: LevelErrors | None, monotone: bool
) -> Draw | None:
    """A function that draws resampled profiles, or None if the risks carry no noise.

    Args:
        profile: The risks.
        log: Log of losses that the risks come from, or None.
        errors: Errors of single samples that the risks come from, or None.
        monotone: Whether risks of a log are pooled so that they never fall with sigma.
    """
    if errors is not None:
        return errors.resampled
    if log is not None:
        return lambda rng: log.resampled(rng, monotone=monotone)
    return None if profile.stderr is None else lambda rng: scattered(profile, rng)


def band(
    draw: Draw,
    make: Callable[[Profile], Array],
    replicates: int,
    seed: int,
    count: Callable[[range], Any] = iter,
) -> dict[str, Any]:
    """The bootstrap band of a schedule as plain values.

    Args:
        draw: Draws a resampled profile.
        make: Maps a profile to noise levels, shape (n_steps + 1,).
        replicates: Number of replicates.
        seed: Seed of the draws.
        count: Wraps the range of the loop, for instance to show progress.

    Returns:
        share, replicates, seed, low, high and reason. If there is no band, low and high are None
        and reason says why.
    """
    try:
        low, high = bootstrap_band(draw, make, replicates, seed, BAND, count)
    except ValueError as error:
        return no_band(str(error), replicates, seed)
    fields: dict[str, Any] = {"share": BAND, "replicates": replicates, "seed": seed}
    return fields | {"low": low.tolist(), "high": high.tolist(), "reason": None}


def no_band(reason: str, replicates: int, seed: int) -> dict[str, Any]:
    """The fields of `band` for a schedule without a band, and why it has none."""
    fields: dict[str, Any] = {"share": BAND, "replicates": replicates, "seed": seed}
    return fields | {"low": None, "high": None, "reason": reason}


def replicates_of(goal: Objective | None, n_steps: int) -> int | None:
    """Default number of replicates; None if one of them takes so long that it has to be asked for.

    Args:
        goal: Objective of las, or None for another schedule.
        n_steps: Number of steps.
    """
    if goal is None or goal.mu == 0:
        return REPLICATES
    return None if goal.power < 1 or n_steps > MOST_STEPS else FEWER_REPLICATES


def describe(goal: Objective) -> dict[str, Any]:
    """An objective as plain values: axis, its parameter, mu and power."""
    axis = goal.axis
    fields = {"axis": type(axis).__name__.lower(), **vars(axis)}
    return {"lambda" if k == "lam" else k: v for k, v in fields.items()} | {
        "mu": goal.mu,
        "power": goal.power,
    }


def rests_on(log: LossLog, monotone: bool) -> dict[str, Any]:
    """Numbers of levels, bins and samples of a loss log, as plain values."""
    return {
        "levels": log.levels,
        "bins": log.groups if log.binned else None,
        "samples": log.samples,
        "fewest_samples": log.fewest_samples,
        "rising_risks": log.rising(),
        "isotonic": monotone,
    }


def far_apart(profile: Profile) -> list[str]:
    """A warning if neighbouring levels of a measured profile are far apart, or none.

    On Gaussian data the error of the rescaled schedule is 1 % with levels half a decade apart, 5 %
    at 0.8 decades, 11 % at one and 70 % at 1.3.
    """
    gaps = np.diff(np.log10(profile.sigma))
    i = int(np.argmax(gaps))
    if gaps[i] <= WIDEST:
        return []
    return [
        f"the levels {profile.sigma[i]:.4g} and {profile.sigma[i + 1]:.4g} are {gaps[i]:.2g} "
        "decades apart: what is between them is interpolated"
    ]


def broken_laws(profile: Profile) -> list[str]:
    """Laws of every true profile that measured risks break, one sentence each.

    The mmse never falls as sigma rises, and it is at most d sigma^2, the error of the noisy state
    itself. Noise of the size of the standard errors is allowed for.

    Args:
        profile: The risks.
    """
    mmse = profile.mmse
    error = np.zeros_like(mmse) if profile.stderr is None else profile.stderr
    slack = 1e-9 * mmse + SURE * error
    out = []
    falls = np.flatnonzero(mmse[:-1] - slack[:-1] > mmse[1:] + slack[1:])
    if falls.size:
        i = int(falls[0])
        places = f"{mmse[i + 1]:.4g} at sigma {profile.sigma[i + 1]:.4g}"
        before = f"{mmse[i]:.4g} at {profile.sigma[i]:.4g}"
        out.append(
            f"the risk falls as sigma rises at {falls.size} of {mmse.size - 1} steps, which no "
            f"mmse does: {places} after {before}"
        )
    most = profile.dim * profile.sigma**2
    high = np.flatnonzero(mmse - slack > most)
    if high.size:
        i = int(high[0])
        out.append(
            f"the risk exceeds d sigma^2 at {high.size} of {mmse.size} levels, which no mmse does: "
            f"{mmse[i]:.4g} at sigma {profile.sigma[i]:.4g}, d = {profile.dim}; is the "
            "prediction right, and the loss a sum or a mean over coordinates?"
        )
    return out
