"""Errors of one solver other than divergences: of its paths, its second moment, its quantiles."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from benchmarks.measure.measured import Measured, without
from theory.checks import Array
from theory.gaussian import table_variances
from theory.solvers.reducing import Solver
from theory.solvers.table import SolverTable
from toys import reference, sampling
from toys.laws.build import law_of
from toys.laws.transported import FIRST_REACH
from toys.mixture import Mixture, normals

LOST = 1e3  # data units from the flow's end beyond which a path counts as divergent
RESOLUTION = 1.5  # resolution of the exact law that gives moments to about eight digits


def path_errors(toy: Mixture, table: Solver, paths: int, seed: int) -> dict[str, Measured]:
    """Distances of the paths' ends from those of the reference flow from the same initial states.

    Metric "path_rms" is the root mean square over initial states from N(0, sigma[0]^2 I). Its
    standard error follows from that of the mean square by the delta method. Metric "path_median" is
    the median. There is no value if a path diverges.

    Args:
        toy: The data.
        table: A solver without noise.
        paths: Number of initial states, at least 2.
        seed: Seed, an integer in [0, 2**32).
    """
    starts, ends = reference_ends(toy, table.begin, table.end, paths, seed)
    common = {"route": "reference flow", "paths": paths, "repeats": 1}
    try:
        states = sampling.walk_states(toy, table, starts, seed)
        squares = np.sum((states - ends) ** 2, axis=1)
        worst = float(np.sqrt(squares.max()))
        if worst > LOST:
            raise ValueError(f"paths must end within {LOST:g} of the flow's ends, got {worst:.3g}")
    except ValueError as error:
        lost = without(str(error), **common)  # type: ignore[arg-type]
        return {"path_rms": lost, "path_median": lost}
    value = float(np.sqrt(squares.mean()))
    spread = float(squares.std(ddof=1)) / paths**0.5
    median = float(np.sqrt(np.median(squares)))
    return {
        "path_rms": Measured(value, spread / (2.0 * value), "standard", **common),  # type: ignore[arg-type]
        "path_median": Measured(median, None, "standard", **common),  # type: ignore[arg-type]
    }


def moment_error(toy: Mixture, table: Solver, paths: int, seed: int) -> Measured:
    """Relative error of the second moment, started from the true law at the first level.

    Args:
        toy: The data.
        table: The solver; for one Gaussian it starts from the true law.
        paths: Number of Monte Carlo paths; 0 for the closed form (one Gaussian) or the exact law
            (d = 1).
        seed: Seed of the paths, an integer in [0, 2**32).
    """
    true = toy.variance + float(np.sum(toy.mean**2)) + toy.dim * table.end**2
    if paths:
        states = sampling.sample(toy, table, paths, seed, 0, "data")
        squares = np.sum(states**2, axis=1)
        stderr = float(squares.std(ddof=1)) / paths**0.5 / true
        excess = float(squares.mean()) / true - 1.0
        return Measured(excess, stderr, "standard", "Monte Carlo", paths=paths, repeats=1)
    if toy.size == 1:
        assert isinstance(table, SolverTable)  # the iterations have no noise
        moment = float(table_variances(table, float(toy.stds[0, 0]))[-1])
        return Measured(moment / true - 1.0, route="closed form")
    law = law_of(toy, table, "data", RESOLUTION, FIRST_REACH)
    return Measured(law.moments()[1] / true - 1.0)


def quantile_w1(toy: Mixture, table: Solver, points: int) -> Measured:
    """Wasserstein-1 distance of data and sampler (d = 1, solvers without noise), in data units.

    The sampler's quantiles are the sorted images of the quantiles of its initial law, whether or
    not its map is monotone or continuous. The error is the change of the distance with a quarter of
    the quantiles.

    Args:
        toy: One-dimensional data.
        table: A solver without noise.
        points: Number of quantiles of the initial law.
    """
    try:
        value, coarse = (_quantile_distance(toy, table, n) for n in (points, points // 4))
    except ValueError as error:
        return without(str(error), "quantiles")
    return Measured(value, abs(value - coarse), route="quantiles")


def _quantile_distance(toy: Mixture, table: Solver, points: int) -> float:
    from scipy.special import ndtri

    starts = float(table.start_std) * ndtri(middles(points))
    ends = sampling.walk_states(toy, table, starts[:, None], 0)[:, 0]
    return float(np.mean(np.abs(np.sort(ends) - data_quantiles(toy, table.end, points))))


def middles(n: int) -> Array:
    """The probabilities (i + 1/2) / n, shape (n,)."""
    return (np.arange(n) + 0.5) / n


@lru_cache(maxsize=64)
def reference_ends(
    toy: Mixture, sigma_max: float, sigma_min: float, paths: int, seed: int
) -> tuple[Array, Array]:
    """Initial states from N(0, sigma_max^2 I) and their ends under the exact flow, (n, d) each."""
    starts = sigma_max * normals(paths, toy.dim, seed, 0, 0)
    return starts, reference.flow(toy, starts, np.array([sigma_max, sigma_min]))[-1]


@lru_cache(maxsize=64)
def data_quantiles(toy: Mixture, sigma: float, n: int) -> Array:
    """Quantiles of x0 + sigma eps (d = 1) at the middles of n equal probabilities, shape (n,)."""
    return quantiles(toy, sigma, middles(n))


def quantiles(toy: Mixture, sigma: float, probability: Array) -> Array:
    """Quantiles of x0 + sigma eps (d = 1), by bisection to 1e-13 of the range, shape (n,)."""
    from scipy.special import ndtr

    means, stds = toy.means[:, 0], toy.noisy_stds(sigma)[:, 0]
    low = np.full(probability.shape, float(np.min(means - 40.0 * stds)))
    high = np.full(probability.shape, float(np.max(means + 40.0 * stds)))
    for _ in range(44):
        middle = 0.5 * (low + high)
        below = ndtr((middle[:, None] - means) / stds) @ toy.weights < probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))
