"""Paper C, (4.9) to (4.19) in plain numbers, for points at -1 and 1: second routes of the lemmas.

This repeats `c_estimates` without using it. D = tanh(x / sigma^2), vectors are lists, the paper's
displays are written as printed in the data form, f = x / sigma and k = 1 / sigma, and the minimum
of a norm comes from three of its values. The case's own mixture draws the states.
"""

from collections.abc import Callable, Sequence
from math import cosh, sqrt, tanh

from benchmarks.claims.cases import Case

DRAWN = 20  # the number of states that the first routes draw
Norm = Callable[[float], float]


def _levels(case: Case) -> tuple[float, float, float]:
    """t_{i+1}, t_i and t_{i-1}; ValueError for other data or another grid."""
    if case.toy.means.ravel().tolist() != [-1.0, 1.0] or case.toy.stds.any():
        raise ValueError(f"toy must be two points at -1 and 1, got {case.toy.means.tolist()}")
    if case.sigmas.size != 3:
        raise ValueError(f"sigmas must be three levels, got {case.sigmas.size}")
    a1, a, b = case.sigmas.tolist()
    return a1, a, b


def _drawn(case: Case, sigma: float) -> list[float]:
    """States of the data's law at a level."""
    return [float(x) for x in case.toy.sample_noisy(DRAWN, sigma, case.seed)[:, 0]]


def _dot(u: Sequence[float], v: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(u, v, strict=True))


def _size(u: Sequence[float]) -> float:
    return sqrt(_dot(u, u))


def _least(norm: Norm) -> float:
    """The t at which a norm |v - t w| is least: the vertex of its square, from three values."""
    before, here, after = (norm(t) ** 2 for t in (-1.0, 0.0, 1.0))
    return 0.5 * (before - after) / (before - 2.0 * here + after)


def _of_zeta(case: Case) -> tuple[Norm, Norm, float]:
    """L_1s, L_1 and the printed zeta* of lemma 4.1, after a step of (4.1) from t_i to t_{i-1}."""
    _, a, b = _levels(case)
    s = sqrt(a * b)
    h, to_s, back = 1.0 / b - 1.0 / a, 1.0 / s - 1.0 / a, 1.0 / s - 1.0 / b
    g = a**-2 / (a**-2 + s**-2)
    rows = []
    for x in _drawn(case, a):
        d_t = tanh(x / a**2)
        d_s = tanh((x / a + to_s * d_t) / s)
        f_new = x / a + h * (g * d_s + (1.0 - g) * d_t) + 0.5 * h**2 * (d_s - d_t) / to_s
        d_new = tanh(f_new / b)
        hat = a * (f_new - h * d_new + 0.5 * h**2 * (d_s - d_new) / back)  # (4.12)
        rows.append((x, d_t, d_s, f_new, hat))

    def tilde(zeta: float) -> list[float]:
        """(4.9)."""
        return [
            a * (f - h * (zeta * d_s + (1.0 - zeta) * d_t) - 0.5 * h**2 * (d_s - d_t) / to_s)
            for _, d_t, d_s, f, _ in rows
        ]

    def bound(zeta: float) -> float:
        return _size([t + r[4] for t, r in zip(tilde(zeta), rows, strict=True)])

    def objective(zeta: float) -> float:
        """(4.13)."""
        pairs = zip(tilde(zeta), rows, strict=True)
        return _size([(t - r[0]) + (r[4] - r[0]) for t, r in pairs])

    p_tilde = [
        hat + a / b * (b * f) - a * 0.5 * h**2 * (d_s - d_t) / to_s - a * h * d_t
        for _, d_t, d_s, f, hat in rows
    ]
    apart = [d_s - d_t for _, d_t, d_s, _, _ in rows]
    return bound, objective, -_dot(apart, p_tilde) / (a * h * _dot(apart, apart))


def _of_eta(case: Case) -> tuple[Norm, Norm, float]:
    """L_2s, L_2 and the printed eta* of lemma 4.2, DDIM from t_{i+1} to t_i and to t_{i-1}."""
    a1, a, b = _levels(case)
    ahead, back, slope = [], [], []
    for x1 in _drawn(case, a1):
        d1 = tanh(x1 / a1**2)
        x = a * (x1 / a1 + (1.0 / a - 1.0 / a1) * d1)
        d = tanh(x / a**2)
        d_new = tanh((x / a + (1.0 / b - 1.0 / a) * d) / b)
        ahead.append((d_new - d) / (1.0 / b - 1.0 / a))
        back.append((d1 - d) / (1.0 / a1 - 1.0 / a))
        # d tanh(x / sigma^2) / d(1 / sigma) along the flow dx / dsigma = (x - D) / sigma
        slope.append((x + d) / (a * cosh(x / a**2) ** 2))

    def blend(eta: float) -> list[float]:
        return [eta * u + (1.0 - eta) * v for u, v in zip(ahead, back, strict=True)]

    def objective(eta: float) -> float:
        return _size([u - v for u, v in zip(blend(eta), slope, strict=True)])

    apart = [v - u for u, v in zip(ahead, back, strict=True)]
    printed = -_dot(apart, back) / _dot(apart, apart)
    return lambda eta: _size(blend(eta)), objective, printed


def _problem(case: Case, of: str) -> tuple[Norm, Norm, float]:
    return _of_zeta(case) if of == "zeta" else _of_eta(case)


def lemma(case: Case, of: str) -> float:
    """The amount by which the bound's least value is below that at the printed closed form."""
    bound, _, printed = _problem(case, of)
    return (bound(printed) - bound(_least(bound))) / bound(0.0)


def bound_minimised(case: Case, of: str) -> float:
    """The amount by which the objective's least value is below that at the bound's minimiser."""
    bound, objective, _ = _problem(case, of)
    return (objective(_least(bound)) - objective(_least(objective))) / objective(0.0)
