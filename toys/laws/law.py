"""The exact law of a 1-D sampler: the density of a solver's state under a mixture's denoiser.

A row with noise maps a density q to q'(y) = int q(x) N(y; F(x), noise**2) dx, where F is the
deterministic map of the rows since the last noise. A final stretch without noise transports q along
F and sums over its branches. All densities are kept as logarithms, since the data have mass where
the sampler's density is far below 1e-300. The integral over x uses Gauss panels. They are no wider
than a few widths of q (the last noise) and of the next kernel (noise / F'), and are bisected until
F is a polynomial of low degree on each. `settle` repeats a computation with finer panels on a wider
domain until it converges, and reports the last change.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from theory.checks import Array
from theory.solvers.reducing import ReducingIteration, Solver
from toys.information.quadrature import WEIGHTS, integrals
from toys.laws import panels
from toys.laws.branches import Branches, Map
from toys.laws.densities import Components, Density, GaussianSums
from toys.laws.flow import Flow, stretches
from toys.laws.reducing_flow import ReducingFlow
from toys.mixture import Mixture
from toys.progress import progress

FIRST_REACH = 20.0  # deviations of the start, and of every noise, in the first domain
MAX_PASSES = 8
PROBED = 512  # points of the first domain at which a map is first evaluated
ROUNDING = 1e-12
SATURATED = 1e-12  # relative change at twice the start below which a map has reached its limit


class Law:
    """Law of a solver's final state on a 1-D mixture, at one resolution and domain.

    Args:
        toy: One-dimensional data, whose exact denoiser the solver calls.
        table: The solver.
        start: Initial law: "noise" for N(0, start_std**2), "data" for the true law at sigma[0], or
            another mixture for its law at sigma[0], for which the denoiser is then wrong.
        resolution: Factor by which panels are narrower than `PANEL_WIDTHS`.
        reach: Standard deviations of the initial law and of every noise that the domain covers.

    Raises:
        ValueError: The solver has no exact law, or needs too many nodes.
    """

    def __init__(
        self,
        toy: Mixture,
        table: Solver,
        start: str | Mixture,
        resolution: float,
        reach: float,
    ) -> None:
        begin = _start(toy, table, start)
        density: Density = begin
        width = float(begin.stds.min())
        self.resolution, self.reach = resolution, reach
        flows: list[Map] = []
        if isinstance(table, ReducingIteration):
            flows.append(ReducingFlow(toy, table))
        else:
            flows += [Flow(toy, table, stretch) for stretch in stretches(table)]
        domains = panels.domains(flows, begin, toy, reach)
        self._flow = flows.pop() if flows[-1].noise == 0 else None
        rows = list(zip(flows, domains, strict=False))
        for flow, (low, high) in progress(rows, "exact law"):
            x, half, mapped = panels.panels(flow, low, high, width, resolution)
            mass = density.log_density(x) + np.log(half[:, None] * WEIGHTS)
            density, width = GaussianSums(mapped, mass, flow.noise), flow.noise
        self.density, self._domain = density, domains[len(flows)]

    def cover(self, low: float, high: float, tol: float, bounded: bool = False) -> None:
        """Prepare log_density and log_bins on an interval of final states.

        This matters only for a solver that ends without noise. Its last map is followed outward
        until its values cover the interval, and is cut into monotone branches.

        Args:
            low: Left end of the interval, in data units.
            high: Right end of the interval, in data units.
            tol: Scale of the data on the interval, in data units.
            bounded: Whether a map that stays inside the interval however far it starts is accepted;
                the density beyond its values is 0.

        Raises:
            ValueError: The map does not reach the interval or is too steep.
        """
        if self._flow is None:
            return
        a, b = self._domain
        centre, span, before = 0.5 * (a + b), 0.5 * (b - a), np.full(2, np.nan)
        for _ in range(200):
            values = self._flow(np.array([centre - span, centre + span]))[0]
            if values.min() < low and values.max() > high:
                break
            if bounded and np.allclose(values, before, rtol=SATURATED, atol=0.0):
                break
            span, before = 2.0 * span, values
        else:
            raise ValueError(
                f"table must reach the data's range [{low:g}, {high:g}], got a map that stays in "
                f"[{values.min():g}, {values.max():g}] however far it starts"
            )
        core = np.linspace(-FIRST_REACH, FIRST_REACH, int(PROBED * self.resolution)) / self.reach
        fine = np.union1d(core, np.linspace(-1.0, 1.0, int(64 * self.resolution)))
        wide = np.geomspace(1.0, max(2.0 * span / (b - a), 1.0 + 1e-9), 32)
        grid = 0.5 * (b - a) * np.concatenate([-wide[:0:-1], fine, wide[1:]])
        self._branches = Branches(
            self._flow, np.unique(centre + grid), 0.02 * tol / self.resolution
        )

    @property
    def support(self) -> tuple[float, float]:
        """An interval that contains the final mass, except for what lies beyond the reach."""
        if self._flow is None:
            return self._domain
        ends = self._flow(np.linspace(*self._domain, panels.PROBES))[0]
        return float(ends.min()), float(ends.max())

    @property
    def folds(self) -> Array:
        """Final states at which the density is singular or jumps: images of turns and breaks."""
        return np.empty(0) if self._flow is None else np.sort(self._branches.edges)

    def holes(self, low: float, high: float) -> bool:
        """Whether the final state cannot reach some interval within [low, high]."""
        return self._flow is not None and self._branches.holes(low, high)

    def log_density(self, y: Array) -> Array:
        """Log density of the final state at y, shape (n,); -inf where it cannot be."""
        if self._flow is None:
            return self.density.log_density(y)
        owner, x, slope = self._branches.preimages(y)
        with np.errstate(divide="ignore"):
            terms = self.density.log_density(x) - np.log(np.abs(slope))
        out = np.full(y.shape, -np.inf)
        np.logaddexp.at(out, owner, terms)
        return out

    def moments(self, centre: float = 0.0) -> tuple[float, float]:
        """Mean and mean square of the final state less a centre, in data units and their square."""
        if self._flow is None:
            assert isinstance(self.density, GaussianSums)  # the result of a row with noise
            weight, mean = np.exp(self.density.mass), self.density.mean - centre
            square = float(np.sum(weight * (mean**2 + self.density.std**2)))
            return float(np.sum(weight * mean)), square
        flow = self._flow

        def f(x: Array) -> Array:
            value = flow(x)[0] - centre
            return np.exp(self.density.log_density(x)) * np.stack([value, value**2])

        found = integrals(f, np.linspace(*self._domain, panels.PROBES), 1e-8, 1e-10)[0]
        return float(found[0]), float(found[1])

    def log_cdf(self, y: Array) -> Array:
        """Log probability that the final state is at most y, shape (n,)."""
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
            cuts = np.sort(np.append(x[owner % low.size == k], self._branches.jumps))
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


def check_line(toy: Mixture) -> None:
    """Raise ValueError for mixtures of more than one dimension."""
    if toy.dim != 1:
        raise ValueError(f"toy must have d = 1 for an exact law, got d = {toy.dim}")


def first_resolution(rtol: float) -> float:
    """Resolution of the first pass for a relative tolerance."""
    return float(np.clip(-np.log10(rtol) / 8.0, 0.6, 1.5))


@dataclass(frozen=True)
class Settled:
    """A number computed from an exact law, with its error estimate."""

    value: float
    error: float


def settle(
    toy: Mixture,
    table: Solver,
    functional: Callable[[Law], float],
    start: str | Mixture = "noise",
    rtol: float = 1e-8,
    atol: float = 2e-12,
) -> Settled:
    """Value of a functional of the law, refined until it converges to the tolerance.

    Each pass raises the resolution by a quarter and doubles the domain. The error is twice the last
    change plus 1e-12 of 1 + |value|, for the rounding of log densities.

    Args:
        toy: One-dimensional data, whose exact denoiser the solver calls.
        table: The solver.
        functional: Maps a law to a number.
        start: Initial law, as for `Law`.
        rtol: Relative tolerance of the error.
        atol: Absolute tolerance of the error.

    Returns:
        The value and its error estimate.

    Raises:
        ValueError: The solver has no exact law, or the value does not converge. The message lists
            the values of all passes.
    """
    return settle_all(toy, table, lambda law: (functional(law),), start, rtol, atol)[0]


def settle_all(
    toy: Mixture,
    table: Solver,
    functionals: Callable[[Law], tuple[float, ...]],
    start: str | Mixture = "noise",
    rtol: float = 1e-8,
    atol: float = 2e-12,
) -> list[Settled]:
    """Values of several functionals of one law, computed together; see `settle`.

    Args:
        toy: One-dimensional data, whose exact denoiser the solver calls.
        table: The solver.
        functionals: Maps a law to several numbers.
        start: Initial law, as for `Law`.
        rtol: Relative tolerance of every error.
        atol: Absolute tolerance of every error.

    Returns:
        The values and their error estimates.

    Raises:
        ValueError: The solver has no exact law, or a value does not converge.
    """
    check_line(toy)
    readings: list[tuple[float, ...]] = []
    resolution = first_resolution(rtol)
    for i in range(MAX_PASSES):
        law = Law(toy, table, start, resolution * 1.25**i, FIRST_REACH * 2.0**i)
        readings.append(functionals(law))
        if i == 0:
            continue
        columns = list(zip(*readings, strict=True))
        found = [_settled(column) for column in columns]
        if all(f.error <= rtol * abs(f.value) + atol or np.isinf(f.value) for f in found):
            return found
        with np.errstate(invalid="ignore"):  # two infinite readings
            moves = max((np.abs(np.diff(c)) for c in columns), key=lambda m: float(m[-1]))
        near = moves[-1] < 0.1 * max(abs(value) for value in readings[-1])
        if moves.size > 3 and moves[-1] > 0.5 * moves[-3] and near:
            break  # further passes would not converge
    worst = max(columns, key=lambda column: _settled(column).error)
    shown = ", ".join(f"{r:.13g} at reach {FIRST_REACH * 2.0**i:g}" for i, r in enumerate(worst))
    raise ValueError(
        f"the exact law must settle to {rtol:g} relative, got {shown}; use Monte Carlo (paths)"
    )


def _settled(readings: tuple[float, ...]) -> Settled:
    """The last value and its error; an infinite value must occur twice in a row."""
    value = readings[-1]
    if np.isinf(value):
        return Settled(value, 0.0) if value == readings[-2] else Settled(0.0, np.inf)
    return Settled(value, 2.0 * abs(value - readings[-2]) + ROUNDING * (1.0 + abs(value)))


def _start(toy: Mixture, table: Solver, start: str | Mixture) -> Components:
    """Density of the initial state."""
    if isinstance(start, Mixture):
        toy, start = start, "data"
    if start == "noise":
        return Components(np.zeros(1), np.zeros(1), np.array([float(table.start_std)]))
    if start == "data":
        stds = toy.noisy_stds(float(table.sigma[0]))[:, 0]
        return Components(np.log(toy.weights), toy.means[:, 0], stds)
    raise ValueError(f"start must be 'noise' or 'data', got {start!r}")
