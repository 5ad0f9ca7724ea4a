"""Paper C, (4.5) to (4.8) and algorithm 1: the multi-step iterations against the engine's.

All is in the data form, f = x / sigma, k = 1 / sigma, d = D, unless noted otherwise. Levels
a1 > a > b are those of t_{i+1}, t_i and t_{i-1}.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from benchmarks.claims.c_process import balance
from benchmarks.claims.c_variance import engine_weights, three
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, worst
from theory.checks import Array
from theory.solvers.reducing import ReducingIteration, re_multi_2025_iteration, re_multi_iteration
from toys.reducing import constants, weights_used
from toys.sampling import walk_states

PATHS = 16
PRIORS = ("printed", "minimiser", "log_snr")


def start(case: Case) -> Array:
    """States (n, d) of the data's law at a1."""
    return case.toy.sample_noisy(PATHS, three(case)[0], case.seed)


@dataclass(frozen=True)
class Second:
    """The second step of an iteration over three levels.

    Args:
        x: State at a, shape (n, d).
        d0: Prediction at (x, a), shape (n, d).
        d1: Prediction at a1, shape (n, d).
        h: k_b - k_a.
        h1: k_a - k_a1.
        weights: zeta of d_s and of d_l, as proposition 4.2 prints them or minimising.
        d_s: Interpolation between a prediction at b and d0; with "log_snr" that prediction itself.
        d_l: Interpolation between d0 and d1; with "log_snr" it gives the quotient of line 4.
        b_s: B(s_i, t_i) = (d_s - d0) / h.
        b_l: B(t_i, l_i) = (d0 - d_l) / h1, or (d0 - d1) / (r h).
    """

    x: Array
    d0: Array
    d1: Array
    h: float
    h1: float
    weights: tuple[float, float]
    d_s: Array
    d_l: Array
    b_s: Array
    b_l: Array


def second(case: Case, prior: str, d_t: Array | None = None) -> Second:
    """(4.5) and (4.6) after a first step of DDIM, with a prediction d_t at b (0 if not given)."""
    (a1, a, b), toy, x1 = three(case), case.toy, start(case)
    d1 = toy.denoise(x1, a1)
    x = a / a1 * x1 + (1.0 - a / a1) * d1
    d0 = toy.denoise(x, a)
    h, h1 = 1.0 / b - 1.0 / a, 1.0 / a - 1.0 / a1
    ahead = np.zeros_like(d0) if d_t is None else d_t
    if prior == "log_snr":
        on_s, on_l = 1.0, 1.0 - h1 / (float(np.log(a1 / a) / np.log(a / b)) * h)
    else:
        on_s, on_l = b**2 / (a**2 + b**2), a**2 / (a**2 + a1**2)
        if prior == "minimiser":
            on_s, on_l = 1.0 - on_s, 1.0 - on_l
    d_s = on_s * ahead + (1.0 - on_s) * d0
    d_l = on_l * d0 + (1.0 - on_l) * d1
    return Second(x, d0, d1, h, h1, (on_s, on_l), d_s, d_l, (d_s - d0) / h, (d0 - d_l) / h1)


def interpolated_quotients(case: Case, ahead: bool) -> Reading:
    """(4.5), (4.6): the interpolated predictions d_l and d_s, against the engine's factors.

    d_i - d_l = h_{i+1} B(t_i, l_i) and d_s - d_i = h_i B(s_i, t_i), with B from the engine.
    """
    readings = []
    for prior in ("printed", "minimiser"):
        factors = constants(case.toy.dim, re_multi_iteration(three(case), prior=prior))[1]
        d_t = case.toy.denoise(start(case), three(case)[2])  # any prediction at b
        s = second(case, prior, d_t)
        if ahead:
            readings.append(balance(s.d_s, -s.d0, -s.h * float(factors[4]) * (d_t - s.d0)))
        else:
            readings.append(balance(s.d0, -s.d_l, -s.h1 * float(factors[3]) * (s.d0 - s.d1)))
    return worst(readings)


def unified(case: Case, corrected: bool) -> Reading:
    """(4.7): the iteration with zeta B is that of (4.5) and (4.6) with B.

    Corrected: B(s_i, t_i) = zeta B(t_{i-1}, t_i) and B(t_i, l_i) = (1 - zeta) B(t_i, t_{i+1}), with
    the engine's zetas of proposition 4.2.
    """
    d_t = case.toy.denoise(start(case), three(case)[2])
    s = second(case, "printed", d_t)
    on_s, on_l = engine_weights(case, "printed") if corrected else s.weights
    if corrected:
        rest = balance(s.d0, -s.d_l, -(1.0 - on_l) * (s.d0 - s.d1))
        return worst([balance(s.d_s, -s.d0, -on_s * (d_t - s.d0)), rest])
    return worst([balance(s.b_s, -on_s * s.b_s), balance(s.b_l, -on_l * s.b_l)])


def unified_by_weights(case: Case) -> float:
    """The excess of (4.7) as printed: the larger of both values 1 - zeta."""
    a1, a, b = three(case)
    return max(1.0 / (1.0 + (b / a) ** 2), 1.0 / (1.0 + (a / a1) ** 2))


def blended_step(case: Case, prior: str) -> Reading:
    """(4.8): the engine's step, with the weights that the engine reports.

    x' / b = x / a + h D_i + zeta h^2 / 2 (eta' B(s, t) + (1 - eta') B(t, l)) with eta' = eta / 2 as
    in line 7 of algorithm 1, and zeta as in line 9.
    """
    iteration = re_multi_iteration(three(case), prior=prior)
    used = weights_used(case.toy, iteration, start(case))
    return _against_engine(case, iteration, prior, used["eta"][1], used["zeta"][1])


def probed(case: Case, prior: str) -> tuple[Array, Second]:
    """The prediction at the probe of line 5, shape (n, d), and the step with it."""
    b, s = three(case)[2], second(case, prior)
    x_p = b * (s.x / three(case)[1] + s.h * s.d0 + 0.5 * s.h**2 * s.b_l)
    d_t = case.toy.denoise(x_p, b)
    return d_t, second(case, prior, d_t)


def _against_engine(
    case: Case, iteration: ReducingIteration, prior: str, eta: Array, zeta: Array
) -> Reading:
    """Lines 7 and 9 with these weights, shape (n, 1), against the engine's state."""
    _, a, b = three(case)
    s = probed(case, prior)[1]
    blend = 0.5 * eta * s.b_s + (1.0 - 0.5 * eta) * s.b_l
    end = b * (s.x / a + s.h * s.d0 + 0.5 * s.h**2 * zeta * blend)
    return balance(end, -walk_states(case.toy, iteration, start(case), 0))


def _ratio(top: Array, bottom: Array) -> Array:
    """The quotient; it is 0 where the denominator is below 1e-300."""
    fine = bottom >= 1e-300
    return np.asarray(np.where(fine, top / np.where(fine, bottom, 1.0), 0.0))


def printed_weights(case: Case, prior: str, d_t: Array) -> tuple[Array, Array]:
    """The eta of line 6 and |zeta*| of line 8 for each path, shape (n, 1) each.

    F(s_i, t_i) and F(s_i, t_{i-1}) are both F(t_{i-1}, t_i), as s_i ends up at t_{i-1}.
    """
    a1, a, b = three(case)
    s = second(case, prior, d_t)
    ahead, back = (d_t - s.d0) / s.h, (s.d1 - s.d0) / (1.0 / a1 - 1.0 / a)
    gap = back - ahead
    eta = expit(_ratio(np.abs((gap * back).sum(axis=1)), (gap**2).sum(axis=1)))
    x_p = b * (s.x / a + s.h * s.d0 + 0.5 * s.h**2 * s.b_l)
    hat = a * (x_p / b - s.h * d_t + 0.5 * s.h**2 * ahead)
    p = hat + a / b * x_p - 0.5 * a * s.h**2 * ahead
    # d_s - d_i without the cancellation of an interpolation between equal predictions.
    p_tilde, d_i = p - a * s.h * s.d0, s.weights[0] * (d_t - s.d0)
    zeta = _ratio(np.abs((d_i * p_tilde).sum(axis=1)), a * s.h * (d_i**2).sum(axis=1))
    return eta[:, None], zeta[:, None]


def algorithm(case: Case, sign: float) -> Reading:
    """Algorithm 1, lines 4-9, against the engine's iteration, line 3 read as the DDIM point.

    All three readings of line 4 are checked. Sign 1 is the ICLR text's sigmoid, -1 the NeurIPS
    text's.
    """
    make = re_multi_iteration if sign > 0 else re_multi_2025_iteration
    readings = []
    for prior in PRIORS:
        eta, zeta = printed_weights(case, prior, probed(case, prior)[0])
        weight = expit(sign * (zeta - 0.5))
        readings.append(_against_engine(case, make(three(case), prior=prior), prior, eta, weight))
    return worst(readings)


def algorithm_of_difference(case: Case) -> Reading:
    """(4.12) minus (4.9) where s_i = t_{i-1}, as in algorithm 1, is sigma h zeta D_i.

    So the two estimates agree only at zeta = 0, which lies outside (0, 1] and is DDIM.
    """
    (_, a, b), zeta = three(case), float(case.rng.uniform(0.05, 1.0))
    d_t, s = probed(case, "log_snr")
    end = b * (s.x / a + s.h * s.d0 + 0.5 * s.h**2 * s.b_l)
    ahead = (d_t - s.d0) / s.h
    mixed = zeta * d_t + (1.0 - zeta) * s.d0
    tilde = a * (end / b - s.h * mixed - 0.5 * s.h**2 * ahead)
    hat = a * (end / b - s.h * d_t + 0.5 * s.h**2 * ahead)
    return balance(hat, -tilde, -a * s.h * zeta * (d_t - s.d0))
