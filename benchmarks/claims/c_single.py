"""Paper C, (3.7), (4.1) and propositions 3.2, 3.3: the single-step iterations, written out.

A step goes from level a to b with the inner level s. The noise form has f = x, k = sigma, d = eps,
the data form f = x / sigma, k = 1 / sigma, d = D; h = k_b - k_a and h_s = k_s - k_a. The engine's
side is its solver table, applied by its kernel.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.claims.c_process import balance
from benchmarks.claims.c_solution import clock, prediction, scale
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from theory.checks import Array
from theory.solvers.differences import fd_2_table, re_single_table
from theory.solvers.table import SolverTable
from theory.solvers.two_calls import dpm_solver_2_table, heun_table
from toys.mixture import Mixture
from toys.sampling import walk_states

FORMS = ("noise", "data")
STAGES = ("sqrt", "interval")
MIXES: dict[str, Callable[[float, float], float]] = {
    "lower": lambda snr_a, snr_s: snr_a / (snr_a + snr_s),
    "upper": lambda snr_a, snr_s: max(2.0 * snr_a, snr_s) / (snr_a + snr_s),
    "minimum": lambda snr_a, snr_s: snr_s / (snr_a + snr_s),
}


def levels(case: Case) -> tuple[float, float]:
    """The case's first step, shortened to a / b <= 10.

    A longer step magnifies the rounding of its inner stage by (a / b) (gap / b)^2 where that stage
    lies between two points.
    """
    a = float(case.sigmas[0])
    return a, max(float(case.sigmas[1]), 0.1 * a)


def printed(
    toy: Mixture, x: Array, a: float, s: float, b: float, form: str, mix: float
) -> tuple[Array, Array, Array]:
    """The state after (4.1), d_a and d_s; mix = 0 is (3.7). d_s is taken at the DDIM point.

    f(x') = f(x) + h (mix d_s + (1 - mix) d_a) + h^2 / 2 (d_s - d_a) / h_s.
    """
    h, h_s = clock(b, form) - clock(a, form), clock(s, form) - clock(a, form)
    d_a = prediction(toy, x, a, form)
    inner = scale(x, a, form) + h_s * d_a
    d_s = prediction(toy, inner if form == "noise" else s * inner, s, form)
    mixed = mix * d_s + (1.0 - mix) * d_a
    end = scale(x, a, form) + h * mixed + 0.5 * h**2 * (d_s - d_a) / h_s
    return (end if form == "noise" else b * end), d_a, d_s


def walked(case: Case, table: SolverTable, x: Array) -> Array:
    """States (n,) after the engine's table."""
    return walk_states(case.toy, table, x[:, None], 0)[:, 0]


def starts(case: Case, n: int = 20) -> Array:
    """States (n,) of the data's law at the first level."""
    return case.toy.sample_noisy(n, float(case.sigmas[0]), case.seed)[:, 0]


def difference_step(case: Case) -> Reading:
    """(3.7) against the engine's `fd_2`, both forms, both inner levels."""
    a, b = levels(case)
    x = starts(case)
    readings = []
    for form in FORMS:
        for stage in STAGES:
            table = fd_2_table([a, b], form=form, stage=stage)
            end, *_ = printed(case.toy, x, a, float(table.sigma[1]), b, form, 0.0)
            readings.append(balance(end, -walked(case, table, x)))
    return worst(readings)


def mixed_step(case: Case) -> Reading:
    """(4.1) against the engine's `re_single`, both forms and inner levels, all named weights."""
    a, b = levels(case)
    x = starts(case)
    readings = []
    for form in FORMS:
        for stage in STAGES:
            for name, weight in MIXES.items():
                table = re_single_table([a, b], form=form, stage=stage, mix=name)
                s = float(table.sigma[1])
                end, *_ = printed(case.toy, x, a, s, b, form, weight(a**-2, s**-2))
                readings.append(balance(end, -walked(case, table, x)))
    return worst(readings)


def stage_ratio(case: Case) -> Reading:
    """(3.7), "often h_s / h <= 1": the engine's inner levels lie inside the step."""
    a, b = levels(case)
    readings = []
    for form in FORMS:
        for stage in STAGES:
            s = float(fd_2_table([a, b], form=form, stage=stage).sigma[1])
            share = (clock(s, form) - clock(a, form)) / (clock(b, form) - clock(a, form))
            readings += [at_most(share, 1.0), at_most(-share, 0.0)]
    return worst(readings)


def shared_limit(case: Case) -> Reading:
    """(4.1) minus (3.7) is mix h (d_s - d_t), which vanishes as s tends to t.

    The identity is checked at every s. As the distance of s from t falls from 1e-2 to 1e-5 of the
    step, the norm of d_s - d_t must fall to a tenth or less (it falls to a thousandth if linear).
    """
    a, b = levels(case)
    x, mix = starts(case), 0.7
    readings = []
    for form in FORMS:
        h = clock(b, form) - clock(a, form)
        sizes = []
        for share in (1e-2, 1e-5):
            s = a - share * (a - b)
            plain, d_a, d_s = printed(case.toy, x, a, s, b, form, 0.0)
            moved, *_ = printed(case.toy, x, a, s, b, form, mix)
            gap = mix * h * (d_s - d_a) * (1.0 if form == "noise" else b)
            readings.append(balance(moved, -plain, -gap))
            sizes.append(float(np.linalg.norm(d_s - d_a)))
        if sizes[1] > 1e-12 * float(np.linalg.norm(d_a)):  # otherwise it has vanished
            readings.append(at_most(sizes[1], 0.1 * sizes[0]))
    return worst(readings)


def interval_stage(case: Case) -> Reading:
    """Proposition 3.2: with V = 1 / SNR, 4 V_t / (V_s + V_t) is 4 SNR_s / (SNR_t + SNR_s).

    At the engine's inner level "interval" h / h_s equals that upper end, in both forms.
    """
    a, b = levels(case)
    readings = []
    for form in FORMS:
        s = float(fd_2_table([a, b], form=form, stage="interval").sigma[1])
        ratio = (clock(b, form) - clock(a, form)) / (clock(s, form) - clock(a, form))
        v_t, v_s = a**2, s**2
        readings.append(relative(ratio, 4.0 * s**-2 / (a**-2 + s**-2)))
        readings.append(relative(4.0 * v_t / (v_s + v_t), 4.0 * s**-2 / (a**-2 + s**-2)))
    return worst(readings)


def known_instances(case: Case) -> Reading:
    """Proposition 3.3: EDM's Heun is (3.7) with s = t_{i-1}; DPM-Solver-2 is (4.1).

    DPM-Solver-2 has s = sqrt(a b) and the weight (1 - sqrt(b / a)) / 2, in (0, 1/2). With
    independent predictions and V = 1 / SNR their variances, h^2 (V_t + V_b) / 4 and h^2 V_s, are
    at most DDIM's h^2 V_t.
    """
    a, b = levels(case)
    x = starts(case)
    s = float(np.sqrt(a) * np.sqrt(b))
    heun, *_ = printed(case.toy, x, a, b, b, "noise", 0.0)
    weight = 0.5 * (1.0 - float(np.sqrt(b / a)))
    dpm, *_ = printed(case.toy, x, a, s, b, "noise", weight)
    return worst(
        [
            balance(heun, -walked(case, heun_table([a, b]), x)),
            balance(dpm, -walked(case, dpm_solver_2_table([a, b]), x)),
            at_most(0.25 * (a**2 + b**2), a**2),
            at_most(s**2, a**2),
        ]
    )


def one_iteration(case: Case) -> Reading:
    """At s = sqrt(a b) the noise and data forms of (3.7) are the same iteration, as for (3.5)."""
    a, b = levels(case)
    x, s = starts(case), float(np.sqrt(a) * np.sqrt(b))
    ends = [printed(case.toy, x, a, s, b, form, 0.0)[0] for form in FORMS]
    return balance(ends[0], -ends[1])
