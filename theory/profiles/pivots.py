"""From an entropy rate to a density of training noise: gate and pivot (Raya et al. 2026).

The rate of the conditional entropy is r = mmse / sigma^3 in nats per unit of sigma, and r sigma per
unit of log sigma.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import (
    Array,
    above_zero,
    monotone,
    one_of,
    positive,
    require,
    scalars,
    vector,
    whole,
)

GATE_POWER = 3.0
ONSET = 0.002
SHARE, SLACK, RUN, SMOOTHING = 0.15, 0.25, 3, 2  # of the slope rule; the paper gives none
PIVOTS = ("onset", "slope")


class Pivot(NamedTuple):
    """A pivot c of the gate, in data units, and the name of the rule that gave it.

    The rules are "onset" (`onset_pivot`), "slope" and "knee" (`slope_pivot`), "pinned" (given as a
    number) and "top" (the highest level, since the rate exceeds the onset even there).
    """

    c: float
    rule: str


class Allocation(NamedTuple):
    """Training noise allocated to K bins evenly spaced in log sigma, the result of `allocate`.

    Attributes:
        pivot: Pivot of the gate.
        gated: Gated rate per unit of log sigma, r g sigma, shape (K,), in nats.
        mass: Probability of each bin, shape (K,), with sum 1.
    """

    pivot: Pivot
    gated: Array
    mass: Array


@scalars
def gate(sigma: ArrayLike, c: float, power: float = GATE_POWER) -> Array:
    """The gate sigma^n / (sigma^n + c^n) (Raya et al. 2026, eqs. 17 and 50), shape of sigma.

    Args:
        sigma: Noise levels, positive, in data units.
        c: Pivot, positive, in data units.
        power: Exponent n, positive. The default 3 is that of two re-implementations; the text of
            the paper does not give it.
    """
    levels, pivot, n = above_zero("sigma", sigma), positive("c", c), positive("power", power)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(1.0 / (1.0 + (pivot / levels) ** n))


def onset_pivot(sigma: ArrayLike, rate: ArrayLike, onset: float = ONSET) -> float:
    """Largest level at which the rate reaches the fraction `onset` of its maximum, in data units.

    This is eq. (18) of Raya et al. (2026), c = inf{sigma: rate(s) / max rate < p for all
    s >= sigma}. The rate is not gated. The grid is scanned from the high end, and the crossing is
    interpolated log-linearly between the two levels around it.

    Args:
        sigma: Noise levels, shape (m,), positive, strictly increasing, in data units.
        rate: Entropy rate mmse / sigma^3 per unit of sigma, shape (m,), at least 0.
        onset: The threshold p, in (0, 1].

    Raises:
        ValueError: The rate is 0 everywhere, or above the threshold even at the highest level.
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
    """Pivot for discrete data: the level up to which the rate follows the power law of its low end.

    The rule is that of Raya et al. (2026), appendix B.4, which gives no tolerances; the defaults
    were chosen here. Slopes are differences of log rate over log sigma between neighbours of
    *positive* rate. The reference slope is the median over the lowest share of the levels.

    - "slope": the level where the first run of slopes begins that all deviate from the reference.
      It must begin above the lowest share. A profile that bends within that share, as those of
      exact posteriors of points do, follows no power law.
    - "knee": otherwise, if any slope deviates, the level of largest curvature of log rate.
    - "onset": otherwise `onset_pivot`.

    Args:
        sigma: Noise levels, shape (m,), positive, strictly increasing, in data units. Smoothing
            assumes that they are evenly spaced in log sigma.
        rate: Entropy rate mmse / sigma^3 per unit of sigma, shape (m,), at least 0.
        share: Share of the levels of positive rate that define the reference slope, in (0, 1]; at
            least two levels are used.
        slack: Largest deviation of a slope from the reference that is tolerated, positive.
        run: Number of consecutive slopes that must deviate by more, at least 1.
        smoothing: Passes of `smoothed` over log rate before slopes are taken. Without any, means of
            256 losses are too noisy for the default slack.
        onset: Threshold of `onset_pivot`, in (0, 1].

    Raises:
        ValueError: An argument is out of its range, or `onset_pivot` decides and raises.
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
    """The pivot by a rule of `PIVOTS`, or a given number.

    If the rate exceeds the threshold of the onset even at the highest level, the pivot is that
    level and the rule is "top".

    Args:
        sigma: Noise levels, shape (m,), positive, strictly increasing, in data units.
        rate: Entropy rate mmse / sigma^3 per unit of sigma, shape (m,), at least 0, not all 0.
        rule: "onset"; "slope" with its default tolerances; or the pivot itself, in data units.
        onset: The threshold p of the onset rule, in (0, 1].
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
    """Training noise proportional to gated rate over loss weight (Raya et al. 2026, eqs. 12 to 18).

    The mass of a bin is proportional to r g sigma / w at its middle; the factor sigma is the
    Jacobian of log sigma. No bin has less than the floor, and the other bins share the rest in
    proportion.

    Args:
        sigma: Middles of K bins evenly spaced in log sigma, shape (K,), increasing, in data units.
        mmse: The mmse at the middles, shape (K,), at least 0, not all 0, in squared data units.
        weight: Loss weight w, positive, shape (K,) or a number.
        pivot: "onset", "slope", or the pivot itself, in data units; see `choose_pivot`.
        onset: Threshold p of the onset rule, in (0, 1].
        power: Exponent n of the gate, positive.
        smoothing: Passes of `smoothed` over r sigma, before pivot and gate.
        floor: Least mass of a bin, below 1 / K.

    Raises:
        ValueError: The largest gated rate over weight is 0 or infinite in float64.
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
    """Values filtered `passes` times by (1/4, 1/2, 1/4), shape (m,).

    The filter leaves the two end values and straight lines unchanged.

    Args:
        values: Values on an even grid, shape (m,).
        passes: Number of passes, at least 0.
    """
    out = values.copy()
    for _ in range(passes):
        out[1:-1] = 0.25 * out[:-2] + 0.5 * out[1:-1] + 0.25 * out[2:]
    return out


def _floored(mass: Array, floor: float) -> Array:
    """The masses max(scale * mass, floor), shape (K,), with the scale for which their sum is 1."""
    rising = np.sort(mass)
    above = np.cumsum(rising[::-1])[::-1]
    scale = (1.0 - floor * np.arange(mass.size)) / above  # if the j smallest are at the floor
    j = int(np.argmax(scale * rising >= floor))
    return np.asarray(np.maximum(scale[j] * mass, floor))


def _profile(sigma: ArrayLike, rate: ArrayLike) -> tuple[Array, Array]:
    """Levels and rates as checked arrays, shape (m,) each."""
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
    """The pivot by slope or knee of `slope_pivot`; None if the log-log curve is straight."""
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
    """Curvature |y''| / (1 + y'^2)^(3/2) at the inner points, shape (m - 2,), from slopes."""
    bend = np.diff(slopes) / (0.5 * (x[2:] - x[:-2]))
    slope = 0.5 * (slopes[1:] + slopes[:-1])
    return np.asarray(np.abs(bend) / np.hypot(1.0, slope) ** 3)
