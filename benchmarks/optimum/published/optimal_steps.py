"""Optimal stepsize distillation: a dynamic programme on the states of the student itself.

Pei, Hu and Gu (2025), "Optimal Stepsize for Diffusion Sampling", arXiv 2503.21774v1, algorithms 1
and 2. The search keeps one state of the student per number of steps and level, that closest to the
teacher.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.optimum.published.line import line_span, start_states, trajectories
from theory.checks import Array
from theory.schedules.standard import edm_sigmas
from theory.solvers.registry import REGISTRY
from toys.mixture import Mixture

TEACHER_STEPS = 200  # their default (section 4)
SECOND_ORDER = ("dpmpp_2m", "sde_dpmpp_2m")


class Students(NamedTuple):
    """The student's best state at every level, after some number of steps.

    Attributes:
        x: States, shape (m, n), in data units; NaN at levels that no path reaches.
        denoised: Denoiser's output of the last call before that state, shape (m, n).
        source: Index of the level of that call, shape (m,); -1 where no path leads.
    """

    x: Array
    denoised: Array
    source: NDArray[np.int64]


def optimal_steps_sigmas(
    mixture: Mixture, n_steps: int, sigma_max: float, sigma_min: float, *, solver: str
) -> Array:
    """Levels by which the student ends close to the teacher (Pei et al. 2025, algorithms 1 and 2).

    z_k(j) is the state after k steps at level j of the teacher. It comes from the level i above for
    which the step from z_{k-1}(i) ends closest to the teacher's state, in mean squares over the
    coordinates of one image (eqs. 9 to 11). The teacher is the exact trajectory at 201 levels
    uniform in sigma^(1 / 7), or twice the number of steps if that is more, where the paper uses 200
    Euler steps on a network's own schedule. Their calibration of amplitudes (eq. 13) changes the
    sampler and is left out.

    Steps are Euler's. For DPM-Solver++(2M), with or without noise, a step may also be of second
    order with the call before, whichever is closer (algorithm 2). The student is deterministic for
    solvers with noise as well, since the method has no other form. Exactly n_steps steps are made,
    where the authors' code also takes fewer.

    Args:
        mixture: Data of one coordinate.
        n_steps: Number of steps, 1 to 256.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, in data units.
        solver: Name of the solver.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range.
    """
    span = line_span(mixture, n_steps, sigma_max, sigma_min, solver)
    order = 2 if REGISTRY.name(solver) in SECOND_ORDER else 1
    levels = edm_sigmas(max(TEACHER_STEPS, 2 * n_steps), span.sigma_max, span.sigma_min)
    teacher = trajectories(mixture, levels, start_states(span.sigma_max))
    path = distilled_path(mixture, levels, teacher, span.n_steps, order)
    return span.finish(levels[path[1:-1]])


def distilled_path(
    mixture: Mixture, levels: Array, teacher: Array, n_steps: int, order: int = 1
) -> np.ndarray:
    """Indices of the student's levels, shape (n_steps + 1,), rising (Pei et al. 2025).

    Args:
        mixture: Data of one coordinate.
        levels: The teacher's levels, shape (m,), strictly decreasing, in data units.
        teacher: The teacher's states, shape (m, n), in data units.
        n_steps: Number of steps, 1 to m - 1.
        order: Largest order of a step, 1 or 2.
    """
    m = levels.size
    x = np.full_like(teacher, np.nan)
    x[0] = teacher[0]
    now = Students(x, np.full_like(teacher, np.nan), np.full(m, -1))
    sources = []
    for k in range(n_steps):
        now = _advance(mixture, levels, teacher, now, k, order)
        sources.append(now.source)
    path = [m - 1]
    for source in reversed(sources):
        path.append(int(source[path[-1]]))
    return np.array(path[::-1])


def _advance(
    mixture: Mixture, levels: Array, teacher: Array, now: Students, k: int, order: int
) -> Students:
    """The best states one step later; k is the number of steps made so far."""
    least = np.full(levels.size, np.inf)
    nothing = np.full_like(now.x, np.nan)
    new = Students(nothing.copy(), nothing, np.full(levels.size, -1))
    for i in range(k, 1 if k == 0 else levels.size - 1):  # k steps lead to level k or below
        a, b = levels[i], levels[i + 1 :]
        d = mixture.denoise(now.x[i], a)
        tried = [now.x[i] + ((b - a) / a)[:, None] * (now.x[i] - d)]
        if order == 2 and k > 0:
            # (1 - b / a) (D - D_before) h / (2 h_before), with h the step in log sigma.
            ratio = np.log(a / b) / (2.0 * np.log(levels[now.source[i]] / a))
            tried.append(tried[0] + ((a - b) / a * ratio)[:, None] * (d - now.denoised[i]))
        for ends in tried:
            costs = np.mean((ends - teacher[i + 1 :]) ** 2, axis=1)
            better = np.flatnonzero(costs < least[i + 1 :])
            least[i + 1 + better] = costs[better]
            new.x[i + 1 + better] = ends[better]
            new.denoised[i + 1 + better] = d
            new.source[i + 1 + better] = i
    return new
