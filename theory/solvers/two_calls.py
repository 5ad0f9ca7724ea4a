"""Solvers with an inner stage: two denoiser calls per step."""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, within
from theory.solvers.table import SolverTable, steps


def two_calls(a: Array, s: Array, b: Array, c: Array, last: int) -> tuple[Array, Array, Array]:
    """sigma, keep and weights of the rows of steps with one inner stage u at level s.

    u = (s / a) x + (1 - s / a) D_a is DDIM from a to s, and
    x' = (b / s) u + (1 - b / s) D_a + c (D_s - D_a) is DDIM from a to b and a correction. These are
    two rows per step. From step `last` on there is no stage, and each step is one row of DDIM.

    Args:
        a: Levels at the start of each step, shape (n_steps,).
        s: Inner levels of the first `last` steps, shape (last,).
        b: Levels at the end of each step, shape (n_steps,).
        c: Weights of the correction in the first `last` steps, shape (last,).
        last: Number of steps with an inner stage.
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
    """Number of steps with an inner stage; a step to 0 never has one."""
    return b.size - int(b[-1] == 0.0 or not correct_last)


def heun_table(
    sigmas: ArrayLike, start_std: float | None = None, correct_last: bool = True
) -> SolverTable:
    """Heun's rule in sigma (Karras et al. 2022, algorithm 1; order 2), two calls per step.

    A step from a to b is an Euler step, repeated with the mean of the slopes eps = (x - D) / sigma
    at a and at b. A step to 0 is an Euler step, which returns D.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        correct_last: Whether a last step to a positive level is corrected too.
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

    A step from a to b with s_min <= a <= s_max first raises the noise level to a' = (1 + g) a by
    adding s_noise sqrt(a'^2 - a^2) z, where g = min(s_churn / n_steps, sqrt(2) - 1) and z is
    standard normal. Heun's rule then goes from a' to b. In the table the added noise belongs to the
    previous row, or to the initial state. With s_noise = 1 the law after the raise is exact, and
    the order is that of Heun's rule once n_steps > s_churn / 0.414, where g decreases with the
    number of steps. With any other s_noise the sampler converges to a law other than the data's.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise before it is raised. Default: sigmas[0].
        s_churn: Sum of g over the steps, at least 0.
        s_min: Lowest level that is raised, at least 0, in data units.
        s_max: Highest level that is raised, at least 0, in data units.
        s_noise: Factor of the added noise, positive.
        correct_last: Whether a last step to a positive level is corrected too.
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
    before = np.arange(1, a.size)  # steps that have a previous row
    noise[np.where(before <= last, 2 * before, before + last) - 1] = added[1:]
    start = float(np.hypot(std, added[0]))
    return SolverTable(*rows, noise, start, float(b[-1]), order=2, n_steps=a.size)


def dpm_solver_2_table(sigmas: ArrayLike, start_std: float | None = None) -> SolverTable:
    """DPM-Solver-2 (Lu et al. 2022a, algorithm 1, r = 1/2; order 2), two calls per step.

    A step from a to b makes a DDIM step to s = sqrt(a b), and then the whole step with the noise
    prediction eps_s = (x_s - D_s) / s made there: x' = x + (b - a) eps_s.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
    """
    a, b, std = steps(sigmas, start_std)
    last = staged(b)
    s = np.sqrt(a[:last]) * np.sqrt(b[:last])
    rows = two_calls(a, s, b, (a[:last] - b[:last]) / s, last)
    return SolverTable(*rows, np.zeros_like(rows[0]), std, float(b[-1]), order=2, n_steps=a.size)
