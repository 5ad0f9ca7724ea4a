"""The ceiling of tables: the best levels of the calls and coefficients together, for known data.

Every entry of a table is free: the levels of the calls, the shares of the state, the weights of
the outputs, and the noise. A search by BFGS on the exact KL starts from a solver's table. Such
tables memorise the mixture; they say how far the best of a form is from the best that solvers of
that form reach, and serve no other data.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.optimum.exact import RESOLUTION
from theory.checks import Array
from theory.solvers.derivative import TableGradient
from theory.solvers.table import SolverTable
from toys.laws.gradient import DifferentiableKL
from toys.laws.transported import FIRST_REACH
from toys.mixture import Mixture

ITERATIONS = 1500
FINER = 1.6  # resolution of the check at the end, over that of the search
RTOL = 1e-7
VANISHED = 1e-13  # nats
PATIENCE, PROGRESS = 60, 1e-2  # evaluations without a relative gain of PROGRESS that end a search


@dataclass(frozen=True, eq=False)
class FreeTable:
    """A table found by search, and its divergence.

    Args:
        table: The table.
        value: KL(data || sampler) on a finer quadrature than that of the search, in nats.
        searched: The same on that of the search.
        evaluations: Number of evaluations.
    """

    table: SolverTable
    value: float
    searched: float
    evaluations: int


def free_table(data: Mixture, start: SolverTable, history: int = 1) -> FreeTable:
    """The table of least KL that a search from a solver's table reaches.

    Args:
        data: One-dimensional data.
        start: The first table, with one state per row: a solver of one call per step whose keep
            has one column. Its noise stays 0 where it is 0.
        history: Number of outputs that a row may use, at least that of the start.

    Raises:
        ValueError: The start keeps older states, or has no finite KL.
    """
    from scipy.optimize import minimize

    if start.keep[:, 1:].any():
        raise ValueError("start must keep one state per row, got older ones")
    search = _Search(data, _widened(start, history))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of line searches that fail
        for _ in range(3):
            before = search.best
            try:
                options = {"gtol": 1e-7, "maxiter": ITERATIONS}
                minimize(search, search.place, jac=True, method="BFGS", options=options)
            except StopIteration:
                break
            if search.best > before * (1.0 - 1e-2):
                break
    found = search.table(search.place)
    finer = DifferentiableKL(
        data, found, "noise", FINER * RESOLUTION, 2.0 * FIRST_REACH, rtol=RTOL
    ).value
    return FreeTable(found, finer, search.best, search.evaluations)


def _widened(table: SolverTable, history: int) -> SolverTable:
    """The table with room for more outputs."""
    keep = table.keep[:, :1]
    weights = np.zeros((table.nfe, max(history, table.weights.shape[1])))
    weights[:, : table.weights.shape[1]] = table.weights
    return replace(table, keep=keep, weights=weights)


class _Search:
    """log KL as a function of the free entries, and the best place seen.

    The entries are taken in units in which every state of the data's law has variance about 1.

    Args:
        data: One-dimensional data.
        start: The first table.
    """

    def __init__(self, data: Mixture, start: SolverTable) -> None:
        self._data, self._start = data, start
        levels = np.append(start.sigma, start.end)
        self._size = np.sqrt(data.variance + levels**2)
        self._free = np.arange(start.weights.shape[1]) <= np.arange(start.nfe)[:, None]
        self._noisy = start.noise > 0.0
        self.evaluations = 0
        self.place = self._numbers(start)
        self.best, _ = self._value(start)
        self._mark, self._since = self.best, 0
        if not 0.0 < self.best < np.inf:
            raise ValueError(f"start must have a finite KL, got {self.best:g}")

    def _numbers(self, table: SolverTable) -> Array:
        """The free entries of a table."""
        size, after = self._size[:-1], self._size[1:]
        parts = (
            np.log(table.sigma),
            table.keep[:, 0] * size / after,
            (table.weights / after[:, None])[self._free],
            np.log(table.noise[self._noisy] / after[self._noisy]),
        )
        return np.concatenate(parts)

    def table(self, place: Array) -> SolverTable:
        """The table of the free entries."""
        n, size, after = self._start.nfe, self._size[:-1], self._size[1:]
        logs, keep, flat, noise = np.split(place, [n, 2 * n, 2 * n + int(self._free.sum())])
        weights, noises = np.zeros_like(self._start.weights), np.zeros(n)
        weights[self._free] = flat
        noises[self._noisy] = np.exp(noise) * after[self._noisy]
        return replace(
            self._start,
            sigma=np.exp(logs),
            keep=(keep * after / size)[:, None],
            weights=weights * after[:, None],
            noise=noises,
        )

    def _value(self, table: SolverTable) -> tuple[float, TableGradient]:
        law = DifferentiableKL(self._data, table, "noise", RESOLUTION, FIRST_REACH, rtol=RTOL)
        return law.value, law.gradient()

    def __call__(self, place: Array) -> tuple[float, Array]:
        """Log KL and its derivatives, or a wall where there is none.

        Raises:
            StopIteration: The divergence has vanished, or has not fallen for long.
        """
        self.evaluations += 1
        self._since += 1
        wall = np.log(self._mark) + 3.0, np.zeros_like(place)
        if np.abs(place).max() > 50.0:
            return wall
        table = self.table(place)
        try:
            value, by = self._value(table)
        except ValueError:
            return wall
        if not 0.0 < value < np.inf:
            return wall
        size, after = self._size[:-1], self._size[1:]
        parts = (
            by.sigma * table.sigma,
            by.keep[:, 0] * after / size,
            (by.weights * after[:, None])[self._free],
            (by.noise * table.noise)[self._noisy],
        )
        if value < self.best:
            self.best, self.place = value, place.copy()
        if value < self._mark * (1.0 - PROGRESS):
            self._mark, self._since = value, 0
        if self.best < VANISHED or self._since > PATIENCE:
            raise StopIteration
        return float(np.log(value)), np.concatenate(parts) / value
