"""A positive curve given on a grid, with its integral and the inverse of the integral.

Profiles, entropies and time changes all use this quadrature.
"""

from collections.abc import Callable

import numpy as np

from theory.checks import Array
from theory.profiles.spline import CubicSpline

NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)
NODES, WEIGHTS = 0.5 * (NODES + 1.0), 0.5 * WEIGHTS  # on [0, 1]
BLOCK = 16384
Spline = Callable[..., Array]  # of x and the order of a derivative


def solve_rising(
    evaluate: Callable[[Array], tuple[Array, Array]], width: Array, start: Array, tol: Array
) -> Array:
    """Roots u of n increasing functions on [0, width], shape (n,), by bracketed Newton steps.

    Args:
        evaluate: Maps u, shape (n,), to the values, negative left of the root, and the slopes.
        width: Right ends of the brackets, shape (n,).
        start: First guesses, shape (n,).
        tol: Step sizes, shape (n,), below which a root has converged.
    """
    low, high, u = np.zeros_like(width), width.copy(), start
    for _ in range(80):
        value, slope = evaluate(u)
        high, low = np.where(value > 0, u, high), np.where(value > 0, low, u)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            new = u - value / slope
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        done = np.abs(new - u) <= tol
        u = new
        if done.all():
            break
    return u


class LogCurve:
    """A positive curve y(x) on [low, high], its integral, and the inverse of the integral.

    Between grid points log y is the not-a-knot cubic spline. If this overshoots the values at the
    ends of an interval by more than half a nat, as it does for steep or noisy curves, the monotone
    cubic (PCHIP) replaces it on the whole grid. The integral is 8-point Gauss-Legendre quadrature
    on panels over which log y changes by at most about 4. Outside the grid y is 0.

    Args:
        x: Grid, shape (m,), m >= 2, strictly increasing.
        log_y: Logarithm of the curve at the grid, shape (m,), finite.
        low: Left end of the interval. Default: that of the grid.
        high: Right end of the interval. Default: that of the grid.
    """

    def __init__(
        self, x: Array, log_y: Array, low: float | None = None, high: float | None = None
    ) -> None:
        spline: Spline = CubicSpline(x, log_y)
        inner = x[:-1] + np.multiply.outer([0.25, 0.5, 0.75], np.diff(x))
        ceiling, floor = np.maximum(log_y[1:], log_y[:-1]), np.minimum(log_y[1:], log_y[:-1])
        shape = spline(inner)
        if max((shape - ceiling).max(), (floor - shape).max()) > 0.5:
            from scipy.interpolate import PchipInterpolator

            spline = PchipInterpolator(x, log_y)
        self.spline = spline
        pieces = np.clip(np.ceil(np.abs(np.diff(log_y)) / 4.0), 1, 64).astype(np.int64)
        step = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        knots = np.repeat(x[:-1], pieces) + step * np.repeat(np.diff(x) / pieces, pieces)
        low = float(x[0]) if low is None else max(low, float(x[0]))
        high = float(x[-1]) if high is None else min(high, float(x[-1]))
        self.edges = np.concatenate([[low], knots[(knots > low) & (knots < high)], [high]])
        self._width = np.maximum(np.diff(self.edges), 0.0)
        left = self.edges[:-1]
        self._coefficients = np.stack([spline(left, k) / f for k, f in enumerate((1, 1, 2, 6))])
        self._mass = self._integral(self._coefficients, self._width)
        self._cumulative = np.concatenate([[0.0], np.cumsum(self._mass)])
        self.total = float(self._cumulative[-1])

    @staticmethod
    def _log_value(coefficients: Array, u: Array) -> Array:
        c0, c1, c2, c3 = coefficients
        return np.asarray(((c3 * u + c2) * u + c1) * u + c0)

    def _integral(self, coefficients: Array, u: Array) -> Array:
        """Integrals from the left edges of the panels over a length u, shape (n,)."""
        out = np.zeros_like(u)
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            out += weight * np.exp(self._log_value(coefficients, node * u))
        return out * u

    def integral(self, x: Array) -> Array:
        """Integral of y from the left end to x, shape (n,); constant beyond the ends."""
        x = np.clip(x, self.edges[0], self.edges[-1])
        i = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, self._width.size - 1)
        part = self._integral(self._coefficients[:, i], np.maximum(x - self.edges[i], 0.0))
        return np.asarray(self._cumulative[i] + part)

    def quantile(self, fraction: Array) -> Array:
        """Points x at which the integral reaches given fractions of its total, shape (n,).

        Args:
            fraction: Fractions, shape (n,), strictly between 0 and 1, in any order.
        """
        out = np.empty(fraction.size)
        for start in range(0, fraction.size, BLOCK):
            part = slice(start, start + BLOCK)
            out[part] = self._solve(fraction[part] * self.total)
        return out

    def _solve(self, target: Array) -> Array:
        i = np.searchsorted(self._cumulative, target, side="left") - 1
        i = np.clip(i, 0, self._width.size - 1)
        coefficients, width = self._coefficients[:, i], self._width[i]
        aim = target - self._cumulative[i]
        # The root if log y were linear over the panel, hence a start close to the true root.
        rise = self._log_value(coefficients, width) - coefficients[0]
        rise = np.where(np.abs(rise) < 1e-6, 1e-6, np.clip(rise, -50.0, 50.0))
        share = np.clip(aim / self._mass[i], 0.0, 1.0)
        start = np.clip(width * np.log1p(share * np.expm1(rise)) / rise, 0.0, width)

        def evaluate(u: Array) -> tuple[Array, Array]:
            value = np.exp(self._log_value(coefficients, u))
            return self._integral(coefficients, u) - aim, value

        tol = 1e-15 * width + 2e-16 * np.abs(self.edges[i])
        return np.asarray(self.edges[i] + solve_rising(evaluate, width, start, tol))
