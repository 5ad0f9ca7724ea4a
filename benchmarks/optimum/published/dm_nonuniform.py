"""DM-NonUniform: levels that minimise a bound of the error of a multistep solver.

Xue et al. (2024), "Accelerating Diffusion Sampling with Optimized Time Steps", arXiv 2402.17376.
The bound follows the authors' repository, scxue/DM-NonUniform, file step_optim.py at commit
95d4ac6, with its settings for models in pixel space. It knows nothing of the data.
"""

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, minimize

from benchmarks.optimum.published.line import line_span
from theory.checks import Array
from theory.solvers.registry import REGISTRY
from toys.mixture import Mixture

ORDERS = {
    "ddim": 1,
    "stochastic_ddim": 1,
    "euler_ancestral": 1,
    "deis_1": 1,
    "unipc_1": 1,
    "dpmpp_2m": 2,
    "sde_dpmpp_2m": 2,
    "deis_2": 2,
    "ab_2": 2,
    "unipc_2": 2,
}
LARGEST_ORDER = 3  # that of the released code, for every other solver
FEW_STEPS = 7  # up to which the first steps are bounded one by one, for stability
BOUNDED = 3  # number of these steps
QUADRATURE = np.polynomial.legendre.leggauss(24)
MOST_ITERATIONS = 1000
DIFFERENCE = np.sqrt(np.finfo(float).eps)  # relative step of forward differences


def dm_nonuniform_sigmas(
    mixture: Mixture, n_steps: int, sigma_max: float, sigma_min: float, *, solver: str
) -> Array:
    """Levels that minimise the error bound of `error_bound` for the solver's order.

    The search is SciPy's "trust-constr" with rising log SNRs as linear constraints, from levels
    uniform in log SNR, as in the repository. The released code has order 3 for every solver; the
    paper's problem is that of the solver in use, whose order is taken here. Solvers with inner
    stages or state-dependent weights take order 3. The levels do not depend on the data.

    The bound has kinks, at which the search stops, so that its result is not a minimum. Between
    sigma 80 and 0.002 it is up to four times the least bound at orders 2 and 3; the levels of the
    least bound crowd near sigma_max from 16 steps on, and sample badly. The early stop is part of
    the method. For order 1 the bound is sum_s (sigma_s / sigma_{s+1} - 1), and its minimum is
    uniform in log SNR.

    Args:
        mixture: Data of one coordinate.
        n_steps: Number of steps, 1 to 256.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, in data units.
        solver: Name of the solver.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    span = line_span(mixture, n_steps, sigma_max, sigma_min, solver)
    order = ORDERS.get(REGISTRY.name(solver), LARGEST_ORDER)
    logs = _optimal_logs(span.n_steps, span.sigma_max, span.sigma_min, order)
    return span.finish(np.exp(-logs[1:-1]))


def error_bound(logs: Array, order: int = LARGEST_ORDER) -> Array:
    """Bound of the error of a multistep solver with these levels, without unit, shape (...).

    With lambda = -log sigma, a step from lambda_s to lambda_{s+1} weights the denoiser's output of
    call n by J_{s,n} = int e^lambda L_n(lambda) dlambda, where L_n is the Lagrange polynomial of
    the calls that the step uses: `order` of them, fewer in the first and the last steps. An output
    at level sigma has an error of at most sigma, up to a constant, so that the bound is

        sum_n |sum_s J_{s,n}| sigma_n.

    The first and the last step, which use one call, are bounded by themselves. So are the first
    three steps if there are at most seven, by sqrt(sum_n (J_{s,n} sigma_n)^2).

    Args:
        logs: -log sigma of the levels of one or more schedules, shape (..., n_steps + 1).
        order: Number of calls that a step uses, 1 to 3.
    """
    n_steps = logs.shape[-1] - 1
    alone = BOUNDED if n_steps <= FEW_STEPS else 0
    errors = np.exp(-logs)
    totals, separate = np.zeros((*logs.shape[:-1], n_steps)), np.zeros(logs.shape[:-1])
    step = np.arange(n_steps)
    used = np.minimum(np.minimum(step + 1, n_steps - step), order)
    for count in range(1, order + 1):
        rows = np.flatnonzero(used == count)
        calls = rows[:, None] - np.arange(count)
        terms = _step_weights(logs, rows, count) * errors[..., calls]
        split = (rows < alone) | (count == 1)
        separate += np.sqrt((terms[..., split, :] ** 2).sum(axis=-1)).sum(axis=-1)
        for j in range(count):
            totals[..., rows[~split] - j] += terms[..., ~split, j]
    return np.asarray(separate + np.abs(totals).sum(axis=-1))


def _step_weights(logs: Array, rows: NDArray[np.int64], count: int) -> Array:
    """Weights J of the last `count` calls in some steps, newest first, shape (..., rows, count)."""
    start, h = logs[..., rows], logs[..., rows + 1] - logs[..., rows]
    nodes = logs[..., rows[:, None] - np.arange(count)] - start[..., None]
    u = 0.5 * (1.0 + QUADRATURE[0]) * h[..., None]  # (..., rows, quadrature)
    mass = 0.5 * QUADRATURE[1] * h[..., None] * np.exp(start[..., None] + u)
    out = np.empty(nodes.shape)
    for n in range(count):
        basis = mass
        for other in range(count):
            if other != n:
                gap = nodes[..., n] - nodes[..., other]
                basis = basis * (u - nodes[..., other, None]) / gap[..., None]
        out[..., n] = basis.sum(axis=-1)
    return out


@lru_cache(maxsize=256)
def _optimal_logs(n_steps: int, sigma_max: float, sigma_min: float, order: int) -> Array:
    """-log sigma of the levels of least bound, shape (n_steps + 1,)."""
    first, last = -np.log(sigma_max), -np.log(sigma_min)
    uniform = np.linspace(first, last, n_steps + 1)
    if n_steps == 1:
        return uniform

    def bound(levels: Array) -> float:
        return float(error_bound(np.concatenate([[first], levels, [last]]), order))

    def gradient(levels: Array) -> Array:
        """Forward differences with SciPy's own steps, all in one call."""
        logs = np.concatenate([[first], levels, [last]])
        steps = DIFFERENCE * np.where(levels < 0, -1.0, 1.0) * np.maximum(1.0, np.abs(levels))
        ahead = logs + np.eye(n_steps + 1)[1:-1] * steps[:, None]
        return np.asarray((error_bound(ahead, order) - error_bound(logs, order)) / steps)

    rows = np.eye(n_steps, n_steps - 1) - np.eye(n_steps, n_steps - 1, -1)
    low = np.zeros(n_steps)
    low[0], low[-1] = first, -last
    # The bound has kinks, at which the quasi-Newton update warns that it skips a step.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = minimize(
            bound,
            uniform[1:-1],
            method="trust-constr",
            jac=gradient,
            constraints=[LinearConstraint(rows, low, np.inf)],
            options={"maxiter": MOST_ITERATIONS},
        )
    return np.concatenate([[first], found.x, [last]])
