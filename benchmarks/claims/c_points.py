"""Paper C, second route of remark 2 on two points: adaptive quadrature, D = tanh(x / sigma^2)."""

from functools import partial
from math import exp, pi, sqrt, tanh

import numpy as np
from scipy.integrate import quad

from benchmarks.claims.cases import Case

REACH, PIECE = 9.0, 1.5  # range of the rule in z, and width of each panel


def step(x1: float, a1: float, a: float, b: float, name: str) -> float:
    """End state of DDIM from t_{i+1} to t_i, then (4.4), (4.5) or (4.6) with printed weights.

    `name` is "plain" for (4.4), "explicit" for (4.5) and "implicit" for (4.6).
    """
    k1, k, k_new = 1.0 / a1, 1.0 / a, 1.0 / b
    d1 = tanh(x1 / a1**2)
    f = x1 / a1 + (k - k1) * d1
    d0 = tanh(f / a)
    h = k_new - k
    far = d1 if name == "plain" else (a**2 * d0 + a1**2 * d1) / (a**2 + a1**2)
    out = f + h * d0 + 0.5 * h**2 * (d0 - far) / (k - k1)
    if name == "implicit":
        near = (b**2 * tanh(out / b) + a**2 * d0) / (a**2 + b**2)
        out = f + h * d0 + 0.5 * h**2 * (near - d0) / h
    return b * out


def state_by_quad(case: Case, form: str) -> float:
    """The excess of `c_remark.point_state`, printed weights, points at -1 and 1, three levels.

    By symmetry both points have the same variance.
    """
    a1, a, b = case.sigmas.tolist()

    def moment(z: float, name: str, power: int) -> float:
        return exp(-0.5 * z * z) / sqrt(2.0 * pi) * step(1.0 + a1 * z, a1, a, b, name) ** power

    found = []
    for name in (form, "plain"):
        parts = []
        for power in (1, 2):
            f = partial(moment, name=name, power=power)
            cuts = np.arange(-REACH, REACH, PIECE)
            parts.append(sum(quad(f, low, low + PIECE, epsabs=1e-14)[0] for low in cuts))
        found.append(float(parts[1] - parts[0] ** 2))
    return (found[0] - found[1]) / max(found)
