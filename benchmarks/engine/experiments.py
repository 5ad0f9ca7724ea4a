"""Experiments declared as frozen records: toy -> profile -> sigmas -> table -> law or samples.

A record holds plain values only. Its dictionary is the key under which the store keeps its result.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.measure import divergences
from theory.names import Option
from theory.noise.processes import named_process
from theory.solvers.reducing import Solver
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from theory.versions import versions
from toys import sampling
from toys.files import load_toy
from toys.mixture import Mixture


@dataclass(frozen=True)
class Divergences:
    """KL(data || sampler) of one sampler: exact, or by paper A's Monte Carlo protocol.

    Args:
        toy: Name in the zoo, or the text of a mixture file.
        process: "edm" or "vp", which sets the initial law.
        schedule: Name of the schedule; it only labels the row.
        sigmas: The levels, falling.
        solver: Name of the solver.
        terminal: Terminal policy, "stop" or "zero"; it only labels the row.
        start: Initial law: "noise", or "data" for the true law at the highest level.
        options: Options of the solver, (name, value) pairs.
        paths: Number of paths per repeat; 0 for the exact law.
        repeats: Number of repeats.
        seed: Whole number in [0, 2**32).
        rtol: Tolerance of the exact law.
        smoothing: Standard deviation of a Gaussian added to the sampler's output before the
            comparison, as in paper A's kernel estimate; exact law only.
    """

    toy: str
    process: str
    schedule: str
    sigmas: tuple[float, ...]
    solver: str = "stochastic_ddim"
    terminal: str = "stop"
    start: str = "noise"
    options: tuple[tuple[str, Option], ...] = ()
    paths: int = 0
    repeats: int = 1
    seed: int = 0
    rtol: float = 1e-8
    smoothing: float = 0.0

    @property
    def table(self) -> Solver:
        """The solver's table, or its state-dependent iteration."""
        start_std = named_process(self.process).start_std(self.sigmas[0])
        table = make_table(self.solver, np.array(self.sigmas), start_std, **dict(self.options))
        return table if self.smoothing == 0 else smoothed(table, self.sigmas[-2], self.smoothing)

    def labels(self) -> dict[str, Any]:
        """The columns that identify the experiment."""
        return {
            "toy": self.toy,
            "process": self.process,
            "schedule": self.schedule,
            "solver": self.solver,
            "n_steps": len(self.sigmas) - 1,
            "nfe": self.table.nfe - (self.smoothing > 0),
            "terminal": self.terminal,
            "start": self.start,
            "options": " ".join(f"{key}={value}" for key, value in self.options),
            "sigma_max": self.sigmas[0],
            "sigma_min": self.sigmas[-1] or self.sigmas[-2],
            "smoothing": self.smoothing,
            "paths": self.paths,
            "repeats": self.repeats if self.paths else 0,
            "seed": self.seed if self.paths else None,
        }

    def run(self) -> dict[str, Any]:
        """One tidy row."""
        toy, table, row = load_toy(self.toy), self.table, self.labels()
        row |= self._sampled(toy, table) if self.paths else self._exact(toy, table)
        return row | versions()

    def _exact(self, toy: Mixture, table: Solver) -> dict[str, Any]:
        found = divergences.exact_kl(toy, table, self.start, self.rtol)
        return found.as_row() | {"sd": None, "stderr": 0.0}

    def _sampled(self, toy: Mixture, table: Solver) -> dict[str, Any]:
        values: list[float] = []
        empty: list[int] = []
        distances: list[dict[str, float]] = []
        for r in range(self.repeats):
            samples = sampling.sample(toy, table, self.paths, self.seed, r * self.paths, self.start)
            found = divergences.sample_kl(
                toy, samples, self.sigmas[-1], self.seed, r * divergences.KDE_POINTS
            )
            if found.kl_data_model is None:
                empty.append(found.empty_bins or 0)
            else:
                values.append(found.kl_data_model)
            if toy.dim == 1:
                distances.append(divergences.sample_distances(toy, samples, self.sigmas[-1]))
        means = (
            {k: float(np.mean([d[k] for d in distances])) for k in distances[0]}
            if distances
            else {}
        )
        return summary(values, empty) | means


def summary(values: list[float], empty: list[int]) -> dict[str, Any]:
    """Mean, standard deviation and standard error over repeats; None if a repeat was infinite.

    Args:
        values: KL of each finite repeat; the standard deviation needs at least two.
        empty: Number of empty bins of each infinite repeat.
    """
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {
        "kl_data_model": float(np.mean(values)) if values and not empty else None,
        "error": None,
        "reason": f"{len(empty)} repeats with up to {max(empty)} empty bins" if empty else None,
        "empty_bins": max(empty, default=0),
        "infinite_repeats": len(empty),
        "sd": sd,
        "stderr": None if sd is None or empty else sd / len(values) ** 0.5,
        "kl_finite_mean": float(np.mean(values)) if values else None,
    }


def smoothed(table: Solver, sigma: float, std: float) -> SolverTable:
    """The table with one more row that adds N(0, std^2) to its output."""
    if not isinstance(table, SolverTable):
        raise ValueError(f"smoothing must be 0 for an iteration that is no table, got {std:g}")
    return replace(
        table,
        sigma=np.append(table.sigma, sigma),
        keep=np.vstack([table.keep, np.eye(1, table.keep.shape[1])]),
        weights=np.vstack([table.weights, np.zeros((1, table.weights.shape[1]))]),
        noise=np.append(table.noise, std),
    )
