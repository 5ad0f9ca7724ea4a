"""Paper D, (54) and appendix D.1: posterior weights as a softmax, and their numerics.

The text advises one method for stability and another for speed, and the two conflict: in float32
the inner products of the fast distances cancel at small sigma.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from scipy.special import logsumexp

from benchmarks.claims.cases import Case
from benchmarks.claims.channel import norm_relative
from benchmarks.claims.d_points import data_set, logits, observed, weights
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from theory.checks import Array


def softmax_weights(case: Case) -> Reading:
    """(54): the softmax of -|x - x_i|^2 / 2 sigma^2, in logs, is the engine's responsibilities."""
    data = data_set(case)
    x = observed(case, data)
    logs = logits(data, x, case.sigma)
    logs = logs - logs.max(axis=1, keepdims=True)
    found = data.responsibilities(x, case.sigma)
    seen = logs > -600.0
    left = np.where(seen, found / found.max(axis=1, keepdims=True), 1.0)
    gap = np.abs(np.log(left) - np.where(seen, logs, 0.0))
    scale = np.maximum(1.0, np.abs(logits(data, x, case.sigma)))
    return Reading(float((gap / scale).max()), 0.0, f"{int(seen.sum())} weights")


def log_space_is_stable(case: Case) -> Reading:
    """D.1: the engine's weights neither overflow nor underflow, however small sigma: sum 1.

    They equal the log-softmax written out. The states include some 1e3 deviations away, where a
    plain exp gives 0 / 0.
    """
    data = data_set(case)
    x = np.concatenate([observed(case, data, 10), observed(case, data, 10) + 1e3 * case.sigma])
    found = data.responsibilities(x, case.sigma)
    with np.errstate(under="ignore"):
        bare = np.exp(logits(data, x, case.sigma)).sum(axis=1)
    readings = [relative(found.sum(axis=1), np.ones(len(x)))]
    near = slice(0, 10)  # at far states the logits, about 1e6, have only 10 digits themselves
    readings.append(norm_relative(found[near], weights(data, x[near], case.sigma)))
    shown = f"a bare exp loses {int((bare == 0).sum())} of {len(x)} states"
    return Reading(worst(readings).value, 0.0, shown)


def expanded_distances(case: Case) -> Reading:
    """D.1: the identity |x - x_i|^2 + 2 x.x_i = |x|^2 + |x_i|^2."""
    data = data_set(case)
    x = observed(case, data)
    cross = 2.0 * x @ data.means.T
    squares = (x**2).sum(axis=1)[:, None] + (data.means**2).sum(axis=1)
    direct = ((x[:, None] - data.means) ** 2).sum(axis=2)
    scale = squares + np.abs(cross)
    gap = float((np.abs(direct + cross - squares) / scale).max())
    return Reading(gap, 0.0, "of the sum of the terms")


def _held(values: Any) -> Array:
    """The values rounded to float32."""
    return np.asarray(np.asarray(values, dtype=np.float32), dtype=np.float64)


def _single(case: Case) -> tuple[Array, Array, float]:
    """States (n,) and points (N,) one sigma apart near 1 to 2, exact in float32, and the level."""
    rng = case.rng
    points = rng.uniform(1.0, 2.0) + case.sigma * np.arange(2 + case.seed % 7)
    points = _held(points)
    x = _held(rng.choice(points, 10) + case.sigma * rng.normal(size=10))
    return x, points, float(np.float32(case.sigma))


def _largest_error(squares: Any, exact: Array, sigma: float) -> float:
    """Largest error of softmax weights from squared distances (n, N)."""

    def soft(d2: Array) -> Array:
        logs = -0.5 * d2 / sigma**2
        return np.asarray(np.exp(logs - logsumexp(logs, axis=1, keepdims=True)))

    return float(np.abs(soft(np.asarray(squares, dtype=np.float64)) - soft(exact)).max())


def single_precision_error(case: Case) -> float:
    """Error of the weights if |x|^2 + |x_i|^2 - 2 x x_i is formed in float32, by NumPy."""
    x, points, sigma = _single(case)
    a, b = x.astype(np.float32)[:, None], points.astype(np.float32)
    squares = (a * a + b * b) - np.float32(2.0) * (a * b)
    return _largest_error(squares, (x[:, None] - points) ** 2, sigma)


def rounded_fraction_error(case: Case) -> float:
    """`single_precision_error` with exact fractions, rounded to 24 bits after every operation."""
    x, points, sigma = _single(case)
    exact = [[(Fraction(a) - Fraction(b)) ** 2 for b in points.tolist()] for a in x.tolist()]
    squares = [[_expanded(Fraction(a), Fraction(b)) for b in points.tolist()] for a in x.tolist()]
    return _largest_error(squares, np.array(exact, dtype=np.float64), sigma)


def _round24(value: Fraction) -> Fraction:
    """The nearest number of 24 significant bits, ties to even."""
    if value == 0:
        return value
    size, shift = abs(value), 0
    while size >= 2**24:
        size, shift = size / 2, shift + 1
    while size < 2**23:
        size, shift = size * 2, shift - 1
    rounded = Fraction(round(size)) * Fraction(2) ** shift
    return rounded if value > 0 else -rounded


def _expanded(a: Fraction, b: Fraction) -> float:
    total = _round24(_round24(a * a) + _round24(b * b))
    return float(_round24(total - _round24(2 * _round24(a * b))))


def fast_distances_single(case: Case) -> Reading:
    """D.1's fast distances in float32: the weights lose digits as (|x| / sigma)^2 rises.

    With u = 2^-24 and M the largest |x|, their error is at most 3 u M^2 / sigma^2 and at least 10
    times that of squared differences. NumPy's error is that of exact fractions rounded to 24 bits.
    """
    x, points, sigma = _single(case)
    fast, exact = single_precision_error(case), rounded_fraction_error(case)
    gaps = x.astype(np.float32)[:, None] - points.astype(np.float32)
    direct = _largest_error(gaps * gaps, (x[:, None] - points) ** 2, sigma)
    largest = max(float(np.abs(x).max()), float(np.abs(points).max()))
    reading = worst(
        [
            relative(fast, exact),
            at_most(fast, 3.0 * 2.0**-24 * (largest / sigma) ** 2),
            at_most(10.0 * direct, fast),
        ]
    )
    shown = f"sigma {sigma:.3g}: errors {fast:.2g}, differences first {direct:.2g}"
    return Reading(reading.value, 1e-9, shown)
