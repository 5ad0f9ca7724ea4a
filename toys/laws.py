"""The exact law of a 1-D sampler: what a solver table does to a mixture's denoiser, as a density.

A row with noise turns a density q into q'(y) = int q(x) N(y; F(x), noise**2) dx, F the
deterministic map of the rows since the last noise; a stretch without noise at the end transports
q along F, branches adding up. Everything is done in log densities, since the data have mass where
the sampler's density is far below 1e-300. The integral over x uses Gauss panels no wider than a
few widths of q (the last noise) and of the next kernel (noise / F'), bisected until F is a
polynomial there. `settle` repeats a computation with finer panels on a wider domain until it
stands still, and says by how much it moved last.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import parent_process
from typing import Protocol

import numpy as np
from scipy.special import log_ndtr, logsumexp, ndtr
from tqdm import tqdm

from toys import kernels
from toys.flow import Branches, Flow, stretches
from toys.kernels import Array
from toys.mixture import Mixture
from toys.quadrature import NODES, WEIGHTS
from toys.sampling import Table, available_threads

PANEL_WIDTHS = 4.0  # widths of q or of the kernel a panel of 16 nodes may span, for rtol 1e-8
LEGENDRE_TAIL = 1e-3  # largest of the last three Legendre coefficients of F / noise on a panel
FIRST_REACH = 20.0  # deviations of the start, and of every noise, in the first domain
PROBES = 513  # points at which a map is asked how far it reaches
DATA_REACH = 12.0  # deviations of the data that count as their range
MAX_NODES = 4_000_000
MAX_PASSES = 8
ROUNDING = 1e-12
NORMALISE = np.log(np.sqrt(2 * np.pi))


class Density(Protocol):
    """A density on the line."""

    def log_density(self, x: Array) -> Array:
        """Log density at x, of x's shape."""

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high]."""


@dataclass(frozen=True)
class Components:
    """A small Gaussian mixture: log weights, means, stds, shape (K,) each."""

    log_weights: Array
    means: Array
    stds: Array

    def log_density(self, x: Array) -> Array:
        """Log density at x, of x's shape."""
        terms = self.log_weights - np.log(self.stds) - NORMALISE
        z = (np.asarray(x)[..., None] - self.means) / self.stds
        return np.asarray(logsumexp(terms - 0.5 * z**2, axis=-1))

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high]."""
        return _interval_logs(self.log_weights, self.means, self.stds, low, high)


@dataclass(frozen=True)
class GaussianSums:
    """Sum of equal Gaussians: panels (P, LANES) of means and log masses, one std."""

    mean: Array
    mass: Array
    std: float

    @cached_property
    def _sorted(self) -> tuple[Array, Array, Array, float]:
        low, high = self.mean.min(axis=1), self.mean.max(axis=1)
        order = np.argsort(0.5 * (low + high), kind="stable")
        half_width = 0.5 * float((high - low).max())
        return (
            np.ascontiguousarray((0.5 * (low + high))[order]),
            np.ascontiguousarray(self.mean[order]),
            np.ascontiguousarray(self.mass[order]),
            half_width,
        )

    def log_density(self, x: Array) -> Array:
        """Log density at x, of x's shape."""
        centre, mean, mass, half_width = self._sorted
        flat = np.ascontiguousarray(x).ravel()
        out = np.empty_like(flat)

        def part(i: int) -> None:
            kernels.log_gaussian_sums(
                flat[i : i + step], centre, mean, mass, self.std, half_width, out[i : i + step]
            )

        threads = available_threads()
        step = max(256, -(-flat.size // threads))
        if flat.size <= step:
            part(0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, range(0, flat.size, step)))
        return out.reshape(np.shape(x))

    def log_mass(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high]."""
        return _interval_logs(self.mass.ravel(), self.mean.ravel(), self.std, low, high)


class Law:
    """Law of a table's final state on a 1-D mixture, at one resolution and reach.

    Args:
        toy: One-dimensional data.
        table: The solver.
        start: "noise" for N(0, start_std**2), "data" for the true law at sigma[0].
        resolution: Panels get this many times narrower than PANEL_WIDTHS.
        reach: Deviations of the start and of every noise that the domain covers.
    """

    def __init__(
        self, toy: Mixture, table: Table, start: str, resolution: float, reach: float
    ) -> None:
        begin = _start(toy, table, start)
        density: Density = begin
        width = float(begin.stds.min())
        self.resolution, self.reach = resolution, reach
        flows = [Flow(toy, table, stretch) for stretch in stretches(table)]
        domains = _domains(flows, begin, toy, reach)
        self._flow = flows.pop() if flows[-1].noise == 0 else None
        # Workers of a run keep quiet: the run has a bar of its own.
        quiet = parent_process() is not None
        rows = zip(flows, domains, strict=False)
        for flow, (low, high) in tqdm(
            rows, "exact law", len(flows), delay=2, leave=False, disable=quiet
        ):
            x, half, mapped = _panels(flow, low, high, width, resolution)
            mass = density.log_density(x) + np.log(half[:, None] * WEIGHTS)
            density, width = GaussianSums(mapped, mass, flow.noise), flow.noise
        self.density, self._domain = density, domains[len(flows)]

    def cover(self, low: float, high: float, tol: float) -> None:
        """Make log_density and log_bins good on [low, high]; tol is the scale of the data there.

        Only a table that ends without noise needs it: its map is followed outward until it
        covers the interval, and cut into monotone branches.
        """
        if self._flow is None:
            return
        a, b = self._domain
        centre, span = 0.5 * (a + b), 0.5 * (b - a)
        for _ in range(200):
            values = self._flow(np.array([centre - span, centre + span]))[0]
            if values.min() < low and values.max() > high:
                break
            span *= 2.0
        else:
            raise ValueError(
                f"table must reach the data's range [{low:g}, {high:g}], got a map that stays in "
                f"[{values.min():g}, {values.max():g}] however far it starts"
            )
        fine = np.linspace(-self.reach, self.reach, int(64 * self.resolution)) / self.reach
        wide = np.geomspace(1.0, max(2.0 * span / (b - a), 1.0 + 1e-9), 32)
        grid = 0.5 * (b - a) * np.concatenate([-wide[:0:-1], fine, wide[1:]])
        self._branches = Branches(
            self._flow, np.unique(centre + grid), 0.02 * tol / self.resolution
        )

    @property
    def support(self) -> tuple[float, float]:
        """An interval that holds all of the final mass but what lies beyond the reach."""
        if self._flow is None:
            return self._domain
        ends = self._flow(np.linspace(*self._domain, PROBES))[0]
        return float(ends.min()), float(ends.max())

    @property
    def folds(self) -> Array:
        """Images of the turning points of the final map, where the density is singular."""
        return np.empty(0) if self._flow is None else np.sort(self._branches.turning_values)

    def log_density(self, y: Array) -> Array:
        """Log density of the final state at y (n,); -inf where it cannot go."""
        if self._flow is None:
            return self.density.log_density(y)
        owner, x, slope = self._branches.preimages(y)
        with np.errstate(divide="ignore"):
            terms = self.density.log_density(x) - np.log(np.abs(slope))
        out = np.full(y.shape, -np.inf)
        np.logaddexp.at(out, owner, terms)
        return out

    def log_cdf(self, y: Array) -> Array:
        """Log probability that the final state is at most y (n,)."""
        if self._flow is None:
            return self.density.log_mass(np.full(y.shape, -np.inf), y)
        bottom = np.full(y.shape, min(self._branches.f.min(), float(y.min())) - 1.0)
        return self.log_bins(bottom, y)

    def log_bins(self, low: Array, high: Array) -> Array:
        """Log probability of each interval [low, high], shape (n,); -inf for an empty one."""
        if self._flow is None:
            return self.density.log_mass(low, high)
        edges = np.concatenate([low, high])
        owner, x, _ = self._branches.preimages(edges)
        out = np.full(low.shape, -np.inf)
        for k in range(low.size):
            cuts = np.sort(x[owner % low.size == k])
            ends = np.concatenate([[-np.inf], cuts, [np.inf]])
            probes = np.concatenate(
                [[self._branches.x[0]], 0.5 * (cuts[1:] + cuts[:-1]), [self._branches.x[-1]]]
            )
            if not cuts.size:
                probes = self._branches.x[:1]
            value = self._flow(probes)[0]
            inside = (value > low[k]) & (value < high[k])
            if inside.any():
                out[k] = logsumexp(self.density.log_mass(ends[:-1][inside], ends[1:][inside]))
        return out


@dataclass(frozen=True)
class Settled:
    """A number computed from an exact law, and how far the last refinement moved it."""

    value: float
    error: float


def settle(
    toy: Mixture,
    table: Table,
    functional: Callable[[Law], float],
    start: str = "noise",
    rtol: float = 1e-8,
    atol: float = 2e-12,
) -> Settled:
    """Value of a functional of the law, refined until it moves by less than rtol.

    Each pass narrows the panels by a quarter and doubles the domain. The error is twice the last
    move, and at least what rounding of the log densities may do: 1e-12 of 1 + |value|.

    Raises:
        ValueError: If the table has no exact law, or the value does not settle: the message
            gives the readings.
    """
    if toy.dim != 1:
        raise ValueError(f"toy must have d = 1 for an exact law, got d = {toy.dim}")
    readings: list[float] = []
    resolution = float(np.clip(-np.log10(rtol) / 8.0, 0.6, 1.5))
    for i in range(MAX_PASSES):
        law = Law(toy, table, start, resolution * 1.25**i, FIRST_REACH * 2.0**i)
        readings.append(functional(law))
        if i == 0:
            continue
        value = readings[-1]
        moves = np.abs(np.diff(readings))
        if value == readings[-2] and not np.isfinite(value):
            return Settled(value, 0.0)
        error = 2.0 * float(moves[-1]) + ROUNDING * (1.0 + abs(value))
        if error <= rtol * abs(value) + atol:
            return Settled(value, error)
        if moves.size > 3 and moves[-1] > 0.5 * moves[-3]:
            break  # more of the same would not settle it
    shown = ", ".join(f"{r:.13g} at reach {FIRST_REACH * 2.0**i:g}" for i, r in enumerate(readings))
    raise ValueError(
        f"the exact law must settle to {rtol:g} relative, got {shown}; use Monte Carlo (paths)"
    )


def _start(toy: Mixture, table: Table, start: str) -> Components:
    """Start density."""
    if start == "noise":
        return Components(np.zeros(1), np.zeros(1), np.array([float(table.start_std)]))
    if start == "data":
        stds = toy.noisy_stds(float(table.sigma[0]))[:, 0]
        return Components(np.log(toy.weights), toy.means[:, 0], stds)
    raise ValueError(f"start must be 'noise' or 'data', got {start!r}")


def _domains(
    flows: list[Flow], start: Components, toy: Mixture, reach: float
) -> list[tuple[float, float]]:
    """Where the states in front of every stretch can be, and behind the last one if it is noisy.

    A state belongs to the domain when deviations (the root of the sum of their squares) of no
    more than `reach` lead to it from the start's means, and no more lead from it to the data:
    far tails that the data never see are left out, however much mass the sampler puts there.
    """
    core = float(start.means.min()), float(start.means.max())
    low = float((start.means - reach * start.stds).min())
    high = float((start.means + reach * start.stds).max())
    forward, grids = [(low, high)], []
    for flow in flows:
        grid = np.unique(np.concatenate([np.linspace(*forward[-1], PROBES), np.linspace(*core, 9)]))
        value = flow(grid)[0]
        grids.append((grid, value))
        inner = value[(grid >= core[0]) & (grid <= core[1])]
        core = float(inner.min()), float(inner.max())
        outer = float(value.min()), float(value.max())
        forward.append(
            (
                core[0] - float(np.hypot(core[0] - outer[0], reach * flow.noise)),
                core[1] + float(np.hypot(outer[1] - core[1], reach * flow.noise)),
            )
        )
    if flows[-1].noise == 0:
        domains = [forward[-2]]  # followed outward by `cover`
        core = outer = forward[-2]
        flows, grids = flows[:-1], grids[:-1]
    else:
        domains = [forward[-1]]
        spread = DATA_REACH * toy.stds[:, 0]
        core = float((toy.means[:, 0] - spread).min()), float((toy.means[:, 0] + spread).max())
        outer = core
    for flow, (grid, value) in zip(reversed(flows), reversed(grids), strict=True):
        wide = (
            core[0] - float(np.hypot(core[0] - outer[0], reach * flow.noise)),
            core[1] + float(np.hypot(outer[1] - core[1], reach * flow.noise)),
        )
        core, outer = _preimage(grid, value, core), _preimage(grid, value, wide)
        domains.append(outer)
    return domains[::-1]


def _preimage(grid: Array, value: Array, image: tuple[float, float]) -> tuple[float, float]:
    """Interval of the grid whose values meet an interval, a point more on each side."""
    lower, upper = np.minimum(value[1:], value[:-1]), np.maximum(value[1:], value[:-1])
    useful = np.flatnonzero((upper >= image[0]) & (lower <= image[1]))
    if not useful.size:  # out of reach at this many deviations: keep everything
        return float(grid[0]), float(grid[-1])
    return float(grid[max(useful[0] - 1, 0)]), float(grid[min(useful[-1] + 2, grid.size - 1)])


def _panels(
    flow: Flow, low: float, high: float, width: float, resolution: float
) -> tuple[Array, Array, Array]:
    """Nodes x (P, LANES), half widths (P,) and F at the nodes, of panels fit for one row."""
    widths = PANEL_WIDTHS / resolution
    count = int(np.ceil((high - low) / (widths * width)))
    _check_nodes(count)
    cuts = np.linspace(low, high, count + 1)
    left, right = cuts[:-1], cuts[1:]
    kept: list[tuple[Array, Array, Array]] = []
    total = 0
    while left.size:
        half = 0.5 * (right - left)
        x = 0.5 * (left + right)[:, None] + half[:, None] * NODES
        mapped = flow(x)[0]
        scaled = mapped / flow.noise
        tail = np.abs((scaled - scaled[:, :1]) @ _TO_LEGENDRE[:, -3:]).max(axis=1)
        good = np.ptp(scaled, axis=1) <= widths
        good &= tail <= LEGENDRE_TAIL / resolution**8
        good |= half < 1e-14 * np.maximum(np.abs(left), np.abs(right))
        kept.append((x[good], half[good], mapped[good]))
        total += int(good.sum())
        middle = 0.5 * (left + right)[~good]
        left = np.concatenate([left[~good], middle])
        right = np.concatenate([middle, right[~good]])
        _check_nodes(total + left.size)
    x, half, mapped = (np.concatenate(column) for column in zip(*kept, strict=True))
    order = np.argsort(x[:, 0])
    return x[order], half[order], mapped[order]


def _check_nodes(panels: int) -> None:
    if panels * kernels.LANES > MAX_NODES:
        raise ValueError(
            f"table must need at most {MAX_NODES} nodes a row for an exact law, got "
            f"{panels * kernels.LANES:.3g}; its noise is too small for its range, use Monte Carlo"
        )


# Values at the nodes -> Legendre coefficients, by Gauss quadrature of degree up to 31.
_TO_LEGENDRE = (
    np.polynomial.legendre.legvander(NODES, kernels.LANES - 1)
    * WEIGHTS[:, None]
    * (np.arange(kernels.LANES) + 0.5)
)


def _interval_logs(
    log_weights: Array, means: Array, std: Array | float, low: Array, high: Array
) -> Array:
    """Log probability of intervals under a Gaussian mixture, exact in both tails."""
    out = np.empty(np.shape(low))
    for i in range(out.size):
        a, b = (low.flat[i] - means) / std, (high.flat[i] - means) / std
        flip = a > 0  # work in the left tail, where log_ndtr is accurate
        a, b = np.where(flip, -b, a), np.where(flip, -a, b)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_b, log_a = log_ndtr(b), log_ndtr(a)
            apart = np.where(np.isneginf(log_a), 0.0, log_a - log_b)
            logs = np.where(
                a < -1.0,
                log_b + np.log(-np.expm1(np.minimum(apart, 0.0)) + (np.isneginf(log_a))),
                np.log(np.maximum(ndtr(b) - ndtr(a), 0.0)),
            )
        out.flat[i] = logsumexp(log_weights + logs)
    return out
