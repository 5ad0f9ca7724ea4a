"""What `entropic profile` and `entropic schedule` compute: options in, plain rows out."""

from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.experiments import (
    PROFILE_POINTS,
    SAMPLED_POINTS,
    ToyProfile,
    curves_row,
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
from theory.checks import one_of, positive, whole, within
from theory.files import (
    LossRows,
    read_losses_csv,
    read_profile,
    write_profile,
    write_schedule,
)
from theory.levels import MOST_STEPS
from theory.loss_log import MOST_LEVELS, LossLog
from theory.noise import VP, named_process
from theory.profile import Profile
from theory.reading import naming
from theory.risks import PARAMETRISATIONS, from_losses, x0_risks
from theory.schedules import SCHEDULES
from toys import information
from toys.kernels import Array
from toys.mixture import SIGMA_RANGE

PROFILE_LEVELS = 200  # levels `profile` prints by default


def profile(
    toy: str | None,
    losses: str | None,
    process: str,
    sigma: tuple[float, ...],
    out: str | None,
    **logged: Any,
) -> dict[str, Any]:
    """The row of `entropic profile`."""
    _one_source(toy=toy, losses=losses)
    span = named_process(process)
    if losses is not None:
        if sigma:
            raise ValueError("--sigma must come with --toy, got it with --losses")
        found = _loss_profile(losses, process, **logged)
        row = {
            "dim": found.dim,
            "sigma": found.sigma.tolist(),
            "mmse": found.mmse.tolist(),
            "stderr": None if found.stderr is None else found.stderr.tolist(),
            "entropy_rate": found.entropy_rate().tolist(),
            "conditional_entropy": None,
            "mutual_information": None,
            "entropy_from_sigma_min": found.entropy_from_sigma_min().tolist(),
            "rescaled_entropy": found.rescaled_entropy().tolist(),
            "entropy_error": found.entropy_error(),
            "rescaled_error": found.rescaled_error(),
        }
        if out is not None:
            write_profile(out, found)
        return row
    assert toy is not None  # _one_source
    _refuse_logged(logged)
    data = load_toy(toy_spec(toy))
    exact = information.factorise(data) is not None
    count = PROFILE_LEVELS if exact else SAMPLED_POINTS
    levels = np.geomspace(span.sigma_min, span.sigma_max, count)
    if sigma:
        levels = np.unique(np.asarray(sigma, dtype=np.float64))
        if out is not None and levels.size < 4:
            raise ValueError(f"--sigma must name at least 4 levels with --out, got {levels.size}")
    row = curves_row(data, levels)
    few = SAMPLED_POINTS if row["stderr"] else PROFILE_POINTS
    row["rescaled_entropy"] = information.rescaled_entropy(data, levels, few).tolist()
    if out is not None:
        write_profile(out, to_profile(row, {"toy": toy}))
    return row


def profile_text(row: dict[str, Any]) -> str:
    """The profile as a table for people."""
    names = ["sigma", "mmse", "entropy_rate", "conditional_entropy", "mutual_information"]
    names += ["entropy_from_sigma_min", "rescaled_entropy"]
    names = [n for n in names if row.get(n) is not None]
    lines = ["  ".join(f"{n:>22s}" for n in names)]
    lines += [
        "  ".join(f"{v:22.12g}" for v in values)
        for values in zip(*(row[n] for n in names), strict=True)
    ]
    return "\n".join(lines)


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
    logged = {k: v for k, v in more.items() if k not in (*OPTIONS, *LOG_OPTIONS)}
    needs = needs_profile(method, c)
    if needs or any(s is not None for s in (toy, profile, losses)):
        _one_source(toy=toy, profile=profile, losses=losses)
    span = named_process(process)
    grid: Profile | None = None
    log: LossLog | None = None
    if profile is not None:
        grid = read_profile(profile)
    if losses is not None and method == "las":
        log = _loss_log(losses, process, more["bins"], **logged)
        grid = log.profile(monotone=more["isotonic"])
    elif losses is not None:
        grid = _loss_profile(losses, process, **logged)
    else:
        _refuse_logged(logged | {"bins": more["bins"], "isotonic": more["isotonic"] or None})
    if grid is not None:  # a measured profile says itself how far it reaches
        sigma_min = float(grid.sigma[0]) if sigma_min is None else sigma_min
        sigma_max = float(grid.sigma[-1]) if sigma_max is None else sigma_max
    low, high = ends(span.name, sigma_min, sigma_max)
    named_schedule("log_snr", steps, process, None, terminal, low, high)  # checks before work
    if toy is not None:
        spec = toy_spec(toy)
        grid = toy_profile(spec, low, high) if needs else None

    moved = max(steps - (terminal == "zero"), 1)

    def make(data: Profile | None) -> Array:
        objective = goal(data, moved) if method == "las" and data is not None else None
        return named_schedule(method, steps, process, data, terminal, low, high, c, objective)

    sigmas = make(grid)
    given = {"toy": toy, "profile": profile, "losses": losses}
    source: dict[str, Any] = {k: v for k, v in given.items() if v is not None} | {
        "process": process,
        "n_steps": steps,
        "version": version("entropic"),
    }
    if method == "las" and grid is not None:
        aimed = goal(grid, moved)
        source["las"] = describe(aimed)
        if log is not None:
            source["rests_on"] = rests_on(log, more["isotonic"])
        source["band"] = band(
            grid, log, make, aimed, steps, more["replicates"], more["seed"], more["isotonic"]
        )
    if out is not None:
        write_schedule(out, method, sigmas, terminal, source)
    return {
        "kind": "schedule",
        "method": method,
        "sigmas": sigmas.tolist(),
        "terminal": terminal,
        "source": source,
    }


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
    """The data scale means nothing to schedules without one."""
    if c is not None and method != "arctan":
        raise ValueError(f"--c must come with the arctan schedule, got {c} with {method!r}")


def _loss_profile(path: str, process: str, **logged: Any) -> Profile:
    """The profile of a CSV of losses, a level for each that is in it."""
    rows, options = _logged(path, process, **logged)
    more = _source(path, options)
    return from_losses(rows.sigma, rows.loss, samples=rows.samples, source=more, **options)


def _loss_log(path: str, process: str, bins: int | None, **logged: Any) -> LossLog:
    """The CSV of losses as rows, to be averaged in bins where it has many levels."""
    rows, options = _logged(path, process, **logged)
    sigma, risk = x0_risks(rows.sigma, rows.loss, **options)
    more = _source(path, options)
    with naming(path):
        if sigma.size < 4:
            raise ValueError(f"losses must hold at least 4 distinct levels, got {sigma.size} rows")
        bins = MOST_LEVELS if bins is None else bins
        return LossLog(sigma, risk, rows.samples, options["dim"], bins, more)


def _logged(path: str, process: str, **logged: Any) -> tuple[LossRows, dict[str, Any]]:
    """Rows of a CSV of losses, and what they mean."""
    parametrisation = logged["parametrisation"]
    if parametrisation is None:
        raise ValueError(
            f"--parametrisation must come with --losses, got none; give one of "
            f"{', '.join(PARAMETRISATIONS)}"
        )
    one_of("parametrisation", parametrisation, PARAMETRISATIONS)
    return read_losses_csv(path, VP() if process == "vp" else None), {
        "parametrisation": parametrisation,
        "dim": 1 if logged["dim"] is None else logged["dim"],
        "sigma_data": 0.5 if logged["sigma_data"] is None else logged["sigma_data"],
        "reduction": logged["reduction"] or "sum",
    }


def _source(path: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"losses": path, "parametrisation": options["parametrisation"]}


def _one_source(**given: str | None) -> None:
    """Exactly one of some options must be given."""
    named = [f"--{name}" for name, value in given.items() if value is not None]
    if len(named) != 1:
        options = ", ".join(f"--{name}" for name in given)
        got = " and ".join(named) or "none"
        raise ValueError(f"exactly one of {options} must be given, got {got}")


def _refuse_logged(logged: dict[str, Any]) -> None:
    """Options of a loss log mean nothing without one."""
    for name, value in logged.items():
        if value is not None:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must come with --losses, got {value} alone")
