"""Paper C, (3.1): variation of constants, with its kernels integrated along the flow."""

import numpy as np

from benchmarks.claims.c_process import Formulas, balance, processes
from benchmarks.claims.c_solution import prediction, step_of
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading
from theory.checks import Array
from theory.noise.processes import VP

INNER = np.polynomial.legendre.leggauss(12)


def _integral(process: Formulas, rate: str, low: float, high: float) -> float:
    """Integral over time of f or of f + g^2 / (2 s^2), from one level to another."""
    nodes, weights = INNER
    total = 0.0
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        sigma = 0.5 * (low + high) + 0.5 * (high - low) * node
        t, _, s, f, g2 = process.at(sigma)
        value = f if rate == "f" else f + 0.5 * g2 / s**2
        total += 0.5 * (high - low) * weight * value / float(process.coordinate.dsigma_dtime(t))
    return total


def variation_of_constants(case: Case, form: str, power: int = 2) -> Reading:
    """(3.1) in VP time, h_1 with g^2 / (2 s^power): the paper prints power 2, (2.5) implies 1.

    x_t = e^{int f} (int h_1 eps dr + x_s), h_1 = e^{-int f} g^2 / (2 s^power), or in data form
    e^{h_2(t)} (-int e^{-h_2(r)} alpha g^2 / (2 s^2) D dr + x_s), h_2 = int f + g^2 / (2 s^2).
    """
    step = step_of(case)
    process = next(p for p in processes(case) if isinstance(p.coordinate, VP))
    rate = "f" if form == "noise" else "growth"
    total: Array | float = 0.0
    for x, sigma, weight in zip(step.states, step.levels.tolist(), step.weights, strict=True):
        t, alpha, s, _, g2 = process.at(sigma)
        damp = np.exp(-_integral(process, rate, step.a, sigma))
        dt = weight / float(process.coordinate.dsigma_dtime(t))
        d = prediction(case.toy, x, sigma, form)
        kernel = g2 / (2.0 * s**power) if form == "noise" else -alpha * g2 / (2.0 * s**2)
        total = total + dt * damp * kernel * d
    grown = np.exp(_integral(process, rate, step.a, step.b))
    alphas = [float(process.coordinate.alpha(process.coordinate.time(v))) for v in step[:2]]
    return balance(alphas[1] * step.end, -grown * alphas[0] * step.start, -grown * total)


def variation_on_unit_gaussian(case: Case) -> float:
    """The excess of the printed h_1 on N(0, 1) in VP, in closed form.

    There x_t = x_s, and the printed right side is alpha_t (kappa_t - kappa_s + 1 / alpha_s) x_s
    for kappa falling from s to t: terms 1, -alpha_t / alpha_s and alpha_t (kappa_s - kappa_t).
    """
    step = step_of(case)
    alpha = [1.0 / float(np.hypot(1.0, v)) for v in (step.a, step.b)]
    terms = np.array([1.0, -alpha[1] / alpha[0], alpha[1] * (step.a - step.b)])
    return float(abs(terms.sum()) / np.abs(terms).max())
