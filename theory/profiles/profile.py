"""The profile of a data set: its minimum mean squared error mmse(sigma) on a grid, and entropies.

The channel is x = x0 + sigma eps, and mmse = E|x0 - E[x0|x]|^2 is summed over the d coordinates.
Entropies are in nats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, monotone, one_of, require, scalars, vector, whole
from theory.profiles.curves import LogCurve

RULES = ("spline", "trapezoid", "left")
AMPLITUDES = ("mean", "rms")
UNDERFLOW = 1e-290  # a smaller mmse counts as 0, because it has too few digits for a logarithm
LEAST_POWER = 1.05
LARGEST = 1e100  # risk, loss or level, so that powers and quotients are finite


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """The mmse on a grid of noise levels, and the entropies that it determines.

    Integrals over log sigma follow one of three quadrature rules:

    - "spline": log mmse is a cubic spline in log sigma (`theory.profiles.curves.LogCurve`), and its
      exponential is integrated by Gauss-Legendre quadrature.
    - "trapezoid": the trapezoid rule in log sigma.
    - "left": the left Riemann sum in sigma of Stancevic et al. (final algorithm 2).

    An mmse below 1e-290 counts as an underflow. Below the lowest larger mmse the spline contributes
    nothing; an underflow between larger values is omitted from the spline.

    `entropy_error` and `rescaled_error` compare with the same rule on every other grid point. As
    long as the grid resolves the curve, the difference exceeds the error of the full grid, by a
    factor of 16 for the spline, 4 for the trapezoid and 2 for the left sum.

    Args:
        dim: Number of coordinates d of x0.
        sigma: Noise levels, shape (m,), m >= 4, positive, strictly increasing, in data units.
        mmse: The mmse at these levels, summed over coordinates, shape (m,), at least 0, in squared
            data units.
        stderr: Standard errors of the mmse, shape (m,), or None.
        source: Origin of the numbers; any mapping that JSON can represent.
        spectral: Curves of `theory.profiles.spectral.spectral_mmse`, shape (m,), under the keys
            "mean" and "rms" for the two definitions of a frequency's amplitude; empty without a
            split over frequencies.

    Raises:
        ValueError: An argument is invalid; the message is one line and names it.
    """

    dim: int
    sigma: Array
    mmse: Array
    stderr: Array | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    spectral: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dim = whole("dim", self.dim, 1)
        sigma, mmse = vector("sigma", self.sigma, 4), vector("mmse", self.mmse)
        require(sigma > 0, "sigma", sigma, "be positive")
        inside = (sigma >= 1 / LARGEST) & (sigma <= LARGEST)
        require(inside, "sigma", sigma, f"be in [{1 / LARGEST:g}, {LARGEST:g}]")
        monotone("sigma", sigma, advice="sort the rows and average repeated levels")
        arrays = {"sigma": sigma, "mmse": mmse}
        if self.stderr is not None:
            arrays["stderr"] = vector("stderr", self.stderr)
        split = {one_of("spectral", k, AMPLITUDES): vector(k, v) for k, v in self.spectral.items()}
        for name, values in (arrays | split).items():
            if values.shape != sigma.shape:
                raise ValueError(f"{name} must have shape {sigma.shape}, got {values.shape}")
            require(values >= 0, name, values, "be at least 0")
            require(values <= LARGEST, name, values, f"be at most {LARGEST:g}")
            values.flags.writeable = False
        for name, values in arrays.items():
            object.__setattr__(self, name, values)
        object.__setattr__(self, "spectral", split)
        if mmse[-1] < UNDERFLOW <= mmse.max():
            rule = "be positive at the highest sigma when it is below"
            raise ValueError(f"mmse must {rule}, got {mmse[-1]:g} at index {mmse.size - 1}")
        object.__setattr__(self, "dim", dim)
        object.__setattr__(self, "source", dict(self.source))

    def __repr__(self) -> str:
        sigma, mmse = self.sigma, self.mmse
        known = ("without" if self.stderr is None else "with") + " standard errors"
        return (
            f"<Profile of {sigma.size} levels, d = {self.dim}, sigma {sigma[0]:g} to "
            f"{sigma[-1]:g}, mmse {mmse[0]:.4g} to {mmse[-1]:.4g}, {known}>"
        )

    def curve(
        self, power: float, low: float | None = None, high: float | None = None
    ) -> LogCurve | None:
        """The curve mmse / sigma^power over log sigma.

        Args:
            power: Exponent of sigma.
            low: Left end of the curve, in log sigma. Default: that of the grid.
            high: Right end of the curve, in log sigma. Default: that of the grid.

        Returns:
            The curve, or None if fewer than two values of the mmse are above the underflow.
        """
        return _curve(self.sigma, self.mmse, power, low, high)

    @scalars
    def mmse_at(self, sigma: ArrayLike) -> Array:
        """The mmse at levels inside the grid, in squared data units, shape of sigma.

        Between the levels of the grid log mmse is a cubic spline in log sigma. The value is 0 where
        the mmse underflows.

        Args:
            sigma: Noise levels within the range of the grid, in data units.

        Raises:
            ValueError: A level is outside the grid.
        """
        levels = self._inside(sigma)
        curve = self.curve(0.0)
        if curve is None:
            return np.zeros_like(levels)
        x = np.maximum(np.log(levels), curve.edges[0])
        return np.where(np.log(levels) < curve.edges[0], 0.0, np.exp(curve.spline(x)))

    def entropy_rate(self) -> Array:
        """The rate dH/dsigma = mmse / sigma^3 at the grid, shape (m,), in nats per data unit.

        It is eq. 13 of Stancevic et al.
        """
        return np.asarray(self.mmse / self.sigma**3)

    def time_change(self, power: int, rule: str) -> Array:
        """Integral of mmse / s^power dlog(s) from the lowest level of the grid, shape (m,).

        Args:
            power: 2 for the entropy, 1 for the rescaled entropy.
            rule: Quadrature rule, "spline", "trapezoid" or "left"; see the class.
        """
        return _cumulative(self.sigma, self.mmse, power, rule)

    def entropy_from_sigma_min(self, rule: str = "spline") -> Array:
        """H[x0|x] less its value at the lowest level of the grid, shape (m,), in nats.

        It is the integral of eq. 13 of Stancevic et al.

        Args:
            rule: Quadrature rule, "spline", "trapezoid" or "left"; see the class.
        """
        return self.time_change(2, rule)

    def rescaled_entropy(self, rule: str = "spline", *, include_below: bool = True) -> Array:
        """The rescaled entropy R(sigma), the integral of mmse / s^2 ds, shape (m,), in data units.

        It is that of Stancevic et al., section 5.3. The integral starts at sigma = 0, with the
        extrapolation of `rescaled_below`. Without the part below the grid it starts at the lowest
        level, as algorithm 2 of their final version does.

        Args:
            rule: Quadrature rule, "spline", "trapezoid" or "left"; see the class.
            include_below: Whether to add the part below the grid.

        Raises:
            ValueError: The part below the grid diverges, see `rescaled_below`.
        """
        below = self.rescaled_below() if include_below else 0.0
        return below + self.time_change(1, rule)

    def rescaled_below(self) -> float:
        """The extrapolated part of the rescaled entropy below the grid, in data units.

        With mmse ~ sigma^p below the grid it is mmse[0] / sigma[0] / (p - 1). The exponent p is a
        least-squares slope over the lowest octave; data with a density have p = 2. If mmse[0]
        underflows, the part is 0.

        Raises:
            ValueError: p is at most 1.05; the integral diverges as p tends to 1.
        """
        return self._below()[0]

    def entropy_error(self, rule: str = "spline") -> float:
        """Estimated largest error of `entropy_from_sigma_min` over the grid, in nats.

        Args:
            rule: Quadrature rule, "spline", "trapezoid" or "left"; see the class.
        """
        return self._halving(2, rule)

    def rescaled_error(self, rule: str = "spline", *, include_below: bool = True) -> float:
        """Estimated largest error of `rescaled_entropy` over the grid, in data units.

        Args:
            rule: Quadrature rule, "spline", "trapezoid" or "left"; see the class.
            include_below: Whether to add the error of the extrapolation below the grid.

        Raises:
            ValueError: The part below the grid diverges, see `rescaled_below`.
        """
        return self._halving(1, rule) + (self._below()[1] if include_below else 0.0)

    def _inside(self, sigma: ArrayLike) -> Array:
        levels = floats("sigma", sigma)
        inside = (levels >= self.sigma[0]) & (levels <= self.sigma[-1])
        grid = f"{self.sigma[0]:g}..{self.sigma[-1]:g}"
        require(inside, "sigma", levels, f"be in {grid}, the grid of the profile")
        return levels

    def _halving(self, power: int, rule: str) -> float:
        kept = np.arange(0, self.sigma.size, 2)
        if kept[-1] != self.sigma.size - 1:
            kept = np.append(kept, self.sigma.size - 1)
        coarse = _cumulative(self.sigma[kept], self.mmse[kept], power, rule)
        fine = _cumulative(self.sigma, self.mmse, power, rule)[kept]
        return float(np.abs(coarse - fine).max())

    def _below(self) -> tuple[float, float]:
        """The extrapolated part below the grid and the estimate of its error."""
        if self.mmse[0] < UNDERFLOW:
            return 0.0, 0.0
        alive = self.mmse >= UNDERFLOW
        x, y = np.log(self.sigma[alive] / self.sigma[0]), np.log(self.mmse[alive])
        n = max(int(np.searchsorted(x, np.log(2.0), side="right")), min(3, x.size))
        power, spread = _slope(x[:n], y[:n])
        lower = max(2, (n + 1) // 2)
        near, _ = _slope(x[:lower], y[:lower])
        if not power > LEAST_POWER:
            slope = f"log-log slope {power:.3g} from sigma {self.sigma[0]:g}"
            raise ValueError(
                f"mmse must fall faster than sigma^{LEAST_POWER} at the low end, got {slope}; "
                "the rescaled entropy below the grid diverges: extend the grid, or leave it out"
            )
        below = float(self.mmse[0] / self.sigma[0] / (power - 1.0))
        # The slope may change further below the grid: allow three times its change in the octave.
        return below, below * max(spread, 3.0 * abs(near - power)) / (power - 1.0)


def _curve(
    sigma: Array, mmse: Array, power: float, low: float | None = None, high: float | None = None
) -> LogCurve | None:
    """The curve mmse / sigma^power over log sigma; None with fewer than two usable points."""
    alive = mmse >= UNDERFLOW
    if np.count_nonzero(alive) < 2:
        return None
    x = np.log(sigma[alive])
    return LogCurve(x, np.log(mmse[alive]) - power * x, low, high)


def _cumulative(sigma: Array, mmse: Array, power: int, rule: str) -> Array:
    """Integral of mmse / s^power dlog(s) from the lowest level, shape (m,)."""
    one_of("rule", rule, RULES)
    rate, x = mmse / sigma**power, np.log(sigma)
    if rule == "left":
        steps = rate[:-1] * (np.diff(sigma) / sigma[:-1])
        return np.concatenate([[0.0], np.cumsum(steps)])
    if rule == "trapezoid":
        pieces = 0.5 * (rate[1:] + rate[:-1]) * np.diff(x)
        return np.concatenate([[0.0], np.cumsum(pieces)])
    curve = _curve(sigma, mmse, power)
    return np.zeros_like(x) if curve is None else curve.integral(x)


def _slope(x: Array, y: Array) -> tuple[float, float]:
    """Least-squares slope of y in x, and its standard error from the residuals."""
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    residual = dy - slope * dx
    return slope, float(np.sqrt(residual @ residual / max(x.size - 2, 1) / (dx @ dx)))
