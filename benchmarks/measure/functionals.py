"""Divergences of one exact law from the data at its last level, by quadrature or by bins.

Data law: x0 + sigma eps, with sigma the sampler's last level. Points without noise are compared by
bins around them. KL in nats, from the data to the law.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from benchmarks.measure.bins import bin_half_width, bins_kl, distinct_points
from theory.checks import Array
from toys.information.quadrature import NODES, WEIGHTS, integrals, resolve
from toys.laws.law import Law
from toys.laws.transported import data_cuts
from toys.mixture import Mixture

GRID = np.linspace(-1.0, 1.0, 257)  # of a panel, between whose points a change of sign is sought
LOST = 1e-4  # mass that panels between the data's scales may miss before the law's own are added
NO_MASS = "the sampler gives no mass to a range where the data have some"


class _Distances(NamedTuple):
    """TV and W1, their errors at kinks, and the mass that the panels miss or are wrong by."""

    tv: float
    w1: float
    tv_error: float
    w1_error: float
    lost: float


class ByDensity:
    """KL, TV and W1 of data with a density and a law.

    Args:
        data: One-dimensional data.
        sigma: The last level, in data units.
    """

    def __init__(self, data: Mixture, sigma: float) -> None:
        self._data, self._sigma = data, sigma
        self._cuts = data_cuts(data, sigma)
        # One pass asks at most two laws, each for several numbers.
        self.kl: Callable[[Law], float] = lru_cache(2)(self._kl)
        self._distances: Callable[[Law], _Distances] = lru_cache(2)(self._both)

    def _kl(self, law: Law) -> float:
        """KL(data || law) over the data's range; infinite where the law has a hole there."""
        cuts = self._with_folds(law)
        if law.holes(float(cuts[0]), float(cuts[-1])):
            return float("inf")

        def f(y: Array) -> Array:
            log_p = self._data.log_density(y, self._sigma)
            return np.asarray(np.exp(log_p) * (log_p - law.log_density(y)))[None]

        return float(integrals(f, cuts, 1e-10, 1e-15)[0][0])

    def tv(self, law: Law) -> float:
        """Total variation distance."""
        return self._distances(law).tv

    def w1(self, law: Law) -> float:
        """Wasserstein-1 distance, in data units."""
        return self._distances(law).w1

    def _with_folds(self, law: Law) -> Array:
        """The data's cuts and the law's folds between them."""
        low, high = float(self._cuts[0]), float(self._cuts[-1])
        return np.unique(np.concatenate([self._cuts, law.folds(low, high)]))

    def slack(self, metric: str, law: Law) -> float:
        """Error of "tv" or "w1" that all passes share.

        It comes from the quadrature, and from mass of the law that its panels miss, beside folds.
        """
        found, (low, high) = self._distances(law), law.support
        if metric == "tv":
            return found.tv_error + found.lost
        wide = max(high, float(self._cuts[-1])) - min(low, float(self._cuts[0]))
        return found.w1_error + found.lost * wide

    def _both(self, law: Law) -> _Distances:
        """TV and W1 from the same densities."""
        low, high = law.support
        cuts = self._with_folds(law)
        wide = np.geomspace(1.0, 1.0 + max(high - cuts[-1], cuts[0] - low, 1e-9), 40) - 1.0
        cuts = np.concatenate([cuts[0] - wide, cuts, cuts[-1] + wide])
        ends = min(low, float(self._cuts[0])), max(high, float(self._cuts[-1]))
        found = self._distances_on(law, np.unique(cuts.clip(*ends)))
        if found.lost <= LOST:
            return found
        # The law is too narrow to be seen from the data's scales.
        cuts = np.unique(np.concatenate([cuts, law.places()]).clip(*ends))
        return min(found, self._distances_on(law, cuts), key=lambda one: one.lost)

    def _distances_on(self, law: Law, cuts: Array) -> _Distances:
        """TV and W1 by panels between cuts."""

        def f(y: Array) -> Array:
            return np.exp([self._data.log_density(y, self._sigma), law.log_density(y)])

        _, half, values, errors = resolve(f, cuts, 1e-8, 1e-10)
        gap = values[0] - values[1]
        behind = np.concatenate([[0.0], np.cumsum(gap @ WEIGHTS * half)[:-1]])
        gap_cdf = behind[:, None] + half[:, None] * (gap @ _tables()[2])
        tv, tv_error = _absolute_integral(gap, half)
        w1, w1_error = _absolute_integral(gap_cdf, half)
        lost = max(float(np.abs(1.0 - values @ WEIGHTS @ half).max()), float(errors.max()))
        return _Distances(0.5 * tv, w1, 0.5 * tv_error, w1_error, lost)


class ByBins:
    """KL and TV of points and a law, by bins around the points.

    Args:
        data: One-dimensional points.
    """

    def __init__(self, data: Mixture) -> None:
        points, self.weights = distinct_points(data)
        half = bin_half_width(points)
        self._low, self._high = points[:, 0] - half, points[:, 0] + half
        self._logs: Callable[[Law], Array] = lru_cache(2)(
            lambda law: law.log_mass(self._low, self._high)
        )

    def kl(self, law: Law) -> float:
        """KL of the points' weights from the bins' probabilities; infinite for an empty bin."""
        return 0.0 if self.weights.size == 1 else bins_kl(self.weights, self._logs(law))

    def tv(self, law: Law) -> float:
        """Total variation of the points' weights and the bins' probabilities with the outside."""
        if self.weights.size == 1:
            return 0.0
        q = np.exp(self._logs(law))
        return float(0.5 * (np.abs(self.weights - q).sum() + max(1.0 - q.sum(), 0.0)))

    def empty(self, law: Law) -> int:
        """Number of bins without probability."""
        return 0 if self.weights.size == 1 else int(np.isneginf(self._logs(law)).sum())


def _absolute_integral(values: Array, half: Array) -> tuple[float, float]:
    """Integral of the absolute value of a function given at the nodes (P, 16) of panels (P,).

    On panels where it changes sign, the interpolating polynomial is integrated between its roots,
    because Gauss quadrature does not see the kink. The error is that of the polynomials, by their
    last two coefficients.
    """
    crossing = (values.min(axis=1) < 0) & (values.max(axis=1) > 0)
    smooth = float(np.abs(values[~crossing] @ WEIGHTS) @ half[~crossing])
    if not crossing.any():
        return smooth, 0.0
    legendre, degree = np.polynomial.legendre, NODES.size - 1
    to_coefficients, to_grid, _ = _tables()
    coefficients = values[crossing] @ to_coefficients.T
    positive = coefficients @ to_grid > 0
    panel, k = np.nonzero(positive[:, 1:] != positive[:, :-1])
    low, high, rising = GRID[k], GRID[k + 1], positive[panel, k + 1]
    for _ in range(50):
        middle = 0.5 * (low + high)
        above = np.sum(legendre.legvander(middle, degree) * coefficients[panel], axis=1) > 0
        low, high = np.where(above == rising, [low, middle], [middle, high])
    each = np.arange(len(coefficients))
    of = np.concatenate([each, panel, each])
    place = np.concatenate([-np.ones(each.size), 0.5 * (low + high), np.ones(each.size)])
    order = np.lexsort((place, of))
    antiderivative = legendre.legint(coefficients.T).T
    below = np.sum(legendre.legvander(place, degree + 1) * antiderivative[of], axis=1)[order]
    of = of[order]
    inside = of[1:] == of[:-1]
    pieces = np.abs(np.diff(below)[inside])
    error = float(2.0 * np.abs(coefficients[:, -2:]).max(axis=1) @ half[crossing])
    return smooth + float(pieces @ half[crossing][of[1:][inside]]), error


@lru_cache(1)
def _tables() -> tuple[Array, Array, Array]:
    """Matrices of polynomials given at the nodes of a panel.

    They map values to Legendre coefficients, coefficients to values on GRID, and values to
    integrals from -1 to each node. The last is exact for polynomials of degree 15.
    """
    legendre = np.polynomial.legendre
    vander = legendre.legvander(NODES, NODES.size - 1)
    to_coefficients = (vander * WEIGHTS[:, None] * (np.arange(NODES.size) + 0.5)).T
    to_grid = np.asarray(legendre.legvander(GRID, NODES.size - 1).T, dtype=np.float64)
    antiderivative = [
        legendre.legval(NODES, legendre.legint(column, lbnd=-1)) for column in to_coefficients.T
    ]
    return np.asarray(to_coefficients), to_grid, np.stack(antiderivative)
