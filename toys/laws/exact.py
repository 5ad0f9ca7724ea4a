"""The exact law of a one-dimensional sampler: its density, probabilities and moments."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, number, scalars
from theory.solvers.reducing import Solver, check_solver
from toys.files import as_mixture
from toys.laws.law import Law
from toys.laws.passes import Passes
from toys.laws.transported import SATURATED
from toys.mixture import Mixture

PASSES = 5  # the last has 2.4 times the resolution of the first and 16 times its reach


class ExactLaw:
    """Law of the final state of a sampler on a one-dimensional mixture.

    Every value is refined, with narrower quadrature panels on a wider domain, until two successive
    values agree to the tolerance. Intermediate results are kept for later calls.

    Args:
        mixture: One-dimensional data, whose exact denoiser the sampler calls.
        table: The solver, from `entropic.solver`.
        start: Initial law: "noise" for N(0, start_std^2), "data" for that of the data at
            the first level.
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
        check_solver(table)
        self.mixture, self.table, self.start = mixture, table, start
        self.rtol, self.atol = number("rtol", rtol, 1e-13), number("atol", atol, 0.0)
        self._passes = Passes(mixture, table, self.rtol)
        self._law(0)  # raises for a law of too many nodes

    def __repr__(self) -> str:
        return f"<ExactLaw of {self.table!r} on {self.mixture!r}, start {self.start!r}>"

    @scalars
    def log_density(self, y: ArrayLike) -> Array:
        """Log density of the final state at y, in nats, shape of y; -inf where the density is 0.

        Args:
            y: Final states, in data units.

        Raises:
            ValueError: The values do not converge, as happens next to a fold of the map; or y lies
                so far out that no initial state within 320 standard deviations leads there.
        """
        at = floats("y", y)
        return self._answers(at.reshape(-1), self._log_density, logs=True).reshape(at.shape)

    @scalars
    def density(self, y: ArrayLike) -> Array:
        """Density of the final state at y, in 1 / data unit, shape of y.

        Args:
            y: Final states, in data units.

        Raises:
            ValueError: As for `log_density`.
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
        return self._answers(at.reshape(-1), self._cdf, logs=False).reshape(at.shape)

    @property
    def mean(self) -> float:
        """Mean of the final state, in data units."""
        return float(self._moments[0])

    @property
    def variance(self) -> float:
        """Variance of the final state, in squared data units."""
        return max(float(self._moments[1]), 0.0)

    @cached_property
    def _moments(self) -> Array:
        """Mean and variance, the second about the first: no difference of large numbers."""

        def reading(i: int) -> Array:
            law = self._law(i)
            mean = float(self.mixture.mean[0])
            mean += law.moments(mean)[0]
            rest, square = law.moments(mean)
            return np.array([mean, square - rest**2])

        return self._settled(reading, logs=False)

    def _law(self, i: int) -> Law:
        """The law at the i-th resolution and domain."""
        return self._passes.law(i, self.start)

    def _answers(self, y: Array, read: Callable[[int, Array], Array], logs: bool) -> Array:
        """Values at y, shape (n,), after a check that every one has been within reach."""
        if y.size == 0:
            return np.empty(0)
        return self._settled(lambda i: read(i, y), logs)

    def _log_density(self, i: int, y: Array) -> Array:
        """Log densities of one pass; NaN where the pass cannot know them."""
        low, high = self._law(i).support
        inside = (y >= low) & (y <= high)
        out = np.full(y.shape, np.nan)
        out[(y < low) & self._ends(i, 0)] = -np.inf
        out[(y > high) & self._ends(i, 1)] = -np.inf
        if inside.any():
            out[inside] = self._law(i).log_density(y[inside])
        return out

    def _cdf(self, i: int, y: Array) -> Array:
        """Probabilities of one pass; what lies beyond its support has less mass than rounding."""
        low, high = self._law(i).support
        inside = (y >= low) & (y <= high)
        out = (y > high).astype(np.float64)
        if inside.any():
            out[inside] = self._law(i).cdf(y[inside])
        return out

    def _ends(self, i: int, side: int) -> bool:
        """Whether the final state is bounded on a side: a wider start leads no further."""
        if i == 0:
            return False
        ends, before = self._law(i).support, self._law(i - 1).support
        return abs(ends[side] - before[side]) <= SATURATED * max(abs(ends[0]), abs(ends[1]))

    def _settled(self, reading: Callable[[int], Array], logs: bool) -> Array:
        """The values of the first pass that agree with those of the previous one.

        An infinite value has to repeat, and NaN, which a pass does not know, agrees with nothing.
        """
        before = reading(0)
        for i in range(1, PASSES):
            now = reading(i)
            with np.errstate(invalid="ignore"):
                moved = np.abs(now - before)
                allowed = self.rtol * (1.0 + np.abs(now))
                if not logs:
                    allowed = self.rtol * np.abs(now) + self.atol
                near = np.isfinite(now) & np.isfinite(before) & (2.0 * moved <= allowed)
            if np.all(near | (now == before)):
                return now
            before = now
        if np.isnan(now).any():
            low, high = self._law(PASSES - 1).support
            raise ValueError(
                f"y must lie in [{low:g}, {high:g}], where the exact law has been computed"
            )
        known = moved[np.isfinite(moved)].max(initial=0.0)
        raise ValueError(
            f"the exact law must settle to {self.rtol:g}, got values that still move by {known:.2g}"
        )


def exact_law(
    mixture: str | Mixture, table: Solver, start: str = "noise", rtol: float = 1e-8
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
    return ExactLaw(as_mixture(mixture), table, start, rtol)
