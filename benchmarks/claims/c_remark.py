"""Paper C, remark 2 measured with the true, dependent predictions: (4.5) and (4.6) against (4.4).

All is in the data form. Variances are of the state x' given x0, over x_{i+1} = x0 + a1 z. The
weights are the engine's. (4.6) takes d_{i-1} at the state of (4.5), as algorithm 1 does.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.claims.c_measured import Z_NODES, given_points, std_of
from benchmarks.claims.c_variance import three
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most
from theory.checks import Array
from theory.solvers.ddim import ddim_table
from theory.solvers.reducing import re_multi_iteration
from toys.reducing import constants
from toys.sampling import walk_states

FORMS = ("explicit", "implicit")
Denoiser = Callable[[Array, float], Array]


def ends(
    x: Array, d1: Array, on: tuple[float, float], case: Case, denoise: Denoiser
) -> dict[str, Array]:
    """States (n,) after (4.4), key "plain", (4.5), key "explicit", and (4.6), key "implicit".

    Args:
        x: States at t_i, shape (n,).
        d1: Predictions at t_{i+1}, shape (n,).
        on: Coefficient of d_i - d_{i+1} in the quotient of (4.5), and of d_{i-1} - d_i in (4.6).
        case: The case, whose levels are used.
        denoise: The data prediction.
    """
    a1, a, b = three(case)
    h, h1 = 1.0 / b - 1.0 / a, 1.0 / a - 1.0 / a1
    d0 = denoise(x, a)
    first = x / a + h * d0
    found = {
        "plain": b * (first + 0.5 * h**2 * (d0 - d1) / h1),
        "explicit": b * (first + 0.5 * h**2 * on[0] * (d0 - d1)),
    }
    ahead = denoise(found["explicit"], b) - d0
    return found | {"implicit": b * (first + 0.5 * h**2 * on[1] * ahead)}


def engine_shares(case: Case, prior: str) -> tuple[float, float]:
    """The engine's factors of d_i - d_{i+1} in B(t_i, l_i) and of d_{i-1} - d_i in B(s_i, t_i)."""
    step = constants(case.toy.dim, re_multi_iteration(three(case), prior=prior))[1]
    return float(step[3]), float(step[4])


def gaussian_state(case: Case, prior: str, form: str = "explicit") -> Reading:
    """N(0, c^2): Var(x' | x0) of (4.5), or (4.6), is at most that of (4.4).

    x_i is taken on the exact flow from x_{i+1}, so that all predictions are multiples of x_{i+1}.
    """
    (a1, a, _), c = three(case), std_of(case)
    x = np.array([np.hypot(c, a) / np.hypot(c, a1)])

    def denoise(v: Array, sigma: float) -> Array:
        return np.asarray(c**2 / (c**2 + sigma**2) * v)

    found = ends(x, denoise(np.ones(1), a1), engine_shares(case, prior), case, denoise)
    return at_most(found[form] ** 2, found["plain"] ** 2)


def point_state(case: Case, prior: str, form: str) -> Reading:
    """Points: E Var(x' | x0) of (4.5), or (4.6), is at most that of (4.4), after a step of DDIM.

    The rule in z is trapezoidal for every point.
    """
    (a1, a, _), toy = three(case), case.toy
    table, on = ddim_table([a1, a]), engine_shares(case, prior)
    states: dict[str, list[Array]] = {"plain": [], form: []}
    for x0 in toy.means[:, 0]:
        x1 = x0 + a1 * Z_NODES
        x = walk_states(toy, table, x1[:, None], 0)[:, 0]
        found = ends(x, toy.denoise(x1, a1), on, case, toy.denoise)
        for name, values in states.items():
            values.append(found[name])
    return at_most(*(given_points(toy, states[name]) for name in (form, "plain")))
