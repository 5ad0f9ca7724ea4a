"""From an entropy-rate profile to a density of training noise (Raya et al., 2026): gate, pivot.

The rate is r = mmse / sigma^3, that of the conditional entropy per unit of sigma, in nats; per
unit of log sigma it is r sigma.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, monotone, one_of, positive, require, vector, whole

GATE_POWER = 3.0
ONSET = 0.002
SHARE, SLACK, RUN, SMOOTHING = 0.15, 0.25, 3, 2  # of the slope rule: ours, the paper gives none
PIVOTS = ("onset", "slope")


class Pivot(NamedTuple):
    """A pivot c of the gate, and the rule that gave it.

    Rules: "onset", "slope", "knee" (see `onset_pivot`, `slope_pivot`), "pinned" (a number given),
    "top" (the highest level, the rate being above the onset still).
    """

    c: float
    rule: str


class Allocation(NamedTuple):
    """What `allocate` makes of a profile on K bins even in log sigma.

    Attributes:
        pivot: Of the gate.
        gated: Gated rate per unit of log sigma, r g sigma, shape (K,), nats.
        mass: Share of the training noise in each bin, shape (K,), of sum 1.
    """

    pivot: Pivot
    gated: Array
    mass: Array


def gate(sigma: ArrayLike, c: float, power: float = GATE_POWER) -> Array:
    """sigma^n / (sigma^n + c^n), shape of sigma: eqs. (17) and (50), n = 3 in the paper.

    Args:
        sigma: Noise levels, positive, in data units.
        c: Pivot, positive, in data units.
        power: The exponent n, positive.
    """
    levels, pivot, n = above_zero("sigma", sigma), positive("c", c), positive("power", power)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(1.0 / (1.0 + (pivot / levels) ** n))


def onset_pivot(sigma: ArrayLike, rate: ArrayLike, onset: float = ONSET) -> float:
    """The largest noise level at which the ungated rate still reaches onset of its maximum.

    Eq. (18): c = inf{sigma: rate(s) / max rate < p for all s >= sigma}, scanned from the high end
    and interpolated log-linearly between the two levels around the crossing.

    Args:
        sigma: Noise levels, shape (m,), rising, in data units.
        rate: Entropy rate mmse / sigma^3 per unit of sigma, shape (m,), >= 0.
        onset: The threshold p, in (0, 1].

    Raises:
        ValueError: The rate is 0 everywhere, or still above the threshold at the highest level.
    """
    levels, rates = _profile(sigma, rate)
    if not 0 < onset <= 1:
        raise ValueError(f"onset must be in (0, 1], got {onset:g}")
    threshold = onset * rates.max()
    above = np.flatnonzero(rates >= threshold)
    if threshold == 0:
        raise ValueError("rate must be positive somewhere, got 0 everywhere")
    i = int(above[-1])
    if i == levels.size - 1:
        rule = f"fall below {onset:g} of its maximum within the grid"
        raise ValueError(f"rate must {rule}, got {rates[i] / rates.max():g} at the highest sigma")
    if rates[i + 1] == 0:
        return float(levels[i])
    x, y = np.log(levels[i : i + 2]), np.log(rates[i : i + 2])
    return float(np.exp(x[0] + (np.log(threshold) - y[0]) / (y[1] - y[0]) * (x[1] - x[0])))


def slope_pivot(
    sigma: ArrayLike,
    rate: ArrayLike,
    *,
    share: float = SHARE,
    slack: float = SLACK,
    run: int = RUN,
    smoothing: int = SMOOTHING,
    onset: float = ONSET,
) -> Pivot:
    """Discrete data: the highest level to which the rate keeps the power law of its low end (B.4).

    Slopes are differences of log rate over log sigma between neighbours of *positive* rate; the
    paper gives no tolerances, these are ours. "slope": the level where the first run of slopes
    starts that all leave the usual one, the median over the lowest share of the levels. The run
    must start beyond those: a profile that bends there already, as exact posteriors of points
    do, follows no power law. Then "knee", the greatest curvature of log rate over log sigma, if
    any slope leaves the usual one at all. Then "onset".

    Args:
        sigma: Noise levels, shape (m,), rising, in data units; for smoothing, even in log sigma.
        rate: Entropy rate mmse / sigma^3 per unit of sigma, shape (m,), >= 0.
        share: Of the levels of positive rate that make the usual slope, at least two; in (0, 1].
        slack: How far a slope may lie from the usual one, positive.
        run: How many slopes in a row must lie further, at least 1.
        smoothing: Passes of `smoothed` over log rate before the slopes are taken; without any,
            the means of 256 losses are too noisy for the slack.
        onset: Threshold of the last rule, see `onset_pivot`.

    Raises:
        ValueError: As `onset_pivot`, if it comes to that.
    """
    levels, rates = _profile(sigma, rate)
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share:g}")
    limit, row = positive("slack", slack), whole("run", run, 1)
    passes = whole("smoothing", smoothing, 0)
    found = _bend(levels, rates, share, limit, row, passes)
    return found or Pivot(onset_pivot(levels, rates, onset), "onset")


def choose_pivot(
    sigma: Array, rate: Array, rule: str | float = "onset", onset: float = ONSET
) -> Pivot:
    """The pivot by a rule of `PIVOTS`, or pinned to a number; "top" where no onset is in sight.

    Args:
        sigma: Noise levels, shape (m,), rising, in data units.
        rate: Entropy rate mmse / sigma^3 per unit of sigma, shape (m,), >= 0, not all 0.
        rule: "onset", "slope" with its default tolerances, or the pivot itself.
        onset: The threshold p, in (0, 1].
    """
    if not isinstance(rule, str):
        return Pivot(positive("pivot", rule), "pinned")
    one_of("pivot", rule, PIVOTS)
    found = _bend(sigma, rate, SHARE, SLACK, RUN, SMOOTHING) if rule == "slope" else None
    if found is None and rate[-1] >= onset * rate.max():
        return Pivot(float(sigma[-1]), "top")
    return found or Pivot(onset_pivot(sigma, rate, onset), "onset")


def allocate(
    sigma: Array,
    mmse: Array,
    weight: Array | float = 1.0,
    *,
    pivot: str | float = "onset",
    onset: float = ONSET,
    power: float = GATE_POWER,
    smoothing: int = 0,
    floor: float = 0.0,
) -> Allocation:
    """Training noise in proportion to the gated rate over the loss weight, eqs. (12)-(18).

    The mass of a bin is proportional to r g sigma / w at its middle, sigma being the Jacobian
    of log sigma; no less than the floor, the bins above it sharing the rest in proportion.

    Args:
        sigma: Middles of K bins even in log sigma, rising, in data units.
        mmse: Shape (K,), >= 0, not all 0.
        weight: The loss weight w, shape (K,) or a number, positive.
        pivot: A rule of `choose_pivot`.
        onset: The threshold p.
        power: The exponent n of the gate.
        smoothing: Passes of `smoothed` over r sigma, before pivot and gate.
        floor: Least mass of a bin, below 1 / K.

    Raises:
        ValueError: The gated rate over the weight leaves the range of float64 everywhere.
    """
    rate = smoothed(mmse / sigma**2, smoothing)
    found = choose_pivot(sigma, rate / sigma, pivot, onset)
    gated = rate * gate(sigma, found.c, power)
    share = gated / weight
    top = float(share.max())
    if not 0 < top < np.inf:
        raise ValueError(f"gated rate over weight must have a positive maximum, got {top:g}")
    return Allocation(found, gated, _floored(share / top, floor))


def smoothed(values: Array, passes: int) -> Array:
    """`passes` times the filter (1/4, 1/2, 1/4) along values (m,); the ends stay, so do lines."""
    out = values.copy()
    for _ in range(passes):
        out[1:-1] = 0.25 * out[:-2] + 0.5 * out[1:-1] + 0.25 * out[2:]
    return out


def _floored(mass: Array, floor: float) -> Array:
    """max(scale * mass, floor), shape (K,), with the scale that makes the sum 1."""
    rising = np.sort(mass)
    above = np.cumsum(rising[::-1])[::-1]
    scale = (1.0 - floor * np.arange(mass.size)) / above  # if the j smallest sit on the floor
    j = int(np.argmax(scale * rising >= floor))
    return np.asarray(np.maximum(scale[j] * mass, floor))


def _profile(sigma: ArrayLike, rate: ArrayLike) -> tuple[Array, Array]:
    """Levels and rates, checked, shape (m,) each."""
    levels, rates = vector("sigma", sigma, 2), vector("rate", rate, 2)
    require(levels > 0, "sigma", levels, "be positive")
    monotone("sigma", levels)
    if rates.shape != levels.shape:
        raise ValueError(f"rate must have shape {levels.shape}, got {rates.shape}")
    require(rates >= 0, "rate", rates, "be at least 0")
    return levels, rates


def _bend(
    sigma: Array, rate: Array, share: float, slack: float, run: int, smoothing: int
) -> Pivot | None:
    """The pivot by slope or knee, see `slope_pivot`; None if the log-log curve is straight."""
    alive = rate > 0
    known = sigma[alive]
    if known.size < 3:
        return None
    x, y = np.log(known), smoothed(np.log(rate[alive]), smoothing)
    slopes = np.diff(y) / np.diff(x)
    lowest = max(2, int(share * known.size))
    away = np.abs(slopes - np.median(slopes[:lowest])) > slack
    if slopes.size >= run:
        runs = np.lib.stride_tricks.sliding_window_view(away, run).all(axis=1)
        first = int(np.argmax(runs))
        if runs.any() and first >= lowest:
            return Pivot(float(known[first]), "slope")
    if not away.any():
        return None
    return Pivot(float(known[1 + int(np.argmax(_curvature(x, slopes)))]), "knee")


def _curvature(x: Array, slopes: Array) -> Array:
    """|y''| / (1 + y'^2)^(3/2) at the inner points, shape (m - 2,), from the slopes between."""
    bend = np.diff(slopes) / (0.5 * (x[2:] - x[:-2]))
    slope = 0.5 * (slopes[1:] + slopes[:-1])
    return np.asarray(np.abs(bend) / np.hypot(1.0, slope) ** 3)
