"""Monte Carlo with a solver: paths on any mixture, reproducible bit for bit.

The noise of a path is a pure function of (seed, path, row, coordinate). The result therefore does
not depend on threads, batches or processes, and paths may be split in any way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from theory.checks import Array, check_seed, whole
from theory.solvers.reducing import ReducingIteration, Solver, check_solver
from theory.solvers.table import SolverTable
from toys import kernels
from toys.files import as_mixture
from toys.mixture import SIGMA_RANGE, Mixture, normals
from toys.reducing import walk

FURTHEST = 1e13  # a state beyond this means that the solver diverges
BATCH_NUMBERS = 2**18  # largest number of values in the states and history of a batch: 2 MiB


def columns(table: SolverTable) -> tuple[Array, Array, Array, Array]:
    """sigma, keep, weights and noise of a table as contiguous arrays for the kernels.

    keep and weights are padded with zeros to the same number of columns. A level outside
    [1e-12, 1e12] raises ValueError.
    """
    keep, weights = table.keep, table.weights
    _check_range(table.sigma)
    wide = max(keep.shape[1], weights.shape[1])
    keep, weights = (np.pad(c, ((0, 0), (0, wide - c.shape[1]))) for c in (keep, weights))
    return (
        np.ascontiguousarray(table.sigma),
        np.ascontiguousarray(keep),
        np.ascontiguousarray(weights),
        np.ascontiguousarray(table.noise),
    )


def _check_range(sigma: Array) -> None:
    low, high = SIGMA_RANGE
    bad = ~((sigma >= low) & (sigma <= high))
    if bad.any():
        raise ValueError(f"sigma must lie in [{low:g}, {high:g}], got {sigma[bad][0]:g}")


def _history(table: Solver) -> int:
    """Number of arrays of the size of the states that a run keeps."""
    return 4 if isinstance(table, ReducingIteration) else columns(table)[1].shape[1]


def available_threads() -> int:
    """Number of threads to use: the cores that this process may use.

    The environment variable NUMBA_NUM_THREADS, which joblib sets for its workers, replaces it.
    """
    cap = os.environ.get("NUMBA_NUM_THREADS", "")
    if cap.isdigit() and int(cap) > 0:
        return int(cap)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_states(
    toy: Mixture, table: Solver, n: int, seed: int, path: int = 0, start: str = "noise"
) -> Array:
    """Initial states of a sampler, shape (n, d), in data units.

    Args:
        toy: The data.
        table: The solver.
        n: Number of paths, path .. path + n - 1.
        seed: Seed, an integer in [0, 2**32).
        path: Index of the first path.
        start: "noise" for N(0, start_std^2 I), or "data" for the true law at the first
            level.

    Raises:
        ValueError: An argument is out of its range.
    """
    if start == "data":
        return toy.sample_noisy(n, table.begin, seed, path)
    if start != "noise":
        raise ValueError(f"start must be 'noise' or 'data', got {start!r}")
    return float(table.start_std) * normals(n, toy.dim, seed, path, 0)


def walk_states(toy: Mixture, table: Solver, states: Array, seed: int, path: int = 0) -> Array:
    """Final states of a sampler from given initial states, shape (n, d), in one thread.

    Args:
        toy: The data, whose exact denoiser the sampler calls.
        table: The solver.
        states: Initial states, shape (n, d); row i has the noise of path + i.
        seed: Seed, an integer in [0, 2**32).
        path: Index of the first path.

    Raises:
        ValueError: An argument is out of its range, or the solver diverges.
    """
    return _walk(toy, table, states, seed, path, trace=False)[0]


def trace_paths(
    toy: Mixture, table: Solver, n: int, seed: int, path: int = 0, start: str = "noise"
) -> Array:
    """All states of n paths, shape (rows + 1, n, d); of an iteration, those at its levels.

    Args:
        toy: The data, whose exact denoiser the sampler calls.
        table: The solver.
        n: Number of paths, path .. path + n - 1.
        seed: Seed, an integer in [0, 2**32).
        path: Index of the first path.
        start: "noise" for the solver's own initial noise, or "data" for the true law at the first
            level.

    Raises:
        ValueError: An argument is out of its range, or the solver diverges.
    """
    states = start_states(toy, table, n, seed, path, start)
    return _walk(toy, table, states, seed, path, trace=True)[1]


def sample_batches(
    toy: Mixture,
    table: Solver,
    n: int,
    seed: int,
    path: int = 0,
    start: str = "noise",
    threads: int | None = None,
    batch: int | None = None,
) -> Iterator[Array]:
    """Final states of paths path .. path + n - 1 in order, in batches of shape (m, d).

    Only a few batches are in memory at a time. The result does not depend on threads or batches.

    Args:
        toy: The data, whose exact denoiser the sampler calls.
        table: The solver.
        n: Number of paths, at least 1.
        seed: Seed, an integer in [0, 2**32).
        path: Index of the first path, at least 0; repeat r of P paths starts at r P.
        start: "noise" for the solver's own initial noise, or "data" for the true law at the first
            level.
        threads: Number of threads. Default: all cores.
        batch: Number of paths per batch. Default: chosen by memory.

    Raises:
        ValueError: An argument is out of its range, or the solver diverges.
    """
    whole("n", n, 1)
    whole("path", path, 0)
    threads = available_threads() if threads is None else whole("threads", threads, 1)
    if batch is None:
        most = BATCH_NUMBERS // (toy.dim * _history(table))
        share = -(-n // (4 * threads))  # four batches per thread, so that threads finish together
        batch = max(kernels.BLOCK, kernels.BLOCK * (min(most, share) // kernels.BLOCK))
    whole("batch", batch, 1)

    def task(first: int) -> Array:
        m = min(batch, n - first)
        states = start_states(toy, table, m, seed, path + first, start)
        return walk_states(toy, table, states, seed, path + first)

    firsts = iter(range(0, n, batch))
    if threads == 1:
        yield from map(task, firsts)
        return
    with ThreadPoolExecutor(threads) as pool:
        pending = [pool.submit(task, first) for first in islice(firsts, 2 * threads)]
        while pending:
            yield pending.pop(0).result()
            pending.extend(pool.submit(task, first) for first in islice(firsts, 1))


def sample(
    toy: str | Mixture,
    table: Solver,
    n: int,
    seed: int,
    path: int = 0,
    start: str = "noise",
    threads: int | None = None,
    batch: int | None = None,
) -> Array:
    """Draw final states of a sampler on a mixture, shape (n, d), reproducible bit for bit.

    The noise of a path is a pure function of (seed, path, row, coordinate). The result therefore
    depends neither on threads nor on batches, and paths may be split over several calls.

    Args:
        toy: The data, whose exact denoiser the sampler calls: a mixture, the name of a toy, or a
            mixture file.
        table: The solver, from `entropic.solver`.
        n: Number of paths, at least 1.
        seed: Seed, an integer in [0, 2**32).
        path: Index of the first path, at least 0; another call continues with path + n.
        start: "noise" for the solver's own initial noise, or "data" for the true law at the first
            level.
        threads: Number of threads. Default: all cores.
        batch: Number of paths per batch. Default: chosen by memory.

    Returns:
        Final states, shape (n, d), in data units.

    Raises:
        ValueError: An argument is out of its range, or the solver diverges.
    """
    data = as_mixture(toy)
    check_solver(table)
    whole("n", n, 1)
    out = np.empty((n, data.dim))
    at = 0
    for part in sample_batches(data, table, n, seed, path, start, threads, batch):
        out[at : at + len(part)] = part
        at += len(part)
    return out


def _walk(
    toy: Mixture, table: Solver, states: Array, seed: int, path: int, trace: bool
) -> tuple[Array, Array]:
    """Final states (n, d), and with `trace` all states, the initial ones first."""
    check_seed(seed)
    states = np.asarray(states, dtype=np.float64)
    if states.ndim != 2 or states.shape[1] != toy.dim:
        raise ValueError(f"states must have shape (n, {toy.dim}), got {states.shape}")
    n = len(states)
    x = np.zeros((toy.dim, n + -n % kernels.BLOCK))
    x[:, :n] = states.T
    if isinstance(table, ReducingIteration):
        _check_range(table.levels)
        every = np.empty((table.levels.size + table.denoise_last if trace else 0, *x.shape))
        walk(toy, table, x, every)
    else:
        arrays = columns(table)
        every = np.empty((arrays[0].size + 1 if trace else 0, *x.shape))
        kernels.walk(x, seed, path, *arrays, *toy.packed, every)
    lost = int(np.sum(~(np.abs(x[:, :n]) < FURTHEST).all(axis=0)))
    if lost:
        raise ValueError(
            f"paths must end within {FURTHEST:g}, got {lost} of {n} beyond; the solver diverges"
        )
    return np.ascontiguousarray(x[:, :n].T), np.swapaxes(every[:, :, :n], 1, 2)
