"""Why the optimum is where it is: the leading error of stochastic DDIM with many steps.

A step of h = log(a/b) from a to b that calls the denoiser once, at the level a e^{-s h / 2}, leaves
the density with the relative error -2 h^2 g, where g = (V p)''/p - s (p D_u)'/(2 p) at level a,
V = Var(x0|x), and D_u = V' + 2 V p'/p is the denoiser's derivative by u = log sigma. The share s of
the shift is 0 for a call at the state's level, and g = (p V')'/(2 p) for s = 1. The channel carries
it to the data as f(x0) = E[g(x) | x0]. To leading order the divergence is half the second moment of
the sum of these errors, that is 2 times the double integral of K(u, v) h(u) h(v) over u = log sigma
and v, with K = E[f_u f_v].
"""

from __future__ import annotations

import numpy as np

from theory.checks import Array, monotone, require, vector
from toys.mixture import Mixture

NODES = 64  # of the Gauss-Hermite rule over the noise
REACH = 9.0  # standard deviations of the outermost components that are integrated over
PER_STD = 5.0  # points of x0 per least standard deviation
MOST_POINTS = 20_000


def step_error(mixture: Mixture, sigma: float, x: Array, share: float = 0.0) -> Array:
    """G = (V p)''/p - share (p D_u)'/(2 p) at level sigma, where V = Var(x0|x).

    With l = log p the first part is V'' + 2 V' l' + V p''/p, V = sigma^2 + sigma^4 l'', and
    (p D_u)'/p = V'' + 3 V' l' + 2 V p''/p.

    Args:
        mixture: One-dimensional mixture.
        sigma: Noise level, positive, in data units.
        x: Noisy points, any shape.
        share: Share of the geometric shift by which the level of the call is below sigma.

    Returns:
        Values of x's shape.

    Raises:
        ValueError: The mixture has more than one dimension, or sigma is not positive.
    """
    if mixture.dim != 1:
        raise ValueError(f"mixture must have dim 1, got {mixture.dim}")
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma:g}")
    points = np.asarray(x, dtype=float)
    stds = np.hypot(mixture.stds[:, 0], sigma)
    z = (points[..., None] - mixture.means[:, 0]) / stds
    logs = np.log(mixture.weights) - np.log(stds) - 0.5 * z**2
    shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    # p^(j)/p as means of Hermite polynomials over the components, and from them those of log p.
    r1, r2, r3, r4 = (
        (shares * hermite / stds**j).sum(axis=-1)
        for j, hermite in enumerate((-z, z**2 - 1, -(z**3) + 3 * z, z**4 - 6 * z**2 + 3), start=1)
    )
    l2 = r2 - r1**2
    l3 = r3 - 3 * r1 * r2 + 2 * r1**3
    l4 = r4 - 4 * r1 * r3 - 3 * r2**2 + 12 * r1**2 * r2 - 6 * r1**4
    variance = sigma**2 * (1.0 + sigma**2 * l2)
    called = sigma**4 * (l4 + 3.0 * l3 * r1) + 2.0 * variance * r2
    return np.asarray(sigma**4 * (l4 + 2.0 * l3 * r1) + variance * r2 - 0.5 * share * called)


class ErrorKernel:
    """The kernel K of the leading error on one-dimensional Gaussian mixtures.

    Args:
        mixture: Its components must have positive stds.
        sigmas: Noise levels, shape (m,), strictly decreasing, positive, in data units.
        share: Share of the geometric shift of the calls.

    Attributes:
        matrix: K at the levels, shape (m, m).

    Raises:
        ValueError: An argument is invalid, or the stds are too small for the grid.
    """

    def __init__(self, mixture: Mixture, sigmas: Array, share: float = 0.0) -> None:
        if mixture.dim != 1:
            raise ValueError(f"mixture must have dim 1, got {mixture.dim}")
        levels = vector("sigmas", sigmas, 1)
        require(levels > 0, "sigmas", levels, "be positive")
        monotone("sigmas", levels, falling=True)
        stds, means = mixture.stds[:, 0], mixture.means[:, 0]
        least = float(stds.min())
        low, high = (means - REACH * stds).min(), (means + REACH * stds).max()
        count = int(np.ceil((high - low) / least * PER_STD)) + 1 if least > 0 else MOST_POINTS + 1
        if count > MOST_POINTS:
            limit = PER_STD * (high - low) / (MOST_POINTS - 1)
            raise ValueError(f"mixture must have stds of at least {limit:.2g}, got {least:.2g}")
        x0 = np.linspace(low, high, count)
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        weights = weights / weights.sum()
        density = np.exp(mixture.log_density(x0[:, None])) * (x0[1] - x0[0])
        # In blocks of x0 every array stays small.
        errors = np.empty((levels.size, count))
        for i, sigma in enumerate(levels.tolist()):
            for block in np.array_split(np.arange(count), max(count // 256, 1)):
                noisy = x0[block, None] + sigma * nodes
                errors[i, block] = step_error(mixture, sigma, noisy, share) @ weights
        self._levels = levels
        self.matrix = (errors * density) @ errors.T

    def kl(self) -> float:
        """KL of stochastic DDIM on the levels, in nats, to leading order.

        At the last level no step begins.
        """
        squares = np.log(self._levels[:-1] / self._levels[1:]) ** 2
        return float(2.0 * squares @ self.matrix[:-1, :-1] @ squares)
