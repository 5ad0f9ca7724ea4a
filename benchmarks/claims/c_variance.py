"""Paper C's variances under its own assumptions: propositions 3.1, 4.1, 4.2, (4.3), remark 2.

Predictions at two levels are taken as independent, with variances proportional to sigma^2 where the
paper says so. The coefficients of the predictions in an iteration come from the engine's tables.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from benchmarks.claims.c_single import FORMS, MIXES, STAGES, levels
from benchmarks.claims.c_solution import clock
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.measure.conditional_entropy import Step, paper_change
from theory.checks import Array
from theory.solvers.differences import fd_2_table, re_single_table
from theory.solvers.reducing import re_multi_iteration
from theory.solvers.table import SolverTable
from toys.reducing import constants

PAPER_STEP = Step("re_single noise", "re_single", "noise")


@dataclass(frozen=True)
class Shares:
    """Coefficients of the predictions in a two-call step, f(x') = f(x) + on_a d_a + on_s d_s."""

    on_a: float
    on_s: float

    def variance(self, v_a: float, v_s: float) -> float:
        """Variance of the increment, for independent predictions."""
        return self.on_a**2 * v_a + self.on_s**2 * v_s


def shares(table: SolverTable, form: str, a: float, b: float) -> Shares:
    """Shares of a table of two rows: u = (s / a) x + (1 - s / a) D_a, x' = keep u + w D_s + v D_a.

    In the noise form D_a = x - a eps_a, u = x + (s - a) eps_a and D_s = u - s eps_s.
    """
    s, keep = float(table.sigma[1]), float(table.keep[1, 0])
    w, v = (float(weight) for weight in table.weights[1])
    if form == "noise":
        return Shares((keep + w) * (s - a) - v * a, -w * s)
    return Shares((keep * (a - s) / a + v) / b, w / b)


def interval_of_differences(case: Case) -> Reading:
    """Proposition 3.1: for h / h_s in its interval (3.7) has at most the variance of (3.5).

    V_s / V_t is drawn so that h / h_s is inside; at the upper end both variances are equal.
    """
    a, b = levels(case)
    share = float(case.rng.uniform(0.0, 1.0))
    readings = []
    for form in FORMS:
        for stage in STAGES:
            table = fd_2_table([a, b], form=form, stage=stage)
            s = float(table.sigma[1])
            h = clock(b, form) - clock(a, form)
            r = h / (clock(s, form) - clock(a, form))
            end = 4.0 / r - 1.0  # V_s / V_t at which r is the upper end
            if end > 0:  # otherwise the interval is empty or a point
                found = shares(table, form, a, b)
                readings.append(at_most(found.variance(1.0, share * end), h**2))
                readings.append(relative(found.variance(1.0, end), h**2))
    return worst(readings)


def distinct_components(case: Case) -> Reading:
    """(4.2): h^2 (g^2 V_s + (1 - g)^2 V_a) is the variance of the term h (g d_s + (1 - g) d_a).

    (4.1) has this term where (3.7) has h d_a. The engine's tables give the difference of the two
    iterations, which is added to h d_a.
    """
    a, b = levels(case)
    v_a, v_s = case.rng.uniform(0.1, 1.0, 2).tolist()
    readings = []
    for form in FORMS:
        h = clock(b, form) - clock(a, form)
        for stage in STAGES:
            table = fd_2_table([a, b], form=form, stage=stage)
            plain, s = shares(table, form, a, b), float(table.sigma[1])
            for name, weight in MIXES.items():
                g = weight(a**-2, s**-2)
                mixed = shares(
                    re_single_table([a, b], form=form, stage=stage, mix=name), form, a, b
                )
                part = Shares(h + mixed.on_a - plain.on_a, mixed.on_s - plain.on_s)
                wanted = h**2 * (g**2 * v_s + (1.0 - g) ** 2 * v_a)
                readings.append(relative(part.variance(v_a, v_s), wanted))
    return worst(readings)


def printed_change(g: float, ratio: float) -> float:
    """exp(2 Delta H) of (4.3): 1 - 2 g + g^2 + g^2 V_s / V_t."""
    return 1.0 - 2.0 * g + g**2 + g**2 * ratio


def entropy_change(case: Case) -> Reading:
    """(4.3) against the suite's `paper_change` at the lower end, V an arbitrary power of sigma."""
    a, b = levels(case)
    power = float(case.rng.uniform(-3.0, 3.0))
    s = float(np.sqrt(a * b))
    engine = paper_change(PAPER_STEP, a, b, lambda sigma: sigma**power)
    g = MIXES["lower"](a**-2, s**-2)
    return relative(np.exp(2.0 * engine), printed_change(g, (s / a) ** power))


def least_change(case: Case) -> Reading:
    """(4.3) is least at g = SNR_s / (SNR_t + SNR_s), the engine's weight "minimum"."""
    a, b = levels(case)
    plain = shares(fd_2_table([a, b]), "noise", a, b)
    mixed = shares(re_single_table([a, b], mix="minimum"), "noise", a, b)
    g, ratio = (mixed.on_s - plain.on_s) / (b - a), b / a  # V_s / V_t = s^2 / a^2 = b / a
    least = float(minimize_scalar(lambda w: printed_change(w, ratio)).fun)
    return at_most(printed_change(g, ratio), least)


def never_positive(case: Case, interval: bool) -> Reading:
    """Delta H <= 0 in (4.3) for any g in (0, 1], or for g in proposition 4.1's interval."""
    a, b = levels(case)
    s = float(np.sqrt(a * b))
    drawn = np.append(case.rng.uniform(1e-3, 1.0, 20), 1.0)
    if interval:
        low, high = (MIXES[end](a**-2, s**-2) for end in ("lower", "upper"))
        drawn = np.append(low + (high - low) * drawn, [low, high])
    inside = [at_most(float(drawn.max()), 1.0), at_most(-float(drawn.min()), 0.0)]
    return worst(
        [
            *(inside if interval else ()),
            *(at_most(printed_change(g, (s / a) ** 2), 1.0) for g in drawn),
        ]
    )


def whole_increment(case: Case) -> Reading:
    """Proposition 4.1 with all terms: (4.1)'s increment has less variance than (3.7)'s.

    (4.2) leaves out the last term, which contains the same two predictions. With it, under the
    paper's own assumptions, (4.1) has the larger variance at any weight once
    h / h_s >= 2 / (1 + V_s / V_t).
    """
    a, b = levels(case)
    table = fd_2_table([a, b])
    s = float(table.sigma[1])
    plain = shares(table, "noise", a, b).variance(a**2, s**2)
    mixed = shares(re_single_table([a, b]), "noise", a, b).variance(a**2, s**2)
    return at_most(mixed, plain)


def whole_increment_by_formula(case: Case) -> float:
    """The excess of `whole_increment`, from h, r = 1 + sqrt(b / a), g and V_s / V_t = b / a."""
    a, b = levels(case)
    ratio = b / a
    r, g = 1.0 + np.sqrt(ratio), ratio / (1.0 + ratio)
    plain = (1.0 - 0.5 * r) ** 2 + 0.25 * r**2 * ratio
    mixed = (1.0 - 0.5 * r - g) ** 2 + (0.5 * r + g) ** 2 * ratio
    return float((mixed - plain) / max(mixed, plain))


def three(case: Case) -> tuple[float, float, float]:
    """Levels of t_{i+1}, t_i and t_{i-1}: the case's first three, or its two and their middle."""
    first, second = case.sigmas[:2].tolist()
    if case.sigmas.size > 2:
        return first, second, float(case.sigmas[2])
    return first, float(np.sqrt(first * second)), second


def engine_weights(case: Case, prior: str) -> tuple[float, float]:
    """The engine's weights of proposition 4.2: zeta of d_{i-1} in d_s, and of d_i in d_l."""
    a1, a, b = three(case)
    step = constants(case.toy.dim, re_multi_iteration([a1, a, b], prior=prior))[1]
    return float(step[5]), float(1.0 - step[3] / step[6])


def interpolations(case: Case, prior: str) -> Reading:
    """Proposition 4.2: the share by which the best weight improves on the engine's.

    The variance of both interpolations, w^2 V_near + (1 - w)^2 V_far with V = sigma^2, is minimised
    by search.
    """
    a1, a, b = three(case)
    on_s, on_l = engine_weights(case, prior)
    readings = []
    for w, near, far in ((on_s, b, a), (on_l, a, a1)):
        v_near, v_far = (near / far) ** 2, 1.0

        def variance(t: float, v_near: float = v_near, v_far: float = v_far) -> float:
            return t**2 * v_near + (1.0 - t) ** 2 * v_far

        least = float(minimize_scalar(variance).fun)
        readings.append(Reading(1.0 - least / variance(w), 0.0, f"weight {w:.6g}"))
    return worst(readings)


def swapped_by_formula(case: Case) -> float:
    """The excess of the printed weights, from the least variance V_n V_f / (V_n + V_f)."""
    a1, a, b = three(case)
    pairs = [(b**2, a**2), (a**2, a1**2)]
    least = [n * f / (n + f) for n, f in pairs]
    printed = [(n**2 * n + f**2 * f) / (n + f) ** 2 for n, f in pairs]
    return float(max(1.0 - x / y for x, y in zip(least, printed, strict=True)))


def multistep_variance(case: Case, prior: str) -> Reading:
    """Remark 2 for independent predictions, V = sigma^2, data form: (4.5), (4.6) against (4.4).

    With q = h_i / h_{i+1}, (4.4) has the coefficients h (1 + q / 2) of d_i and -h q / 2 of d_{i+1}.
    Those of (4.5) and (4.6) come from the engine.
    """
    a1, a, b = three(case)
    h, h1 = 1.0 / b - 1.0 / a, 1.0 / a - 1.0 / a1
    step = constants(case.toy.dim, re_multi_iteration([a1, a, b], prior=prior))[1]

    def variance(on: Array, v: Array) -> float:
        return float(h**2 * on**2 @ v)

    v = np.array([a1, a, b]) ** 2 / a1**2
    half, l_part, s_part = 0.5 * h / h1, 0.5 * h * float(step[3]), 0.5 * h * float(step[4])
    vanilla = variance(np.array([-half, 1.0 + half, 0.0]), v)
    explicit = variance(np.array([-l_part, 1.0 + l_part, 0.0]), v)
    implicit = variance(np.array([0.0, 1.0 - s_part, s_part]), v)
    return worst([at_most(explicit, vanilla), at_most(implicit, vanilla)])
