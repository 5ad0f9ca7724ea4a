"""Paper C's finite-difference iteration and its single-step entropy-reducing one."""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, one_of
from theory.solvers.table import SolverTable, steps
from theory.solvers.two_calls import staged, two_calls


def fd_2_table(
    sigmas: ArrayLike, start_std: float | None = None, form: str = "noise", stage: str = "sqrt"
) -> SolverTable:
    """The finite-difference iteration of paper C, eq. (3.7) (order 2), two calls a step.

    f(x') = f(x) + h d_a + h^2 / 2 F, F = (d_s - d_a) / h_s, with h = k(b) - k(a) and
    h_s = k(s) - k(a); noise form f = x, d = eps, k = sigma; data form f = x / sigma, d = D,
    k = 1 / sigma.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        form: "noise" or "data".
        stage: "sqrt" for s = sqrt(a b); "interval" for the s at which h / h_s is the upper end
            of proposition 3.2, 4 SNR(s) / (SNR(a) + SNR(s)).
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
    """The single-step entropy-reducing iteration of paper C, eq. (4.1), two calls a step.

    f(x') = f(x) + h (g d_s + (1 - g) d_a) + h^2 / 2 F, in the terms of `fd_2_table`. It leaves a
    term g h (d_s - d_a) over, of second order in h a step: order 1, whatever theorem 4.1 says.
    With (h^2 / 2 - g h h_s) F for the last term the order is 2, but then g drops out altogether.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        form: "noise" or "data".
        stage: "sqrt" or "interval".
        mix: The weight g. With S = SNR(a) + SNR(s): "lower" is SNR(a) / S and "upper"
            max(2 SNR(a), SNR(s)) / S, the ends of proposition 4.1; "minimum" is SNR(s) / S,
            where (4.3) is least; or a number in (0, 1].
        compensated: Whether the last term is compensated.
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
    """Table of (3.7), mix None, or of (4.1)."""
    a, b, std = steps(sigmas, start_std)
    data = one_of("form", form, ("noise", "data")) == "data"
    last = staged(b)
    high, low = a[:last], b[:last]
    # h / h_s without differences of near numbers: (a - b) / (a - sqrt(a b)) = 1 + sqrt(b / a).
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
        g = np.zeros(last)  # the compensation takes the weight out again
    order = 2 if mix is None or compensated else 1
    # h (g + h / (2 h_s)) (d_s - d_a) on f; d_s - d_a is D_s - D_a, or in eps -(D_s - D_a) / s.
    c = (high - low) / (high if data else s) * (g + 0.5 * ratio)
    rows = two_calls(a, s, b, c, last)
    return SolverTable(
        *rows, np.zeros_like(rows[0]), std, float(b[-1]), order=order, n_steps=a.size
    )


def _interval_stage(rho: Array, data: bool) -> Array:
    """Ratio s / a at which h / h_s = 4 a^2 / (a^2 + s^2), rho = b / a: the one root above rho.

    Noise form: (1 - rho) (1 + u^2) = 4 (1 - u). Data form: (1 - rho) u (1 + u^2) = 4 rho (1 - u),
    a cubic u^3 + (1 + k) u - k with k = 4 rho / (1 - rho), solved by Newton from u = 1: the cubic
    rises and is convex there, so the steps fall to the root.
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
    """The weight g of (4.1), given u = s / a; SNR(a) / SNR(s) = u^2."""
    lower = u**2 / (1.0 + u**2)
    if isinstance(mix, str):
        named = {"lower": lower, "upper": np.maximum(2.0 * lower, 1.0 - lower)}
        named["minimum"] = 1.0 - lower
        return named[one_of("mix", mix, named)]
    number = floats("mix", mix)
    if number.ndim or not 0.0 < number <= 1.0:
        raise ValueError(f"mix must be in (0, 1], got {mix}")
    return np.full_like(u, number)
