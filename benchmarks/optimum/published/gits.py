"""GITS: a dynamic programme over the costs of single Euler steps on a teacher's trajectory.

Chen, Zhou, Wang, Shen and Lyu (2024), "On the Trajectory Regularity of ODE-based Diffusion
Sampling", arXiv 2405.11326. The formulas follow the authors' repository, zju-pi/diff-sampler,
folder gits-main, file gits_utils.py at commit 20a0e1d, with the defaults of its README: a teacher
of 61 levels uniform in sigma^(1 / 7) and the coefficient 1.15. The README's measure is "dev", the
distance from the chord of a trajectory. It is 0 on a line and, for images of many coordinates, 0
for Gaussian data, whose trajectories are straight. The measure "l2" of the repository always has
a meaning, and is the default here.
"""

import numpy as np

from benchmarks.optimum.published.line import (
    line_span,
    rms,
    slope,
    start_states,
    trajectories,
)
from theory.checks import Array, one_of, positive
from theory.schedules.standard import edm_sigmas
from toys.mixture import Mixture

TEACHER_STEPS = 60
COEFFICIENT = 1.15
MEASURES = ("l2", "dev")
STRAIGHT = 1e-9  # distance from the chord, relative to sigma_max, that counts as rounding


def gits_sigmas(
    mixture: Mixture,
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    *,
    solver: str,
    measure: str = "l2",
    coefficient: float = COEFFICIENT,
) -> Array:
    """Levels of least total cost among the teacher's levels (Chen et al. 2024).

    A step from level i to level j of the teacher costs c_ij, which `step_costs` measures. The least
    cost from level j in k steps is V_1(j) = c_{j,end} and V_k(j) = min_i c_ji + coefficient
    V_{k-1}(i). The teacher's trajectory is exact here, where the repository uses a multistep solver
    on its 60 steps. With more than 30 steps the teacher has twice as many. The costs are those of
    Euler steps whatever the solver, as in the repository.

    Args:
        mixture: Data of one coordinate.
        n_steps: Number of steps, 1 to 256.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, in data units.
        solver: Name of the solver.
        measure: Cost of a step: "l2" for its distance from the trajectory, "dev" for the excess of
            its distance from the chord of the trajectory.
        coefficient: Weight of later costs relative to earlier ones, positive.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or the measure is "dev" and the trajectories
            are straight.
    """
    span = line_span(mixture, n_steps, sigma_max, sigma_min, solver)
    one_of("measure", measure, MEASURES)
    weight = positive("coefficient", coefficient)
    levels = edm_sigmas(max(TEACHER_STEPS, 2 * n_steps), span.sigma_max, span.sigma_min)
    costs = step_costs(mixture, levels, measure)
    return span.finish(levels[cheapest_path(costs, span.n_steps, weight)[1:-1]])


def step_costs(mixture: Mixture, levels: Array, measure: str = "l2") -> Array:
    """Costs c_ij of one Euler step from level i to level j on the trajectory, shape (m, m).

    With x_i on the exact trajectory and d_i its slope, the step ends at y = x_i + (sigma_j -
    sigma_i) d_i. "l2" is the norm of y - x_j. "dev" is the distance of y from the line through the
    first and the last state less that of x_j, and may be negative. Norms are per coordinate. Costs
    with j <= i are infinite.

    Args:
        mixture: Data of one coordinate.
        levels: The teacher's levels, shape (m,), strictly decreasing, in data units.
        measure: "l2" or "dev".
    """
    path = trajectories(mixture, levels, start_states(levels[0]))
    chord = path[-1] - path[0]
    chord /= np.sqrt(np.mean(chord**2))

    def deviation(x: Array) -> Array:
        away = path[-1] - x
        return rms(away - np.mean(away * chord, axis=-1, keepdims=True) * chord)

    if measure == "dev" and deviation(path).max() < STRAIGHT * levels[0]:
        raise ValueError("measure must be 'l2' where trajectories are straight lines, got 'dev'")
    costs = np.full((levels.size, levels.size), np.inf)
    for i in range(levels.size - 1):
        d = slope(mixture, path[i], levels[i])
        ends = path[i] + (levels[i + 1 :] - levels[i])[:, None] * d
        later = path[i + 1 :]
        costs[i, i + 1 :] = (
            rms(ends - later) if measure == "l2" else deviation(ends) - deviation(later)
        )
    return costs


def cheapest_path(costs: Array, n_steps: int, coefficient: float = 1.0) -> np.ndarray:
    """Indices of the path of n_steps steps of least total cost, shape (n_steps + 1,), rising.

    The total is sum_k coefficient^k c_{i_k, i_{k+1}}, from the first to the last level.

    Args:
        costs: Costs c_ij, shape (m, m), infinite for j <= i.
        n_steps: Number of steps, 1 to m - 1.
        coefficient: Weight of later costs relative to earlier ones, positive.
    """
    m = len(costs)
    if not 1 <= n_steps < m:
        raise ValueError(f"n_steps must be in 1..{m - 1}, got {n_steps}")
    to_go = costs[:, -1]
    follow = []
    for _ in range(n_steps - 1):
        total = costs + coefficient * to_go
        best = np.argmin(total, axis=1)
        follow.append(best)
        to_go = total[np.arange(m), best]
    path = [0]
    for best in reversed(follow):
        path.append(int(best[path[-1]]))
    return np.array([*path, m - 1])
