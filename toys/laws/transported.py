"""Laws of 1-D samplers that end without noise: a density transported along the last map.

The density at y is a sum over the solutions x of F(x) = y. For them the map F is cut into monotone
branches on an interval of initial states. The interval begins as the domain of the density, and is
doubled until its images cover the data's range and every place that the law is asked about. Each
answer therefore depends on its own arguments alone, whatever has been asked before.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from theory.checks import Array
from toys.information.quadrature import Ints, integrals
from toys.laws import panels
from toys.laws.branches import Branches, Map
from toys.laws.densities import Density
from toys.laws.law import Law
from toys.mixture import Mixture

FIRST_REACH = 20.0  # deviations of the start, and of every noise, in the first domain
PROBED = 512  # points of the first domain at which a map is first evaluated
SATURATED = 1e-12  # relative change at twice the start below which a map has reached its limit
MOST_DOUBLINGS = 200
DATA_REACH = 10.0  # deviations of the data's components that a map has to cover
LADDER = np.array([0.0, 1.5, 3.0, 5.0, 7.0, DATA_REACH])  # deviations, for the first panels
BIN_SHARE = 0.49  # half width of the bin around a point, in units of the smallest gap


class DataRange(NamedTuple):
    """Interval of final states that a sampler has to reach, and the data's finest scale there."""

    low: float
    high: float
    scale: float


def data_range(data: Mixture, sigma: float) -> DataRange:
    """Range and finest scale of the 1-D data x0 + sigma eps.

    A denoised state lies between the outer points. Of points at sigma 0 only the inner edges of the
    outer bins can therefore be reached, and of a single point nothing.
    """
    if sigma > 0 or not data.is_points:
        means, stds = data.means[:, 0], data.noisy_stds(sigma)[:, 0]
        low, high = (means - DATA_REACH * stds).min(), (means + DATA_REACH * stds).max()
        gaps = np.diff(np.unique(means))
        scale = float(stds.min()) or 0.5 * float(gaps.min(initial=2.0))
        return DataRange(float(low), float(high), scale)
    points = np.unique(data.means)
    if points.size == 1:
        return DataRange(np.inf, -np.inf, 1.0)
    half = BIN_SHARE * float(np.diff(points).min())
    return DataRange(float(points[0]) + half, float(points[-1]) - half, half)


def data_cuts(toy: Mixture, sigma: float) -> Array:
    """Rising cuts of the data's range, close where the density of x0 + sigma eps is narrow."""
    std = toy.noisy_stds(sigma)[:, 0]
    steps = np.concatenate([-LADDER[:0:-1], LADDER])
    places = (toy.means[:, 0, None] + std[:, None] * steps).ravel()
    sizes = np.repeat(std, steps.size)
    order = np.argsort(places)
    kept = [float(places[order[0]])]
    for place, size in zip(places[order].tolist(), sizes[order].tolist(), strict=True):
        if place - kept[-1] > 0.5 * size:
            kept.append(place)
    return np.array([*kept, float(places[order[-1]])] if places.max() > kept[-1] else kept)


class BranchedMap:
    """A map of the line, with its branches wherever its values are asked for.

    Args:
        flow: The map.
        domain: Ends of the interval of initial states that is covered in any case.
        data: The range that its values have to cover.
        resolution: Factor by which the branches are finer than in a first pass.
        reach: Standard deviations of the start that the domain covers.
    """

    def __init__(
        self,
        flow: Map,
        domain: tuple[float, float],
        data: DataRange,
        resolution: float,
        reach: float,
    ) -> None:
        self.flow, self.domain = flow, domain
        self._data, self._resolution, self._reach = data, resolution, reach
        self._ends: list[Array] = []  # images of the ends of the domain, doubled k times
        self._branches: dict[int, Branches] = {}

    @cached_property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value on the domain, between which the map may fold narrowly."""
        found, ends = self.branches(), np.array(self.domain)
        inside = found.f[(found.x > ends[0]) & (found.x < ends[1])]
        values = np.append(inside, self.flow(ends)[0])
        return float(values.min()), float(values.max())

    def branches(self, low: float = np.inf, high: float = -np.inf) -> Branches:
        """The branches that give all preimages of [low, high] and of the data's range.

        A map that stays inside [low, high] however far it starts is accepted if it covers the
        data's range.

        Args:
            low: Left end of the interval, in data units.
            high: Right end of the interval, in data units.

        Raises:
            ValueError: The map does not reach the interval or is too steep.
        """
        k = self._doublings(min(low, self._data.low), max(high, self._data.high))
        if k not in self._branches:
            tol = 0.02 * self._data.scale / self._resolution
            self._branches[k] = Branches(self.flow, self._grid(k), tol)
        return self._branches[k]

    def _doublings(self, low: float, high: float) -> int:
        """How often the domain has to be doubled for its images to cover an interval."""
        for k in range(MOST_DOUBLINGS):
            ends = self._images(k)
            if ends.min() < low and ends.max() > high:
                return k
            covered = ends.min() < self._data.low and ends.max() > self._data.high
            if covered and k and np.allclose(ends, self._images(k - 1), SATURATED, 0.0):
                return k
        raise ValueError(
            f"table must reach the data's range [{low:g}, {high:g}], got a map that stays in "
            f"[{ends.min():g}, {ends.max():g}] however far it starts"
        )

    def _images(self, k: int) -> Array:
        """Images of the two ends of the domain after k doublings."""
        a, b = self.domain
        while len(self._ends) <= k:
            span = 0.5 * (b - a) * 2.0 ** len(self._ends)
            self._ends.append(self.flow(np.array([0.5 * (a + b) - span, 0.5 * (a + b) + span]))[0])
        return self._ends[k]

    def _grid(self, k: int) -> Array:
        """First points of the branches, close in the first domain and wide outside."""
        a, b = self.domain
        core = np.linspace(-FIRST_REACH, FIRST_REACH, int(PROBED * self._resolution)) / self._reach
        fine = np.union1d(core, np.linspace(-1.0, 1.0, int(64 * self._resolution)))
        wide = np.geomspace(1.0, max(2.0**k, 1.0 + 1e-9), 32)
        grid = 0.5 * (b - a) * np.concatenate([-wide[:0:-1], fine, wide[1:]])
        return np.unique(0.5 * (a + b) + grid)


class TransportedLaw(Law):
    """Law of a sampler that ends without noise.

    Args:
        density: Density of the states before the last stretch.
        last: Map of the last stretch.
    """

    def __init__(self, density: Density, last: BranchedMap) -> None:
        self.density, self._last = density, last

    @property
    def support(self) -> tuple[float, float]:
        """An interval that contains the mass, except for what lies beyond the reach."""
        return self._last.range

    def log_density(self, y: Array) -> Array:
        """Log density at y, in nats, shape (n,); -inf where the state cannot be."""
        out = np.full(y.shape, -np.inf)
        if y.size:
            branches = self._last.branches(float(y.min()), float(y.max()))
            owner, x, slope = branches.preimages(y)
            with np.errstate(divide="ignore"):
                terms = self.density.log_density(x) - np.log(np.abs(slope))
            np.logaddexp.at(out, owner, terms)
        return out

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high], shape (n,); -inf for an empty one."""
        out = np.full(low.shape, -np.inf)
        edges = np.concatenate([low, high]).astype(np.float64)
        if not edges.size:
            return out
        finite = edges[np.isfinite(edges)]
        branches = self._last.branches(finite.min(initial=np.inf), finite.max(initial=-np.inf))
        cells = bin_cells(branches, self._last.flow, low, high)
        if cells.of.size:
            np.logaddexp.at(out, cells.of, self.density.log_mass(cells.left, cells.right))
        return out

    def moments(self, centre: float = 0.0) -> tuple[float, float]:
        """Mean and mean square of the state less a centre, in data units and their square."""

        def f(x: Array) -> Array:
            value = self._last.flow(x)[0] - centre
            return np.exp(self.density.log_density(x)) * np.stack([value, value**2])

        cuts = np.linspace(*self._last.domain, panels.PROBES)
        mean, square = integrals(f, cuts, 1e-8, 1e-10)[0].tolist()
        return mean, square

    def folds(self, low: float, high: float) -> Array:
        """Images in (low, high) of turns and breaks of the map, rising."""
        edges = self._last.branches(low, high).edges
        return np.sort(edges[(edges > low) & (edges < high)])

    def places(self) -> Array:
        """States around the bulk of the mass, rising, close where it is narrow."""
        return np.unique(self._last.flow(self.density.places())[0])

    def holes(self, low: float, high: float) -> bool:
        """Whether the state cannot reach some interval within [low, high]."""
        return self._last.branches(low, high).holes(low, high)


class Cells(NamedTuple):
    """Intervals of start points, and for each the index of the final interval it leads into."""

    of: Ints
    left: Array
    right: Array


def bin_cells(branches: Branches, flow: Map, low: Array, high: Array) -> Cells:
    """The intervals of start points that lead into intervals of final states.

    Args:
        branches: The branches of the map, which cover the ends of the intervals.
        flow: The map.
        low: Left ends of the intervals of final states, shape (n,).
        high: Right ends, shape (n,).
    """
    owner, x, _ = branches.preimages(np.concatenate([low, high]).astype(np.float64))
    of, left, right, probe = _cells(branches, owner % low.size, x, low.size)
    value = flow(probe)[0]
    inside = (value > low[of]) & (value < high[of])
    return Cells(of[inside], left[inside], right[inside])


def _cells(branches: Branches, owner: Ints, x: Array, n: int) -> tuple[Ints, Array, Array, Array]:
    """Intervals of initial states that lie inside or outside each of n intervals of final states.

    Args:
        branches: The branches of the map.
        owner: Index of the interval of final states of every preimage x.
        x: Preimages of the ends of the intervals.
        n: Number of intervals of final states.

    Returns:
        Index of the interval of final states, left end, right end and a point inside, (m,) each.
    """
    first, last = branches.x[0], branches.x[-1]
    of, left, right, probes = [], [], [], []
    for k in range(n):
        cuts = np.sort(np.append(x[owner == k], branches.jumps))
        of.append(np.full(cuts.size + 1, k))
        left.append(np.append(-np.inf, cuts))
        right.append(np.append(cuts, np.inf))
        middles = 0.5 * (cuts[1:] + cuts[:-1])
        probes.append(np.concatenate([[first], middles, [last]]) if cuts.size else branches.x[:1])
    joined = [np.concatenate(parts) for parts in (left, right, probes)]
    return np.concatenate(of), joined[0], joined[1], joined[2]
