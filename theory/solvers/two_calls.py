"""Solvers with an inner stage: two denoiser calls per step."""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, within
from theory.solvers.table import SolverTable, steps


def two_calls(a: Array, s: Array, b: Array, c: Array, last: int) -> tuple[Array, Array, Array]:
    """sigma, keep and weights of steps with one inner stage u at level s, two rows each.

    u = (s / a) x + (1 - s / a) D_a is DDIM from a to s; then
    x' = (b / s) u + (1 - b / s) D_a + c (D_s - D_a), DDIM from a to b and a correction.
    From step `last` on (shape (n_steps,) less that) there is no stage: one row of DDIM each.
    """
    rows = {
        "sigma": (np.stack([a[:last], s], axis=1), a[last:]),
        "keep": (np.stack([s / a[:last], b[:last] / s], axis=1), b[last:] / a[last:]),
        "newest": (np.stack([(a[:last] - s) / a[:last], c], axis=1), (a - b)[last:] / a[last:]),
        "older": (np.stack([0.0 * c, (s - b[:last]) / s - c], axis=1), 0.0 * a[last:]),
    }
    sigma, keep, newest, older = (np.append(two.ravel(), one) for two, one in rows.values())
    return sigma, keep[:, None], np.stack([newest, older], axis=1)


def staged(b: Array, correct_last: bool = True) -> int:
    """Number of steps with an inner stage: the step that reaches 0 never has one."""
    return b.size - int(b[-1] == 0.0 or not correct_last)


def heun_table(
    sigmas: ArrayLike, start_std: float | None = None, correct_last: bool = True
) -> SolverTable:
    """Heun's rule in sigma (Karras et al. 2022, algorithm 1; order 2), two calls a step.

    Euler to b, then the mean of the slopes eps at a and b: c = (a - b) / (2 b).

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        correct_last: Whether a last step to b > 0 is corrected too.
    """
    a, b, std = steps(sigmas, start_std)
    last = staged(b, correct_last)
    s = b[:last]
    rows = two_calls(a, s, b, (a[:last] - s) / (2.0 * s), last)
    return SolverTable(*rows, np.zeros_like(rows[0]), std, float(b[-1]), order=2, n_steps=a.size)


def edm_stochastic_table(
    sigmas: ArrayLike,
    start_std: float | None = None,
    s_churn: float = 40.0,
    s_min: float = 0.05,
    s_max: float = 50.0,
    s_noise: float = 1.003,
    correct_last: bool = True,
) -> SolverTable:
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2; order 2 in law at s_noise = 1).

    Where s_min <= a <= s_max the noise is raised to a' = (1 + g) a first, by
    s_noise sqrt(a'^2 - a^2) z, g = min(s_churn / n_steps, sqrt(2) - 1); then Heun from a' to b.
    The raise stands in the row before, or in the start. At s_noise = 1 the law after the raise is
    exact, so the order is Heun's once g shrinks with the steps, n_steps > s_churn / 0.414; at any
    other s_noise more steps converge to another law than the data's.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise before it is raised; sigmas[0] by default.
        s_churn: Sum of g over the steps, at least 0.
        s_min: Lowest level raised, at least 0, in data units.
        s_max: Highest level raised, at least 0.
        s_noise: Factor on the noise added, positive.
        correct_last: Whether a last step to b > 0 is corrected too.
    """
    a, b, std = steps(sigmas, start_std)
    churn = float(within("s_churn", s_churn, 0.0))
    raised = (a >= within("s_min", s_min, 0.0)) & (a <= within("s_max", s_max, 0.0))
    g = np.where(raised, min(churn / a.size, np.sqrt(2.0) - 1.0), 0.0)
    high = (1.0 + g) * a
    added = float(above_zero("s_noise", s_noise)) * a * np.sqrt(g * (2.0 + g))
    last = staged(b, correct_last)
    s = b[:last]
    rows = two_calls(high, s, b, (high[:last] - s) / (2.0 * s), last)
    noise = np.zeros_like(rows[0])
    before = np.arange(1, a.size)  # the steps with a row before them
    noise[np.where(before <= last, 2 * before, before + last) - 1] = added[1:]
    start = float(np.hypot(std, added[0]))
    return SolverTable(*rows, noise, start, float(b[-1]), order=2, n_steps=a.size)


def dpm_solver_2_table(sigmas: ArrayLike, start_std: float | None = None) -> SolverTable:
    """DPM-Solver-2 (Lu et al. 2022a, algorithm 1, r = 1/2; order 2), two calls a step.

    DDIM to s = sqrt(a b), then the whole step with eps_s: x' = x + (b - a) eps_s.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
    """
    a, b, std = steps(sigmas, start_std)
    last = staged(b)
    s = np.sqrt(a[:last]) * np.sqrt(b[:last])
    rows = two_calls(a, s, b, (a[:last] - b[:last]) / s, last)
    return SolverTable(*rows, np.zeros_like(rows[0]), std, float(b[-1]), order=2, n_steps=a.size)
