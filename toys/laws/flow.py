"""Deterministic stretches of a solver table in one dimension: the map and its slope.

Between two rows that add noise, every state is a function F of the state x at the start of the
stretch. Solvers with a history or inner stages fold the line, so that F need not be monotone. The
state-dependent iterations (`toys.reducing`) also have kinks and jumps.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np

from theory.checks import Array
from theory.solvers.table import SolverTable as Table
from toys import kernels
from toys.kernels import Words
from toys.mixture import Mixture
from toys.sampling import available_threads, columns

THREADED = 2**18  # denoiser calls from which on threads save more than they cost
T = TypeVar("T", bound=tuple[Any, ...])  # of arrays


@dataclass(frozen=True)
class Stretch:
    """Rows first .. last - 1 of a table, deterministic except for noise added by the last row."""

    first: int
    last: int
    noise: float


def stretches(table: Table) -> list[Stretch]:
    """The stretches of a table, which is cut after every row that adds noise.

    Args:
        table: The solver.

    Raises:
        ValueError: The history of a row includes rows before an earlier row with noise. The law of
            the state then depends on more than one variable.
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


def in_threads(walk: Callable[[Array], T], x: Array, rows: int) -> T:
    """Arrays of a function at x (n,), with the points distributed over threads in full blocks.

    Args:
        walk: The function.
        x: Its points, a whole number of blocks.
        rows: Number of denoiser calls per point; threads pay only for much work.
    """
    threads = available_threads()
    if x.size * rows < THREADED or x.size < 2 * kernels.BLOCK or threads == 1:
        return walk(x)
    step = kernels.BLOCK * -(-x.size // (kernels.BLOCK * threads))
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(walk, (x[i : i + step] for i in range(0, x.size, step))))
    joined = (np.concatenate(column, axis=-1) for column in zip(*parts, strict=True))
    return cast("T", tuple(joined))


class Flow:
    """The map F of a stretch and its slope; `noise` is the std that its last row adds to F(x)."""

    def __init__(self, toy: Mixture, table: Table, stretch: Stretch) -> None:
        self.toy, self.noise = toy, stretch.noise
        sigma, keep, weights, _ = columns(table)
        rows = slice(stretch.first, stretch.last)
        self.sigma, self.keep, self.weights = sigma[rows], keep[rows], weights[rows]

    @property
    def scales(self) -> Array:
        """Length over which the output of the next call varies, for every state but the last."""
        return output_scales(self.toy, self.sigma[1:])

    @property
    def hull(self) -> tuple[float, float]:
        """Centre and half width of an interval that contains the data."""
        return data_hull(self.toy)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """F(x) and F'(x), each of the shape of x."""
        states, slopes, _ = self.trace(np.ravel(x))
        return states[-1].reshape(np.shape(x)), slopes[-1].reshape(np.shape(x))

    def trace(self, x: Array) -> tuple[Array, Array, Words]:
        """States after x (n,) and their slopes, (rows, n) each; regimes (n,), all 0."""
        padded = np.zeros(x.size + -x.size % kernels.BLOCK)
        padded[: x.size] = x
        states, slopes = in_threads(self._walk, padded, self.sigma.size)
        return states[:, : x.size], slopes[:, : x.size], np.zeros(x.size, dtype=np.uint64)

    def toy_derivatives(self, x: Array, sigma: float, out: Array) -> None:
        """Fill out (4, n) with E[x0 | x] and its first three derivatives; n in full blocks."""
        kernels.denoise_derivatives(x, sigma, *_flat(self.toy), out)

    def _walk(self, x: Array) -> tuple[Array, Array]:
        rows = self.sigma.size
        states, slopes = np.empty((rows + 1, x.size)), np.empty((rows + 1, x.size))
        states[0], slopes[0] = x, 1.0
        kernels.walk_slopes(self.sigma, self.keep, self.weights, *_flat(self.toy), states, slopes)
        return states[1:], slopes[1:]


class Blur:
    """The identity with noise of a standard deviation, as one more map after a sampler's last."""

    def __init__(self, toy: Mixture, noise: float) -> None:
        self.toy, self.noise = toy, noise

    @property
    def scales(self) -> Array:
        """None, as no denoiser is called."""
        return np.empty(0)

    @property
    def hull(self) -> tuple[float, float]:
        """Centre and half width of an interval that contains the data."""
        return data_hull(self.toy)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """The points x and slopes 1, each of the shape of x."""
        return np.asarray(x), np.ones_like(x)

    def trace(self, x: Array) -> tuple[Array, Array, Words]:
        """The points x and slopes 1, (1, n) each; regimes (n,), all 0."""
        return x[None], np.ones((1, x.size)), np.zeros(x.size, dtype=np.uint64)


def _flat(toy: Mixture) -> tuple[Array, Array, Array]:
    packed = toy.packed
    return packed.log_weights, packed.means, packed.stds


def data_hull(toy: Mixture) -> tuple[float, float]:
    """Centre and half width of 1-D data, with ten standard deviations of every component."""
    means, stds = toy.means[:, 0], toy.stds[:, 0]
    low, high = float((means - 10.0 * stds).min()), float((means + 10.0 * stds).max())
    return 0.5 * (low + high), 0.5 * (high - low)


def output_scales(toy: Mixture, sigma: Array) -> Array:
    """Length over which E[x0 | x] at each level (n,) goes from one component to another.

    The slope of E[x0 | x] is at most the squared half range of the data over the noisy variance.
    The length is infinite for a single component, whose output is linear.
    """
    means, stds = toy.means[:, 0], toy.stds[:, 0]
    spread = float(np.ptp(means) + np.ptp(stds))
    if spread == 0.0:
        return np.full(sigma.shape, np.inf)
    return np.asarray((sigma**2 + float(stds.min()) ** 2) / spread)
