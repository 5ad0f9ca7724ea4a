"""KL of data and a final law, with its derivatives by what the law is made of.

There is one class per kind of law: a sum of Gaussians after a row with noise, a density transported
along a last map, and the probabilities of bins around points. Each gives KL(data || law) in nats
and, from the same quadrature, its derivatives by the density before the end and by the last map.
"""

from typing import NamedTuple, Protocol

import numpy as np

from theory.checks import Array
from toys.information.quadrature import WEIGHTS, Ints, resolve
from toys.laws.adjoint import FlowTrace, MapGradient
from toys.laws.branches import Branches
from toys.laws.charts import Charts
from toys.laws.densities import Density, DensityGradient
from toys.laws.flow import Flow
from toys.laws.transported import BIN_SHARE, bin_cells
from toys.mixture import Mixture

RTOL, ATOL = 1e-9, 1e-15  # of the quadrature, unless a search asks for less
MOST_POINTS = 8_000_000  # start points of the quadrature of a transported density, all branches
CHUNK = 2**12  # points on charts that are evaluated together; each may have a thousand preimages

# Derivatives by the density before the end, and by the last map if the law ends without noise.
EndGradient = tuple[DensityGradient, MapGradient | None]


class Ending(Protocol):
    """Interface of the KL of a final law, in nats."""

    value: float

    def gradient(self) -> EndGradient:
        """Its derivatives by the density before the end and by the last map."""


class NoisyEnding:
    """KL of data at a level and a density of final states, on points that do not move.

    Args:
        data: One-dimensional data.
        sigma: The last level, in data units.
        cuts: Ends of the first panels, rising, in data units.
        density: Density of the final states.
        rtol: Relative tolerance of the quadrature.
    """

    def __init__(
        self, data: Mixture, sigma: float, cuts: Array, density: Density, rtol: float = RTOL
    ) -> None:
        self._data, self._sigma, self._density = data, sigma, density
        self._y, half, values, _ = resolve(lambda y: self._terms(y)[:1], cuts, rtol, ATOL)
        self._weight = half[:, None] * WEIGHTS
        self.value = float(np.sum(values[0] * self._weight))

    def _terms(self, y: Array) -> Array:
        """The integrand, the data's density and the log of the law's, (3, n)."""
        log_p, log_q = self._data.log_density(y, self._sigma), self._density.log_density(y)
        return np.stack([np.exp(log_p) * (log_p - log_q), np.exp(log_p), log_q])

    def gradient(self) -> EndGradient:
        """Derivatives of the KL by the density."""
        y = self._y.ravel()
        _, p, log_q = self._terms(y)
        return self._density.pullback(y, log_q, -self._weight.ravel() * p), None


class BinnedEnding:
    """KL of the weights of points from the probabilities of bins around them.

    Args:
        data: One-dimensional points, at least two of them different.
        density: Density of the states before the map.
        flow: The map.
        branches: Its branches, which cover the edges of the bins.

    Raises:
        ValueError: A bin is empty.
    """

    def __init__(self, data: Mixture, density: Density, flow: Flow, branches: Branches) -> None:
        self._density, self._flow = density, flow
        points, label = np.unique(data.means[:, 0], return_inverse=True)
        self._weights = np.bincount(label.ravel(), data.weights).astype(np.float64)
        half = BIN_SHARE * float(np.diff(points).min())
        self._cells = bin_cells(branches, flow, points - half, points + half)
        logs = density.log_mass(self._cells.left, self._cells.right)
        self._log_q = np.full(points.size, -np.inf)
        np.logaddexp.at(self._log_q, self._cells.of, logs)
        empty = int(np.isneginf(self._log_q).sum())
        if empty:
            raise ValueError(f"table must give mass to every bin, got {empty} empty bins")
        self.value = float(self._weights @ (np.log(self._weights) - self._log_q))

    def gradient(self) -> EndGradient:
        """Derivatives of the KL by the density and by the map, whose preimages of edges move."""
        of, left, right = self._cells
        found, by_left, by_right = self._density.mass_pullback(
            left, right, self._log_q[of], -self._weights[of]
        )
        edges = np.concatenate([left, right])
        inner = np.isfinite(edges)
        trace = FlowTrace(self._flow, edges[inner])
        return found, trace.pullback(-np.append(by_left, by_right)[inner] / trace.slope)


class _Points(NamedTuple):
    """Start points on charts and on all other branches, with what their density is made of.

    Args:
        value: Final states of the n points on charts.
        slope: Slopes of the map there.
        owner: For each of m points on other branches, the point on a chart with its final state.
        others: The points on other branches, shape (m,).
        logs: Log density of the states before the map, at all n + m points.
        terms: Logs of their terms in the density of the final states.
        log_q: Log density of the final states, shape (n,).
    """

    value: Array
    slope: Array
    owner: Ints
    others: Array
    logs: Array
    terms: Array
    log_q: Array


class TransportedEnding:
    """KL of data at a level and a density transported along a map, on points that move with it.

    Args:
        data: One-dimensional data.
        sigma: The last level, in data units.
        cuts: Ends of the first panels, rising, in data units; the outermost bound the range.
        density: Density of the states before the map.
        flow: The map.
        branches: Its branches, which cover the range.
        most: Largest number of start points, on all branches, that the quadrature may take.
        rtol: Relative tolerance of the quadrature.

    Raises:
        ValueError: The map has too many folds, or does not reach a part of the range.
    """

    def __init__(
        self,
        data: Mixture,
        sigma: float,
        cuts: Array,
        density: Density,
        flow: Flow,
        branches: Branches,
        most: int = MOST_POINTS,
        rtol: float = RTOL,
    ) -> None:
        self._data, self._sigma, self._density, self._flow = data, sigma, density, flow
        self._evaluated, self._most = 0, most
        self._charts = charts = Charts(branches, float(cuts[0]), float(cuts[-1]))
        t, half, values, _ = resolve(self._integrand, charts.cuts(cuts), rtol, ATOL)
        weight = half[:, None] * WEIGHTS
        self.value = float(np.sum(values[0] * weight))
        self._of, self._x, rate = charts.places(t.ravel())
        self._weight = weight.ravel() * rate

    def _integrand(self, t: Array) -> Array:
        found = [self._terms(t[i : i + CHUNK]) for i in range(0, t.size, CHUNK)]
        return np.concatenate(found)[None] if found else np.empty((1, 0))

    def _terms(self, t: Array) -> Array:
        """The integrand at points t, on all charts, (n,)."""
        of, x, rate = self._charts.places(t)
        points = self._points(of, x)
        self._evaluated += x.size + points.others.size
        if self._evaluated > self._most:
            raise ValueError(
                f"table must give a law that {self._most} points of all branches resolve, got a "
                f"map that is too steep, with {self._charts.turns.size} folds; take more steps"
            )
        log_p = self._data.log_density(points.value, self._sigma)
        return np.asarray(rate * np.exp(log_p) * np.abs(points.slope) * (log_p - points.log_q))

    def _points(self, of: Ints, x: Array) -> _Points:
        """What the density of the final states is made of, at start points on charts."""
        value, slope = self._flow(x)
        owner, others = np.empty(0, dtype=np.int64), np.empty(0)
        steep, charts = np.abs(slope), self._charts
        if charts.turns.size:
            owner, others, other_slope = charts.branches.preimages(value)
            own = np.array([chart.piece for chart in charts.charts])[of]
            kept = charts.pieces_of(others) != own[owner]
            owner, others = owner[kept], others[kept]
            steep = np.append(steep, np.abs(other_slope[kept]))
        logs = self._density.log_density(np.append(x, others))
        with np.errstate(divide="ignore"):
            terms = logs - np.log(steep)
        log_q = terms[: x.size].copy()
        np.logaddexp.at(log_q, owner, terms[x.size :])
        return _Points(value, slope, owner, others, logs, terms, log_q)

    def gradient(self) -> EndGradient:
        """Derivatives of the KL by the density and by the map."""
        n, points = self._x.size, self._points(self._of, self._x)
        at = np.append(self._x, points.others)
        trace = FlowTrace(self._flow, np.append(at, self._charts.end_points()))
        slope, bend = trace.slope[: at.size], trace.curvature[: at.size]
        log_p = self._data.log_density(points.value, self._sigma)
        steep, gap = np.abs(points.slope), log_p - points.log_q
        mass = self._weight * np.exp(log_p)
        # By log q of the final states, shared between the branches that add up to it.
        by_log_q = -mass * steep
        share = np.exp(points.terms - np.append(points.log_q, points.log_q[points.owner]))
        by_log = np.append(by_log_q, by_log_q[points.owner]) * share
        density = self._density.pullback(at, points.logs, by_log)
        by_slope = -by_log / slope
        by_slope[:n] += mass * gap * np.sign(points.slope)
        by_x = density.by_x + by_slope * bend
        by_value = np.zeros(at.size)
        by_value[:n] = mass * steep * self._data.score(points.value, self._sigma) * (gap + 1.0)
        # Points on other branches follow the final state of their owner.
        by_value[n:] = -by_x[n:] / slope[n:]
        np.subtract.at(by_value, points.owner, by_value[n:])
        by_x[:n] += by_value[:n] * slope[:n]
        ends = self._charts.ends_gradient(
            self._of,
            self._x,
            by_x[:n],
            mass * steep * gap,
            trace.slope[at.size :],
            trace.curvature[at.size :],
        )
        return density, trace.pullback(np.append(by_value, ends[0]), np.append(by_slope, ends[1]))
