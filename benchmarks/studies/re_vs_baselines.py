"""Paper C's tables 2 and 3 on toys: its iterations and other solvers at equal calls.

The exact KL of the entropy-reducing iterations takes seconds per value, twenty minutes in all, so
its rows are kept in KL_ROWS. `compute_study` computes them and can resume after an interruption.
The figure reads them, except with the budget "paper".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.engine.results import results_file, rows_new, rows_now
from benchmarks.engine.rows import figure_row
from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store, write_csv
from benchmarks.engine.toy_profiles import SAMPLED_POINTS, ToyProfile, to_profile
from benchmarks.studies.solver_convergence import EDM, PATHS, calls_of, error_row, levels_of
from theory.profiles.profile import Profile
from theory.solvers.calls import equal_steps

BASELINES = ("ddim", "dpmpp_2m", "unipc_2", "unipc_3", "heun", "deis_2", "deis_3")
REDUCING = ("re_single", "re_multi", "re_multi_2025", "evodiff")
LINE_TOYS = ("gaussians15_overlap", "gaussians15_narrow")
PLANE_TOY = "circle8"
PAPER_CALLS = (5, 6, 8, 10, 12, 15, 20)
GRIDS = ("log_snr", "edm", "rescaled")
KL_RTOL = 1e-5
KL_ROWS = results_file("re_vs_baselines_kl")
GROUP = ["toy", "schedule", "metric", "calls"]
NUMBERS: dict[str, Any] = {"value": float, "error": float, "stderr": float, "seed": "Int64"}


@dataclass(frozen=True)
class BaselinesBudget:
    """How much of the comparison to run.

    Args:
        calls: Numbers of denoiser calls allowed.
        grids: Schedules.
        points: Quantiles of the initial law.
        paths: Paths in the two-dimensional target.
        exact_kl: Whether to compute the exact KL; otherwise its rows are read from the study.
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

    The metrics are "w1" and "kl_data_model" in one dimension and "path_rms" in two. A solver takes
    the most steps that `calls` allows, and nfe is the number of calls it makes. Rank 1 is the best
    of its group.
    """
    size = BASELINES_BUDGETS[budget]
    profiles = _profiles(store, jobs, size.grids)
    cases = _cases(size.calls, size.grids, profiles)
    settings = [
        replace(_setting(case), metrics=PATHS, paths=size.paths)
        if case[0] == PLANE_TOY
        else replace(_setting(case), metrics=(("w1", 0.0),), quantiles=size.points)
        for case in cases
    ]
    rows = [_row(part) for part in run_tasks(settings, store, jobs, "solvers")]
    table = _with_calls(rows, cases)
    if size.exact_kl:
        kl = kl_rows(size.calls, size.grids, profiles, store, jobs)
    else:
        kl = read_kl_rows(rows_now(KL_ROWS))
        kl = kl[kl["calls"].isin(size.calls) & kl["schedule"].isin(size.grids)]
    table = pd.concat([table, kl], ignore_index=True)
    table["rank"] = table.groupby(GROUP)["value"].rank(method="min")
    return table


Case = tuple[str, str, int, tuple[float, ...], str]  # toy, grid, calls, levels, solver


def _cases(calls: Sequence[int], grids: Sequence[str], profiles: dict[str, Profile]) -> list[Case]:
    return [
        (toy, grid, most, levels_of(grid, steps, profiles.get(toy)), solver)
        for toy in (*LINE_TOYS, PLANE_TOY)
        for grid in grids
        for solver in (*BASELINES, *REDUCING)
        for most in calls
        if (steps := steps_within(solver, most))
    ]


def _setting(case: Case) -> Setting:
    toy, grid, _, sigmas, solver = case
    return Setting(toy, grid, len(sigmas) - 1, solver, sigmas=sigmas)


def _row(part: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of one setting as a row of the figure's table."""
    row = error_row(part) if part[0]["metric"] == "path_rms" else figure_row(part[0])
    return row if row["paths"] else row | {"seed": None}


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
    settings = [replace(_setting(case), metrics=(("kl_data_model", KL_RTOL),)) for case in cases]
    rows = [_row(part) for part in run_tasks(settings, store, jobs, "exact laws")]
    return _with_calls(rows, cases)


def read_kl_rows(path: Path) -> pd.DataFrame:
    """The study's rows as they are stored."""
    read = pd.read_csv(path)
    for name, empty in (("options", ""), ("reason", None)):
        column = read[name].astype(object)
        read[name] = column.where(column.notna(), empty)
    return read.astype(NUMBERS)


def _profiles(store: Store, jobs: int | None, grids: Sequence[str]) -> dict[str, Profile]:
    """Profiles of the toys by name, or none if no grid needs them."""
    if "rescaled" not in grids:
        return {}
    tasks = [ToyProfile(toy, EDM.sigma_min, EDM.sigma_max) for toy in LINE_TOYS]
    tasks.append(ToyProfile(PLANE_TOY, EDM.sigma_min, EDM.sigma_max, SAMPLED_POINTS))
    rows = run_tasks(tasks, store, jobs, "profiles")
    return {
        task.toy: to_profile(row, {"toy": task.toy}) for task, row in zip(tasks, rows, strict=True)
    }


def steps_within(solver: str, calls: int) -> int:
    """The most steps of a solver that make at most this number of calls; 0 if there are none."""
    return equal_steps(lambda n: calls_of(solver, (), n), calls)


def compute_study(store: Store, jobs: int | None) -> None:
    """Compute KL_ROWS again, for `entropic figures re_vs_baselines --recompute`."""
    table = kl_rows(PAPER_CALLS, GRIDS, _profiles(store, jobs, GRIDS), store, jobs)
    write_csv(table, rows_new(KL_ROWS))
