"""The exact law of a one-dimensional sampler: its density, probabilities and moments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, number, scalars
from theory.solvers.reducing import Solver
from toys.laws.law import FIRST_REACH, Law, check_line, first_resolution
from toys.mixture import Mixture

PASSES = 5  # the last has 2.4 times the resolution of the first and 16 times its reach


class ExactLaw:
    """Law of the final state of a sampler on a one-dimensional mixture.

    Every value is refined, with narrower quadrature panels on a wider domain, until two successive
    values agree to the tolerance. Intermediate results are kept for later calls.

    Args:
        mixture: One-dimensional data, whose exact denoiser the sampler calls.
        table: The solver, from `entropic.solver`.
        start: Initial law: "noise" for N(0, start_std^2), "data" for that of x0 + sigma[0] eps.
        rtol: Relative tolerance of each value, at least 1e-13; for a log density it is relative to
            1 + |value|.
        atol: Absolute tolerance of probabilities and moments.

    Raises:
        ValueError: The mixture has more than one dimension, or the solver has no exact law.
    """

    def __init__(
        self,
        mixture: Mixture,
        table: Solver,
        start: str = "noise",
        rtol: float = 1e-8,
        atol: float = 2e-12,
    ) -> None:
        check_line(mixture)
        self.mixture, self.table, self.start = mixture, table, start
        self.rtol, self.atol = number("rtol", rtol, 1e-13), number("atol", atol, 0.0)
        self._passes: list[Law] = []
        self._law(0)  # raises for a solver without an exact law

    def __repr__(self) -> str:
        return f"<ExactLaw of {self.table!r} on {self.mixture!r}, start {self.start!r}>"

    @scalars
    def log_density(self, y: ArrayLike) -> Array:
        """Log density of the final state at y, in nats, shape of y; -inf where the density is 0.

        Args:
            y: Final states, in data units.

        Raises:
            ValueError: The values do not converge. This happens next to a fold of the map, and
                where no initial state within 320 standard deviations leads.
        """
        at = floats("y", y)
        flat = at.reshape(-1)
        return self._settled(lambda law: self._covered(law, flat).log_density(flat), True).reshape(
            at.shape
        )

    @scalars
    def density(self, y: ArrayLike) -> Array:
        """Density of the final state at y, in 1 / data unit, shape of y.

        Args:
            y: Final states, in data units.

        Raises:
            ValueError: The values do not converge, as for `log_density`.
        """
        return np.asarray(np.exp(self.log_density(y)))

    @scalars
    def cdf(self, y: ArrayLike) -> Array:
        """Probability that the final state is at most y, shape of y.

        Args:
            y: Final states, in data units.

        Raises:
            ValueError: The values do not converge.
        """
        at = floats("y", y)
        flat = at.reshape(-1)
        found = self._settled(lambda law: np.exp(self._covered(law, flat).log_cdf(flat)), False)
        return found.reshape(at.shape)

    @property
    def mean(self) -> float:
        """Mean of the final state, in data units."""
        return float(self._moments()[0])

    @property
    def variance(self) -> float:
        """Variance of the final state, in squared data units."""
        mean, square = self._moments()
        return float(square - mean**2)

    def _moments(self) -> Array:
        return self._settled(lambda law: np.array(law.moments()), False)

    def _law(self, i: int) -> Law:
        """The law at the i-th resolution and domain."""
        while len(self._passes) <= i:
            k = len(self._passes)
            resolution = first_resolution(self.rtol) * 1.25**k
            self._passes.append(
                Law(self.mixture, self.table, self.start, resolution, FIRST_REACH * 2.0**k)
            )
        return self._passes[i]

    def _covered(self, law: Law, y: Array) -> Law:
        """The law, prepared on an interval that contains the points y and the data."""
        scale = float(self.mixture.noisy_stds(self.table.end).min()) or float(
            np.sqrt(self.mixture.variance) or 1.0
        )
        means = self.mixture.means
        law.cover(
            float(min(y.min(initial=np.inf), means.min())),
            float(max(y.max(initial=-np.inf), means.max())),
            scale,
        )
        return law

    def _settled(self, reading: Callable[[Law], Array], logs: bool) -> Array:
        """The values of the first pass that agree with those of the previous one."""
        before = reading(self._law(0))
        for i in range(1, PASSES):
            now = reading(self._law(i))
            with np.errstate(invalid="ignore"):
                moved = np.abs(now - before)
            allowed = self.rtol * (1.0 + np.abs(now)) if logs else self.rtol * np.abs(now)
            if not logs:
                allowed = allowed + self.atol
            if np.all((now == before) | (2.0 * moved <= allowed)):
                return now
            before = now
        raise ValueError(
            f"the exact law must settle to {self.rtol:g}, got a move of {np.nanmax(moved):.2g}"
        )


def exact_law(
    mixture: Mixture, table: Solver, start: str = "noise", rtol: float = 1e-8
) -> ExactLaw:
    """The exact law of the final state of a sampler on a one-dimensional mixture.

    Args:
        mixture: One-dimensional data, whose exact denoiser the sampler calls.
        table: The solver, from `entropic.solver`.
        start: Initial law: "noise" for the solver's own initial noise, or "data" for the true law
            at the first level.
        rtol: Relative tolerance, at least 1e-13. Methods of the law raise ValueError if they cannot
            reach it.

    Returns:
        An `ExactLaw` with the methods `log_density`, `density` and `cdf` and the properties `mean`
        and `variance`.

    Raises:
        ValueError: The mixture has more than one dimension, or the solver has no exact law.
    """
    return ExactLaw(mixture, table, start, rtol)
