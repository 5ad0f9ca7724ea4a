"""The ceiling of one-step and multistep tables: every entry free, for three known mixtures.

A search from the best levels of a solver, and of the same solver that calls below its state,
moves the levels of the calls and every coefficient (`benchmarks.optimum.free_table`). The better
end counts. Its KL is taken again by the exact law, and on data that have changed by a tenth.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engine.results import results_file, rows_new
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, write_csv
from benchmarks.measure.divergences import exact_kl
from benchmarks.optimum.exact import best, descents
from benchmarks.optimum.free_table import free_table
from benchmarks.optimum.problem import Problem, Sampler
from benchmarks.studies.schedule_regret import HIGH, LOW, mixtures
from theory.levels import Span
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from theory.versions import versions
from toys.files import load_toy
from toys.mixture import Mixture

FREE_ROWS = results_file("free_tables")
COMMAND = "entropic figures called_levels --recompute"
THREE = {
    "kind": "mixture",
    "weights": [0.3, 0.3, 0.4],
    "means": [[-1.2], [0.0], [1.1]],
    "stds": [0.2, 0.3, 0.25],
}
NAMES = ("three Gaussians", "gaussians5", "report-03")
# Whether the sampler draws noise: its solver, and the same one with called levels.
FORMS = {True: ("stochastic_ddim", "called_ancestral"), False: ("ddim", "called_ddim")}
# (noise, calls, outputs that a row may use)
CASES = (
    *((True, calls, 1) for calls in (4, 8)),
    *((False, calls, history) for calls in (4, 8) for history in (1, 2, 3)),
)
CHANGE = 1.1  # factor on the means of the data
RTOL = 1e-7


@dataclass(frozen=True)
class FreeCell:
    """A search from the best levels of one solver.

    Args:
        toy: The mixture, as text.
        solver: Name of the solver.
        calls: Number of network calls.
        history: Number of outputs that a row may use.
    """

    toy: str
    solver: str
    calls: int
    history: int

    def run(self) -> dict[str, Any]:
        """The divergences of the start and of the end, and the table."""
        data = load_toy(self.toy)
        problem = Problem(Sampler(self.solver, ()), Span(self.calls, HIGH, LOW, "stop"))
        levels = best([task.run() for task in descents(self.toy, problem)]).sigmas
        start = make_table(self.solver, levels, HIGH)
        assert isinstance(start, SolverTable)
        found = free_table(data, start, self.history)
        values = {"kl": found.value} | {
            name: exact_kl(law, table, rtol=RTOL).value
            for name, law, table in (
                ("kl_start", data, start),
                ("kl_exact", data, found.table),
                ("kl_changed", changed(data), found.table),
                ("kl_start_changed", changed(data), start),
            )
        }
        return values | {"evaluations": found.evaluations, "table": as_text(found.table)}


def changed(data: Mixture) -> Mixture:
    """The data with their means moved out by a tenth."""
    return Mixture(data.weights, CHANGE * data.means, data.stds)


def as_text(table: SolverTable) -> str:
    """The free entries of a table, as JSON: exact decimals of float64."""
    parts = {
        "sigma": table.sigma,
        "keep": table.keep[:, 0],
        "weights": table.weights,
        "noise": table.noise,
    }
    return json.dumps({name: np.asarray(part).tolist() for name, part in parts.items()})


def from_text(text: str) -> SolverTable:
    """The table of `as_text`, between the levels of the study."""
    parts = {name: np.array(part) for name, part in json.loads(text).items()}
    n = parts["sigma"].size
    keep = parts.pop("keep")[:, None]
    return SolverTable(keep=keep, start_std=HIGH, end=LOW, order=1, n_steps=n, begin=HIGH, **parts)


def mixture_text(name: str) -> str:
    """A mixture of the study, as text."""
    return json.dumps(THREE) if name == NAMES[0] else mixtures().get(name, name)


def free_rows(
    store: Store,
    jobs: int | None,
    names: tuple[str, ...] = NAMES,
    cases: tuple[tuple[bool, int, int], ...] = CASES,
) -> pd.DataFrame:
    """One row per mixture, form and start.

    Args:
        store: Where results are kept.
        jobs: Number of worker processes.
        names: Names of the mixtures.
        cases: Whether there is noise, the calls, and the outputs that a row may use.
    """
    cells = {
        (name, noise, solver, calls, history): FreeCell(mixture_text(name), solver, calls, history)
        for name in names
        for noise, calls, history in cases
        for solver in FORMS[noise]
    }
    found = run_tasks(list(cells.values()), store, jobs, "free tables")
    keys = ("toy", "noise", "start", "calls", "history")
    rows = [dict(zip(keys, key, strict=True)) | row for key, row in zip(cells, found, strict=True)]
    return pd.DataFrame(rows)


def compute_study(store: Store, jobs: int | None) -> None:
    """Compute FREE_ROWS again."""
    table = free_rows(store, jobs).assign(**versions())
    table.insert(0, "command", COMMAND)
    write_csv(table, rows_new(FREE_ROWS))
