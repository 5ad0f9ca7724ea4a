"""Score-optimal schedules: equal steps along the path of noisy laws in the Fisher divergence.

Williams, Campbell, Doucet and Syed (2024), "Score-Optimal Diffusion Schedules", arXiv 2412.07877,
with the corrector-optimised cost of a step from level s to level t,

    L(s, t) = t^2 E_{x ~ p_s} |score_t(x) - score_s(x)|^2,

where the factor t^2 is their choice v(t) = sigma(t). A short step costs
delta(sigma) (s - t)^2 with delta = sigma^2 E |d score / d sigma|^2, and the schedule of least total
cost travels at constant speed in the length int sqrt(delta) dsigma. The formulas are those of a
public summary of the paper and of two public implementations; its full text was not at hand.
"""

import numpy as np
from scipy.integrate import cumulative_simpson
from scipy.interpolate import PchipInterpolator

from benchmarks.optimum.published.line import line_span
from theory.checks import Array
from toys.mixture import Mixture

GRID_STEPS = 400
NODES = np.arange(-40, 41) / 5.0  # in standard deviations
NODE_WEIGHTS = 0.2 * np.exp(-0.5 * NODES**2) / np.sqrt(2.0 * np.pi)
DIFFERENCE = 5e-3  # in log sigma


def score_optimal_sigmas(
    mixture: Mixture, n_steps: int, sigma_max: float, sigma_min: float, *, solver: str
) -> Array:
    """Levels of equal length in the corrector-optimised cost of Williams et al. (2024).

    The authors estimate the length by the sum of sqrt(L) over the steps of a schedule, and move its
    levels by a monotone cubic of the inverse, again and again. Here the length
    is the integral itself, by Simpson's rule on 400 steps uniform in log sigma, and its inverse is
    a monotone cubic in log sigma. The expectations are quadratures over the mixture. The levels do
    not depend on the solver.

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
    logs = np.linspace(np.log(span.sigma_max), np.log(span.sigma_min), GRID_STEPS + 1)
    speed = fisher_speed(mixture, np.exp(logs))
    length = cumulative_simpson(speed, x=-logs, initial=0.0)
    # Where the speed underflows the length is flat, and the interpolation needs distinct values.
    length = np.maximum.accumulate(length) + np.arange(length.size) * 1e-13 * length[-1]
    place = PchipInterpolator(length / length[-1], logs)
    return span.finish(np.exp(place(span.fractions)))


def fisher_speed(mixture: Mixture, sigmas: Array) -> Array:
    """Length per unit of log sigma, sigma sqrt(delta), shape (m,), without unit.

    The derivative of the score is a central difference in log sigma. The trapezoid rule, 0.2
    standard deviations apart in each component, has a relative error of about 1e-5.

    Args:
        mixture: Data of one coordinate.
        sigmas: Noise levels, shape (m,), in data units.
    """
    weights = (mixture.weights[:, None] * NODE_WEIGHTS).ravel()
    out = np.empty(sigmas.size)
    for i, sigma in enumerate(sigmas):
        x = (mixture.means + mixture.noisy_stds(sigma) * NODES).ravel()
        above, below = sigma * np.exp(DIFFERENCE), sigma * np.exp(-DIFFERENCE)
        change = (mixture.score(x, above) - mixture.score(x, below)) / (2.0 * DIFFERENCE)
        out[i] = sigma * np.sqrt(weights @ change**2)
    return out
