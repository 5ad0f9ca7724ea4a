"""The tangent law: levels that are optimal for the deterministic sampler on Gaussian data.

Sun, Poor and Zhang (2026), "An Elementary Approach to Scheduling in Generative Diffusion Models",
arXiv 2601.13602. Only the abstracts of its three versions were at hand. The authors take data
N(0, C), expand the KL of the deterministic sampler for many steps by the Euler-Maclaurin formula,
and minimise its leading term by the calculus of variations. The optimum is a tangent of time with
a coefficient from the eigenvalues of C.

For a single eigenvalue c^2 this leaves no choice. A step of DDIM from a to b turns the angle
theta = arctan(sigma / c) by h and scales the variance by cos(h)^2 relative to the exact one. To
leading order the KL is (sum h^2)^2 / 4, which is least for equal h:

    sigma_i = c tan(theta_max + (i / n) (theta_min - theta_max)).

This is also theorem 3.1 of Sabour et al. (2024), where it is optimal for every number of steps.
"""

import numpy as np

from benchmarks.optimum.published.line import line_span
from theory.checks import Array
from theory.schedules.arctan import arctan_sigmas
from toys.mixture import Mixture


def tangent_law_sigmas(
    mixture: Mixture, n_steps: int, sigma_max: float, sigma_min: float, *, solver: str
) -> Array:
    """Levels uniform in arctan(sigma / c), with c the standard deviation of the data.

    The covariance of data of one coordinate has the single eigenvalue c^2. The levels do not depend
    on the solver.

    Args:
        mixture: Data of one coordinate.
        n_steps: Number of steps, 1 to 256.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, in data units.
        solver: Name of the solver.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the data are one point, or two levels coincide
            in float64.
    """
    span = line_span(mixture, n_steps, sigma_max, sigma_min, solver)
    if not mixture.variance > 0:
        raise ValueError(f"mixture must have a positive variance, got {mixture.variance:g}")
    return arctan_sigmas(
        span.n_steps, span.sigma_max, span.sigma_min, c=float(np.sqrt(mixture.variance))
    )
