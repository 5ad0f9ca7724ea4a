"""Maps of the line, cut at turning points, kinks and jumps into invertible branches."""

from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from theory.checks import Array
from toys.information.quadrature import Ints
from toys.kernels import Words

MAX_POINTS = 20_000_000  # largest number of states that resolve a map
MAX_PIECES = 1000
RESOLVED = 0.05  # tolerance in units of the length over which the denoiser's output varies
FAR = 1e-4
FINEST = 1e-15  # width of the brackets of kinks and jumps, relative to the interval
SETTLED = 4e-8  # change of the slope in a Newton step after which one more reaches rounding
NEAR = 1e-5  # largest such step, in widths of the cell
HOLE = 1e-12  # part of an interval that may lack a preimage because of rounding


class Map(Protocol):
    """Interface of a map F of the line that is smooth except where its regime changes."""

    noise: float

    @property
    def scales(self) -> Array:
        """Length over which the output of the next call varies, for every state but the last."""

    @property
    def hull(self) -> tuple[float, float]:
        """Centre and half width of an interval that contains the data."""

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """F(x) and F'(x), each of the shape of x."""

    def trace(self, x: Array) -> tuple[Array, Array, Words]:
        """States after x (n,), the last of them F(x), and slopes, (R, n) each; regimes (n,)."""


def _outside_breaks(x: Array, code: Words, close: float) -> NDArray[np.bool_]:
    """Mask that drops the points between two changes of regime less than `close` apart.

    Where two outputs of the denoiser are equal, rounding makes regimes a few floats wide.
    """
    left = np.flatnonzero(code[:-1] != code[1:])
    keep = np.ones(x.size, dtype=bool)
    for first, second in pairwise(left.tolist()):
        if x[second] - x[first + 1] <= close:
            keep[first + 1 : second + 1] = False
    return keep


class Branches:
    """A map F on an interval, cut into monotone pieces that can be inverted.

    The cuts are at turning points, kinks and jumps. Kinks and jumps occur where the regime changes
    and are bracketed to `FINEST` of the interval; within a bracket F is not resolved.
    """

    def __init__(self, flow: Map, start: Array, tol: float):
        """Resolve the map by bisection from a first grid of points.

        All intermediate states are resolved as well, until a cubic interpolates each of them to a
        small part of the length over which the denoiser's output varies. Since the outputs are
        monotone in the states, a step of F between two points appears in one of these states.

        Args:
            flow: The map.
            start: First points, increasing; the first and the last bound the interval.
            tol: Largest error of the cubic of F at the middle between two points.

        Raises:
            ValueError: The map needs too many points or has too many branches.
        """
        self.flow = flow
        x = np.asarray(start, dtype=np.float64)
        finest = FINEST * (x[-1] - x[0])
        tols = np.append(RESOLVED * flow.scales, tol)[:, None]
        centre, reach = flow.hull
        f, df, code = flow.trace(x)
        fresh = np.ones(x.size - 1, dtype=bool)
        while fresh.any():
            at = np.flatnonzero(fresh)
            width = x[at + 1] - x[at]
            fa, fb, da, db = f[:, at], f[:, at + 1], df[:, at], df[:, at + 1]
            middle = 0.5 * (x[at] + x[at + 1])
            fm, dm, cm = flow.trace(middle)
            # Far outside the data the outputs are linear in the states.
            outside = np.maximum(np.abs(fm - centre) - reach, 0.0)
            allowed = tols + FAR * outside
            good = np.abs(0.5 * (fa + fb) + width * (da - db) / 8 - fm) <= allowed
            # The slopes reveal a turning point that three values of one sign hide.
            flat = 1.5 * (fb - fa) / width - 0.25 * (da + db)
            good &= np.abs(flat - dm) * width <= 4 * allowed
            split = ~good.all(axis=0) | (code[at] != cm) | (cm != code[at + 1])
            split &= (middle > x[at]) & (middle < x[at + 1]) & (width > finest)
            grow = at[split] + 1
            x = np.insert(x, grow, middle[split])
            f, df = (np.insert(v, grow, m[:, split], axis=1) for v, m in ((f, fm), (df, dm)))
            code = np.insert(code, grow, cm[split])
            fresh = np.zeros(x.size - 1, dtype=bool)
            moved = grow + np.arange(grow.size)
            fresh[moved - 1] = True
            fresh[moved] = True
            if f.size > MAX_POINTS:
                raise ValueError(
                    f"table must give a map resolvable by {MAX_POINTS} numbers, got more; "
                    "its steps are too steep for an exact law, use Monte Carlo (paths)"
                )
        kept = _outside_breaks(x, code, 64.0 * finest)
        x, last, rise, code = x[kept], f[-1, kept], df[-1, kept], code[kept]
        breaks = code[:-1] != code[1:]
        x_turn = self._turning_points(x, rise, ~breaks)
        f_turn, df_turn = flow(x_turn)
        where = np.searchsorted(x, x_turn)
        self.x, self.f = np.insert(x, where, x_turn), np.insert(last, where, f_turn)
        self.df = np.insert(rise, where, df_turn)
        left, right = x[:-1][breaks], x[1:][breaks]
        self._cut(*(np.searchsorted(self.x, v) for v in (x_turn, left, right)))

    def _cut(self, turning: Ints, left: Ints, right: Ints) -> None:
        """Set the pieces, given the indices of turning points and of the ends of breaks."""
        rise = np.abs(self.f[right] - self.f[left])
        steep = np.maximum(np.abs(self.df[left]), np.abs(self.df[right]))
        near = 8.0 * steep * (self.x[right] - self.x[left]) + 1e-13 * np.abs(self.f[left])
        near += 16.0 * np.maximum(self._noise(left, -1.0), self._noise(right, 1.0))
        jump = rise > near
        self.jumps = 0.5 * (self.x[left[jump]] + self.x[right[jump]])
        corner = left[~jump & (self.df[left] * self.df[right] < 0)]
        shared = np.concatenate([turning, corner])  # ends of one piece and starts of the next
        starts = np.sort(np.concatenate([[0], shared, right[jump]])).tolist()
        stops = np.sort(np.concatenate([shared, left[jump], [self.x.size - 1]])).tolist()
        self.pieces = [(a, b) for a, b in zip(starts, stops, strict=True) if a < b]
        self.edges = self.f[np.concatenate([turning, left, right[jump]])]
        if len(self.pieces) > MAX_PIECES:
            raise ValueError(
                f"table must give a map of at most {MAX_PIECES} branches for an exact law, "
                f"got {len(self.pieces)}; use Monte Carlo (paths)"
            )

    def _noise(self, at: Ints, side: float) -> Array:
        """Rounding error of F at points (n,), from the tangents at neighbouring points.

        Next to a break a quotient of two small differences may have only half of the digits.
        """
        if not at.size:
            return np.empty(0)
        steps = side * 64.0 * FINEST * (self.x[-1] - self.x[0]) * np.arange(1.0, 9.0)
        places = self.x[at][:, None] + steps
        value, slope = self.flow(places)
        return np.asarray(np.abs(value - slope * steps - self.f[at][:, None]).max(axis=1))

    def holes(self, low: float, high: float) -> bool:
        """Whether an interval within [low, high] has no preimage."""
        ends = np.array([[self.f[a], self.f[b]] for a, b in self.pieces])
        least = HOLE * (high - low)
        reached = low
        for bottom, top in sorted(zip(ends.min(axis=1), ends.max(axis=1), strict=True)):
            if bottom > reached + least:
                break
            reached = max(reached, top)
        return bool(reached < high - least)

    def _turning_points(self, x: Array, df: Array, smooth: NDArray[np.bool_]) -> Array:
        """Roots of F' between neighbours of opposite slope, by bisection to rounding."""
        change = np.flatnonzero(smooth & (np.sign(df[:-1]) * np.sign(df[1:]) < 0))
        a, b = x[change].copy(), x[change + 1].copy()
        rising = df[change] < 0
        for _ in range(60):
            if not a.size:
                break
            middle = 0.5 * (a + b)
            upper = (self.flow(middle)[1] > 0) == rising
            b = np.where(upper, middle, b)
            a = np.where(upper, a, middle)
        return np.asarray(0.5 * (a + b))

    def _cubic_places(self, right: Ints, y: Array) -> Array:
        """Where the cubics of cells, given by their right ends, take the values y, in (0, 1).

        Places are kept from the ends as far as rounding of F reaches at a turning point, where
        the slope of a closer one would be arbitrary.
        """
        left = right - 1
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rise = self.f[right] - self.f[left]
            slope = (self.x[right] - self.x[left]) / rise
            first, last = self.df[left] * slope, self.df[right] * slope
            aim = (y - self.f[left]) / rise
            apart = np.sqrt(4e-16 * np.abs(y / rise))
            place = np.full(y.size, 0.5)
            for halving in range(2, 26):
                rest = 1.0 - place
                value = place * (place * (3.0 - 2.0 * place) + rest * (first * rest - last * place))
                place += np.where(value < aim, 0.5**halving, -(0.5**halving))
        apart = np.nan_to_num(apart, nan=0.5, posinf=0.5)
        return np.asarray(np.clip(place, np.minimum(apart, 0.5), np.maximum(1.0 - apart, 0.5)))

    def preimages(self, y: Array) -> tuple[Ints, Array, Array]:
        """All solutions x of F(x) = y: indices into y, x and F'(x), arrays of one length."""
        owners, rights, rise = [], [], []
        for a, b in self.pieces:
            f = self.f[a : b + 1]
            up = bool(f[-1] >= f[0])
            grid = np.maximum.accumulate(f) if up else np.maximum.accumulate(f[::-1])
            inside = np.flatnonzero((y >= grid[0]) & (y <= grid[-1]))
            at = np.clip(np.searchsorted(grid, y[inside]), 1, grid.size - 1)
            at = a + (at if up else grid.size - at)
            owners.append(inside)
            rights.append(at)
            rise.append(np.full(inside.size, up))
        owner, right, up_all = (np.concatenate(column) for column in (owners, rights, rise))
        low, high, target = self.x[right - 1], self.x[right], y[owner]
        cell = high - low
        x = low + cell * self._cubic_places(right, target)
        slope = np.full_like(x, np.nan)
        last = np.zeros(x.size, dtype=bool)  # one more step, and no further test
        before = x.copy()
        active = np.arange(x.size)
        for step in range(200):
            if not active.size:
                break
            at = x[active]
            f, df = self.flow(at)
            gap = f - target[active]
            above = (gap > 0) == up_all[active]
            high[active] = np.where(above, at, high[active])
            low[active] = np.where(above, low[active], at)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                move = gap / df
                # Relative change of the slope over this step, by the last change.
                bend = np.abs(move * (df - slope[active]) / (df * (at - before[active])))
            newton = at - move
            trusted = (newton > low[active]) & (newton < high[active]) & (step % 4 != 3)
            ending = last[active]
            last[active] = (bend <= SETTLED) & (np.abs(move) <= NEAR * cell[active])
            trusted |= ending | last[active]
            new = np.where(trusted, newton, 0.5 * (low[active] + high[active]))
            # Converged when the step is below rounding of x, or F agrees with y to rounding.
            close = np.abs(new - at) <= 4e-16 * np.abs(at)
            close |= np.abs(gap) <= 2e-16 * np.abs(target[active])
            close |= ending
            before[active], slope[active] = at, df
            x[active] = np.clip(np.where(close & ~ending, at, new), low[active], high[active])
            active = active[~close]
        return owner, x, slope
