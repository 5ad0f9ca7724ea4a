"""Where the best levels of every solver are, against the mmse and the kernel of the leading error.

The searches take minutes, so their levels are kept in LEVEL_ROWS, from which the figure is drawn,
except with the budgets "quick" and "paper" and for another toy. The curves are always computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engine.results import results_file, rows_new, rows_now
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, write_csv
from benchmarks.optimum.exact import best, descents
from benchmarks.optimum.kernel import ErrorKernel
from benchmarks.optimum.problem import Problem, Sampler
from benchmarks.studies.schedule_regret import HIGH, LOW, SOLVERS, steps_of
from theory.levels import Span
from theory.versions import versions
from toys.files import load_toy, toy_spec
from toys.information import information

LEVEL_ROWS = results_file("optimal_levels")
COMMAND = "entropic figures optimal_levels --recompute"
TOY = "gaussians15_narrow"
CALLS = 16
POINTS, QUICK_POINTS = 45, 13  # levels of the curves and of the kernel
REACH = (5e-4, 20.0)  # levels of the kernel


def level_rows(
    spec: str, store: Store, jobs: int | None, calls: int, solvers: tuple[str, ...] = SOLVERS
) -> pd.DataFrame:
    """The best levels of every solver.

    Args:
        spec: Name of a toy, or the text of a mixture file.
        store: Where finished searches are kept.
        jobs: Number of worker processes.
        calls: Number of network calls.
        solvers: Names of the solvers.
    """
    tasks = {
        solver: descents(
            spec, Problem(Sampler(solver), Span(steps_of(solver, calls), HIGH, LOW, "stop"))
        )
        for solver in solvers
    }
    flat = [task for own in tasks.values() for task in own]
    found = iter(run_tasks(flat, store, jobs, "optimal levels"))
    rows: list[dict[str, Any]] = []
    for solver, own in tasks.items():
        optimum = best([next(found) for _ in own])
        shared = {"kind": "level", "solver": solver, "calls": calls, "terminal": "stop"}
        rows += [
            shared | {"step": step, "sigma": sigma, "kl_data_model": optimum.value}
            for step, sigma in enumerate(optimum.sigmas.tolist())
        ]
    return pd.DataFrame(rows).assign(toy=spec, **versions())


def curve_rows(spec: str, points: int) -> pd.DataFrame:
    """R and the kernel of stochastic DDIM over the levels.

    Kind "rate": R, its law R sqrt(1 - R), and (K(u, u)/2)^(1/4), which the law stands for. Kind
    "kernel": the correlation K(u, v)/sqrt(K(u, u) K(v, v)) at two levels.
    """
    data = load_toy(spec)
    sigma = np.geomspace(REACH[1], REACH[0], points)
    rate = information.mmse(data, sigma) / sigma**2
    matrix = ErrorKernel(data, sigma).matrix
    size = np.sqrt(np.diag(matrix))
    rates = pd.DataFrame(
        {
            "kind": "rate",
            "sigma": sigma,
            "rescaled_rate": rate,
            "law": rate * np.sqrt(1.0 - np.minimum(rate, 1.0)),
            "diagonal": np.sqrt(size / np.sqrt(2.0)),
        }
    )
    first, second = np.meshgrid(sigma, sigma, indexing="ij")
    kernel = pd.DataFrame(
        {
            "kind": "kernel",
            "sigma": first.ravel(),
            "sigma_other": second.ravel(),
            "correlation": (matrix / np.outer(size, size)).ravel(),
        }
    )
    return pd.concat([rates, kernel], ignore_index=True).assign(toy=spec, **versions())


def compute_study(store: Store, jobs: int | None) -> None:
    """Compute LEVEL_ROWS again, for `entropic figures optimal_levels --recompute`."""
    table = level_rows(TOY, store, jobs, CALLS)
    table.insert(0, "command", COMMAND)
    write_csv(table, rows_new(LEVEL_ROWS))


def optimal_levels(
    budget: str, store: Store, jobs: int | None, *, toy: str | None = None
) -> pd.DataFrame:
    """Where the best levels of five solvers are, and why: the mmse and the error's kernel."""
    spec = TOY if toy is None else toy_spec(toy)
    quick = budget == "quick"
    if quick:
        levels = level_rows(spec, store, jobs, 4, ("stochastic_ddim", "ddim"))
    elif budget == "paper" or toy is not None:
        levels = level_rows(spec, store, jobs, CALLS)
    else:
        levels = pd.read_csv(rows_now(LEVEL_ROWS)).drop(columns="command")
    curves = curve_rows(spec, QUICK_POINTS if quick else POINTS)
    return pd.concat([levels, curves], ignore_index=True)
