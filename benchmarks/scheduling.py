"""What `entropic schedule` computes: options in, a schedule file out."""

from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.bands import kept_errors, network_band
from benchmarks.experiments import (
    PROFILE_POINTS,
    SAMPLED_POINTS,
    ToyProfile,
    load_toy,
    needs_profile,
    to_profile,
)
from benchmarks.experiments import schedule as named_schedule
from benchmarks.inputs import toy_spec
from benchmarks.loss_adaptive import (
    LOG_OPTIONS,
    OPTIONS,
    aim,
    band,
    check_log_options,
    describe,
    rests_on,
)
from benchmarks.loss_files import loss_log, loss_profile, one_source, refuse_logged
from theory.checks import one_of, positive, whole, within
from theory.files import read_profile, write_schedule
from theory.levels import MOST_STEPS
from theory.loss_log import LossLog
from theory.noise import named_process
from theory.profile import AMPLITUDES, RULES, Profile
from theory.schedules import SCHEDULES
from toys import information
from toys.kernels import Array
from toys.mixture import SIGMA_RANGE

QUADRATURE = ("rule", "amplitude")  # options of schedules that integrate a profile


def schedule(
    toy: str | None,
    profile: str | None,
    losses: str | None,
    method: str,
    steps: int,
    process: str,
    sigma_min: float | None,
    sigma_max: float | None,
    terminal: str,
    c: float | None,
    out: str | None,
    **more: Any,
) -> dict[str, Any]:
    """The schedule file that `entropic schedule` prints."""
    one_of("method", method, SCHEDULES)
    whole("steps", steps, 1, MOST_STEPS)
    refuse_c(method, c)
    goal = aim(method, more)
    check_log_options(method, more)
    logged = {k: v for k, v in more.items() if k not in (*OPTIONS, *LOG_OPTIONS, *QUADRATURE)}
    needs = needs_profile(method, c)
    if needs or any(s is not None for s in (toy, profile, losses)):
        one_source(toy=toy, profile=profile, losses=losses)
    span = named_process(process)
    grid: Profile | None = None
    log: LossLog | None = None
    if profile is not None:
        grid = read_profile(profile)
    if losses is not None and method == "las":
        log = loss_log(losses, process, more["bins"], **logged)
        grid = log.profile(monotone=more["isotonic"])
    elif losses is not None:
        grid = loss_profile(losses, process, **logged)
    else:
        refuse_logged(logged | {"bins": more["bins"], "isotonic": more["isotonic"] or None})
    if grid is not None:  # a measured profile says itself how far it reaches
        sigma_min = float(grid.sigma[0]) if sigma_min is None else sigma_min
        sigma_max = float(grid.sigma[-1]) if sigma_max is None else sigma_max
    low, high = ends(span.name, sigma_min, sigma_max)
    named_schedule("log_snr", steps, process, None, terminal, low, high)  # checks before work
    if toy is not None:
        spec = toy_spec(toy)
        grid = toy_profile(spec, low, high) if needs else None

    moved = max(steps - (terminal == "zero"), 1)

    quadrature = _quadrature(method, profile, grid, more["rule"], more["amplitude"])

    def make(data: Profile | None) -> Array:
        objective = goal(data, moved) if method == "las" and data is not None else None
        return named_schedule(
            method, steps, process, data, terminal, low, high, c, objective, **quadrature
        )

    sigmas = make(grid)
    given = {"toy": toy, "profile": profile, "losses": losses}
    source: dict[str, Any] = (
        {k: v for k, v in given.items() if v is not None}
        | {
            "process": process,
            "n_steps": steps,
            "version": version("entropic"),
        }
        | quadrature
    )
    if quadrature.get("rule") == "left":
        quadrature["rule"] = "trapezoid"
        source["left_bias"] = float(np.abs(sigmas[:moved] / make(grid)[:moved] - 1.0).max())
        quadrature["rule"] = "left"
    errors = None if profile is None or grid is None else kept_errors(profile, grid)
    if method == "las" and grid is not None:
        aimed = goal(grid, moved)
        source["las"] = describe(aimed)
        if log is not None:
            source["rests_on"] = rests_on(log, more["isotonic"])
        source["band"] = band(
            grid,
            log,
            errors,
            make,
            aimed,
            steps,
            more["replicates"],
            more["seed"],
            more["isotonic"],
        )
    elif needs:
        source["band"] = network_band(errors, make, method, more["replicates"], more["seed"])
    elif more["replicates"] or more["seed"]:
        raise ValueError(f"--replicates and --seed must come with noise, got {method!r}")
    if out is not None:
        write_schedule(out, method, sigmas, terminal, source)
    return {
        "kind": "schedule",
        "method": method,
        "sigmas": sigmas.tolist(),
        "terminal": terminal,
        "source": source,
    }


def _quadrature(
    method: str, path: str | None, grid: Profile | None, rule: str | None, amplitude: str | None
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
    is_noisy = path is not None and grid is not None and grid.stderr is not None
    chosen = one_of("rule", rule or ("trapezoid" if is_noisy else "spline"), RULES)
    if method != "spectral":
        return {"rule": chosen}
    return {"rule": chosen, "amplitude": one_of("amplitude", amplitude or "mean", AMPLITUDES)}


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


def toy_profile(spec: str, low: float, high: float) -> Profile:
    """A toy's profile between two levels."""
    exact = information.factorise(load_toy(spec)) is not None
    task = ToyProfile(spec, low, high, PROFILE_POINTS if exact else SAMPLED_POINTS)
    return to_profile(task.run(), {})


def refuse_c(method: str, c: float | None) -> None:
    """A data scale or a pivot means nothing to schedules without one."""
    if c is not None and method not in ("arctan", "infogrid"):
        raise ValueError(f"--c must come with arctan or infogrid, got {c} with {method!r}")
