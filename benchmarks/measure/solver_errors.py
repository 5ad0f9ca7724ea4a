"""Tasks that measure the error of one solver on one list of levels, by several metrics.

Every row has a value, its standard error (0 if exact), an estimate of its numerical error where
there is one, and a reason where there is no value. Terminal policy "stop", EDM's initial law.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from benchmarks.measure import divergences
from theory.checks import Array
from theory.gaussian import table_variances
from theory.solvers.reducing import Solver
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from theory.versions import versions
from toys import reference, sampling, zoo
from toys.laws.law import FIRST_REACH, Law
from toys.mixture import Mixture, normals

LOST = 1e3  # data units from the flow's end beyond which a path counts as divergent
RESOLUTION = 1.5  # resolution of the exact law that gives moments to about eight digits


@dataclass(frozen=True)
class SolverTask:
    """One solver on one toy and one list of levels.

    Args:
        toy: Name in the zoo.
        schedule: Name of the schedule; it only labels the row.
        sigmas: The levels, falling, all positive.
        solver: Name of the solver.
        options: Its options, (name, value) pairs.
    """

    toy: str
    schedule: str
    sigmas: tuple[float, ...]
    solver: str
    options: tuple[tuple[str, float | bool], ...] = ()

    def table(self, start_std: float | None = None) -> Solver:
        """The solver's table, or its state-dependent iteration."""
        return make_table(self.solver, np.array(self.sigmas), start_std, **dict(self.options))

    def labels(self, metric: str, start: str) -> dict[str, Any]:
        """The columns that identify the task."""
        return {
            "toy": self.toy,
            "process": "edm",
            "schedule": self.schedule,
            "solver": self.solver,
            "options": " ".join(f"{key}={value}" for key, value in self.options),
            "n_steps": len(self.sigmas) - 1,
            "nfe": self.table().nfe,
            "terminal": "stop",
            "start": start,
            "sigma_max": self.sigmas[0],
            "sigma_min": self.sigmas[-1],
            "metric": metric,
        }


@dataclass(frozen=True)
class PathErrors(SolverTask):
    """Distance of the paths' ends from those of the reference flow from the same starts.

    Metric "path_rms" is the root mean square over initial states from N(0, sigma_max^2 I). Its
    standard error follows from that of the mean square by the delta method. The row also has the
    median. There is no value if a path diverges.

    Args:
        paths: Number of initial states.
        seed: Whole number in [0, 2**32).
    """

    paths: int = 200
    seed: int = 0

    def run(self) -> dict[str, Any]:
        """One tidy row."""
        toy, row = zoo.toy(self.toy), self.labels("path_rms", "noise")
        starts, ends = reference_ends(
            self.toy, self.sigmas[0], self.sigmas[-1], self.paths, self.seed
        )
        row |= {"method": "reference flow", "paths": self.paths, "seed": self.seed}
        try:
            states = sampling.walk_states(toy, self.table(), starts, self.seed)
        except ValueError as error:
            return row | no_value(str(error)) | {"median": None} | versions()
        squares = np.sum((states - ends) ** 2, axis=1)
        worst = float(np.sqrt(squares.max()))
        if worst > LOST:
            reason = f"paths must end within {LOST:g} of the flow's ends, got {worst:.3g}"
            return row | no_value(reason) | {"median": None} | versions()
        value = float(np.sqrt(squares.mean()))
        spread = float(squares.std(ddof=1)) / self.paths**0.5
        row |= {"value": value, "error": None, "stderr": spread / (2.0 * value), "reason": None}
        return row | {"median": float(np.sqrt(np.median(squares)))} | versions()


@dataclass(frozen=True)
class MomentErrors(SolverTask):
    """Metric "moment": relative error of the second moment, from the true law at sigma_max.

    value is the absolute error and excess the signed one.

    Args:
        paths: Number of Monte Carlo paths; 0 for the closed form (one Gaussian) or the exact law
            (d = 1).
        seed: Whole number in [0, 2**32).
    """

    paths: int = 0
    seed: int = 0

    def run(self) -> dict[str, Any]:
        """One tidy row."""
        toy, row = zoo.toy(self.toy), self.labels("moment", "data")
        row |= {"paths": self.paths, "seed": self.seed if self.paths else None}
        true = toy.variance + float(np.sum(toy.mean**2)) + toy.dim * self.sigmas[-1] ** 2
        stderr = 0.0
        if self.paths:
            states = sampling.sample(toy, self.table(), self.paths, self.seed, 0, "data")
            squares = np.sum(states**2, axis=1)
            moment, row["method"] = float(squares.mean()), "Monte Carlo"
            stderr = float(squares.std(ddof=1)) / self.paths**0.5 / true
        elif toy.size == 1:
            c = float(toy.stds[0, 0])
            table = self.table(float(np.hypot(c, self.sigmas[0])))
            assert isinstance(table, SolverTable)  # the iterations have no noise
            moment, row["method"] = float(table_variances(table, c)[-1]), "closed form"
        else:
            law = Law(toy, self.table(), "data", RESOLUTION, FIRST_REACH)
            moment, row["method"] = law.moments()[1], "exact law"
        excess = moment / true - 1.0
        row |= {"value": abs(excess), "error": None, "stderr": stderr, "reason": None}
        return row | {"excess": excess} | versions()


@dataclass(frozen=True)
class Wasserstein(SolverTask):
    """Metric "w1": Wasserstein-1 distance of data and sampler (d = 1, solvers without noise).

    The sampler's quantiles are the sorted images of the quantiles of its initial law, whether or
    not its map is monotone or continuous. error is the change of the distance with a quarter of
    the quantiles.

    Args:
        points: Number of quantiles of the initial law.
    """

    points: int = 2**15

    def run(self) -> dict[str, Any]:
        """One tidy row."""
        row = self.labels("w1", "noise") | {"method": "quantiles", "paths": 0, "seed": None}
        try:
            value, coarse = self._distance(self.points), self._distance(self.points // 4)
        except ValueError as error:
            return row | no_value(str(error)) | versions()
        found = {"value": value, "error": abs(value - coarse), "stderr": 0.0, "reason": None}
        return row | found | versions()

    def _distance(self, points: int) -> float:
        starts = self.sigmas[0] * ndtri(middles(points))
        ends = sampling.walk_states(zoo.toy(self.toy), self.table(), starts[:, None], 0)[:, 0]
        gaps = np.sort(ends) - data_quantiles(self.toy, self.sigmas[-1], points)
        return float(np.mean(np.abs(gaps)))


@dataclass(frozen=True)
class ExactKL(SolverTask):
    """Metric "kl_data_model": KL(data || sampler) from the exact law (d = 1).

    Args:
        rtol: Tolerance of the exact law.
    """

    rtol: float = 1e-5

    def run(self) -> dict[str, Any]:
        """One tidy row."""
        row = self.labels("kl_data_model", "noise")
        row |= {"method": "exact law", "paths": 0, "seed": None}
        toy = zoo.toy(self.toy)
        try:
            found = divergences.exact_kl(toy, self.table(), "noise", self.rtol)
        except ValueError as error:  # the law does not converge
            return row | no_value(str(error)) | versions()
        row |= {"value": found.kl_data_model, "error": found.error, "stderr": 0.0}
        return row | {"reason": found.reason} | versions()


def no_value(reason: str) -> dict[str, Any]:
    """The fields of a row whose value does not exist, with the reason."""
    return {"value": None, "error": None, "stderr": None, "reason": reason}


def middles(n: int) -> Array:
    """The probabilities (i + 1/2) / n, shape (n,)."""
    return (np.arange(n) + 0.5) / n


@cache
def reference_ends(
    toy: str, sigma_max: float, sigma_min: float, paths: int, seed: int
) -> tuple[Array, Array]:
    """Initial states from N(0, sigma_max^2 I) and their ends under the exact flow, (n, d) each."""
    data = zoo.toy(toy)
    starts = sigma_max * normals(paths, data.dim, seed, 0, 0)
    return starts, reference.flow(data, starts, np.array([sigma_max, sigma_min]))[-1]


@cache
def data_quantiles(toy: str, sigma: float, n: int) -> Array:
    """Quantiles of x0 + sigma eps (d = 1) at the middles of n equal probabilities, shape (n,)."""
    data = zoo.toy(toy)
    return quantiles(data, sigma, middles(n))


def quantiles(toy: Mixture, sigma: float, probability: Array) -> Array:
    """Quantiles of x0 + sigma eps (d = 1), by bisection to 1e-13 of the range, shape (n,)."""
    means, stds = toy.means[:, 0], toy.noisy_stds(sigma)[:, 0]
    low = np.full(probability.shape, float(np.min(means - 40.0 * stds)))
    high = np.full(probability.shape, float(np.max(means + 40.0 * stds)))
    for _ in range(44):
        middle = 0.5 * (low + high)
        below = ndtr((middle[:, None] - means) / stds) @ toy.weights < probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))
