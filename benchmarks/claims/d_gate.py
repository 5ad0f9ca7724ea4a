"""Paper D, (17), (50) to (53): the gate, its effect at low noise, and EDM's loss weight."""

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.d_boundary import (
    boundary_levels,
    data_fisher,
    finest_gap,
    rate_slope,
    residual,
)
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from theory.profiles.pivots import gate
from theory.profiles.risks import x0_risks
from toys.information import information


def _gate_case(case: Case) -> tuple[float, float]:
    """A power and a pivot drawn from the case's seed."""
    rng = case.rng
    return float(rng.uniform(1.0, 6.0)), float(case.sigma * 10.0 ** rng.uniform(-2.0, 2.0))


def gate_formula(case: Case) -> Reading:
    """(17), (50): g = sigma^n / (sigma^n + c^n), any n > 0, and n = 3 by default."""
    n, c = _gate_case(case)
    s = case.sigmas / c
    readings = [relative(gate(case.sigmas, c, n) * (s**n + 1.0), s**n)]
    return worst([*readings, relative(gate(case.sigmas, c) * (s**3 + 1.0), s**3)])


def gate_limits(case: Case) -> Reading:
    """(50): 1 - (c / sigma)^n <= g <= (sigma / c)^n <= g (1 + (sigma / c)^n), and g rises."""
    n, c = _gate_case(case)
    g, small = gate(case.sigmas, c, n), (case.sigmas / c) ** n
    readings = [at_most(1.0, g + 1.0 / small), at_most(g, small), at_most(small, g * (1.0 + small))]
    return worst([*readings, at_most(g[1:], g[:-1])])


def gated_boundary(case: Case) -> Reading:
    """(51): r g is D sigma^(n-1) / c^n over 1 + (sigma / c)^n, times 1 - sigma^2 J(x0) to 1."""
    n, c = _gate_case(case)
    n, s = max(n, 1.5), case.sigma
    found = float(information.entropy_rate(case.toy, s)) * float(gate(s, c, n))
    leading = s ** (n - 1.0) / c**n
    low = found * (1.0 + (s / c) ** n) + leading * s**2 * data_fisher(case.toy)
    reading = worst([at_most(found, leading), at_most(leading, low)])
    return Reading(reading.value, 0.0, f"n = {n:.3g}: {found:.6g}, leading {leading:.6g}")


def gated_points_gain(case: Case) -> Reading:
    """B.2: the gate suppresses the power law of points as it does 1 / sigma; its slope rises by 3.

    The losses have a residual error, the levels are an octave below gap / 32, and the pivot is half
    the smallest gap. The slope of r g comes from the engine's mmse and gate, that of r from
    posterior moments.
    """
    if finest_gap(case.toy) == 0.0:
        return Reading(0.0, 0.0, "one point: no entropy to lose")
    high, _ = boundary_levels(case.toy)
    levels = np.array([0.5 * high, high])
    excess = residual(case.toy)
    risk = information.mmse(case.toy, levels) + excess
    gated = np.log(risk / levels**3 * gate(levels, 0.5 * finest_gap(case.toy)))
    found = float(gated[1] - gated[0]) / float(np.log(2.0))
    ungated = rate_slope(case.toy, high, excess)
    gain = found - ungated
    shown = f"slope {ungated:.4g} gains {gain:.5g}; ours: as alpha = n, r g levels off"
    return Reading(abs(gain - 3.0), 1e-9, shown)


def edm_weight(case: Case) -> Reading:
    """(52): w = (sigma^2 + s_d^2) / (sigma s_d)^2 = 1 / c_out^2: network outputs count equally."""
    spread = float(np.exp(case.rng.uniform(-2.0, 2.0)))
    _, risk = x0_risks(case.sigmas, np.ones(case.sigmas.size), "edm", 1, spread)
    c_out = case.sigmas * spread / np.hypot(case.sigmas, spread)
    return relative(risk, c_out**2)


def edm_weight_is_gate(case: Case) -> Reading:
    """(53): 1 / w = s_d^2 sigma^2 / (sigma^2 + s_d^2), s_d^2 times the gate with n = 2, c = s_d."""
    spread = float(np.exp(case.rng.uniform(-2.0, 2.0)))
    _, risk = x0_risks(case.sigmas, np.ones(case.sigmas.size), "edm", 1, spread)
    return relative(risk, spread**2 * gate(case.sigmas, spread, 2.0))
