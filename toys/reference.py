"""The probability-flow ODE of a mixture, solved to rounding, as a reference for samplers.

The ODE is dx / dsigma = (x - E[x0 | x]) / sigma. It has a closed form for one component. Otherwise
SciPy's Runge-Kutta pair of order 8 solves it for the state divided by its typical size.
"""

from itertools import pairwise

import numpy as np

from theory.checks import Array
from toys.mixture import Mixture
from toys.progress import progress

RTOL = 1e-13
PATHS = 32  # number of paths solved together; the integrator's norm is a mean over them


def flow(toy: Mixture, states: Array, sigmas: Array) -> Array:
    """States on the paths of the probability-flow ODE through given states, at every level.

    The relative error is about 1e-12, unless the flow itself magnifies rounding, as it does where
    paths to two components separate.

    Args:
        toy: The data, of any dimension.
        states: States at sigmas[0], shape (n, d), in data units.
        sigmas: Positive noise levels, shape (m,), increasing or decreasing, in data units.

    Returns:
        States at every level, shape (m, n, d), the given ones first.

    Raises:
        ValueError: A shape or a level is invalid, or the integrator fails.
    """
    x = np.asarray(states, dtype=np.float64)
    levels = np.asarray(sigmas, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != toy.dim:
        raise ValueError(f"states must have shape (n, {toy.dim}), got {x.shape}")
    if levels.ndim != 1 or not np.all(levels > 0):
        raise ValueError("sigmas must be a list of positive levels")
    out = np.empty((levels.size, *x.shape))
    out[0] = x
    if toy.size == 1:
        mean = toy.means[0]
        std = toy.noisy_stds(levels[0])[0]
        for i in range(1, levels.size):
            out[i] = mean + (x - mean) * (toy.noisy_stds(levels[i])[0] / std)
        return out
    parts = [slice(i, i + PATHS) for i in range(0, len(x), PATHS)]
    for part in progress(parts, "reference flow"):
        for i, (a, b) in enumerate(pairwise(levels.tolist())):
            out[i + 1, part] = _solve(toy, out[i, part], a, b)
    return out


def _solve(toy: Mixture, states: Array, a: float, b: float) -> Array:
    """Solve from level a to b for u = (x - mean) / sqrt(sigma^2 + variance) over log sigma."""
    from scipy.integrate import solve_ivp

    if a == b or not len(states):
        return states
    mean, variance = toy.mean, toy.variance / toy.dim
    scale = max(variance, 1e-300)

    def size(sigma: float) -> float:
        return float(np.sqrt(sigma**2 + scale))

    def slope(log_sigma: float, u: Array) -> Array:
        sigma = float(np.exp(log_sigma))
        s = size(sigma)
        x = mean + s * u.reshape(states.shape)
        drift = (x - toy.denoise(x, sigma)) / s - (sigma / s) ** 2 * u.reshape(states.shape)
        return np.asarray(drift.ravel())

    begin = ((states - mean) / size(a)).ravel()
    found = solve_ivp(slope, np.log([a, b]), begin, method="DOP853", rtol=RTOL, atol=RTOL)
    if not found.success:
        raise ValueError(
            f"the probability flow must be solvable from {a:g} to {b:g}, got {found.message!r}"
        )
    return np.asarray(mean + size(b) * found.y[:, -1].reshape(states.shape))
