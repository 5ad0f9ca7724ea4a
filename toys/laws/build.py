"""The exact law of a solver's final state under a mixture's denoiser, at one resolution.

The integral over the states before a row with noise uses Gauss panels. They are no wider than a few
widths of q (the last noise) and of the next kernel (noise / F'), and are bisected until F is a
polynomial of low degree on each.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from theory.solvers.reducing import ReducingIteration, Solver
from toys.information.quadrature import WEIGHTS
from toys.laws import panels
from toys.laws.branches import Map
from toys.laws.densities import Components, Density, GaussianSums
from toys.laws.flow import Blur, Flow, stretches
from toys.laws.law import Law, NoisyLaw
from toys.laws.reducing_flow import ReducingFlow
from toys.laws.transported import BranchedMap, TransportedLaw, data_range
from toys.mixture import Mixture
from toys.progress import progress

Start = str | Mixture
Interval = tuple[float, float]
ALIKE = 1.1  # domains share their panels if their union is at most this much longer than each


def law_of(mixture: Mixture, table: Solver, start: Start, resolution: float, reach: float) -> Law:
    """Law of a solver's final state, at one resolution and domain.

    Args:
        mixture: One-dimensional data, whose exact denoiser the solver calls.
        table: The solver.
        start: Initial law: "noise" for N(0, start_std**2), "data" for the true law at the first
            level, or another mixture for its law there, for which the denoiser is then wrong.
        resolution: Factor by which panels are narrower than `PANEL_WIDTHS`.
        reach: Standard deviations of the initial law and of every noise that the domain covers.

    Raises:
        ValueError: The solver has no exact law, or needs too many nodes.
    """
    return laws_of(mixture, table, maps(mixture, table), [start], resolution, reach)[0]


def laws_of(
    mixture: Mixture,
    table: Solver,
    flows: Sequence[Map],
    starts: Sequence[Start],
    resolution: float,
    reach: float,
) -> list[Law]:
    """Laws from several initial laws, which share panels and branches where they lie alike.

    Args:
        mixture: One-dimensional data, whose exact denoiser the solver calls.
        table: The solver.
        flows: Its maps, from `maps`.
        starts: Initial laws, as for `law_of`.
        resolution: Factor by which panels are narrower than `PANEL_WIDTHS`.
        reach: Standard deviations of the initial law and of every noise that the domain covers.

    Raises:
        ValueError: A law needs too many nodes.
    """
    begins = [start_density(mixture, table, start) for start in starts]
    domains = [panels.domains(flows, begin, mixture, reach) for begin in begins]
    densities: list[Density] = list(begins)
    widths = [float(begin.stds.min()) for begin in begins]
    noisy = [flow for flow in flows if flow.noise > 0]
    for r, flow in enumerate(progress(noisy, "exact law")):
        for members, (low, high) in _alike([domain[r] for domain in domains]):
            width = min(widths[i] for i in members)
            x, half, mapped = panels.panels(flow, low, high, width, resolution)
            weight = np.log(half[:, None] * WEIGHTS)
            for i in members:
                mass = densities[i].log_density(x) + weight
                densities[i], widths[i] = GaussianSums(mapped, mass, flow.noise), flow.noise
    lasts = [domain[len(noisy)] for domain in domains]
    if len(noisy) == len(flows):
        sums = [q for q in densities if isinstance(q, GaussianSums)]  # all: a row has noise
        return [NoisyLaw(q, last) for q, last in zip(sums, lasts, strict=True)]
    data = next((start for start in starts if isinstance(start, Mixture)), mixture)
    seen = data_range(data, table.end)
    laws: dict[int, Law] = {}
    for members, last in _alike(lasts):
        shared = BranchedMap(flows[-1], last, seen, resolution, reach)
        laws |= {i: TransportedLaw(densities[i], shared) for i in members}
    return [laws[i] for i in range(len(starts))]


def maps(mixture: Mixture, table: Solver, blur: float = 0.0) -> list[Map]:
    """The maps of a solver, one for each stretch up to a row that adds noise.

    Args:
        mixture: One-dimensional data, whose exact denoiser the solver calls.
        table: The solver.
        blur: Standard deviation of a Gaussian with which the final law is blurred. It is an
            operation on the law, not a row of the table.

    Raises:
        ValueError: The mixture has more than one dimension, or the solver has no exact law.
    """
    if mixture.dim != 1:
        raise ValueError(
            f"toy must have d = 1 for an exact law, got d = {mixture.dim}; use Monte Carlo (paths)"
        )
    if isinstance(table, ReducingIteration):
        if blur:
            raise ValueError(f"blur must be 0 for an iteration that is no table, got {blur:g}")
        return [ReducingFlow(mixture, table)]
    parts = stretches(table)
    if blur and parts[-1].noise == 0:
        parts[-1] = replace(parts[-1], noise=blur)
        return [Flow(mixture, table, stretch) for stretch in parts]
    flows: list[Map] = [Flow(mixture, table, stretch) for stretch in parts]
    return [*flows, Blur(mixture, blur)] if blur else flows


def _alike(domains: list[Interval]) -> list[tuple[list[int], Interval]]:
    """The indices of all domains with their union where they lie alike, else each on its own."""
    union = min(a for a, _ in domains), max(b for _, b in domains)
    if all(union[1] - union[0] <= ALIKE * (b - a) for a, b in domains):
        return [(list(range(len(domains))), union)]
    return [([i], domain) for i, domain in enumerate(domains)]


def start_density(mixture: Mixture, table: Solver, start: Start) -> Components:
    """Density of the initial state."""
    if isinstance(start, Mixture):
        mixture, start = start, "data"
    if start == "noise":
        return Components(np.zeros(1), np.zeros(1), np.array([float(table.start_std)]))
    if start == "data":
        stds = mixture.noisy_stds(table.begin)[:, 0]
        return Components(np.log(mixture.weights), mixture.means[:, 0], stds)
    raise ValueError(f"start must be 'noise' or 'data', got {start!r}")
