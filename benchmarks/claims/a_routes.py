"""Second routes to the misprints of paper A's text: SciPy's quadrature on the definitions."""

from collections.abc import Callable

import numpy as np
from scipy.integrate import quad

from benchmarks.claims.cases import Case
from benchmarks.claims.channel import STATE_WINDOW


def _density(case: Case) -> Callable[[float, float, int], float]:
    """p(x; sigma) and its second derivative in x (order 2), from the sum over components."""
    toy = case.toy
    rows = list(
        zip(toy.weights.tolist(), toy.means[:, 0].tolist(), toy.stds[:, 0].tolist(), strict=True)
    )

    def value(x: float, sigma: float, order: int) -> float:
        total = 0.0
        for w, m, s in rows:
            v = s * s + sigma * sigma
            bell = w * np.exp(-0.5 * (x - m) ** 2 / v) / np.sqrt(2.0 * np.pi * v)
            total += bell * (((x - m) ** 2 / v - 1.0) / v if order == 2 else 1.0)
        return float(total)

    return value


def fokker_planck_as_printed(case: Case) -> float:
    """The excess of (2) with g in place of g^2 / 2."""
    p = _density(case)
    low, high = case.sigma, STATE_WINDOW * case.sigma
    left, right = [], []
    for x in case.states()[:, 0].tolist():
        left.append(p(x, high, 0) - p(x, low, 0))
        flux = quad(lambda s, x=x: np.sqrt(2.0 * s) * p(x, s, 2), low, high, epsrel=1e-12)[0]
        right.append(flux)
    gap = np.linalg.norm(np.subtract(left, right))
    return float(gap / max(np.linalg.norm(left), np.linalg.norm(right)))


def information_as_printed(case: Case) -> float:
    """The excess of (7) with H = E log p, on points."""
    toy, s = case.toy, case.sigma
    rows = list(zip(toy.weights.tolist(), toy.means[:, 0].tolist(), strict=True))
    ends = min(m for _, m in rows) - 12.0 * s, max(m for _, m in rows) + 12.0 * s

    def parts(x: float) -> tuple[float, float]:
        """Integrands of E H(posterior) and of E log p(x | x0) / p(x)."""
        bells = [
            w * np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2.0 * np.pi)) for w, m in rows
        ]
        p = sum(bells)
        shares = [b / p for b in bells]
        unsure = -sum(r * np.log(r) for r in shares if r > 0)
        gain = sum(
            b * np.log(r / w) for b, r, (w, _) in zip(bells, shares, rows, strict=True) if r > 0
        )
        return float(p * unsure), float(gain)

    points = [m for _, m in rows]
    unsure = quad(lambda x: parts(x)[0], *ends, points=points, epsrel=1e-12, limit=400)[0]
    found = quad(lambda x: parts(x)[1], *ends, points=points, epsrel=1e-12, limit=400)[0]
    transferred = -(-sum(w * np.log(w) for w, _ in rows) - unsure)
    return float(abs(transferred - found) / max(abs(transferred), abs(found)))
