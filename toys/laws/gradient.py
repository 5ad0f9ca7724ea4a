"""KL(data || sampler) of a 1-D sampler and its derivatives by the entries of the solver's table.

The quadrature of the exact law is differentiated, at one resolution and domain. Before a row with
noise the nodes stay where they are, since the exact integral does not depend on them. With
q'(y) = sum_k exp(a_k) N(y; F(x_k), noise^2), a_k = log q(x_k) + log weight_k, the derivatives by
log q' at the nodes of a row go back to those by log q, F and noise, in one sweep for all rows.
"""

from typing import NamedTuple

import numpy as np

from theory.solvers.derivative import TableGradient
from theory.solvers.table import SolverTable
from toys.information.quadrature import WEIGHTS
from toys.laws import panels
from toys.laws.adjoint import FlowTrace, MapGradient
from toys.laws.build import Start, maps, start_density
from toys.laws.densities import Density, GaussianSums
from toys.laws.endings import (
    MOST_POINTS,
    RTOL,
    BinnedEnding,
    Ending,
    NoisyEnding,
    TransportedEnding,
)
from toys.laws.flow import Flow, Stretch, stretches
from toys.laws.transported import FIRST_REACH, BranchedMap, data_cuts, data_range
from toys.mixture import Mixture


class _Stage(NamedTuple):
    """A row with noise: its map, nodes x (P, LANES), density and log density before it."""

    flow: Flow
    x: np.ndarray
    density: Density
    logs: np.ndarray


class DifferentiableKL:
    """KL(data || sampler) in nats at one resolution and domain, which can be differentiated.

    Args:
        mixture: One-dimensional data, whose exact denoiser the sampler calls.
        table: The solver.
        start: Initial law, as for `toys.laws.build.law_of`.
        resolution: Factor by which panels are narrower than for a relative tolerance of 1e-8.
        reach: Standard deviations of the initial law and of every noise that the domain covers.
        most: Largest number of start points, on all branches of a last map without noise.
        rtol: Relative tolerance of the last quadrature.

    Raises:
        ValueError: The solver has no exact law, or the data have mass where the sampler has none.
    """

    def __init__(
        self,
        mixture: Mixture,
        table: SolverTable,
        start: Start = "noise",
        resolution: float = 1.0,
        reach: float = FIRST_REACH,
        most: int = MOST_POINTS,
        rtol: float = RTOL,
    ) -> None:
        self._table = table
        flows = [flow for flow in maps(mixture, table) if isinstance(flow, Flow)]
        begin = start_density(mixture, table, start)
        domains = panels.domains(flows, begin, mixture, reach)
        density: Density = begin
        width = float(begin.stds.min())
        self._stages: list[_Stage] = []
        for flow, domain in zip(flows, domains, strict=False):
            if flow.noise == 0:
                break
            x, half, mapped = panels.panels(flow, *domain, width, resolution)
            logs = density.log_density(x)
            self._stages.append(_Stage(flow, x, density, logs))
            mass = logs + np.log(half[:, None] * WEIGHTS)
            density, width = GaussianSums(mapped, mass, flow.noise), flow.noise
        count = len(self._stages)
        if count == len(flows):
            cuts = data_cuts(mixture, table.end)
            self._ending: Ending = NoisyEnding(mixture, table.end, cuts, density, rtol)
        else:
            seen = data_range(mixture, table.end)
            last = BranchedMap(flows[count], domains[count], seen, resolution, reach)
            self._ending = _transported(mixture, table.end, density, flows[count], last, most, rtol)

    @property
    def value(self) -> float:
        """The divergence, in nats."""
        return self._ending.value

    def gradient(self) -> TableGradient:
        """Its derivatives by the entries of the table, from the last stretch to the first."""
        table, parts = self._table, stretches(self._table)
        entries = (table.sigma, table.keep, table.weights, table.noise)
        out = TableGradient(*(np.zeros_like(v) for v in entries))
        found, last = self._ending.gradient()
        if last is not None:
            _add(out, parts[-1], last)
        parts = parts[: len(self._stages)]
        for part, stage in zip(reversed(parts), reversed(self._stages), strict=True):
            out.noise[part.last - 1] = found.by_std
            trace = FlowTrace(stage.flow, stage.x.ravel(), curved=False)
            _add(out, part, trace.pullback(found.by_mean.ravel()))
            seed = found.by_mass.ravel()
            found = stage.density.pullback(stage.x.ravel(), stage.logs.ravel(), seed)
        return out


def _transported(
    mixture: Mixture,
    end: float,
    density: Density,
    flow: Flow,
    last: BranchedMap,
    most: int,
    rtol: float,
) -> Ending:
    """The ending of a law whose last stretch has no noise."""
    if end == 0 and mixture.is_points:
        return BinnedEnding(mixture, density, flow, last.branches())
    cuts = data_cuts(mixture, end)
    branches = last.branches(float(cuts[0]), float(cuts[-1]))
    return TransportedEnding(mixture, end, cuts, density, flow, branches, most, rtol)


def _add(out: TableGradient, part: Stretch, found: MapGradient) -> None:
    """Put the derivatives of a stretch in their places; its columns may be padded with zeros."""
    rows = slice(part.first, part.last)
    out.sigma[rows] = found[0]
    for target, by in ((out.keep, found[1]), (out.weights, found[2])):
        target[rows] = by[:, : target.shape[1]]
