"""The profile of a data set: its minimum mean squared error mmse(sigma) on a grid, and entropies.

x = x0 + sigma eps, mmse = E|x0 - E[x0|x]|^2 summed over the d coordinates. Entropies in nats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import cumulative_trapezoid

from theory.checks import Array, floats, monotone, one_of, require, scalars, vector, whole
from theory.profiles.curves import LogCurve

RULES = ("spline", "trapezoid", "left")
AMPLITUDES = ("mean", "rms")
UNDERFLOW = 1e-290  # a smaller mmse counts as 0: it holds no digits, and no logarithm
LEAST_POWER = 1.05
LARGEST = 1e100  # of risks, losses and levels: their powers and quotients stay finite


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """mmse on a grid of noise levels, and the entropies that it determines.

    Quadrature. log mmse is a cubic spline in log sigma (theory.profiles.curves.LogCurve), and
    integrals over log sigma are Gauss-Legendre on its exponential. An mmse below 1e-290 is an
    underflow: below the first larger one the curve contributes nothing; one between larger ones is
    left out and bridged. `entropy_error` and `rescaled_error` compare with the same rule on every
    other grid point, which exceeds the error of the full grid while the grid resolves the curve (16
    times for the spline, 4 for the trapezoid, 2 for the left sum). Rule "trapezoid" is linear in
    log sigma, rule "left" is the left Riemann sum in sigma of Stancevic et al. (algorithm 2).

    Args:
        dim: Number of coordinates d of x0.
        sigma: Noise levels, shape (m,), m >= 4, positive and rising strictly, in data units.
        mmse: Shape (m,), summed over coordinates, in squared data units; >= 0.
        stderr: Standard errors of mmse, shape (m,), or None.
        source: Where the numbers come from; anything that JSON can hold.
        spectral: `theory.profiles.spectral.spectral_mmse`, shape (m,), under "mean" and "rms", the
            two readings of a frequency's amplitude; empty without a split over frequencies.

    Raises:
        ValueError: One line naming the argument, the rule, the value and the index.
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
        """The curve mmse / sigma^power over log sigma, between the log sigmas low and high.

        None if mmse is 0 throughout: below two points above the underflow.
        """
        return _curve(self.sigma, self.mmse, power, low, high)

    @scalars
    def mmse_at(self, sigma: ArrayLike) -> Array:
        """The mmse at levels inside the grid, of the shape of sigma; 0 where it underflows.

        Between the levels of the grid log mmse is a cubic spline in log sigma.
        """
        levels = self._inside(sigma)
        curve = self.curve(0.0)
        if curve is None:
            return np.zeros_like(levels)
        x = np.maximum(np.log(levels), curve.edges[0])
        return np.where(np.log(levels) < curve.edges[0], 0.0, np.exp(curve.spline(x)))

    @scalars
    def entropy_at(self, sigma: ArrayLike) -> Array:
        """H[x0|x] less that at the lowest level, of the shape of sigma, in nats."""
        levels = self._inside(sigma)
        curve = self.curve(2.0)
        return np.zeros_like(levels) if curve is None else curve.integral(np.log(levels))

    def entropy_rate(self) -> Array:
        """Rate dH/dsigma = mmse / sigma^3 (Stancevic et al. eq. 13), shape (m,), nats per unit."""
        return np.asarray(self.mmse / self.sigma**3)

    def time_change(self, power: int, rule: str) -> Array:
        """Integral of mmse / s^power dlog(s) from the lowest level, shape (m,).

        Power 2 is the entropy and 1 the rescaled entropy, both from sigma[0]; the rules are those
        of the class.
        """
        return _cumulative(self.sigma, self.mmse, power, rule)

    def entropy_from_sigma_min(self, rule: str = "spline") -> Array:
        """H[x0|x_sigma] - H[x0|x_sigma[0]], shape (m,), from 0, in nats (the integral of eq. 13).

        Args:
            rule: "spline", "trapezoid" or "left", see the class.
        """
        return self.time_change(2, rule)

    def rescaled_entropy(self, rule: str = "spline", *, include_below: bool = True) -> Array:
        """R(sigma), the integral of mmse / s^2 ds from 0, shape (m,), in data units.

        Stancevic et al., section 5. Starts at `rescaled_below()`, or with
        include_below=False at 0 as their algorithm 2 does.

        Args:
            rule: "spline", "trapezoid" or "left", see the class.
            include_below: Whether to add the part below the grid.

        Raises:
            ValueError: The part below the grid diverges, see `rescaled_below`.
        """
        below = self.rescaled_below() if include_below else 0.0
        return below + self.time_change(1, rule)

    def rescaled_below(self) -> float:
        """The part of the rescaled entropy below the grid, extrapolated.

        mmse ~ sigma^p there gives mmse[0] / sigma[0] / (p - 1); p = 2 for data with a density.
        p is a least-squares slope over the lowest octave. 0 only where mmse[0] has underflowed.

        Raises:
            ValueError: p <= 1.05; towards p = 1 the integral diverges.
        """
        return self._below()[0]

    def entropy_error(self, rule: str = "spline") -> float:
        """Size in nats of the error of `entropy_from_sigma_min`, see the class."""
        return self._halving(2, rule)

    def rescaled_error(self, rule: str = "spline", *, include_below: bool = True) -> float:
        """Size in data units of the error of `rescaled_entropy`, the extrapolation included."""
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
        """The extrapolated part below the grid and the size of its error."""
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
        # The slope may go on changing below the grid: three times its change within the octave.
        return below, below * max(spread, 3.0 * abs(near - power)) / (power - 1.0)


def _curve(
    sigma: Array, mmse: Array, power: float, low: float | None = None, high: float | None = None
) -> LogCurve | None:
    """The curve mmse / sigma^power over log sigma; None below two points above the underflow."""
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
        return np.asarray(cumulative_trapezoid(rate, x, initial=0.0))
    curve = _curve(sigma, mmse, power)
    return np.zeros_like(x) if curve is None else curve.integral(x)


def _slope(x: Array, y: Array) -> tuple[float, float]:
    """Least-squares slope of y in x, and its standard error from the residuals."""
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    residual = dy - slope * dx
    return slope, float(np.sqrt(residual @ residual / max(x.size - 2, 1) / (dx @ dx)))
