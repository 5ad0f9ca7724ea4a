"""The posterior of mixtures given a profile, and the search for its maxima.

A mixture of K components is theta = (log weights, log gaps between means, log stds), shape
(3 K - 1,), with the standard deviation of the data as unit and the mean at 0. The likelihood is
Gaussian in log(R + FAINT) at the levels of a fit (`benchmarks.optimum.stand_in_levels`). The prior
is Gaussian in theta: a family sets the spreads of its entries about their averages, and the
averages have wide priors.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.optimum.mmse_jacobian import (
    COARSE,
    MEDIUM,
    Accuracy,
    Panels,
    mixture_panels,
    mmse_and_jacobian,
)
from benchmarks.optimum.stand_in_levels import FAINT, Levels
from theory.checks import Array
from toys.mixture import Mixture

Arrays = tuple[Array, Array, Array]  # weights, means, stds

GAP_SPREAD = 0.7  # of log gaps about their average
AVERAGE_SPREAD = 2.0  # of the average log gap and the average log std
WHOLE = 3.5  # sum of the gaps at the centre of the prior, in standard deviations of the data
STD = 0.2  # std at the centre of the prior
LOG_RANGE = (-12.0, 2.0)  # of gaps and stds
LIGHTEST = -25.0  # log of the smallest ratio of two weights
MOVED = 0.5  # change of a mixture, in stds or logarithms, up to which its panels are kept


class Family(NamedTuple):
    """Spreads of a prior.

    Attributes:
        std: Of log stds about their average.
        weight: Of log weights about their average.
    """

    std: float
    weight: float


LATTICE, RANDOM, HETEROGENEOUS = FAMILIES = (
    Family(0.12, 0.7),
    Family(0.4, 0.7),
    Family(1.2, 1.5),
)


class Stage(NamedTuple):
    """A stage of the annealing.

    Attributes:
        noise: Relative noise of the mmse that is added to the profile's own.
        accuracy: Accuracy of the quadrature.
        evaluations: Largest number of evaluations per candidate.
    """

    noise: float
    accuracy: Accuracy
    evaluations: int


STAGES = (
    Stage(1e-2, COARSE, 12),
    Stage(2e-3, COARSE, 15),
    Stage(5e-4, MEDIUM, 20),
    Stage(2e-4, MEDIUM, 30),
)


class Candidate(NamedTuple):
    """A mixture in a family.

    Attributes:
        score: Minus its log evidence, in nats, up to a constant of the levels and the stage.
        family: The family.
        theta: Its parameters, shape (3 K - 1,).
    """

    score: float
    family: Family
    theta: Array


class Posterior:
    """Residuals of data and prior, whose half sum of squares is minus the log posterior.

    Args:
        levels: Levels of the fit.
        family: Family of the prior.
        size: Number of components K.
        stage: Noise and accuracy.
    """

    def __init__(self, levels: Levels, family: Family, size: int, stage: Stage) -> None:
        self._levels, self._accuracy = levels, stage.accuracy
        self._noise = np.hypot(stage.noise, levels.noise)
        sizes = (size, size - 1, size)
        self._centre = np.repeat([0.0, np.log(WHOLE / size), np.log(STD)], sizes)
        self._precision = np.zeros((3 * size - 1, 3 * size - 1))  # its square root
        begin = 0
        # The average log weight has no effect, and any spread.
        spreads = (family.weight, 1.0), (GAP_SPREAD, AVERAGE_SPREAD), (family.std, AVERAGE_SPREAD)
        for n, (spread, average) in zip(sizes, spreads, strict=True):
            block, mean = slice(begin, begin + n), np.full((n, n), 1.0 / max(n, 1))
            rows = (np.eye(n) - mean) / spread + mean / (average * np.sqrt(max(n, 1)))
            self._precision[block, block] = rows
            begin += n
        self._panels: tuple[Arrays, Panels] | None = None
        self._last: tuple[bytes, Array, Array] | None = None

    def residuals(self, theta: Array) -> Array:
        """Residuals of the data and of the prior, shape (M + 3 K - 1,)."""
        return self._both(theta)[0]

    def jacobian(self, theta: Array) -> Array:
        """Derivatives of the residuals, shape (M + 3 K - 1, 3 K - 1)."""
        return self._both(theta)[1]

    def misfit(self, theta: Array) -> float:
        """Sum of squares of the residuals of the data."""
        return float(np.sum(self.residuals(theta)[: self._noise.size] ** 2))

    def prior_cost(self, theta: Array) -> float:
        """Minus the log density of the prior, up to a constant of K."""
        rows = self._precision @ (theta - self._centre)
        return float(0.5 * rows @ rows - np.linalg.slogdet(self._precision)[1])

    def score(self, theta: Array) -> float:
        """Minus the log evidence by Laplace's approximation about theta, a maximum, in nats.

        It is |residuals|^2 / 2 - log det P + log det(J^T J) / 2, where P is the square root of the
        prior's precision and J the Jacobian of the residuals.
        """
        self._panels = self._last = None  # those made for theta are more accurate
        residuals, jacobian = self._both(theta)
        data = residuals[: self._noise.size]
        occam = 0.5 * np.linalg.slogdet(jacobian.T @ jacobian)[1]
        return float(0.5 * data @ data + self.prior_cost(theta) + occam)

    def _both(self, theta: Array) -> tuple[Array, Array]:
        """Residuals and Jacobian, which the search asks for one after the other."""
        key = theta.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = (key, *self._computed(theta))
        return self._last[1:]

    def _computed(self, theta: Array) -> tuple[Array, Array]:
        sigma, mixture = self._levels.sigma, arrays_of(theta)
        mmse, by = mmse_and_jacobian(*mixture, sigma, self._panels_for(mixture))
        ratio = mmse / sigma**2 + FAINT
        rows = (np.log(ratio) - self._levels.target) / self._noise
        by = by / (ratio * sigma**2 * self._noise)[:, None, None]
        # A gap moves all means above it. A shift of all means changes nothing.
        by_gap = np.cumsum(by[:, 1, ::-1], axis=1)[:, ::-1][:, 1:] * np.diff(mixture[1])
        data = np.concatenate([by[:, 0], by_gap, by[:, 2]], axis=1)
        prior = self._precision @ (theta - self._centre)
        return np.concatenate([rows, prior]), np.concatenate([data, self._precision])

    def _panels_for(self, mixture: Arrays) -> Panels:
        """Panels for a mixture: the last ones if they were made for one close to it."""
        if self._panels is not None:
            (w, m, s), panels = self._panels
            noisy = np.hypot(s, self._levels.sigma[0])
            moves = (
                np.abs(mixture[1] - m) / noisy,
                np.abs(np.log(mixture[2] / s)),
                0.25 * np.abs(np.log(mixture[0] / w)),
            )
            if np.max(moves) < MOVED:
                return panels
        panels = mixture_panels(*mixture, self._levels.sigma, self._accuracy)
        self._panels = mixture, panels
        return panels


def refined(levels: Levels, theta: Array, family: Family, stage: Stage) -> Candidate:
    """The candidate after a Levenberg-Marquardt search from theta."""
    from scipy.optimize import least_squares  # slow to import

    posterior = Posterior(levels, family, (theta.size + 1) // 3, stage)
    found = least_squares(
        posterior.residuals,
        theta,
        posterior.jacobian,
        method="lm",
        x_scale="jac",
        ftol=1e-3,
        xtol=1e-6,
        max_nfev=stage.evaluations,
    )
    return Candidate(posterior.score(found.x), family, found.x)


def arrays_of(theta: Array) -> Arrays:
    """Weights, means and stds of a mixture of mean 0, shape (K,) each."""
    k = (theta.size + 1) // 3
    weights = np.exp(np.maximum(theta[:k] - theta[:k].max(), LIGHTEST))
    weights /= weights.sum()
    means = np.concatenate([[0.0], np.cumsum(np.exp(np.clip(theta[k : 2 * k - 1], *LOG_RANGE)))])
    return weights, means - weights @ means, np.exp(np.clip(theta[2 * k - 1 :], *LOG_RANGE))


def theta_of(mixture: Mixture, scale: float) -> Array:
    """Parameters of a 1-D mixture in data units, shape (3 K - 1,).

    Args:
        mixture: The mixture.
        scale: Standard deviation of the data, in data units.
    """
    order = np.argsort(mixture.means[:, 0], kind="stable")
    log_w = np.log(mixture.weights[order])
    sizes = np.concatenate([np.diff(mixture.means[order, 0]), mixture.stds[order, 0]]) / scale
    return np.concatenate([log_w - log_w.mean(), np.log(np.maximum(sizes, np.exp(LOG_RANGE[0])))])


def targets_of(theta: Array, sigma: Array, accuracy: Accuracy) -> Array:
    """log(R + FAINT) of a mixture at noise levels, shape of sigma."""
    mixture = arrays_of(theta)
    mmse, _ = mmse_and_jacobian(*mixture, sigma, mixture_panels(*mixture, sigma, accuracy))
    return np.asarray(np.log(mmse / sigma**2 + FAINT))
