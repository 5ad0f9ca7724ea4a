"""The tables of the two figures that compare solvers; `python -m benchmarks.solver_tables`.

The exact KL of the entropy-reducing iterations takes seconds a value, twenty minutes in all: a
study. The command computes it, resuming after an interruption, and writes KL_ROWS; the figure
reads them, but for the budget "paper".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.experiments import (
    SAMPLED_POINTS,
    ToyProfile,
    equal_steps,
    schedule,
    to_profile,
)
from benchmarks.run import Task, run_tasks
from benchmarks.solver_tasks import ExactKL, MomentErrors, PathErrors, Wasserstein
from benchmarks.store import ROOT, Store, write_csv
from theory.noise import PROCESSES
from theory.profile import Profile
from theory.solvers import SOLVERS, make_table
from toys import zoo

Options = tuple[tuple[str, float | bool], ...]
EDM = PROCESSES["edm"]

CONVERGENCE_TOYS = ("gaussian", "two_points", "gaussians15_overlap", "circle8")
FEWEST, MOST = 4, 520  # calls
STOCHASTIC: tuple[tuple[str, Options], ...] = (
    ("stochastic_ddim", ()),
    ("sde_dpmpp_2m", ()),
    ("edm_stochastic", (("s_noise", 1.0),)),
    ("edm_stochastic", (("s_noise", 1.003),)),
)
SAME = {"euler_ancestral": "stochastic_ddim"}  # one solver under two names
ACROSS_NOISE = ("sde_dpmpp_2m",)  # its history reaches across noise: no exact law
DETERMINISTIC: tuple[tuple[str, Options], ...] = (
    *((name, ()) for name in SOLVERS if name not in {*dict(STOCHASTIC), *SAME}),
    ("dpmpp_3m", (("corrected", True),)),
    ("evodiff", (("special_last", False),)),
)


@dataclass(frozen=True)
class ConvergenceBudget:
    """How much of the convergence figure to run.

    Args:
        steps: Numbers of steps.
        starts: Paths of the solvers without noise.
        paths: Monte Carlo paths of those with noise.
        most_exact: Calls up to which exact laws are computed.
    """

    steps: tuple[int, ...]
    starts: int
    paths: int
    most_exact: int


POWERS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
CONVERGENCE_BUDGETS = {
    "quick": ConvergenceBudget((4, 16), 50, 2000, 32),
    "default": ConvergenceBudget(POWERS, 200, 50_000, 256),
    "paper": ConvergenceBudget(
        tuple(sorted({*POWERS, *(3 * n for n in POWERS[:-1])})), 2000, 5_000_000, MOST
    ),
}


def solver_convergence(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Error against calls of every solver on the log-SNR grid.

    Metric "path_rms" for solvers without noise; "moment" for those with noise, from the exact law
    (paths 0) and by Monte Carlo.
    """
    size = CONVERGENCE_BUDGETS[budget]
    tasks: list[Task] = []
    for toy in CONVERGENCE_TOYS:
        for solver, options in (*DETERMINISTIC, *STOCHASTIC):
            for n in size.steps:
                calls = calls_of(solver, options, n)
                if not FEWEST <= calls <= MOST:
                    continue
                shared = toy, "log_snr", _levels("log_snr", n, None), solver, options
                if (solver, options) in DETERMINISTIC:
                    tasks.append(PathErrors(*shared, paths=size.starts))
                    continue
                gaussian = zoo.toy(toy).size == 1
                lawful = zoo.toy(toy).dim == 1 and solver not in ACROSS_NOISE
                if gaussian or (lawful and calls <= size.most_exact):
                    tasks.append(MomentErrors(*shared))
                if not gaussian:
                    tasks.append(MomentErrors(*shared, paths=size.paths))
    return pd.DataFrame(run_tasks(tasks, store, jobs, "convergence"))


BASELINES = ("ddim", "dpmpp_2m", "unipc_2", "unipc_3", "heun", "deis_2", "deis_3")
REDUCING = ("re_single", "re_multi", "re_multi_2025", "evodiff")
LINE_TOYS = ("gaussians15_overlap", "gaussians15_narrow")
PLANE_TOY = "circle8"
PAPER_CALLS = (5, 6, 8, 10, 12, 15, 20)
GRIDS = ("log_snr", "edm", "rescaled")
KL_ROWS = ROOT / "benchmarks" / "results" / "re_vs_baselines_kl.csv"
GROUP = ["toy", "schedule", "metric", "calls"]
NUMBERS: dict[str, Any] = {"value": float, "error": float, "stderr": float, "seed": "Int64"}


@dataclass(frozen=True)
class BaselinesBudget:
    """How much of the comparison to run.

    Args:
        calls: Denoiser calls allowed.
        grids: Schedules.
        points: Quantiles of the start.
        paths: Paths in the plane.
        exact_kl: Whether to compute the exact KL; otherwise its rows are the study's.
    """

    calls: tuple[int, ...]
    grids: tuple[str, ...]
    points: int
    paths: int
    exact_kl: bool = False


BASELINES_BUDGETS = {
    "quick": BaselinesBudget((5, 10), ("log_snr", "edm"), 2**12, 100),
    "default": BaselinesBudget(PAPER_CALLS, GRIDS, 2**15, 1000),
    "paper": BaselinesBudget(PAPER_CALLS, GRIDS, 2**18, 20_000, exact_kl=True),
}


def re_vs_baselines(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper C's tables 2 and 3 on toys: its iterations and other solvers at equal calls.

    Metrics "w1" and "kl_data_model" on the line, "path_rms" in the plane. A solver takes the most
    steps within `calls`; nfe are the calls it makes. rank is 1 for the best of its group.
    """
    size = BASELINES_BUDGETS[budget]
    profiles = _profiles(store, jobs, size.grids)
    cases = _cases(size.calls, size.grids, profiles)
    tasks: list[Task] = []
    for toy, grid, _, sigmas, solver in cases:
        if toy == PLANE_TOY:
            tasks.append(PathErrors(toy, grid, sigmas, solver, paths=size.paths))
        else:
            tasks.append(Wasserstein(toy, grid, sigmas, solver, points=size.points))
    table = _with_calls(run_tasks(tasks, store, jobs, "solvers"), cases)
    if size.exact_kl:
        kl = kl_rows(size.calls, size.grids, profiles, store, jobs)
    else:
        kl = read_kl_rows(KL_ROWS)
        kl = kl[kl["calls"].isin(size.calls) & kl["schedule"].isin(size.grids)]
    table = pd.concat([table, kl], ignore_index=True)
    table["rank"] = table.groupby(GROUP)["value"].rank(method="min")
    return table


Case = tuple[str, str, int, tuple[float, ...], str]  # toy, grid, calls, levels, solver


def _cases(calls: Sequence[int], grids: Sequence[str], profiles: dict[str, Profile]) -> list[Case]:
    return [
        (toy, grid, most, _levels(grid, steps, profiles.get(toy)), solver)
        for toy in (*LINE_TOYS, PLANE_TOY)
        for grid in grids
        for solver in (*BASELINES, *REDUCING)
        for most in calls
        if (steps := steps_within(solver, most))
    ]


def _with_calls(rows: list[dict[str, Any]], cases: Sequence[Case]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table.insert(0, "calls", [case[2] for case in cases])
    return table.astype(NUMBERS)


def kl_rows(
    calls: Sequence[int],
    grids: Sequence[str],
    profiles: dict[str, Profile],
    store: Store,
    jobs: int | None,
) -> pd.DataFrame:
    """The rows of metric "kl_data_model"."""
    cases = [case for case in _cases(calls, grids, profiles) if case[0] != PLANE_TOY]
    tasks = [ExactKL(toy, grid, sigmas, solver) for toy, grid, _, sigmas, solver in cases]
    return _with_calls(run_tasks(tasks, store, jobs, "exact laws"), cases)


def read_kl_rows(path: Path) -> pd.DataFrame:
    """The study's rows as they were written."""
    read = pd.read_csv(path)
    for name, empty in (("options", ""), ("reason", None)):
        column = read[name].astype(object)
        read[name] = column.where(column.notna(), empty)
    return read.astype(NUMBERS)


def _profiles(store: Store, jobs: int | None, grids: Sequence[str]) -> dict[str, Profile]:
    """Profiles of the toys by name, if a grid wants them."""
    if "rescaled" not in grids:
        return {}
    tasks = [ToyProfile(toy, EDM.sigma_min, EDM.sigma_max) for toy in LINE_TOYS]
    tasks.append(ToyProfile(PLANE_TOY, EDM.sigma_min, EDM.sigma_max, SAMPLED_POINTS))
    rows = run_tasks(tasks, store, jobs, "profiles")
    return {
        task.toy: to_profile(row, {"toy": task.toy}) for task, row in zip(tasks, rows, strict=True)
    }


def _levels(grid: str, steps: int, profile: Profile | None) -> tuple[float, ...]:
    """Levels of a schedule of EDM's range."""
    return tuple(schedule(grid, steps, "edm", profile).tolist())


@cache
def calls_of(solver: str, options: Options, steps: int) -> int:
    """Denoiser calls of a solver in so many steps, on any grid."""
    return make_table(solver, _levels("log_snr", steps, None), **dict(options)).nfe


def steps_within(solver: str, calls: int) -> int:
    """The most steps of a solver that make at most so many calls; 0 if none."""
    return equal_steps(lambda n: calls_of(solver, (), n), calls)


def compute_study(store: Store, jobs: int | None) -> None:
    """Compute KL_ROWS again, for `entropic figures re_vs_baselines --recompute`."""
    table = kl_rows(PAPER_CALLS, GRIDS, _profiles(store, jobs, GRIDS), store, jobs)
    write_csv(table, KL_ROWS)
