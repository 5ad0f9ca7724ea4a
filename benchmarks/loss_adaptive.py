"""Options of loss-adaptive schedules, and what a schedule made of a loss log rests on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.bands import BAND, REPLICATES, bootstrap, text
from theory.checks import one_of, whole
from theory.las import AXES, Objective
from theory.las_levels import natural_lambda
from theory.level_errors import LevelErrors
from theory.loss_log import LossLog, scattered
from theory.profile import Profile
from toys.kernels import Array
from toys.mixture import check_seed

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


def note(fields: dict[str, Any]) -> str:
    """What a loss-adaptive schedule rests on, in words, a line each."""
    source = fields["source"]
    las, lines = source["las"], []
    shown = ", ".join(f"{key} {value:.4g}" for key, value in las.items() if key != "axis")
    lines.append(f"las: {las['axis']} axis, {shown}")
    rests = source.get("rests_on")
    if rests is not None:
        where = f"{rests['levels']} levels" + (
            f" in {rests['bins']} bins" if rests["bins"] is not None else ""
        )
        lines.append(
            f"rests on {where}, {rests['samples']} samples, fewest {rests['fewest_samples']}; "
            f"the risk falls with sigma at {rests['rising_risks']}"
            + (" (pooled)" if rests["isotonic"] else " (--isotonic pools them)")
        )
    if source.get("band") is not None:
        lines.append(text(fields))
    return "\n".join(lines)
