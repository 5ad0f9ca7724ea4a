"""What a recommended schedule depends on: objective, quadrature rule and bootstrap band."""

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
    """Share, replicates, seed, low, high and reason; low and high null where there is no band."""
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
    """The errors of single samples that `entropic profile --network` leaves beside its profile.

    None if the profile names no such file, or it has been moved away.
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
    """The band of a schedule from a measured profile, over clean samples drawn again.

    None for a profile whose single errors are not there.
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


FEWER_REPLICATES, MOST_STEPS = 20, 100  # where there is a penalty, as each takes far longer
OPTIONS = ("lambda_", "mu", "power", "axis")
LOG_OPTIONS = ("isotonic", "bins", "replicates", "seed")
Aim = Callable[[Profile, int], Objective]


def aim(method: str, given: dict[str, Any]) -> Aim:
    """The objective for a profile and a number of steps, from OPTIONS checked.

    Args:
        method: Name of the schedule; the options mean nothing to another than las.
        given: Values by name, None where not given.
    """
    _refuse(method, {name: given.get(name) for name in OPTIONS})
    lam, mu, power, axis = (given.get(name) for name in OPTIONS)
    if power is not None and not mu:
        raise ValueError(f"--power must come with a positive --mu, got {power} without")
    make = AXES[one_of("axis", axis or "saturating", AXES)]
    mu, power = mu or 0.0, 2.0 if power is None else power
    if lam is not None:
        make(lam)
    Objective(mu=mu, power=power)  # both raise now rather than after the profile is computed

    def found(profile: Profile, n_steps: int) -> Objective:
        return Objective(make(natural_lambda(profile, n_steps) if lam is None else lam), mu, power)

    return found


def _refuse(method: str, given: dict[str, Any]) -> None:
    """Options of LAS mean nothing to other schedules."""
    for name, value in given.items():
        if value is not None and value is not False and method != "las":
            option = "--" + name.rstrip("_").replace("_", "-")
            raise ValueError(f"{option} must come with the las schedule, got it with {method!r}")


def check_log_options(method: str, given: dict[str, Any]) -> None:
    """Refuse LOG_OPTIONS for other schedules, and values out of range."""
    _refuse(method, {name: given[name] for name in ("isotonic", "bins")})
    if given["replicates"]:
        whole("replicates", given["replicates"], 10)
    check_seed(given["seed"] or 0)


def describe(goal: Objective) -> dict[str, Any]:
    """An objective as plain values."""
    axis = goal.axis
    fields = {"axis": type(axis).__name__.lower(), **vars(axis)}
    return {"lambda" if k == "lam" else k: v for k, v in fields.items()} | {
        "mu": goal.mu,
        "power": goal.power,
    }


def rests_on(log: LossLog, monotone: bool) -> dict[str, Any]:
    """What stands behind the risks of a log."""
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
    """The bootstrap band of a schedule as plain values; low and high null where there is none."""
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
    """Options of the schedules that integrate a profile, checked; none for others.

    The spline needs smooth risks: a file whose risks have standard errors takes the trapezoid.
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
