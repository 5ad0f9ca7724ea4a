"""Paper D, (18) and B.4: where the gate's pivot falls, by the onset rule and by the slope rule.

The onset rule is `theory.infonoise.allocation.onset_pivot`, compared with a root of r / max r = p
by Brent's method. The paper leaves the tolerances of the slope rule open. Those used here are ours
(docs/papers/d.md, Pivot): slopes on a log grid, the median of the lowest 15 % as reference, and the
end at the first run of three slopes that differ by more than 0.25.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from benchmarks.claims.cases import Case
from benchmarks.claims.d_boundary import rate_slope, residual
from benchmarks.claims.d_two_points import moments
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.claims.posterior import Posterior
from benchmarks.measure.expectation import expect
from theory.checks import Array
from theory.gaussian import gaussian_entropy_rate
from theory.profiles.pivots import ONSET, gate, onset_pivot
from toys.information import information
from toys.mixture import Mixture

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
COARSE = 20
BINS = 64
SLACK = 0.25
RUN = 3
SHARE = 0.15
Rate = Callable[[Array], Array]


def engine_onset(rate: Rate, top: float | None = None, peak: float | None = None) -> float:
    """The engine's pivot, with the grid refined around the crossing four times.

    Args:
        rate: Function from levels (m,) to rates (m,).
        top: Highest level.
        peak: Level of the highest rate. Default: the lowest level.
    """
    low = SIGMA_MIN if peak is None else peak
    grid = np.geomspace(low, SIGMA_MAX if top is None else top, COARSE)
    rates = rate(grid)
    found = onset_pivot(grid, rates)
    for width in (0.3, 0.03, 5e-4, 1e-6):
        near = found * np.array([1.0 - width, 1.0, 1.0 + width])
        while rate(near[-1:])[0] >= ONSET * rates.max():
            near = near * (1.0 + width)
        found = onset_pivot(np.append(low, near), np.append(rates.max(), rate(near)))
    return found


def onset_rule(case: Case) -> Reading:
    """(18): the engine's pivot is the largest root of r / max r = p, p = 0.002.

    Both sides take max r over the same coarse grid; for densities it is at sigma_min.
    """
    toy = case.toy

    def rate(sigma: float) -> float:
        risk = expect(toy, sigma, lambda x: Posterior(toy, x, sigma).second_moment().real[None])
        return float(risk[0]) / sigma**3

    top = 100.0 * max(1.0, float(np.sqrt(toy.variance)))
    found = engine_onset(lambda s: information.entropy_rate(toy, s), top)
    grid = np.geomspace(SIGMA_MIN, top, COARSE)
    rates = np.array([rate(s) for s in grid.tolist()])
    aim = ONSET * rates.max()
    i = int(np.flatnonzero(rates >= aim)[-1])
    root = brentq(lambda s: np.log(rate(s) / aim), grid[i], grid[i + 1], xtol=1e-13, rtol=1e-13)
    return relative(found, float(root))


def scan_from_below(case: Case) -> Reading:
    """Why (18) scans from high noise: scanned from below, the first level qualifies.

    On N(0, c^2) the rate is largest at sigma_min. A gate with that pivot is at least 1/2 everywhere
    and changes little, while the engine's pivot takes away at least 1 - (sigma / pivot)^3 at every
    level.
    """
    std = float(case.toy.stds[0, 0])
    sigma = np.geomspace(SIGMA_MIN, 100.0 * std, 10 * COARSE)
    rate = gaussian_entropy_rate(sigma, std)
    first = float(sigma[np.flatnonzero(rate >= ONSET * rate.max())[0]])
    pivot = onset_pivot(sigma, rate)
    kept, taken = gate(sigma, first), gate(sigma, pivot)
    reading = worst(
        [
            relative(first, SIGMA_MIN),
            at_most(0.5, kept),
            at_most(taken, (sigma / pivot) ** 3),
            at_most(taken[0], 1e-3),
        ]
    )
    return Reading(reading.value, 0.0, f"from below {first:.3g}, by the rule {pivot:.3g}")


def onset_values(case: Case) -> Reading:
    """(18) for N(0, c^2) on 0.002..80: 0.6823 at c = 1 and 0.500 at c = 0.5.

    The engine is compared with the root of the closed form, with these digits, and with the root of
    sigma^3 = mmse, to which the rule is equivalent up to sigma_min^2 if sigma_min = p.
    """
    readings, shown = [], []
    for c, printed, half in ((1.0, 0.6823, 5e-5), (0.5, 0.500, 5e-4)):

        def closed(sigma: float, c: float = c) -> float:
            ratio = SIGMA_MIN * (c**2 + SIGMA_MIN**2) / (sigma * (c**2 + sigma**2))
            return float(np.log(ratio / ONSET))

        def balance(sigma: float, c: float = c) -> float:
            return float(np.log(c**2 / (c**2 + sigma**2) / sigma))

        root = float(brentq(closed, 0.01, 10.0, xtol=1e-14))
        cubic = float(brentq(balance, 0.01, 10.0, xtol=1e-14))
        found = engine_onset(lambda s, c=c: gaussian_entropy_rate(s, c))  # type: ignore[misc]
        readings.append(relative(found, root))
        printed_gap = max(0.0, abs(root - printed) - half)
        cubic_gap = max(0.0, abs(root / cubic - 1.0) - (SIGMA_MIN / c) ** 2)
        readings += [Reading(printed_gap, 0.0, "printed"), Reading(cubic_gap, 0.0, "cubic")]
        shown.append(f"{root:.9f}")
    return Reading(worst(readings).value, 1e-12, ", ".join(shown))


def _peak(log_rate: Callable[[float], float], low: float, high: float, guess: float) -> float:
    """Level of the highest rate, near a guess."""
    ends = max(low, guess / 1.5), min(high, guess * 1.5)
    found = minimize_scalar(
        lambda u: -log_rate(float(np.exp(u))),
        bounds=tuple(np.log(ends)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(np.exp(found.x))


def point_levels(toy: Mixture) -> tuple[float, float]:
    """For points, the levels of the highest dH / dsigma and dH / dlog sigma, by the engine."""
    low, high = 1e-3 * float(np.sqrt(toy.variance)), 10.0 * float(np.sqrt(toy.variance))
    grid = np.geomspace(low, high, 40)
    logs = information.log_mmse(toy, grid)
    peaks = []
    for power in (3.0, 2.0):
        guess = float(grid[np.argmax(logs - power * np.log(grid))])

        def log_rate(s: float, power: float = power) -> float:
            return float(information.log_mmse(toy, s)) - power * float(np.log(s))

        peaks.append(_peak(log_rate, low, high, guess))
    return peaks[0], peaks[1]


def onset_on_points(case: Case) -> float:
    """1/2 minus the gate where dH/dlog sigma peaks, pivot by the onset rule on exact posteriors."""
    toy = information.merged(case.toy)
    first, informative = point_levels(toy)
    top = 100.0 * float(np.sqrt(toy.variance))
    c = engine_onset(lambda s: information.entropy_rate(toy, s), top, first)
    return 0.5 - float(gate(informative, c))


def onset_above_window(case: Case) -> Reading:
    """(18) on exact posteriors of points: the pivot is above the level where dH/dlog sigma peaks.

    The gate is then below 1/2 there. For two points at +-a the closed form agrees.
    """
    if information.merged(case.toy).size == 1:
        return Reading(0.0, 0.0, "one point: no entropy to lose")
    kept = 0.5 - onset_on_points(case)
    closed = 0.5 - onset_on_two_points(1.0)
    pair = 0.5 - onset_on_points(replace(case, toy=Mixture([1, 1], [-1, 1], 0)))
    apart = relative(pair, closed).value
    shown = f"gate {kept:.4g} where dH/dlog sigma peaks; {closed:.4g} for two points"
    return Reading(kept - 0.5 if apart < 1e-5 else 1.0, 1e-8, shown)


def onset_on_two_points(a: float) -> float:
    """1/2 minus the gate where dH/dlog sigma peaks, for points at +-a by their closed form."""

    def log_rate(s: float, power: float) -> float:
        return float(np.log(moments(a, s)[0]) - power * np.log(s))

    first = _peak(lambda s: log_rate(s, 3.0), 0.1 * a, 2.0 * a, 0.65 * a)
    informative = _peak(lambda s: log_rate(s, 2.0), 0.1 * a, 2.0 * a, 0.8 * a)
    aim = log_rate(first, 3.0) + np.log(ONSET)
    c = float(brentq(lambda s: log_rate(s, 3.0) - aim, first, 100.0 * a, xtol=1e-13))
    return float(0.5 - informative**3 / (informative**3 + c**3))


def power_law_pivot(sigma: Array, rate: Array) -> float:
    """B.4 for points: the highest level of the stretch of constant log-log slope at the low end.

    Args:
        sigma: Levels, shape (m,), rising, uniform in log sigma.
        rate: Rates, shape (m,), positive.

    Returns:
        That level, or the highest one if the slope never differs.
    """
    x, y = np.log(sigma), np.log(rate)
    slopes = np.diff(y) / np.diff(x)
    usual = float(np.median(slopes[: max(2, int(SHARE * sigma.size))]))
    away = np.abs(slopes - usual) > SLACK
    runs = np.lib.stride_tricks.sliding_window_view(away, RUN).all(axis=1)
    first = int(np.argmax(runs)) if runs.any() else sigma.size - 1
    return float(sigma[first])


def _losses(toy: Mixture) -> tuple[Array, Array]:
    """64 levels from 3 decades below to 1 above the data's deviation, and loss / sigma^3 there."""
    std = float(np.sqrt(toy.variance))
    sigma = np.geomspace(1e-3 * std, 10.0 * std, BINS)
    return sigma, (information.mmse(toy, sigma) + residual(toy)) / sigma**3


def slope_rule(case: Case) -> Reading:
    """B.4: on losses with a residual error the rule finds where the exact slope differs by 0.25.

    The value is the distance, in bins of the grid, from the root of the slope by posterior moments.
    """
    toy = information.merged(case.toy)
    if toy.size == 1:
        return Reading(0.0, 0.0, "one point: no entropy to lose")
    sigma, rate = _losses(toy)
    found = power_law_pivot(sigma, rate)

    def departure(log_s: float) -> float:
        return abs(rate_slope(toy, float(np.exp(log_s)), residual(toy)) + 3.0) - SLACK

    step = float(np.log(sigma[1] / sigma[0]))
    x = float(np.log(found))
    # The last crossing nearby: with several scales the slope may reach the limit and return.
    near = x + step * np.arange(-3.0, 3.1, 0.5)
    away = np.array([departure(u) > 0 for u in near.tolist()])
    leaves = np.flatnonzero(~away[:-1] & away[1:])
    if not leaves.size:
        return Reading(float("inf"), 0.0, f"no departure within 3 bins of {found:.4g}")
    root = float(brentq(departure, near[leaves[-1]], near[leaves[-1] + 1], xtol=1e-6))
    return Reading(
        float(abs(x - root)) / step, 1e-3, f"pivot {found:.4g}, exact {np.exp(root):.4g}"
    )
