"""Options of a recommended schedule: objective, quadrature rule and bootstrap band."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from theory.checks import Array, check_seed, one_of, whole
from theory.profiles.level_errors import LevelErrors, read_level_errors
from theory.profiles.loss_log import LossLog, bootstrap_band, scattered
from theory.profiles.profile import AMPLITUDES, RULES, Profile
from theory.reading import StrPath
from theory.schedules.las import AXES, Objective
from theory.schedules.las_levels import natural_lambda

REPLICATES, BAND = 200, 0.9


def bootstrap(
    draw: Callable[[np.random.Generator], Profile],
    make: Callable[[Profile], Array],
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """The bootstrap band of a schedule as plain values.

    Args:
        draw: Draws a resampled profile.
        make: Maps a profile to noise levels, shape (n_steps + 1,).
        replicates: Number of replicates.
        seed: Seed of the draws.

    Returns:
        share, replicates, seed, low, high and reason. If there is no band, low and high are None
        and reason says why.
    """
    fields: dict[str, Any] = {"share": BAND, "replicates": replicates, "seed": seed}
    try:
        low, high = bootstrap_band(
            draw,
            make,
            replicates,
            seed,
            BAND,
            lambda loop: tqdm(loop, desc="bootstrap", leave=False, delay=2.0),
        )
    except ValueError as error:
        return fields | {"low": None, "high": None, "reason": str(error)}
    return fields | {"low": low.tolist(), "high": high.tolist(), "reason": None}


def kept_errors(path: StrPath, profile: Profile) -> LevelErrors | None:
    """The errors of single samples that `entropic profile --network` writes beside its profile.

    Args:
        path: File of the profile.
        profile: The profile in that file.

    Returns:
        The errors, or None if the profile names no such file or the file is missing.
    """
    name = profile.source.get("errors")
    if not isinstance(name, str) or Path(name).name != name:
        return None
    file = Path(path).with_name(name)
    return read_level_errors(file, profile) if file.exists() else None


def network_band(
    errors: LevelErrors | None,
    make: Callable[[Profile], Array],
    method: str,
    replicates: int | None,
    seed: int | None,
) -> dict[str, Any] | None:
    """The bootstrap band of a schedule from a measured profile, over resampled clean samples.

    Args:
        errors: Errors of single samples, or None.
        make: Maps a profile to noise levels, shape (n_steps + 1,).
        method: Name of the schedule.
        replicates: Number of replicates. Default: 200.
        seed: Seed of the draws. Default: 0.

    Returns:
        The fields of `bootstrap`, or None if there are no errors or 0 replicates.
    """
    if errors is None:
        if replicates or seed:
            raise ValueError("--replicates and --seed must come with noise, got no errors")
        return None
    if replicates == 0:
        return None
    count = REPLICATES if replicates is None else replicates
    if method == "spectral":
        fields = {"share": BAND, "replicates": 0, "seed": seed or 0, "low": None, "high": None}
        return fields | {"reason": "the split over frequencies is kept as means, not by sample"}
    return bootstrap(errors.resampled, make, count, seed or 0)


FEWER_REPLICATES, MOST_STEPS = 20, 100  # with a penalty, where a replicate takes far longer
OPTIONS = ("lambda_", "mu", "power", "axis")
LOG_OPTIONS = ("isotonic", "bins", "replicates", "seed")
Aim = Callable[[Profile, int], Objective]


def aim(method: str, given: dict[str, Any]) -> Aim:
    """A function that makes the objective for a profile and a number of steps.

    Args:
        method: Name of the schedule; only las takes these options.
        given: Values of OPTIONS by name, None where not given.

    Raises:
        ValueError: An option is out of its range or belongs to another schedule.
    """
    _refuse(method, {name: given.get(name) for name in OPTIONS})
    lam, mu, power, axis = (given.get(name) for name in OPTIONS)
    if power is not None and not mu:
        raise ValueError(f"--power must come with a positive --mu, got {power} without")
    make = AXES[one_of("axis", axis or "saturating", AXES)]
    mu, power = mu or 0.0, 2.0 if power is None else power
    if lam is not None:
        make(lam)
    Objective(mu=mu, power=power)  # like make above, raises before the profile is computed

    def found(profile: Profile, n_steps: int) -> Objective:
        return Objective(make(natural_lambda(profile, n_steps) if lam is None else lam), mu, power)

    return found


def _refuse(method: str, given: dict[str, Any]) -> None:
    """Refuse options of las for other schedules."""
    for name, value in given.items():
        if value is not None and value is not False and method != "las":
            option = "--" + name.rstrip("_").replace("_", "-")
            raise ValueError(f"{option} must come with the las schedule, got it with {method!r}")


def check_log_options(method: str, given: dict[str, Any]) -> None:
    """Refuse LOG_OPTIONS that are out of range, and those of las for other schedules."""
    _refuse(method, {name: given[name] for name in ("isotonic", "bins")})
    if given["replicates"]:
        whole("replicates", given["replicates"], 10)
    check_seed(given["seed"] or 0)


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


def band(
    profile: Profile,
    log: LossLog | None,
    errors: LevelErrors | None,
    make: Callable[[Profile], Array],
    goal: Objective,
    n_steps: int,
    replicates: int | None,
    seed: int | None,
    monotone: bool,
) -> dict[str, Any] | None:
    """The bootstrap band of a schedule from noisy risks, as plain values.

    Args:
        profile: The risks.
        log: Log of losses that the risks come from, or None.
        errors: Errors of single samples that the risks come from, or None.
        make: Maps a profile to noise levels, shape (n_steps + 1,).
        goal: Objective of the schedule.
        n_steps: Number of steps.
        replicates: Number of replicates. Default: 200 without penalty, 20 with one.
        seed: Seed of the draws. Default: 0.
        monotone: Whether risks of a log are pooled so that they never fall with sigma.

    Returns:
        The fields of `bootstrap`, or None for exact risks or 0 replicates.
    """
    noisy = log is not None or profile.stderr is not None
    if not noisy and (replicates or seed):
        raise ValueError("--replicates and --seed must come with noise, got exact risks")
    if replicates == 0 or not noisy:
        return None

    def draw(rng: np.random.Generator) -> Profile:
        if errors is not None:
            return errors.resampled(rng)
        return scattered(profile, rng) if log is None else log.resampled(rng, monotone=monotone)

    quick = goal.mu == 0
    count = (REPLICATES if quick else FEWER_REPLICATES) if replicates is None else replicates
    if replicates is None and not quick and (goal.power < 1 or n_steps > MOST_STEPS):
        reason = "a replicate takes long with this penalty: ask for --replicates"
        none = {"replicates": 0, "low": None, "high": None, "reason": reason}
        return {"share": BAND, "seed": seed or 0} | none
    return bootstrap(draw, make, count, seed or 0)


def quadrature(
    method: str, measured: bool, grid: Profile | None, rule: str | None, amplitude: str | None
) -> dict[str, Any]:
    """Checked options of the schedules that integrate a profile; empty for others.

    Args:
        method: Name of the schedule.
        measured: Whether the profile was given, not computed from a mixture or a loss log.
        grid: The profile, or None.
        rule: Quadrature rule. Default: "spline", or "trapezoid" for a measured profile with
            standard errors, because the spline needs smooth risks.
        amplitude: "mean" or "rms", for spectral only. Default: "mean".

    Raises:
        ValueError: An option is unknown or belongs to another schedule.
    """
    integrates = method in ("entropic", "rescaled", "spectral", "infogrid")
    if rule is not None and not integrates:
        raise ValueError(f"--rule must come with an entropic schedule, got it with {method!r}")
    if amplitude is not None and method != "spectral":
        raise ValueError(f"--amplitude must come with the spectral schedule, got {method!r}")
    if not integrates:
        return {}
    is_noisy = measured and grid is not None and grid.stderr is not None
    chosen = one_of("rule", rule or ("trapezoid" if is_noisy else "spline"), RULES)
    if method != "spectral":
        return {"rule": chosen}
    return {"rule": chosen, "amplitude": one_of("amplitude", amplitude or "mean", AMPLITUDES)}
