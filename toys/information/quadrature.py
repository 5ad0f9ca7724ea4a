"""Adaptive Gauss-Legendre quadrature of non-negative integrands given by their logarithms.

A point is a pair (anchor, offset): the index of a centre and an offset from it. The difference of
two nearby points is then exact to rounding of the offset, however narrow the features are.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from theory.checks import Array

Ints = NDArray[np.int64]
LogIntegrand = Callable[[Ints, Array], Array]  # (anchor (P,), offset (P, n)) -> (Q, P, n)

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
MAX_DEPTH = 80
CHUNK = 2**14  # panels that are evaluated together, so that their nodes fit into memory
NEGLIGIBLE = 80.0  # nats below the total at which the first estimate of a panel is kept


def log_integrals(
    log_f: LogIntegrand, anchor: Ints, left: Array, right: Array, rtol: float
) -> tuple[Array, Array]:
    """Logs of the integrals of Q non-negative functions, and their relative errors, (Q,) each.

    Panels are bisected until halving one changes every integral by less than rtol / 50 of its
    total. The estimate after halving is kept. A function that is 0 everywhere has log integral
    -inf.

    Args:
        log_f: Maps anchors (P,) and offsets (P, n) to the logs of the functions, shape (Q, P, n).
        anchor: Index of the centre of every initial panel, shape (P,).
        left: Left ends of the panels, as offsets from their centres, shape (P,).
        right: Right ends of the panels, likewise.
        rtol: Relative tolerance.

    Raises:
        ValueError: MAX_DEPTH bisections do not reach the tolerance.
    """
    whole = _panel_logs(log_f, anchor, left, right)
    # Most panels, between or far from features, are negligible by any estimate.
    seen = np.any(whole >= log_sum(whole)[:, None] - NEGLIGIBLE, axis=0)
    done = log_sum(np.where(seen, -np.inf, whole))[:, None]
    error = np.zeros(len(whole))
    anchor, left, right, whole = anchor[seen], left[seen], right[seen], whole[:, seen]
    for _ in range(MAX_DEPTH):
        middle = 0.5 * (left + right)
        anchor2 = np.concatenate([anchor, anchor])
        left2, right2 = np.concatenate([left, middle]), np.concatenate([middle, right])
        halves = _panel_logs(log_f, anchor2, left2, right2)
        p = anchor.size
        refined = np.logaddexp(halves[:, :p], halves[:, p:])
        total = log_sum(np.concatenate([done, refined], axis=1))[:, None]
        scale = np.where(np.isfinite(total), total, 0.0)
        # The first estimate of a narrow peak may be too large by any factor.
        moved = np.abs(np.exp(refined - scale) - np.exp(np.minimum(whole - scale, 600.0)))
        open_ = np.any(moved > rtol / 50, axis=0)
        done = log_sum(np.concatenate([done, refined[:, ~open_]], axis=1))[:, None]
        error += moved[:, ~open_].sum(axis=1)
        if not open_.any():
            return done[:, 0], error
        both = np.concatenate([open_, open_])
        anchor, left, right, whole = anchor2[both], left2[both], right2[both], halves[:, both]
    raise ValueError(
        f"rtol must be within reach of {MAX_DEPTH} bisections, got {rtol:g} "
        f"with {anchor.size} panels unresolved"
    )


def log_sum(terms: Array) -> Array:
    """Log of the sum of the exponentials along the last axis; -inf if all terms are."""
    top = terms.max(axis=-1, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(top[..., 0] + np.log(np.exp(terms - top).sum(axis=-1)))


def _panel_logs(log_f: LogIntegrand, anchor: Ints, left: Array, right: Array) -> Array:
    """Log integral of every function over every panel, shape (Q, P)."""
    parts = []
    for begin in range(0, anchor.size, CHUNK):
        some = slice(begin, begin + CHUNK)
        half = 0.5 * (right[some] - left[some])
        offset = 0.5 * (left[some] + right[some])[:, None] + half[:, None] * NODES
        logs = log_f(anchor[some], offset)
        peak = logs.max(axis=2, keepdims=True)
        peak = np.where(np.isfinite(peak), peak, 0.0)
        sums = np.exp(logs - peak) @ WEIGHTS
        with np.errstate(divide="ignore"):
            parts.append(np.asarray(peak[:, :, 0] + np.log(sums * half)))
    return np.concatenate(parts, axis=1)


def integrals(
    f: Callable[[Array], Array], cuts: Array, rtol: float, atol: float
) -> tuple[Array, Array]:
    """Integrals of Q functions over [cuts[0], cuts[-1]] and their error estimates, (Q,) each.

    Args:
        f: Maps points (n,) to values (Q, n), of any sign.
        cuts: Ends of the initial panels, shape (m,), increasing.
        rtol: Relative tolerance.
        atol: Absolute tolerance.

    Raises:
        ValueError: MAX_DEPTH bisections do not reach the tolerance.
    """
    _, half, values, error = resolve(f, cuts, rtol, atol)
    return (values @ WEIGHTS) @ half, error


def resolve(
    f: Callable[[Array], Array], cuts: Array, rtol: float, atol: float
) -> tuple[Array, Array, Array, Array]:
    """Panels of 16 Gauss-Legendre nodes that resolve the integrals of Q functions.

    Panels are bisected until halving one changes every integral by less than a fiftieth of
    rtol * |integral| + atol. Panels that rounding does not allow to be halved are accepted, because
    the rest of an integrable singularity on them is below the tolerance.

    Args:
        f: Maps points (n,) to values (Q, n), of any sign.
        cuts: Ends of the initial panels, shape (m,), increasing.
        rtol: Relative tolerance.
        atol: Absolute tolerance.

    Returns:
        Nodes (P, 16) in increasing order, half widths (P,), values (Q, P, 16), and error estimates
        (Q,).

    Raises:
        ValueError: MAX_DEPTH bisections do not reach the tolerance.
    """
    left, right = cuts[:-1], cuts[1:]
    x, half, values = _evaluate(f, left, right)
    kept = []
    done, error = np.zeros(len(values)), np.zeros(len(values))
    for _ in range(MAX_DEPTH):
        whole = values @ WEIGHTS * half
        middle = 0.5 * (left + right)
        p = left.size
        left2, right2 = np.concatenate([left, middle]), np.concatenate([middle, right])
        x, half, values = _evaluate(f, left2, right2)
        halves = values @ WEIGHTS * half
        refined = halves[:, :p] + halves[:, p:]
        moved = np.abs(refined - whole)
        total = np.abs(done + refined.sum(axis=1))
        open_ = np.any(moved > (rtol * total[:, None] + atol) / 50, axis=0)
        open_ &= (middle > left) & (middle < right)
        both = np.concatenate([open_, open_])
        done = done + refined[:, ~open_].sum(axis=1)
        error += moved[:, ~open_].sum(axis=1)
        kept.append((x[~both], half[~both], values[:, ~both]))
        if not open_.any():
            x, half = np.concatenate([k[0] for k in kept]), np.concatenate([k[1] for k in kept])
            order = np.argsort(x[:, 0])
            values = np.concatenate([k[2] for k in kept], axis=1)
            return x[order], half[order], values[:, order], error
        left, right = left2[both], right2[both]
        half, values = half[both], values[:, both]
    raise ValueError(
        f"rtol must be within reach of {MAX_DEPTH} bisections, got {rtol:g} "
        f"with {left.size} panels unresolved"
    )


def _evaluate(f: Callable[[Array], Array], left: Array, right: Array) -> tuple[Array, Array, Array]:
    """Nodes (P, 16), half widths (P,) and values (Q, P, 16) of panels."""
    half = 0.5 * (right - left)
    x = 0.5 * (left + right)[:, None] + half[:, None] * NODES
    values = f(x.ravel())
    return x, half, np.asarray(values.reshape(len(values), *x.shape))
