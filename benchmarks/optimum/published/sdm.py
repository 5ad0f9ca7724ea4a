"""SDM: levels of equal measured local error of Euler steps.

Jo and Choi (2026), "Formalizing the Sampling Design Space of Diffusion-Based Generative Models via
Adaptive Solvers and Wasserstein-Bounded Timesteps", arXiv 2602.12624. The formulas follow the
authors' repository, aiimaginglab/sdm at commit 464ef87: calc_wasserstein_bound of
modules/sampler.py, and resample_sigmas_uniform_cum_eta of modules/utils.py.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

from benchmarks.optimum.published.line import (
    line_span,
    rms,
    slope,
    start_states,
    trajectories,
)
from theory.checks import Array, number
from theory.schedules.standard import edm_sigmas
from toys.mixture import Mixture

GRID_STEPS = 400
EARLY = 0.25  # q in the example of the repository's README
RHO = 7.0


def sdm_sigmas(
    mixture: Mixture,
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    *,
    solver: str,
    early: float = EARLY,
) -> Array:
    """Levels of equal weighted local error of Euler steps (Jo and Choi 2026, N-step resampling).

    A step from a to b has eta = h^2 S / 2, where h = a - b and S is the norm of the change of the
    slope over the step, divided by h: a bound of the local error in the Wasserstein distance. Its
    length is sqrt(eta) (sigma_max / b)^q. The lengths are summed over a grid, and the sum is
    inverted by a monotone cubic in sigma^(1 / 7).

    In the repository the grid comes from a first stage, which chooses steps of bounded eta. Its
    bounds are absolute norms of images, 0.02 to 0.2, and mean nothing for one coordinate. Here the
    grid has 400 steps uniform in sigma^(1 / 7), from exact states. Their choice between Euler's and
    Heun's rule in each step is a solver rather than a schedule. The levels do not depend on the
    solver.

    Args:
        mixture: Data of one coordinate.
        n_steps: Number of steps, 1 to 256.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, in data units.
        solver: Name of the solver.
        early: Exponent q, at least 0. Larger values move levels to sigma_min. The repository uses
            0.1 for two of its data sets.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    span = line_span(mixture, n_steps, sigma_max, sigma_min, solver)
    q = number("early", early, 0.0)
    grid = edm_sigmas(max(GRID_STEPS, 2 * n_steps), span.sigma_max, span.sigma_min)
    steps = np.sqrt(local_errors(mixture, grid)) * (span.sigma_max / grid[1:]) ** q
    length = np.concatenate([[0.0], np.cumsum(steps)])
    # A step may have no error in float64; the interpolation needs distinct lengths.
    length += np.arange(length.size) * 1e-13 * length[-1]
    place = PchipInterpolator(length / length[-1], grid ** (1.0 / RHO))
    return span.finish(place(span.fractions) ** RHO)


def local_errors(mixture: Mixture, sigmas: Array) -> Array:
    """Measured bounds eta of the local errors of Euler steps, shape (m - 1,), in data units.

    Args:
        mixture: Data of one coordinate.
        sigmas: Noise levels, shape (m,), strictly decreasing, in data units.
    """
    path = trajectories(mixture, sigmas, start_states(sigmas[0]))
    eta = np.empty(sigmas.size - 1)
    for i in range(eta.size):
        d = slope(mixture, path[i], sigmas[i])
        h = sigmas[i] - sigmas[i + 1]
        change = slope(mixture, path[i] - h * d, sigmas[i + 1]) - d
        eta[i] = 0.5 * h * rms(change)
    return eta
