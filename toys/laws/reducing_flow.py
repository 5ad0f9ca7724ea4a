"""State-dependent iterations of paper C as maps of the line, with slope and regimes.

The formulas are implemented three times: in the compiled loop (`toys.kernels`), here, where only
the constants of a step are shared with that loop, and in the tests, independently of both.
"""

from dataclasses import dataclass

import numpy as np

from theory.checks import Array
from theory.solvers.reducing import ReducingIteration
from toys import kernels
from toys.kernels import Words
from toys.laws.flow import data_hull, in_threads, output_scales
from toys.mixture import Mixture
from toys.reducing import constants


@dataclass(frozen=True)
class Slope:
    """A value and its derivative, as arrays of one shape, with their arithmetic."""

    value: Array
    slope: Array

    def __add__(self, other: "Slope | float") -> "Slope":
        if isinstance(other, Slope):
            return Slope(self.value + other.value, self.slope + other.slope)
        return Slope(self.value + other, self.slope)

    def __neg__(self) -> "Slope":
        return Slope(-self.value, -self.slope)

    def __sub__(self, other: "Slope | float") -> "Slope":
        return self + (-other)

    def __mul__(self, other: "Slope | float") -> "Slope":
        if isinstance(other, Slope):
            slope = self.slope * other.value + self.value * other.slope
            return Slope(self.value * other.value, slope)
        return Slope(self.value * other, self.slope * other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float) -> "Slope":
        return -self + other

    def over(self, other: "Slope") -> "Slope":
        """The quotient self / other; other must not be 0."""
        value = self.value / other.value
        return Slope(value, (self.slope - value * other.slope) / other.value)

    def inverse(self) -> "Slope":
        """The inverse 1 / self, which must not be 0."""
        value = 1.0 / self.value
        return Slope(value, -self.slope * value * value)

    def sigmoid(self) -> "Slope":
        """The sigmoid 1 / (1 + exp(-self))."""
        e = np.exp(-np.abs(self.value))
        value = np.where(self.value >= 0, 1.0, e) / (1.0 + e)
        return Slope(value, self.slope * (e / (1.0 + e) ** 2))


class Course:
    """Record of an evaluation: the points of its calls, and their side of every kink."""

    def __init__(self, toy: Mixture, size: int) -> None:
        self._packed = toy.packed
        self.points: list[Slope] = []
        self.code: Words = np.zeros(size, dtype=np.uint64)  # a hash of all sides

    def denoise(self, x: Slope, sigma: float) -> Slope:
        """E[x0 | x] at a point, which is recorded."""
        self.points.append(x)
        out, slope = np.empty_like(x.value), np.empty_like(x.value)
        kernels.denoise_slope(
            x.value,
            sigma,
            self._packed.log_weights,
            self._packed.means,
            self._packed.stds,
            out,
            slope,
        )
        return Slope(out, slope * x.slope)

    def note(self, side: Array) -> None:
        """Record the side, -1, 0 or 1, of every point."""
        mix = self.code * np.uint64(0x9E3779B97F4A7C15) + (side + 2.0).astype(np.uint64)
        self.code = mix ^ (mix >> np.uint64(29))

    def absolute(self, x: Slope) -> Slope:
        """The absolute value |x|."""
        side = np.sign(x.value)
        self.note(side)
        return Slope(np.abs(x.value), np.where(side < 0, -1.0, 1.0) * x.slope)

    def ratio(self, top: Slope, bottom: Slope) -> Slope:
        """The quotient, in 1-D <u, v> / |v|^2; 0 if the squared denominator is below SMALLEST."""
        good = bottom.value * bottom.value >= kernels.SMALLEST
        # The quotient changes its sign at a root of the denominator.
        self.note(np.where(good, np.sign(bottom.value), 0.0))
        found = top.over(Slope(np.where(good, bottom.value, 1.0), bottom.slope))
        return Slope(np.where(good, found.value, 0.0), np.where(good, found.slope, 0.0))

    def clip(self, x: Slope) -> Slope:
        """The value x clipped to [-2, 2]."""
        side = np.where(np.abs(x.value) > kernels.CLIP, np.sign(x.value), 0.0)
        self.note(side)
        value = np.clip(x.value, -kernels.CLIP, kernels.CLIP)
        return Slope(value, np.where(side == 0, x.slope, 0.0))


class ReducingFlow:
    """An iteration on a 1-D mixture as a map F of the line, with its slope and its regimes.

    F is smooth where the regime is constant, and may have a kink or a jump where it changes.
    """

    noise = 0.0

    def __init__(self, toy: Mixture, iteration: ReducingIteration) -> None:
        self.toy, self.iteration = toy, iteration
        self.constants = constants(toy.dim, iteration)

    @property
    def scales(self) -> Array:
        """Length over which the output of each call varies, for all calls but the first."""
        return output_scales(self.toy, self.iteration.sigma[1:])

    @property
    def hull(self) -> tuple[float, float]:
        """Centre and half width of an interval that contains the data."""
        return data_hull(self.toy)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """F(x) and F'(x), each of the shape of x."""
        states, slopes, _ = self.trace(np.ravel(x))
        return states[-1].reshape(np.shape(x)), slopes[-1].reshape(np.shape(x))

    def trace(self, x: Array) -> tuple[Array, Array, Words]:
        """Points of the calls after the first and F(x), and slopes, (nfe, n) each; regimes (n,)."""
        padded = np.zeros(x.size + -x.size % kernels.BLOCK)
        padded[: x.size] = x
        states, slopes, code = in_threads(self._walk, padded, self.iteration.nfe)
        return states[:, : x.size], slopes[:, : x.size], code[: x.size]

    def _walk(self, start: Array) -> tuple[Array, Array, Words]:
        it, at = self.iteration, Course(self.toy, start.size)
        levels = it.levels.tolist()
        k_max = len(levels) - 1
        step = self._evodiff if it.rule == "evodiff" else self._re_multi
        x = Slope(start, np.ones_like(start))
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            d0 = d1 = at.denoise(x, levels[0]) if k_max else x
            for k in range(k_max):
                rho, bh = self.constants[k, :2].tolist()
                ddim = rho * x + bh * d0
                if k == 0:
                    x = ddim
                    d0 = at.denoise(x, levels[1]) if k_max > 1 else d0
                elif k == k_max - 1 and it.special_last:
                    shrink = 1.0 - float(np.sqrt(levels[k] * levels[k + 1]))
                    back = 1.0 - 0.5 * float(np.sqrt(rho if rho < 0.5 else rho - 0.5))
                    x = shrink * ddim + 0.5 * bh * (d0 - back * d1)
                else:
                    x, new = step(at, ddim, d0, d1, k)
                    d0, d1 = new, d0
            final = at.denoise(x, levels[-1]) if it.denoise_last else x
        every = [*at.points[1:], final]
        slopes = np.clip([p.slope for p in every], -kernels.MAX_SLOPE, kernels.MAX_SLOPE)
        return np.array([p.value for p in every]), slopes, at.code

    def _re_multi(
        self, at: Course, ddim: Slope, d0: Slope, d1: Slope, k: int
    ) -> tuple[Slope, Slope]:
        """The next state, and the output at the probe."""
        rho, bh, h, on_l, on_s, share, inverse_h1, a = self.constants[k].tolist()
        probe = ddim + 0.5 * bh * h * on_l * (d0 - d1)
        dt = at.denoise(probe, float(self.iteration.levels[k + 1]))
        before, ahead = inverse_h1 * (d0 - d1), (1.0 / h) * (dt - d0)
        eta = at.absolute(at.ratio(before, before - ahead)).sigmoid()
        point = (2.0 / rho) * probe - a * h * (dt + d0)
        zeta = (1.0 / (a * h)) * at.absolute(at.ratio(point, share * (dt - d0)))
        zeta = zeta - self.iteration.mu
        zeta = (-zeta if self.iteration.rule == "re_multi_2025" else zeta).sigmoid()
        slope = 0.5 * on_s * eta * (dt - d0) + on_l * (1.0 - 0.5 * eta) * (d0 - d1)
        return ddim + 0.5 * bh * h * zeta * slope, dt

    def _evodiff(
        self, at: Course, ddim: Slope, d0: Slope, d1: Slope, k: int
    ) -> tuple[Slope, Slope]:
        """The next state, and the output at the probe."""
        rho, bh, h, r, share, beta = (float(c) for c in self.constants[k, :6])

        def mixed(new: Slope, old: Slope) -> Slope:
            return share * at.clip(at.ratio(new, old)) + (1.0 - share) * beta

        beta1 = mixed(d0, d1)
        g1 = d0 - beta1 * d1
        # sigmoid(|beta1| / 4) is in [1/2, 1): the clip of r' to [r / 4, 3 r / 2] never acts.
        width = (1.0 / r) * (0.25 * at.absolute(beta1)).sigmoid().inverse()
        probe = ddim + 0.5 * bh * width * g1
        dt = at.denoise(probe, float(self.iteration.levels[k + 1]))
        g2 = dt - mixed(dt, d0) * d0
        back, ahead = (1.0 / (r * h)) * g1, (r / h) * g2
        eta = 0.5 * at.clip(at.ratio(ahead + back, ahead - back))
        eta = 0.5 * at.absolute(eta).sigmoid()
        slope = r * (1.0 - eta) * g2 - (1.0 / r) * eta * g1
        moved = probe - ddim - 0.5 * bh * width * slope
        zeta: Slope = (1.0 / bh) * at.absolute(at.clip(at.ratio(moved, g1))) - self.iteration.mu
        if self.iteration.levels.size - 1 > kernels.MANY_STEPS:
            change = (1.0 / h) * (d0 - d1)
            hot = ((2.0 - rho * rho) * at.clip(at.ratio(d0, change))).sigmoid()
            zeta = -zeta * hot
        return ddim + 0.5 * bh * zeta.sigmoid().inverse() * slope, dt
