"""Paper C, (4.4): the two-point iteration against the engine, and the comparison of step sizes."""

import numpy as np

from benchmarks.claims.c_factors import two_point_rows
from benchmarks.claims.c_multi import start
from benchmarks.claims.c_process import balance
from benchmarks.claims.c_solution import clock, prediction, scale
from benchmarks.claims.c_variance import three
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, worst
from theory.solvers.multistep import deis_table
from toys.sampling import walk_states


def two_point_step(case: Case, printed: bool) -> Reading:
    """(4.4) in the data form of section 4.2 and in the noise form, against the engine's kernel.

    The noise form is Adams-Bashforth in sigma, the engine's `ab_2`. The data form is the same in
    1 / sigma, a table of `c_factors`. The left side is printed as f(x_{t_{i+1}}), the state before;
    correct is f(x_{t_{i-1}}).
    """
    grid, toy, x1 = three(case), case.toy, start(case)
    a1, a, b = grid
    tables = {
        "noise": deis_table(2, grid, time="edm", lower_order_final=False),
        "data": two_point_rows("data", np.array(grid)),
    }
    readings = []
    for form, table in tables.items():
        d1 = prediction(toy, x1, a1, form)
        f = scale(x1, a1, form) + (clock(a, form) - clock(a1, form)) * d1
        d0 = prediction(toy, f if form == "noise" else a * f, a, form)
        h, h1 = clock(b, form) - clock(a, form), clock(a, form) - clock(a1, form)
        right = f + h * d0 + 0.5 * h**2 * (d0 - d1) / h1
        left = scale(x1, a1, form) if printed else scale(walk_states(toy, table, x1, 0), b, form)
        readings.append(balance(left, -right))
    return worst(readings)


def two_point_by_slopes(case: Case) -> float:
    """The excess of the printed (4.4) on N(0, c^2), the larger value of both forms.

    There eps = sigma x / (c^2 + sigma^2) and D = c^2 x / (c^2 + sigma^2).
    """
    (a1, a, b), c2 = three(case), float(case.toy.stds[0, 0] ** 2)
    on_1 = a1 / (c2 + a1**2)
    x = 1.0 + (a - a1) * on_1
    on_0 = a / (c2 + a**2) * x
    noise = x + (b - a) * (on_0 + 0.5 * (b - a) / (a - a1) * (on_0 - on_1))
    d_1, d_0 = c2 / (c2 + a1**2), c2 / (c2 + a**2) * x
    h, h1 = 1.0 / b - 1.0 / a, 1.0 / a - 1.0 / a1
    data = a1 * (x / a + h * (d_0 + 0.5 * h / h1 * (d_0 - d_1)))
    return max(abs(1.0 - right) / max(1.0, abs(right)) for right in (noise, data))


def step_sizes(case: Case, sign: float) -> Reading:
    """|h_i| is smaller than |h_i - h_{i+1}| (sign -1, printed) or than |h_i + h_{i+1}| (sign 1)."""
    readings = []
    for form in ("noise", "data"):
        k1, k, k_next = (clock(sigma, form) for sigma in three(case))
        h, h1 = k_next - k, k - k1
        readings.append(at_most(abs(h), abs(h + sign * h1)))
    return worst(readings)


def step_sizes_by_levels(case: Case) -> float:
    """The excess of the printed `step_sizes` from a - b and a1 - a; data form times a1 a b."""
    a1, a, b = three(case)
    found = []
    for h, h1 in ((a - b, a1 - a), ((a - b) * a1, (a1 - a) * b)):
        found.append((h - abs(h - h1)) / max(h, abs(h - h1)))
    return max(found)
