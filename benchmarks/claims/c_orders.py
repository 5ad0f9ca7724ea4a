"""Paper C's orders of convergence: theorem 4.1, (4.4) and algorithm 1, on N(0, c^2).

Every iteration of the paper is linear there, including the state-dependent ones: in one dimension
their weights do not depend on the size of the state. The error of the final standard deviation
comes from the engine's exact recursion or its compiled loop, and again from products of the factors
of all steps (`c_factors`). The order is its slope over a doubling of the steps, on a log-SNR grid.
Where an order is confirmed, the paths of a mixture are also compared with the reference flow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.claims.c_solution import clock, prediction, scale
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, worst
from theory.checks import Array
from theory.gaussian import table_variances
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.reducing import Solver
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from toys import reference, zoo
from toys.mixture import Mixture
from toys.sampling import walk_states

STEPS = (128, 256)
SLACK = 0.2  # allowance for the next order's term in a slope at 128 to 256 steps
# Highest level, lowest level and c for which the leading error of second-order iterations keeps its
# sign.
FIXED = (4.0, 0.25, 1.0)
FIXED_STEPS = (512, 1024)
MIXTURE = "gaussians5"
PATH_RANGE = (2.0, 0.05)
PATH_STARTS = 12


Map = Callable[[Array, float], float]  # (levels, c) to the end state from 1


def ends(case: Case) -> tuple[float, float, float]:
    """Highest level, lowest level and the data's standard deviation."""
    return float(case.sigmas[0]), float(case.sigmas[-1]), float(case.toy.stds[0, 0])


def fitted(end: Map, high: float, low: float, c: float, steps: tuple[int, int]) -> float:
    """Order of an iteration from the errors of `end` at two numbers of steps."""
    exact = float(np.hypot(c, low) / np.hypot(c, high))
    return local_order([abs(end(log_snr_sigmas(n, high, low), c) - exact) for n in steps])


def local_order(errors: list[float]) -> float:
    """Log2 of the ratio of two errors; nan where one is 0 or not finite."""
    before, after = errors
    fine = np.isfinite(before) and np.isfinite(after) and min(before, after) > 0
    return float(np.log2(before / after)) if fine else float("nan")


def slope(case: Case, end: Map) -> float:
    """Order on the case's Gaussian data and range of levels."""
    return fitted(end, *ends(case), STEPS)


@lru_cache(maxsize=1)
def _reference() -> tuple[Mixture, Array, Array]:
    toy = zoo.toy(MIXTURE)
    starts = toy.sample_noisy(PATH_STARTS, PATH_RANGE[0], 0)
    return toy, starts, reference.flow(toy, starts, np.array(PATH_RANGE))[-1]


@dataclass(frozen=True)
class Engine:
    """A solver of the engine as a map of x = 1.

    Args:
        solver: Name of the solver.
        options: Options of the solver, (name, value) pairs.
    """

    solver: str
    options: tuple[tuple[str, Any], ...] = ()

    def table(self, levels: Array) -> Solver:
        """The engine's table or iteration, started at x = 1."""
        return make_table(self.solver, levels, 1.0, **dict(self.options))

    def __call__(self, levels: Array, c: float) -> float:
        """Standard deviation after the last step; for tables by the exact recursion."""
        table = self.table(levels)
        if isinstance(table, SolverTable):
            return float(np.sqrt(table_variances(table, c)[-1]))
        return float(abs(walk_states(Mixture([1.0], [0.0], c), table, np.ones((1, 1)), 0)[0, 0]))

    def path_slope(self) -> float:
        """Order of root mean square distance from the reference flow, on five Gaussians."""
        toy, starts, wanted = _reference()
        errors = []
        for n in STEPS:
            end = walk_states(toy, self.table(log_snr_sigmas(n, *PATH_RANGE)), starts, 0)
            errors.append(float(np.sqrt(np.mean((end - wanted) ** 2))))
        return local_order(errors)


def _off(found: float, claimed: float) -> Reading:
    value = abs(found - claimed) if np.isfinite(found) else float("inf")
    return Reading(value, 0.0, f"fitted order {found:.4g}, claimed {claimed:g}")


def _at_least(found: list[float], claimed: float, name: str) -> Reading:
    """Claimed order minus the least order found; infinite if an order is not finite."""
    shown = ", ".join(f"{v:.4g}" for v in found)
    least = min(found) if np.isfinite(found).all() else float("-inf")
    return Reading(claimed - least, 0.0, f"{name} {shown}, claimed {claimed:g}")


def order(case: Case, engine: Map, claimed: float) -> Reading:
    """Distance of the fitted order from the claimed one, on the case."""
    return _off(slope(case, engine), claimed)


def first_order(case: Case, engine: Engine) -> Reading:
    """The correction of a claim of order 2: order 1, on the case and on a mixture's paths."""
    return worst([order(case, engine, 1.0), _off(engine.path_slope(), 1.0)])


def second_order(case: Case, engine: Map) -> Reading:
    """Order 2 or more on N(0, 1) and, for solvers of the engine, on a mixture's paths.

    The ranges are fixed, because on some the leading error changes its sign at a few hundred steps,
    where a slope is meaningless. (3.7) at s = sqrt(a b) has order 3 on Gaussian data.
    """
    found = [fitted(engine, *FIXED, FIXED_STEPS)]
    if isinstance(engine, Engine):
        found.append(engine.path_slope())
    return _at_least(found, 2.0, "fitted orders")


def order_by_factors(case: Case, own: Map, claimed: float) -> float:
    """The excess of `order` from the products of factors in `c_factors`."""
    return abs(slope(case, own) - claimed)


def literal_by_engine(levels: Array, c: float) -> float:
    """Algorithm 1 with line 3 read literally, by the engine: DDIM except for the last step.

    Line 3 overwrites the state of line 9 in the next turn, except after the last one. So the steps
    to t_2 are DDIM's, followed by the iteration on the last three levels, whose first step is DDIM.
    """
    toy = Mixture([1.0], [0.0], c)
    x = walk_states(toy, make_table("ddim", levels[:-2], 1.0), np.ones((1, 1)), 0)
    return float(abs(walk_states(toy, make_table("re_multi", levels[-3:], 1.0), x, 0)[0, 0]))


def _inverse_miss(toy: Mixture, a: float, b: float, end: Array, form: str) -> tuple[Array, Array]:
    """f(hat x_i) of (4.12) from exact states at b (n,), and the exact f(x_i), by the flow."""
    s = float(np.sqrt(a * b))
    states = reference.flow(toy, end[:, None], np.array([b, s, a]))[:, :, 0]
    d_b, d_s = (prediction(toy, x, v, form) for x, v in zip(states[:2], (b, s), strict=True))
    h, back = clock(b, form) - clock(a, form), clock(s, form) - clock(b, form)
    estimate = scale(end, b, form) - h * d_b + 0.5 * h**2 * (d_s - d_b) / back
    return estimate, np.asarray(scale(states[2], a, form))


def inverse_order(case: Case, form: str) -> Reading:
    """(4.11): the error of the estimate of the inverse integral is O(h^3) on Gaussian data.

    The local order between relative steps of 2 % and 1 % must be at least 3.
    """
    a, errors = case.sigma, []
    for share in (0.02, 0.01):
        found, wanted = _inverse_miss(case.toy, a, a * (1.0 - share), np.ones(1), form)
        errors.append(float(abs(found - wanted)[0]))
    return _at_least([local_order(errors)], 3.0, "local order")


def inverse_order_of_paths(case: Case) -> Reading:
    """(4.12): from a true state, the error of the state before is O(h^3), on five Gaussians."""
    toy, _, end = _reference()
    found_orders = []
    for form in ("noise", "data"):
        errors = []
        for share in (0.02, 0.01):
            b = PATH_RANGE[1]
            found, wanted = _inverse_miss(toy, b / (1.0 - share), b, end[:, 0], form)
            errors.append(float(np.linalg.norm(found - wanted)))
        found_orders.append(local_order(errors))
    return _at_least(found_orders, 3.0, "local orders")
