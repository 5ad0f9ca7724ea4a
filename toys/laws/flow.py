"""Deterministic stretches of a solver table in 1-D: the map, its slope, its branches.

Between two rows that add noise every state is a function F of the state x at the stretch's
start. Solvers with memory or inner stages fold the line, so F is not monotone in general; the
state-dependent iterations (toys/reducing.py) also bend and tear it.
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

T = TypeVar("T", bound=tuple[Any, ...])  # of arrays


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


def in_threads(walk: Callable[[Array], T], x: Array) -> T:
    """The function's arrays at x (n,), n in full blocks, the points shared out to threads."""
    threads = available_threads()
    if x.size < 32 * kernels.BLOCK or threads == 1:
        return walk(x)
    step = kernels.BLOCK * -(-x.size // (kernels.BLOCK * threads))
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(walk, (x[i : i + step] for i in range(0, x.size, step))))
    joined = (np.concatenate(column, axis=-1) for column in zip(*parts, strict=True))
    return cast("T", tuple(joined))


class Flow:
    """The map F of a stretch, and its slope; `noise` is what its last row adds to F(x)."""

    def __init__(self, toy: Mixture, table: Table, stretch: Stretch) -> None:
        self.toy, self.noise = toy, stretch.noise
        sigma, keep, weights, _ = columns(table)
        rows = slice(stretch.first, stretch.last)
        self.sigma, self.keep, self.weights = sigma[rows], keep[rows], weights[rows]

    @property
    def scales(self) -> Array:
        """Length over which the next call's output varies, for every state but the last."""
        return output_scales(self.toy, self.sigma[1:])

    @property
    def hull(self) -> tuple[float, float]:
        """Centre and half width of what the data fill."""
        return data_hull(self.toy)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """F(x) and F'(x) for x of any shape."""
        states, slopes, _ = self.trace(np.ravel(x))
        return states[-1].reshape(np.shape(x)), slopes[-1].reshape(np.shape(x))

    def trace(self, x: Array) -> tuple[Array, Array, Words]:
        """States x_1, x_2, ... after starts x (n,), their slopes, (rows, n); no regimes, 0."""
        padded = np.zeros(x.size + -x.size % kernels.BLOCK)
        padded[: x.size] = x
        states, slopes = in_threads(self._walk, padded)
        return states[:, : x.size], slopes[:, : x.size], np.zeros(x.size, dtype=np.uint64)

    def _walk(self, x: Array) -> tuple[Array, Array]:
        rows = self.sigma.size
        states, slopes = np.empty((rows + 1, x.size)), np.empty((rows + 1, x.size))
        outputs, output_slopes = np.empty((rows, x.size)), np.empty((rows, x.size))
        states[0], slopes[0] = x, 1.0
        for r, sigma in enumerate(self.sigma.tolist()):
            kernels.denoise_slope(states[r], sigma, *_flat(self.toy), outputs[r], output_slopes[r])
            output_slopes[r] *= slopes[r]
            new, new_slope = np.zeros_like(x), np.zeros_like(x)
            for h in range(min(r + 1, self.keep.shape[1])):
                k, w = self.keep[r, h], self.weights[r, h]
                if k != 0:
                    new += k * states[r - h]
                    new_slope += k * slopes[r - h]
                if w != 0:
                    new += w * outputs[r - h]
                    new_slope += w * output_slopes[r - h]
            states[r + 1] = new
            slopes[r + 1] = np.clip(new_slope, -kernels.MAX_SLOPE, kernels.MAX_SLOPE)
        return states[1:], slopes[1:]


def _flat(toy: Mixture) -> tuple[Array, Array, Array]:
    packed = toy.packed
    return packed.log_weights, packed.means, packed.stds


def data_hull(toy: Mixture) -> tuple[float, float]:
    """Centre and half width of 1-D data, ten deviations of every component."""
    means, stds = toy.means[:, 0], toy.stds[:, 0]
    low, high = float((means - 10.0 * stds).min()), float((means + 10.0 * stds).max())
    return 0.5 * (low + high), 0.5 * (high - low)


def output_scales(toy: Mixture, sigma: Array) -> Array:
    """Length over which E[x0 | x] at each level (n,) goes from one component to another.

    Its slope is at most the square of half their range over the noisy variance; infinite for a
    single component, whose output is linear.
    """
    means, stds = toy.means[:, 0], toy.stds[:, 0]
    spread = float(np.ptp(means) + np.ptp(stds))
    if spread == 0.0:
        return np.full(sigma.shape, np.inf)
    return np.asarray((sigma**2 + float(stds.min()) ** 2) / spread)
