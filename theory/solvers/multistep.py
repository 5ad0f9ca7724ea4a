"""Multistep solver tables: DPM-Solver++, UniPC, DEIS and Adams-Bashforth.

A step goes from a to b < a with h = log(a / b) and uses the denoiser outputs D of earlier calls.
Let sigma = a e^{-theta h} over the step: theta is 0 for the call at a, 1 at the end of the step,
and negative for earlier calls. Along the exact solution

    x' = (b / a) x + h int_0^1 e^{-(1 - theta) h} D(theta) dtheta.

At order 3 and above, DPM-Solver++ and UniPC are this step with D replaced by the polynomial through
the last calls; at order 2 they take a simpler weight of the same order. DEIS and Adams-Bashforth
interpolate eps = (x - D) / sigma instead.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, one_of, whole
from theory.noise.processes import PROCESSES
from theory.solvers.table import SolverTable, steps

FEW_STEPS = 15  # below this many steps the last ones are of lower order, as in common code
QUADRATURE = np.polynomial.legendre.leggauss(40)


def _orders(n_steps: int, order: int, lower_order_final: bool) -> np.ndarray:
    """Number of calls that each step uses: it rises at the start and may fall at the end."""
    step = np.arange(n_steps)
    most = np.minimum(order, step + 1)
    return np.minimum(most, n_steps - step) if lower_order_final and n_steps < FEW_STEPS else most


def _log_steps(a: Array, b: Array) -> Array:
    """The log step h = log(a / b) of every step, infinite for a step to 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(a) - np.log(b))


def _nodes(h: Array, count: int) -> Array:
    """Values theta of the last `count` calls, shape (n_steps, count), the newest (0) first.

    Entries before the start or beyond an infinite step have no meaning and are never used.
    """
    out = np.zeros((h.size, count))
    for j in range(1, count):
        out[:, j] = out[:, j - 1]
        out[j:, j] -= h[: h.size - j] / h[j:]
    return out


def _moment(h: Array, k: int) -> Array:
    """The moment int_0^1 e^{-(1 - theta) h} theta^k dtheta = M(1, k + 2, -h) / (k + 1)."""
    from scipy.special import hyp1f1

    return np.asarray(hyp1f1(1.0, k + 2.0, -h) / (k + 1.0))


def _exact_weights(h: Array, theta: Array) -> Array:
    """Integrals h int e^{-(1 - theta) h} L_j dtheta for Lagrange polynomials of nodes (n, p)."""
    powers = np.arange(theta.shape[1])
    moments = h[:, None] * np.stack([_moment(h, int(k)) for k in powers], axis=1)
    vander = theta[:, None, :] ** powers[:, None]
    return np.asarray(np.linalg.solve(vander, moments[:, :, None])[:, :, 0])


def _last_row_denoises(b: Array, keep: Array, weights: Array) -> None:
    """Make a row that reaches 0 return D."""
    if b[-1] == 0.0:
        keep[-1], weights[-1] = 0.0, 0.0
        weights[-1, 0] = 1.0


def _second_order(gap: Array, h: Array, orders: np.ndarray) -> Array:
    """Weights of D and D_prev in steps with the term `gap` (D - D_prev) / (2 r), shape (n, 2).

    gap is the weight of D in a first-order step, and r = h_prev / h.
    """
    out = np.stack([gap, np.zeros_like(gap)], axis=1)
    at = np.flatnonzero((orders >= 2) & np.isfinite(h))
    k = gap[at] * h[at] / (2.0 * h[at - 1])
    out[at] += np.stack([k, -k], axis=1)
    return out


def dpmpp_2m_table(
    sigmas: ArrayLike, start_std: float | None = None, lower_order_final: bool = True
) -> SolverTable:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2; order 2).

    A step from a to b is x' = (b / a) x + (1 - b / a) [D + (D - D_prev) / (2 r)], where
    h = log(a / b), r = h_prev / h and D is the denoiser's output. The first step is DDIM.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        lower_order_final: Whether the last steps are of lower order if there are fewer than 15.
    """
    a, b, std = steps(sigmas, start_std)
    h, orders = _log_steps(a, b), _orders(a.size, 2, lower_order_final)
    weights, keep = _second_order((a - b) / a, h, orders), (b / a)[:, None]
    return SolverTable(
        a, keep, weights, np.zeros_like(a), std, float(b[-1]), order=2, n_steps=a.size
    )


def sde_dpmpp_2m_table(
    sigmas: ArrayLike,
    start_std: float | None = None,
    variant: str = "midpoint",
    lower_order_final: bool = True,
) -> SolverTable:
    """SDE-DPM-Solver++(2M) (Lu et al. 2022b, appendix; order 2 in law).

    A step from a to b is x' = q x + (1 - q) [D + (D - D_prev) / (2 r)] + b sqrt(1 - q) z, where
    q = b^2 / a^2, h = log(a / b), r = h_prev / h, D is the denoiser's output and z is standard
    normal. The Heun variant weights the difference (D - D_prev) / r by 1 - (1 - q) / (2 h) in place
    of (1 - q) / 2. Because a step uses an output from before the last noise, the exact law is known
    for Gaussian data only.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        variant: "midpoint" or "heun".
        lower_order_final: Whether the last steps are of lower order if there are fewer than 15.
    """
    a, b, std = steps(sigmas, start_std)
    h, orders = _log_steps(a, b), _orders(a.size, 2, lower_order_final)
    ratio = b / a
    gap = ((a - b) / a) * (1.0 + ratio)  # 1 - q
    weights = _second_order(gap, h, orders)
    if one_of("variant", variant, ("midpoint", "heun")) == "heun":
        used = weights[:, 1] != 0.0  # 1 - (1 - q) / (2 h) = 2 h int e^{-2 (1 - theta) h} theta
        weights[used, 1] *= 4.0 * h[used] * _moment(2.0 * h[used], 1) / gap[used]
        weights[used, 0] = gap[used] - weights[used, 1]
    noise = b * np.sqrt(gap)
    return SolverTable(
        a, ratio[:, None] ** 2, weights, noise, std, float(b[-1]), order=2, n_steps=a.size
    )


def dpmpp_3m_table(
    sigmas: ArrayLike,
    start_std: float | None = None,
    corrected: bool = False,
    lower_order_final: bool = True,
) -> SolverTable:
    """DPM-Solver++(3M) as in its authors' code (order 2), or corrected (order 3).

    A step from a to b with h = log(a / b) is x' = (b / a) x + p1 D + p2 (D01 + r0 C) + p3 C, where
    D, D_1 and D_2 are the last three denoiser outputs, r0 and r1 the two previous log steps over h,
    D01 = (D - D_1) / r0, D12 = (D_1 - D_2) / r1, C = (D01 - D12) / (r0 + r1), p1 = 1 - e^{-h},
    p2 = 1 - p1 / h and p3 = 1 / 2 - p2 / h. The second derivative of D is 2 C. With `corrected` the
    last term is 2 p3 C, which is the exact step through three calls. The first two steps are DDIM
    and DPM-Solver++(2M).

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        corrected: Whether the last term has the factor 2.
        lower_order_final: Whether the last steps are of lower order if there are fewer than 15.
    """
    a, b, std = steps(sigmas, start_std)
    h, orders = _log_steps(a, b), _orders(a.size, 3, lower_order_final)
    weights = np.zeros((a.size, 3))
    weights[:, :2] = _second_order((a - b) / a, h, orders)
    at = np.flatnonzero((orders == 3) & np.isfinite(h))
    r0, r1 = h[at - 1] / h[at], h[at - 2] / h[at]
    p2 = h[at] * _moment(h[at], 1)
    p3 = 0.5 * h[at] * _moment(h[at], 2)  # = 1/2 - p2/h
    first = np.stack([1.0 / r0, -1.0 / r0, np.zeros_like(r0)], axis=1)
    second = np.stack([np.zeros_like(r0), 1.0 / r1, -1.0 / r1], axis=1)
    curve = (first - second) / (r0 + r1)[:, None]
    weights[at] = p2[:, None] * (first + r0[:, None] * curve)
    weights[at] += (2.0 if corrected else 1.0) * p3[:, None] * curve
    weights[at, 0] += ((a - b) / a)[at]
    keep, order = (b / a)[:, None], 3 if corrected else 2
    return SolverTable(
        a, keep, weights, np.zeros_like(a), std, float(b[-1]), order=order, n_steps=a.size
    )


def unipc_table(
    order: int,
    sigmas: ArrayLike,
    start_std: float | None = None,
    variant: str = "bh2",
    lower_order_final: bool = True,
) -> SolverTable:
    """UniPC-p (Zhao et al. 2023, algorithms 5 and 6, data prediction; order p + 1).

    The predictor UniP-p interpolates the last p calls. The denoiser is called at the predicted
    state at b. The corrector UniC-p interpolates p + 1 calls, the new one included, and the output
    at the predicted state is kept. In the table, x_r is the predicted state, and
    x_r + (corrector - predictor) is the corrected one. A row therefore combines the correction of
    the previous step with the prediction of its own. The last state is not corrected, since that
    would need another call.

    With two points, as in the corrector at p = 1 and the predictor at p = 2, the weight of the
    difference is B(h) / 2, as in the authors' code. With more points the integral is exact.

    Args:
        order: Order p of the predictor, 1 to 3.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        variant: "bh2" for B(h) = 1 - e^{-h}, or "bh1" for B(h) = h, with h = log(a / b).
        lower_order_final: Whether the last steps are of lower order if there are fewer than 15.
    """
    p = whole("order", order, 1, 3)
    a, b, std = steps(sigmas, start_std)
    h, orders = _log_steps(a, b), _orders(a.size, p, lower_order_final)
    gap = (a - b) / a
    scale = {"bh2": gap, "bh1": h}[one_of("variant", variant, ("bh2", "bh1"))]
    before = _nodes(h, p)
    weights = np.zeros((a.size, p + 1))  # predictor: weights of D, D_1, ...
    correction = np.zeros((a.size, p + 1))  # corrector - predictor: D_new, D, D_1, ...
    weights[:, 0] = gap
    for q in range(1, p + 1):
        at = np.flatnonzero((orders == q) & np.isfinite(h))
        nodes = before[at, :q]
        points = np.concatenate([np.ones((at.size, 1)), nodes], axis=1)
        if q == 2:
            k = 0.5 * scale[at] / nodes[:, 1]  # theta_1 < 0
            weights[at, 0], weights[at, 1] = gap[at] - k, k
        elif q == 3:
            weights[at, :q] = _exact_weights(h[at], nodes)
        if q == 1:
            correction[at, 0], correction[at, 1] = 0.5 * scale[at], -0.5 * scale[at]
        else:
            correction[at, : q + 1] = _exact_weights(h[at], points)
            correction[at, 1 : q + 1] -= weights[at, :q]
    keep = (b / a)[:, None]
    weights[1:] += keep[1:] * correction[:-1]
    _last_row_denoises(b, keep, weights)
    return SolverTable(
        a, keep, weights, np.zeros_like(a), std, float(b[-1]), order=p + 1, n_steps=a.size
    )


def deis_table(
    points: int,
    sigmas: ArrayLike,
    start_std: float | None = None,
    time: str | None = None,
    lower_order_final: bool = True,
) -> SolverTable:
    """DEIS with p points (Zhang and Chen 2023; order p): eps extrapolated by a polynomial.

    A step from a to b is x' = x + sum_j C_j eps_j, where eps = (x - D) / sigma and
    C_j = int_a^b L_j(t(sigma)) dsigma for the Lagrange polynomials L_j of the last p calls. The
    variable t is log sigma (the authors' rho-AB in log rho) or the time of a process (their t-AB).
    In EDM's time, which is sigma, two points give the Adams-Bashforth rule
    x' = x + (b - a) [eps + (b - a) / (2 (a - a_prev)) (eps - eps_prev)].

    Args:
        points: Number of points p, 1 to 3.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        time: Process whose time is the variable, "edm" or "vp". Default: log sigma.
        lower_order_final: Whether the last steps are of lower order if there are fewer than 15.
    """
    p = whole("points", points, 1, 3)
    a, b, std = steps(sigmas, start_std)
    named = time if time is None else one_of("time", time, PROCESSES)
    axis = np.log if named is None else PROCESSES[named].coordinate.time
    h, orders = _log_steps(a, b), _orders(a.size, p, lower_order_final)
    t = np.asarray(axis(a))
    on_eps = np.zeros((a.size, p))
    on_eps[:, 0] = b - a
    for q in range(2, p + 1):
        at = np.flatnonzero((orders == q) & np.isfinite(h))
        on_eps[at, :q] = 0.0
        nodes = np.stack([t[at - j] for j in range(q)], axis=1)
        for u, w in zip(*QUADRATURE, strict=True):
            sigma = a[at] * np.exp(-0.5 * (1.0 + u) * h[at])
            here = np.asarray(axis(sigma))
            for j in range(q):
                others = [i for i in range(q) if i != j]
                basis = np.prod(
                    [(here - nodes[:, i]) / (nodes[:, j] - nodes[:, i]) for i in others], axis=0
                )
                on_eps[at, j] -= 0.5 * w * h[at] * sigma * basis
    levels = np.ones((a.size, p))  # of the calls; entries before the start have weight 0
    for j in range(p):
        levels[j:, j] = a[: max(a.size - j, 0)]
    weights = -on_eps / levels
    keep = -weights.copy()
    keep[:, 0] = np.where(orders == 1, b / a, 1.0 + keep[:, 0])
    _last_row_denoises(b, keep, weights)
    return SolverTable(
        a, keep, weights, np.zeros_like(a), std, float(b[-1]), order=p, n_steps=a.size
    )
