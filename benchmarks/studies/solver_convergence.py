"""Error against denoiser calls of every solver on the log-SNR grid."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pandas as pd

from benchmarks.engine.rows import figure_row
from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store
from theory.names import Option
from theory.noise.processes import PROCESSES
from theory.profiles.profile import Profile
from theory.schedules.registry import schedule
from theory.solvers.registry import SOLVERS, shape_table
from toys.files import load_toy, toy_spec

Options = tuple[tuple[str, Option], ...]
EDM = PROCESSES["edm"]
CONVERGENCE_TOYS = ("gaussian", "two_points", "gaussians15_overlap", "circle8")
FEWEST, MOST = 4, 520  # calls
PATHS = (("path_rms", 0.0), ("path_median", 0.0))
MOMENT = (("moment", 1e-8),)
STOCHASTIC: tuple[tuple[str, Options], ...] = (
    ("stochastic_ddim", ()),
    ("sde_dpmpp_2m", ()),
    ("edm_stochastic", (("s_noise", 1.0),)),
    ("edm_stochastic", (("s_noise", 1.003),)),
)
SAME = {"euler_ancestral": "stochastic_ddim"}  # one solver under two names
LEFT = ("called_ddim", "called_ancestral", "analytic_ddpm")  # the subject of another figure
ACROSS_NOISE = ("sde_dpmpp_2m",)  # no exact law: it reuses outputs from before the last noise
DETERMINISTIC: tuple[tuple[str, Options], ...] = (
    *((name, ()) for name in SOLVERS if name not in {*dict(STOCHASTIC), *SAME, *LEFT}),
    ("dpmpp_3m", (("corrected", True),)),
    ("evodiff", (("special_last", False),)),
)


@dataclass(frozen=True)
class ConvergenceBudget:
    """How much of the convergence figure to run.

    Args:
        steps: Numbers of steps.
        starts: Paths of the deterministic solvers.
        paths: Monte Carlo paths of the stochastic solvers.
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


def solver_convergence(
    budget: str,
    store: Store,
    jobs: int | None,
    *,
    toy: str | None = None,
    steps: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Error against calls of every solver on the log-SNR grid.

    Metric "path_rms" is for deterministic solvers. Metric "moment" is for stochastic ones, from
    the exact law (paths 0) and by Monte Carlo.

    Args:
        budget: How much to compute, a key of CONVERGENCE_BUDGETS.
        store: Where results are kept.
        jobs: Number of worker processes.
        toy: Mixture of your own. Default: those of CONVERGENCE_TOYS.
        steps: Numbers of steps. Default: those of the budget.
    """
    size = CONVERGENCE_BUDGETS[budget]
    settings: list[Setting] = []
    for name in CONVERGENCE_TOYS if toy is None else [toy_spec(toy)]:
        data = load_toy(name)
        for solver, options in (*DETERMINISTIC, *STOCHASTIC):
            for n in steps or size.steps:
                calls = calls_of(solver, options, n)
                if not FEWEST <= calls <= MOST:
                    continue
                shared = Setting(name, "log_snr", n, solver, solver_options=options)
                if (solver, options) in DETERMINISTIC:
                    settings.append(replace(shared, metrics=PATHS, paths=size.starts))
                    continue
                shared = replace(shared, start="data", metrics=MOMENT)
                gaussian = data.size == 1
                lawful = data.dim == 1 and solver not in ACROSS_NOISE
                if gaussian or (lawful and calls <= size.most_exact):
                    settings.append(shared)
                if not gaussian:
                    settings.append(replace(shared, paths=size.paths))
    parts = run_tasks(settings, store, jobs, "convergence")
    table = pd.DataFrame([error_row(part) for part in parts])
    return table if toy is None else table.assign(toy=toy)


def error_row(part: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of one setting as a row of the figure's table.

    A moment has its absolute error as value and the signed one as excess; paths have a median.
    """
    row = figure_row(part[0])
    if row["metric"] == "path_rms":
        versions = {name: row.pop(name) for name in ("numpy", "scipy", "numba")}
        return row | {"median": part[1]["value"], "error": None} | versions
    value = row["value"]
    return row | {"value": None if value is None else abs(value), "excess": value}


def levels_of(grid: str, steps: int, profile: Profile | None) -> tuple[float, ...]:
    """Levels of a schedule over EDM's range."""
    return tuple(schedule(grid, steps, "edm", profile).tolist())


@cache
def calls_of(solver: str, options: Options, steps: int) -> int:
    """Denoiser calls that a solver makes in this number of steps, on any grid."""
    return shape_table(solver, levels_of("log_snr", steps, None), **dict(options)).nfe
