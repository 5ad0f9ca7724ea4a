"""Experiments declared as frozen records: toy -> profile -> sigmas -> table -> law or samples.

A record holds plain values only; its dictionary is the key under which its result is kept.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from benchmarks import metrics
from benchmarks.inputs import parse_toy
from benchmarks.store import versions
from theory.las import Objective
from theory.noise import named_process
from theory.profile import Profile
from theory.schedules import make_sigmas
from theory.solvers import Solver, make_table
from theory.tables import SolverTable
from toys import information, sampling, zoo
from toys.kernels import Array
from toys.mixture import Mixture

PROFILE_POINTS = 400  # levels of an exact profile
SAMPLED_POINTS = 100  # levels of one that Monte Carlo estimates

Option = float | str | bool | None


@dataclass(frozen=True)
class ToyProfile:
    """The exact profile of a mixture on log-spaced sigmas.

    Args:
        toy: Name in the zoo, or the text of a mixture file.
        sigma_min: Lowest level, in data units.
        sigma_max: Highest level.
        points: Number of levels.
    """

    toy: str
    sigma_min: float
    sigma_max: float
    points: int = PROFILE_POINTS

    def run(self) -> dict[str, Any]:
        """Grid, mmse, its standard error and the exact entropies."""
        sigma = np.geomspace(self.sigma_min, self.sigma_max, self.points)
        sigma[0], sigma[-1] = self.sigma_min, self.sigma_max
        return curves_row(load_toy(self.toy), sigma)


def curves_row(toy: Mixture, sigma: Array) -> dict[str, Any]:
    """Information curves as plain lists."""
    found = information.curves(toy, sigma)
    entropy = found.conditional_entropy
    exact = not found.mmse_stderr.any()
    return {
        "dim": toy.dim,
        "sigma": sigma.tolist(),
        "mmse": found.mmse.tolist(),
        "stderr": None if exact else found.mmse_stderr.tolist(),
        "information_stderr": None if exact else found.information_stderr.tolist(),
        "entropy_stderr": None if exact else found.entropy_stderr.tolist(),
        "mutual_information": found.mutual_information.tolist(),
        "conditional_entropy": None if entropy is None else entropy.tolist(),
        "entropy_rate": found.entropy_rate.tolist(),
    }


def to_profile(row: dict[str, Any], source: dict[str, Any]) -> Profile:
    """A Profile from the result of a ToyProfile."""
    return Profile(row["dim"], row["sigma"], row["mmse"], row["stderr"], source)


@dataclass(frozen=True)
class Divergences:
    """KL(data || sampler) of one sampler: exact, or by paper A's Monte Carlo protocol.

    Args:
        toy: Name in the zoo, or the text of a mixture file.
        process: "edm" or "vp"; sets the start law.
        schedule: Name of the schedule, for the row only.
        sigmas: The levels, falling.
        solver: Name of the solver.
        terminal: "stop" or "zero".
        start: "noise" or "data".
        options: Options of the solver, (name, value) pairs.
        paths: Paths a repeat; 0 for the exact law.
        repeats: Number of repeats.
        seed: Whole number in [0, 2**32).
        rtol: Tolerance of the exact law.
        smoothing: Std of a Gaussian added to the sampler's output before comparing, as paper A's
            kernel estimate does; exact law only.
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
        """What the row is about."""
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
        found = metrics.exact_kl(toy, table, self.sigmas[-1], self.start, self.rtol)
        return found.as_row() | {"sd": None, "stderr": 0.0}

    def _sampled(self, toy: Mixture, table: Solver) -> dict[str, Any]:
        values: list[float] = []
        empty: list[int] = []
        distances: list[dict[str, float]] = []
        for r in range(self.repeats):
            samples = sampling.sample(toy, table, self.paths, self.seed, r * self.paths, self.start)
            found = metrics.sample_kl(
                toy, samples, self.sigmas[-1], self.seed, r * metrics.KDE_POINTS
            )
            if found.kl_data_model is None:
                empty.append(found.empty_bins or 0)
            else:
                values.append(found.kl_data_model)
            if toy.dim == 1:
                distances.append(metrics.sample_distances(toy, samples, self.sigmas[-1]))
        means = (
            {k: float(np.mean([d[k] for d in distances])) for k in distances[0]}
            if distances
            else {}
        )
        return summary(values, empty) | means


def summary(values: list[float], empty: list[int]) -> dict[str, Any]:
    """Mean, sd and standard error over repeats; null where a repeat was infinite.

    Args:
        values: KL of the finite repeats; their sd needs two.
        empty: Numbers of empty bins of the infinite ones.
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


def task_key(task: Any) -> dict[str, Any]:
    """A task as plain values."""
    return {"task": type(task).__name__, **asdict(task)}


def schedule(
    name: str,
    n_steps: int,
    process: str,
    profile: Profile | None,
    terminal: str = "stop",
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    c: float | None = None,
    objective: Objective | None = None,
    **more: Any,
) -> Array:
    """Levels of a named schedule between a process's default ends, or the ends given."""
    ends = named_process(process)
    return make_sigmas(
        name,
        n_steps,
        ends.sigma_max if sigma_max is None else sigma_max,
        ends.sigma_min if sigma_min is None else sigma_min,
        terminal,
        profile,
        c,
        objective=objective,
        **more,
    )


def equal_steps(nfe: Callable[[int], int], calls: int) -> int:
    """The most steps, up to `calls`, at which a solver makes at most that many calls; 0 if none.

    Args:
        nfe: Calls at a number of steps, rising with it.
        calls: Calls allowed.
    """
    return bisect_right(range(1, calls + 1), calls, key=nfe)


def needs_profile(name: str, c: float | None = None) -> bool:
    """Whether a schedule draws on the data's profile."""
    drawing = ("entropic", "rescaled", "spectral", "infogrid", "las")
    return name in drawing or (name == "arctan" and c is None)


@cache
def load_toy(spec: str) -> Mixture:
    """A toy of the zoo by name, or from the text of a mixture file."""
    return zoo.toy(spec) if spec in zoo.ZOO else parse_toy(spec)
