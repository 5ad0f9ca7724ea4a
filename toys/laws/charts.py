"""Charts of the final states of a map with folds: intervals on which one branch is the coordinate.

An integral over final states y = F(x) is taken in x, on a branch that covers them, so that no
preimage is needed on it. Where the density has a fold, the branch that ends there is taken, and
panels are graded towards it: with x = fold + c s^3 the logarithm of the density is smooth enough in
s for Gauss panels, and the panels move with the fold when the map does.
"""

from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from theory.checks import Array
from toys.information.quadrature import Ints
from toys.laws.branches import Branches

MOST_CHARTS = 1000
NARROW = 1e-13  # width between folds, relative to the range, that is left out


class End(NamedTuple):
    """End of a chart.

    Args:
        x: Its place.
        fold: Index of the turning point whose value the end has; -1 if it stays at its value.
        turns: Whether the end is that turning point itself.
    """

    x: float
    fold: int
    turns: bool


class Chart(NamedTuple):
    """An interval of start points, between two ends of rising x, on one branch."""

    piece: int
    left: End
    right: End


class Charts:
    """Charts that together cover an interval of final states once.

    Args:
        branches: The branches of the map, which cover the interval.
        low: Left end of the interval, in data units.
        high: Right end of the interval, in data units.

    Raises:
        ValueError: There are too many folds.
    """

    def __init__(self, branches: Branches, low: float, high: float) -> None:
        self.branches = branches
        begins, ends = (np.array(side) for side in zip(*branches.pieces, strict=True))
        self._x = np.stack([branches.x[begins], branches.x[ends]], axis=1)
        self._f = np.stack([branches.f[begins], branches.f[ends]], axis=1)
        self.turns = self._x[1:, 0]  # start points of the folds
        values = self._f[1:, 0]
        cuts = [(low, -1)]
        cuts += sorted((float(v), i) for i, v in enumerate(values) if low < v < high)
        cuts.append((high, -1))
        self.charts: list[Chart] = []
        for below, above in pairwise(cuts):
            if above[0] - below[0] > NARROW * (high - low):
                self.charts += self._between(below, above)
        if len(self.charts) > MOST_CHARTS:
            raise ValueError(
                f"table must give a map of at most {MOST_CHARTS} folds for a gradient, got "
                f"{self.turns.size}; take more steps"
            )

    def _between(self, below: tuple[float, int], above: tuple[float, int]) -> list[Chart]:
        """Charts of the values between two neighbouring folds or ends."""
        low, high = self._f.min(axis=1), self._f.max(axis=1)
        covers = np.flatnonzero((low <= below[0]) & (high >= above[0])).tolist()
        if not covers:
            raise ValueError(
                f"table must reach every state where the data have mass, got none between "
                f"{below[0]:g} and {above[0]:g}"
            )
        first = [p for p in covers if below[1] in self._folds(p) and low[p] == below[0]]
        last = [p for p in covers if above[1] in self._folds(p) and high[p] == above[0]]
        if first and last:
            middle = (0.5 * (below[0] + above[0]), -1)
            return [self._chart(first[0], below, middle), self._chart(last[0], middle, above)]
        piece = (first or last or covers[:1])[0]
        return [self._chart(piece, below, above)]

    def _folds(self, piece: int) -> tuple[int, int]:
        """Indices of the turning points at the ends of a piece; out of range at the outer ends."""
        return (piece - 1 if piece else -2, piece if piece < self.turns.size else -2)

    def _chart(self, piece: int, below: tuple[float, int], above: tuple[float, int]) -> Chart:
        ends = [self._end(piece, *below), self._end(piece, *above)]
        left, right = sorted(ends, key=lambda end: end.x)
        if not left.x < right.x:
            raise ValueError(
                f"table must give a map without jumps, got one from {below[0]:g} to {above[0]:g}"
            )
        return Chart(piece, left, right)

    def _end(self, piece: int, value: float, fold: int) -> End:
        """The place on a piece where the map has a value, which is that of a fold unless -1."""
        if fold >= 0 and fold in self._folds(piece):
            return End(float(self.turns[fold]), fold, True)
        _, x, _ = self.branches.preimages(np.array([value]))
        inside = x[self.pieces_of(x) == piece]
        if not inside.size:  # two folds of one value to rounding
            raise ValueError(f"table must give a map with folds apart, got two at {value:g}")
        return End(float(inside[0]), fold, False)

    def pieces_of(self, x: Array) -> Ints:
        """Index of the piece of every start point."""
        return np.searchsorted(self.turns, x)

    def places(self, t: Array) -> tuple[Ints, Array, Array]:
        """Charts of points t, start points x and dx/dt, (n,) each; chart i is t in [i, i + 1]."""
        of = np.clip(np.floor(t).astype(np.int64), 0, len(self.charts) - 1)
        left, right, grade = self._arrays
        s, width = t - of, (right - left)[of]
        up, down = grade[of] < 0, grade[of] > 0
        share = np.where(up, s**3, np.where(down, 1.0 - (1.0 - s) ** 3, s))
        rate = np.where(up, 3.0 * s**2, np.where(down, 3.0 * (1.0 - s) ** 2, 1.0))
        x = np.where(down, right[of] - width * (1.0 - s) ** 3, left[of] + width * share)
        return of, x, rate * width

    def cuts(self, y: Array) -> Array:
        """Rising points t of the ends of all charts and of final states y on them."""
        _, x, _ = self.branches.preimages(y)
        pieces = self.pieces_of(x)
        found = [np.arange(len(self.charts) + 1.0)]
        for i, chart in enumerate(self.charts):
            mine = x[(pieces == chart.piece) & (x > chart.left.x) & (x < chart.right.x)]
            share = (mine - chart.left.x) / (chart.right.x - chart.left.x)
            if chart.left.turns:
                share = np.cbrt(share)
            elif chart.right.turns:
                share = 1.0 - np.cbrt(1.0 - share)
            found.append(i + np.clip(share, 1e-9, 1.0 - 1e-9))
        return np.unique(np.concatenate(found))

    def end_points(self) -> Array:
        """Start points of the left ends of all charts, of their right ends, and of all folds."""
        left, right, _ = self._arrays
        return np.concatenate([left, right, self.turns])

    def ends_gradient(
        self, of: Ints, x: Array, by_x: Array, terms: Array, slope: Array, bend: Array
    ) -> tuple[Array, Array]:
        """Derivatives of a sum over points by the values and slopes of the map at `end_points`.

        Points keep their share of the width of their chart, whose ends move when the map does: a
        fold stays where the slope is 0, and other ends keep their final state or follow a fold's.

        Args:
            of: Charts of the points, shape (n,).
            x: The points.
            by_x: Derivatives of the sum by the points.
            terms: Terms of the sum, which are proportional to the width of their chart.
            slope: Slopes of the map at `end_points`.
            bend: Curvatures of the map there.
        """
        count = len(self.charts)
        left, right, _ = self._arrays
        width = right - left
        share = (x - left[of]) / width[of]
        stretch = np.bincount(of, terms, count) / width
        by_left = np.bincount(of, by_x * (1.0 - share), count) - stretch
        by_right = np.bincount(of, by_x * share, count) + stretch
        by_value, by_slope = np.zeros(slope.size), np.zeros(slope.size)
        for at, (chart_end, by_end) in enumerate(
            zip(
                [c.left for c in self.charts] + [c.right for c in self.charts],
                np.append(by_left, by_right),
                strict=True,
            )
        ):
            fold = 2 * count + chart_end.fold
            if chart_end.turns:
                by_slope[fold] -= by_end / bend[fold]
                continue
            by_value[at] -= by_end / slope[at]
            if chart_end.fold >= 0:
                by_value[fold] += by_end / slope[at]
        return by_value, by_slope

    @cached_property
    def _arrays(self) -> tuple[Array, Array, Array]:
        """Left and right ends, and -1, 0 or 1 where panels are graded to the left or the right."""
        left = np.array([chart.left.x for chart in self.charts])
        right = np.array([chart.right.x for chart in self.charts])
        grade = np.array([int(c.right.turns) - int(c.left.turns) for c in self.charts])
        return left, right, grade
