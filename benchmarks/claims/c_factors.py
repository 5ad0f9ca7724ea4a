"""Paper C's iterations on N(0, c^2) in plain numbers: the end state of each from x = 1.

These are the second, independent routes of `c_orders`. Every prediction is a multiple of the state,
so that a one-step iteration is a product of factors and a multi-step one a short recursion. The
data form has f = x / sigma, k = 1 / sigma, d = D, the noise form f = x, k = sigma, d = eps.
"""

from itertools import pairwise
from math import exp, log, sqrt

import numpy as np

from theory.checks import Array
from theory.gaussian import table_variances
from theory.solvers.table import SolverTable


def single(levels: Array, c: float, form: str, weight: str) -> float:
    """(4.1) with s = sqrt(a b), as a product of factors; weight "none" is (3.7)."""
    a, b, c2 = levels[:-1], levels[1:], c * c
    s = np.sqrt(a * b)
    share = {
        "none": 0.0 * a,
        "lower": s**2 / (a**2 + s**2),
        "upper": np.maximum(2.0 * s**2, a**2) / (a**2 + s**2),
    }[weight]
    k_s = 1.0 + (s - a) * a / (c2 + a**2)
    if form == "noise":
        d_a, d_s = a / (c2 + a**2), s / (c2 + s**2) * k_s
        h, h_s, f, back = b - a, s - a, np.ones_like(a), np.ones_like(a)
    else:
        d_a, d_s = c2 / (c2 + a**2), c2 / (c2 + s**2) * k_s
        h, h_s, f, back = 1.0 / b - 1.0 / a, 1.0 / s - 1.0 / a, 1.0 / a, b
    mixed = share * d_s + (1.0 - share) * d_a
    return float(np.prod(back * (f + h * mixed + 0.5 * h**2 * (d_s - d_a) / h_s)))


def two_point_rows(form: str, levels: Array) -> SolverTable:
    """(4.4) after a first step of DDIM, as a solver table made in this file."""
    a, b = levels[:-1], levels[1:]
    k = a if form == "noise" else 1.0 / a
    h = (b if form == "noise" else 1.0 / b) - k
    half = np.zeros_like(a)
    half[1:] = 0.5 * h[1:] ** 2 / (k[1:] - k[:-1])
    before = np.roll(a, 1)
    if form == "noise":  # eps = (x - D) / a
        on, back = (h + half) / a, half / before
        keep = np.stack([1.0 + on, -back], axis=1)
        weights = np.stack([-on, back], axis=1)
    else:
        keep = np.stack([b / a, 0.0 * a], axis=1)
        weights = np.stack([b * (h + half), -b * half], axis=1)
    return SolverTable(a, keep, weights, 0.0 * a, 1.0, float(b[-1]), 2, a.size)


def two_point_table(form: str, levels: Array, c: float) -> float:
    """(4.4) on N(0, c^2), by the engine's recursion for tables."""
    return float(np.sqrt(table_variances(two_point_rows(form, levels), c)[-1]))


def logistic(v: float) -> float:
    """1 / (1 + e^-v)."""
    return 1.0 / (1.0 + exp(-v)) if v > -700.0 else 0.0


def algorithm(
    levels: Array, c: float, prior: str, sign: float = 1.0, literal: bool = False
) -> float:
    """Algorithm 1 as a recursion on numbers, with line 3 optionally read literally.

    Read literally, line 3 replaces the state at t_i from line 9 by the DDIM state from t_{i+1};
    d(t_i) is then evaluated there.
    """

    def shrink(sigma: float) -> float:
        return c * c / (c * c + sigma * sigma)

    high, first = float(levels[0]), float(levels[1])
    d1 = shrink(high)
    x = first / high + (1.0 - first / high) * d1
    d0, out, a1 = shrink(first) * x, x, high
    for a, b in pairwise(levels[1:].tolist()):
        h, h1 = 1.0 / b - 1.0 / a, 1.0 / a - 1.0 / a1
        if prior == "log_snr":
            on_s, b_l = 1.0, (d0 - d1) / (log(a1 / a) / log(a / b) * h)
        else:
            on_s, on_l = b * b / (a * a + b * b), a * a / (a * a + a1 * a1)
            if prior == "minimiser":
                on_s, on_l = 1.0 - on_s, 1.0 - on_l
            b_l = (1.0 - on_l) * (d0 - d1) / h1
        f_e = x / a + h * d0
        probe = b * (f_e + 0.5 * h * h * b_l)
        d_t = shrink(b) * probe
        ahead, back = (d_t - d0) / h, (d0 - d1) / h1
        eta = logistic(abs(back / (back - ahead))) if back != ahead else 0.5
        hat = a * (probe / b - h * d_t + 0.5 * h * h * ahead)
        p_tilde = hat + a / b * probe - 0.5 * a * h * h * ahead - a * h * d0
        zeta = logistic(sign * (abs(p_tilde / (a * h * on_s * (d_t - d0))) - 0.5))
        blend = 0.5 * eta * on_s * ahead + (1.0 - 0.5 * eta) * b_l
        out = b * (f_e + 0.5 * h * h * zeta * blend)
        x, d1, a1 = (b * f_e if literal else out), d0, a
        d0 = shrink(b) * x if literal else d_t
    return abs(out)


def _clip(v: float) -> float:
    """The value clipped to [-2, 2]."""
    return max(-2.0, min(2.0, v))


def evodiff(levels: Array, c: float, special_last: bool = False, mu: float = 0.5) -> float:
    """EVODiff on numbers, items 1 to 3 of docs/papers/c.md, EVODiff as released."""

    def shrink(sigma: float) -> float:
        return c * c / (c * c + sigma * sigma)

    grid = levels.tolist()
    high, low, n_steps = grid[0], grid[-1], len(grid) - 1
    d1 = shrink(high)
    x = grid[1] / high + (1.0 - grid[1] / high) * d1
    d0, a1 = shrink(grid[1]) * x, high
    for i, (a, b) in enumerate(pairwise(grid[1:]), start=2):
        h, rho = 1.0 / b - 1.0 / a, b / a
        x_e = rho * x + b * h * d0
        if i == n_steps and special_last:
            back = 1.0 - 0.5 * sqrt(rho if rho < 0.5 else rho - 0.5)
            return float(abs((1.0 - sqrt(a * b)) * x_e + 0.5 * b * h * (d0 - back * d1)))
        r, tau = log(a1 / a) / log(a / b), (b + low) / (high + low)
        w, beta = 0.5 * (1.0 - tau * tau), sqrt(rho / (a / a1))
        beta1 = (1.0 - w) * beta + w * _clip(d0 / d1)
        delta1 = d0 - beta1 * d1
        r_probe = min(max(r * logistic(0.25 * abs(beta1)), 0.25 * r), 1.5 * r)
        probe = x_e + b * h / (2.0 * r_probe) * delta1
        d_t = shrink(b) * probe
        delta2 = d_t - ((1.0 - w) * beta + w * _clip(d_t / d0)) * d0
        minus, plus = delta1 / (r * h), r * delta2 / h
        eta = 0.5 * logistic(abs(0.5 * _clip((plus + minus) / (plus - minus))))
        g = -eta / r * delta1 + r * (1.0 - eta) * delta2
        v = abs(_clip((probe - x_e - b * h / (2.0 * r_probe) * g) / delta1) / (h * b)) - mu
        if n_steps > 20:
            v = -v * logistic(_clip(d0 * h / (d0 - d1)) * (2.0 - rho * rho))
        x = x_e + b * h / (2.0 * logistic(v)) * g
        d0, d1, a1 = d_t, d0, a
    return float(abs(x))
