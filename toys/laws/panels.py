"""Domains of the states of a 1-D sampler, and quadrature panels that resolve a row on them."""

from collections.abc import Sequence

import numpy as np

from theory.checks import Array
from toys import kernels
from toys.information.quadrature import NODES, WEIGHTS
from toys.laws.branches import Map
from toys.laws.densities import Components
from toys.mixture import Mixture

PANEL_WIDTHS = 4.0  # largest width of a panel in widths of q or of the kernel, for rtol 1e-8
LEGENDRE_TAIL = 1e-3  # largest of the last three Legendre coefficients of F / noise on a panel
PROBES = 513  # points at which the range of a map is sampled
DATA_REACH = 12.0  # standard deviations that define the range of the data
MAX_NODES = 4_000_000


def domains(
    flows: Sequence[Map], start: Components, toy: Mixture, reach: float
) -> list[tuple[float, float]]:
    """Domains of the states before every stretch, and of the final states if the last has noise.

    A state belongs to its domain if at most `reach` standard deviations (the root of the sum of
    their squares) lead to it from the means of the initial law, and at most as many lead from it to
    the data. Far tails that do not lead to the data are left out, whatever mass the sampler has
    there.

    Args:
        flows: Maps of the stretches.
        start: Density of the initial state.
        toy: One-dimensional data.
        reach: Largest number of standard deviations.
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
        domains = [forward[-2]]  # followed outward where the law is asked
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
    """Interval of the grid whose values meet `image`, extended by one point on each side."""
    lower, upper = np.minimum(value[1:], value[:-1]), np.maximum(value[1:], value[:-1])
    useful = np.flatnonzero((upper >= image[0]) & (lower <= image[1]))
    if not useful.size:  # beyond the reach: keep the whole grid
        return float(grid[0]), float(grid[-1])
    return float(grid[max(useful[0] - 1, 0)]), float(grid[min(useful[-1] + 2, grid.size - 1)])


def panels(
    flow: Map, low: float, high: float, width: float, resolution: float
) -> tuple[Array, Array, Array]:
    """Nodes x (P, LANES), half widths (P,) and F at the nodes, for panels that resolve one row.

    Args:
        flow: Map of the row, with noise.
        low: Left end of the domain.
        high: Right end of the domain.
        width: Width of the density of the states before the row.
        resolution: Factor by which panels are narrower than `PANEL_WIDTHS`.
    """
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
