"""Paper C's finite-difference iteration and its single-step entropy-reducing iteration."""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, one_of
from theory.solvers.table import SolverTable, steps
from theory.solvers.two_calls import staged, two_calls


def fd_2_table(
    sigmas: ArrayLike, start_std: float | None = None, form: str = "noise", stage: str = "sqrt"
) -> SolverTable:
    """Finite-difference iteration of paper C, eq. (3.7) (order 2), two calls per step.

    A step from a to b with inner level s is f(x') = f(x) + h d_a + h^2 / 2 F, where
    F = (d_s - d_a) / h_s, h = k(b) - k(a) and h_s = k(s) - k(a). The noise form has f = x,
    d = eps = (x - D) / sigma and k = sigma. The data form has f = x / sigma, d = D, the denoiser's
    output, and k = 1 / sigma.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        form: "noise" or "data".
        stage: Inner level s: "sqrt" for sqrt(a b); "interval" for the level at which h / h_s is the
            upper end of proposition 3.2, 4 SNR(s) / (SNR(a) + SNR(s)).
    """
    return _difference_table(sigmas, start_std, form, stage, None, False)


def re_single_table(
    sigmas: ArrayLike,
    start_std: float | None = None,
    form: str = "noise",
    stage: str = "sqrt",
    mix: str | float = "lower",
    compensated: bool = False,
) -> SolverTable:
    """Single-step entropy-reducing iteration of paper C, eq. (4.1), two calls per step.

    In the notation of `fd_2_table`, f(x') = f(x) + h (g d_s + (1 - g) d_a) + h^2 / 2 F. The
    iteration exceeds the finite-difference one by g h (d_s - d_a), which is of second order in h
    per step. Its order is therefore 1, although theorem 4.1 states 2. With (h^2 / 2 - g h h_s) F as
    the last term the order is 2, but g then cancels.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        form: "noise" or "data".
        stage: Inner level s, "sqrt" or "interval"; see `fd_2_table`.
        mix: Weight g, a number in (0, 1] or a name. With S = SNR(a) + SNR(s), "lower" is SNR(a) / S
            and "upper" is max(2 SNR(a), SNR(s)) / S, the ends of proposition 4.1; "minimum" is
            SNR(s) / S, the minimum of (4.3).
        compensated: Whether the last term is (h^2 / 2 - g h h_s) F.
    """
    return _difference_table(sigmas, start_std, form, stage, mix, compensated)


def _difference_table(
    sigmas: ArrayLike,
    start_std: float | None,
    form: str,
    stage: str,
    mix: str | float | None,
    compensated: bool,
) -> SolverTable:
    """Table of eq. (3.7) if mix is None, otherwise of eq. (4.1)."""
    a, b, std = steps(sigmas, start_std)
    data = one_of("form", form, ("noise", "data")) == "data"
    last = staged(b)
    high, low = a[:last], b[:last]
    # h / h_s without cancellation: (a - b) / (a - sqrt(a b)) = 1 + sqrt(b / a).
    rho = low / high
    if one_of("stage", stage, ("sqrt", "interval")) == "sqrt":
        s = np.sqrt(high) * np.sqrt(low)
        ratio = 1.0 + np.sqrt(rho)
        ratio = ratio / np.sqrt(rho) if data else ratio
    else:
        u = _interval_stage(rho, data)
        s, ratio = high * u, 4.0 / (1.0 + u**2)
    g = np.zeros(last) if mix is None else _mix(mix, s / high)
    if compensated:
        g = np.zeros(last)  # the compensation cancels the weight
    order = 2 if mix is None or compensated else 1
    # f gains h (g + h / (2 h_s)) (d_s - d_a); d_s - d_a is D_s - D_a, for eps -(D_s - D_a) / s.
    c = (high - low) / (high if data else s) * (g + 0.5 * ratio)
    rows = two_calls(a, s, b, c, last)
    return SolverTable(
        *rows, np.zeros_like(rows[0]), std, float(b[-1]), order=order, n_steps=a.size
    )


def _interval_stage(rho: Array, data: bool) -> Array:
    """Ratio u = s / a at which h / h_s = 4 a^2 / (a^2 + s^2): the one root above rho = b / a.

    The noise form solves (1 - rho) (1 + u^2) = 4 (1 - u). The data form solves
    (1 - rho) u (1 + u^2) = 4 rho (1 - u), a cubic u^3 + (1 + k) u - k with k = 4 rho / (1 - rho),
    by Newton's method from u = 1. The cubic is increasing and convex for u > 0, so that the
    iterates decrease to the root.
    """
    gap = 1.0 - rho
    if not data:
        return np.asarray((4.0 - gap) / (2.0 + np.sqrt(4.0 + gap * (4.0 - gap))))
    u = np.ones_like(rho)
    for _ in range(60):
        u = u - (gap * u * (1.0 + u * u) - 4.0 * rho * (1.0 - u)) / (
            gap * (1.0 + 3.0 * u * u) + 4.0 * rho
        )
    return u


def _mix(mix: str | float, u: Array) -> Array:
    """The weight g of eq. (4.1), given u = s / a; SNR(a) / SNR(s) = u^2."""
    lower = u**2 / (1.0 + u**2)
    if isinstance(mix, str):
        named = {"lower": lower, "upper": np.maximum(2.0 * lower, 1.0 - lower)}
        named["minimum"] = 1.0 - lower
        return named[one_of("mix", mix, named)]
    number = floats("mix", mix)
    if number.ndim or not 0.0 < number <= 1.0:
        raise ValueError(f"mix must be in (0, 1], got {mix}")
    return np.full_like(u, number)
