"""What the published optimisers share: their arguments, and exact trajectories on the line.

The papers measure norms of images, which sum over thousands of coordinates. One coordinate has no
such norm. Here an image has n independent coordinates, each with the law of the mixture: its
denoiser and its probability flow act on every coordinate separately, and its KL is n times that of
one coordinate, so that the two have the same optimal schedule. Norms per coordinate are root mean
squares over the n states, which are midpoints of equal probability and need no random numbers.
"""

import numpy as np
from scipy.special import ndtri

from theory.checks import Array, whole
from theory.levels import Span
from theory.profiles.profile import Profile
from theory.solvers.registry import REGISTRY
from toys.information.information import mmse
from toys.mixture import Mixture

STATES = 512  # coordinates of an image, as many as the 512 samples of Pei et al.
LOG_STEP = 0.01  # largest step of the fourth-order solution in log sigma
PROFILE_POINTS = 1000
MOST_STEPS = 256  # above which the tables of the dynamic programmes would take all memory


def line_span(
    mixture: Mixture, n_steps: int, sigma_max: float, sigma_min: float, solver: str
) -> Span:
    """The range of levels of a schedule, after a check of the arguments that all methods share.

    Args:
        mixture: Data of one coordinate.
        n_steps: Number of steps, 1 to 256.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, in data units.
        solver: Name of the solver in `theory.solvers.registry`.

    Raises:
        ValueError: An argument is out of its range, or the solver is unknown.
    """
    if mixture.dim != 1:
        raise ValueError(f"mixture must have one coordinate, got d = {mixture.dim}")
    REGISTRY.name(solver)
    whole("n_steps", n_steps, 1, MOST_STEPS)
    return Span(n_steps, sigma_max, sigma_min)


def line_profile(mixture: Mixture, span: Span) -> Profile:
    """The exact mmse of a mixture on 1000 levels, uniform in log sigma over the span."""
    sigma = np.geomspace(span.sigma_min, span.sigma_max, PROFILE_POINTS)
    sigma[[0, -1]] = span.sigma_min, span.sigma_max
    return Profile(1, sigma, mmse(mixture, sigma))


def start_states(sigma_max: float, n: int = STATES) -> Array:
    """Midpoints of n intervals of equal probability under N(0, sigma_max^2), shape (n,).

    Args:
        sigma_max: Standard deviation, in data units.
        n: Number of states, at least 1.
    """
    return np.asarray(sigma_max * ndtri((np.arange(whole("n", n, 1)) + 0.5) / n))


def slope(mixture: Mixture, x: Array, sigma: float) -> Array:
    """Slope dx / dsigma = (x - D) / sigma of the probability flow at states x, shape (n,)."""
    return (x - mixture.denoise(x, sigma)) / sigma


def trajectories(mixture: Mixture, levels: Array, states: Array) -> Array:
    """States of the probability flow dx / dsigma = (x - D) / sigma, shape (m, n), in data units.

    The classical Runge-Kutta rule of order 4 solves dx / dlog sigma = x - D between the levels, in
    steps of at most 0.01.

    Args:
        mixture: The data.
        levels: Noise levels, shape (m,), strictly decreasing, in data units.
        states: States at levels[0], shape (n,), in data units.
    """
    logs = np.log(levels)
    out = np.empty((levels.size, states.size))
    out[0] = x = states
    for i in range(levels.size - 1):
        count = int(np.ceil((logs[i] - logs[i + 1]) / LOG_STEP))
        h = (logs[i + 1] - logs[i]) / count
        for u in logs[i] + h * np.arange(count):
            ends = np.exp([u, u + 0.5 * h, u + h])
            k1 = x - mixture.denoise(x, ends[0])
            k2 = x + 0.5 * h * k1 - mixture.denoise(x + 0.5 * h * k1, ends[1])
            k3 = x + 0.5 * h * k2 - mixture.denoise(x + 0.5 * h * k2, ends[1])
            k4 = x + h * k3 - mixture.denoise(x + h * k3, ends[2])
            x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        out[i + 1] = x
    return out


def rms(values: Array) -> Array:
    """Root mean square over the last axis, shape (...)."""
    return np.asarray(np.sqrt(np.mean(values**2, axis=-1)))
