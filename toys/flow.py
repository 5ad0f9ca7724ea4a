"""Deterministic stretches of a solver table in 1-D: the map, its slope, its branches.

Between two rows that add noise every state is a function F of the state x at the stretch's
start. Solvers with memory or inner stages fold the line, so F is not monotone in general.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from toys import kernels
from toys.kernels import Array
from toys.mixture import Mixture
from toys.quadrature import Ints
from toys.sampling import Table, available_threads, columns

MAX_SLOPE = 1e280  # slopes at unstable points outgrow float64 in long tables; q is 0 there
MAX_POINTS = 400_000


@dataclass(frozen=True)
class Stretch:
    """Rows first .. last - 1 of a table, deterministic but for noise added by the last row."""

    first: int
    last: int
    noise: float


def stretches(table: Table) -> list[Stretch]:
    """The table cut behind every row that adds noise.

    Raises:
        ValueError: If a row's history reaches back across such a row: the law of the state is
            then not a function of one variable.
    """
    _, keep, weights, noise = columns(table)
    cuts = [0, *(int(r) + 1 for r in np.flatnonzero(noise))]
    if cuts[-1] != noise.size:
        cuts.append(noise.size)
    parts = [Stretch(a, b, float(noise[b - 1])) for a, b in pairwise(cuts)]
    for part in parts:
        for r in range(part.first, part.last):
            used = np.flatnonzero((keep[r] != 0) | (weights[r] != 0))
            if used.size and r - int(used[-1]) < part.first:
                raise ValueError(
                    f"table must not reach back across a row with noise, got row {r} using row "
                    f"{r - int(used[-1])} although row {part.first - 1} adds noise; "
                    "no exact law, use Monte Carlo"
                )
    return parts


class Flow:
    """The map F of a stretch, and its slope; `noise` is what its last row adds to F(x)."""

    def __init__(self, toy: Mixture, table: Table, stretch: Stretch) -> None:
        self.toy, self.noise = toy, stretch.noise
        sigma, keep, weights, _ = columns(table)
        rows = slice(stretch.first, stretch.last)
        self.sigma, self.keep, self.weights = sigma[rows], keep[rows], weights[rows]

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """F(x) and F'(x) for x of any shape."""
        flat = np.ascontiguousarray(x).ravel()
        n = flat.size
        padded = np.zeros(n + -n % kernels.BLOCK)
        padded[:n] = flat
        threads = available_threads()
        if padded.size < 32 * kernels.BLOCK or threads == 1:
            y, slope = self._walk(padded)
        else:
            step = kernels.BLOCK * -(-padded.size // (kernels.BLOCK * threads))
            with ThreadPoolExecutor(threads) as pool:
                parts = list(
                    pool.map(
                        self._walk, (padded[i : i + step] for i in range(0, padded.size, step))
                    )
                )
            y, slope = (np.concatenate(column) for column in zip(*parts, strict=True))
        return y[:n].reshape(np.shape(x)), slope[:n].reshape(np.shape(x))

    def _walk(self, x: Array) -> tuple[Array, Array]:
        states, slopes = [x], [np.ones_like(x)]
        outputs: list[Array] = []
        output_slopes: list[Array] = []
        for r, sigma in enumerate(self.sigma.tolist()):
            out, slope = np.empty_like(x), np.empty_like(x)
            kernels.denoise_slope(states[-1], sigma, *_flat(self.toy), out, slope)
            outputs.append(out)
            output_slopes.append(slope * slopes[-1])
            new, new_slope = np.zeros_like(x), np.zeros_like(x)
            for h in range(min(r + 1, self.keep.shape[1])):
                k, w = self.keep[r, h], self.weights[r, h]
                if k != 0:
                    new += k * states[-1 - h]
                    new_slope += k * slopes[-1 - h]
                if w != 0:
                    new += w * outputs[-1 - h]
                    new_slope += w * output_slopes[-1 - h]
            states.append(new)
            slopes.append(np.clip(new_slope, -MAX_SLOPE, MAX_SLOPE))
        return states[-1], slopes[-1]


def _flat(toy: Mixture) -> tuple[Array, Array, Array]:
    packed = toy.packed
    return packed.log_weights, packed.means, packed.stds


class Branches:
    """F on an interval, cut at its turning points into monotone pieces that can be inverted."""

    def __init__(self, flow: Callable[[Array], tuple[Array, Array]], start: Array, tol: float):
        """Resolve F from the rising points start, until a cubic through them is good to tol.

        Args:
            flow: Map and slope.
            start: First points, rising; their ends bound the interval.
            tol: Largest error of the cubic at the middle of two points, in units of F.
        """
        self.flow = flow
        x = np.asarray(start, dtype=np.float64)
        f, df = flow(x)
        fresh = np.ones(x.size - 1, dtype=bool)
        while fresh.any():
            a, b = x[:-1][fresh], x[1:][fresh]
            fa, fb, da, db = f[:-1][fresh], f[1:][fresh], df[:-1][fresh], df[1:][fresh]
            middle = 0.5 * (a + b)
            fm, dm = flow(middle)
            cubic = 0.5 * (fa + fb) + (b - a) * (da - db) / 8
            good = np.abs(cubic - fm) <= tol
            # A turning point hidden between three points of one sign is seen by the slopes.
            flat = 1.5 * (fb - fa) / (b - a) - 0.25 * (da + db)
            good &= np.abs(flat - dm) * (b - a) <= 4 * tol
            good |= ~((middle > a) & (middle < b))
            at = np.flatnonzero(fresh)
            grow = np.zeros(x.size - 1, dtype=bool)
            grow[at] = ~good
            where = np.flatnonzero(grow) + 1
            x = np.insert(x, where, middle[~good])
            f, df = np.insert(f, where, fm[~good]), np.insert(df, where, dm[~good])
            fresh = np.zeros(x.size - 1, dtype=bool)
            moved = where + np.arange(where.size)
            fresh[moved - 1] = True
            fresh[moved] = True
            if x.size > MAX_POINTS:
                raise ValueError(
                    f"table must give a map resolvable by {MAX_POINTS} points, got more; "
                    "its steps are too steep for an exact law, use Monte Carlo (paths)"
                )
        self.turning = self._turning_points(x, f, df)
        x_turn = self.turning
        f_turn, df_turn = flow(x_turn)
        where = np.searchsorted(x, x_turn)
        self.x, self.f = np.insert(x, where, x_turn), np.insert(f, where, f_turn)
        self.df = np.insert(df, where, df_turn)
        ends = np.unique(np.concatenate([[0], np.searchsorted(self.x, x_turn), [self.x.size - 1]]))
        self.pieces = [(a, b) for a, b in pairwise(ends.tolist())]
        self.turning_values = f_turn

    def _turning_points(self, x: Array, f: Array, df: Array) -> Array:
        """Roots of F' between neighbours of opposite slope, bisected to rounding."""
        change = np.flatnonzero(np.sign(df[:-1]) * np.sign(df[1:]) < 0)
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

    def preimages(self, y: Array) -> tuple[Ints, Array, Array]:
        """All solutions of F(x) = y: index into y, x and F'(x), flat arrays of one length."""
        owners, lows, highs, rise = [], [], [], []
        for a, b in self.pieces:
            f = self.f[a : b + 1]
            up = bool(f[-1] >= f[0])
            grid = np.maximum.accumulate(f) if up else np.maximum.accumulate(f[::-1])
            inside = np.flatnonzero((y >= grid[0]) & (y <= grid[-1]))
            at = np.clip(np.searchsorted(grid, y[inside]), 1, grid.size - 1)
            at = a + (at if up else grid.size - at)
            owners.append(inside)
            lows.append(self.x[at - 1])
            highs.append(self.x[at])
            rise.append(np.full(inside.size, up))
        owner, low, high = np.concatenate(owners), np.concatenate(lows), np.concatenate(highs)
        up_all = np.concatenate(rise)
        target = y[owner]
        x = 0.5 * (low + high)
        slope = np.empty_like(x)
        active = np.arange(x.size)
        for step in range(200):
            if not active.size:
                break
            f, df = self.flow(x[active])
            slope[active] = df
            gap = f - target[active]
            above = (gap > 0) == up_all[active]
            high[active] = np.where(above, x[active], high[active])
            low[active] = np.where(above, low[active], x[active])
            with np.errstate(divide="ignore", invalid="ignore"):
                newton = x[active] - gap / df
            trusted = (newton > low[active]) & (newton < high[active]) & (step % 4 != 3)
            new = np.where(trusted, newton, 0.5 * (low[active] + high[active]))
            # Done when a step is within rounding of x, or F is within rounding of y.
            close = np.abs(new - x[active]) <= 4e-16 * np.abs(x[active])
            close |= np.abs(gap) <= 2e-16 * np.abs(target[active])
            x[active] = np.where(close, x[active], new)
            active = active[~close]
        return owner, x, slope
