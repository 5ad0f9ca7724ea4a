"""Sampling with a denoiser in torch: any solver table row by row, and paper C's iterations.

The tables are those of theory/solvers/registry.py. Unless another is given, the noise is that of
the kernels, a pure function of (seed, path, row, coordinate). A sample therefore does not depend on
its batch, up to rounding inside the network. By default the state is float64, whatever the network
computes in.
"""

from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.networks.noise import normals
from benchmarks.networks.protocol import Condition, Denoiser
from benchmarks.networks.reducing import walk_iteration
from theory.checks import whole
from theory.solvers.reducing import ReducingIteration, Solver
from theory.solvers.table import SolverTable
from toys.progress import meter

Ticker = Callable[[], None]
Draw = Callable[[int], Tensor]


class DivergedError(ValueError):
    """Some sample is not finite at the end of sampling."""


def philox(seed: int, paths: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Draw:
    """The kernels' noise of some paths by step: step 0 is the initial noise, row r has r + 1."""
    return lambda step: normals(seed, paths, step, shape, dtype)


def walk_table(
    denoiser: Denoiser,
    table: SolverTable,
    x: Tensor,
    draw: Draw,
    condition: Condition | None = None,
    tick: Ticker | None = None,
) -> Tensor:
    """Final states from initial states x, shape (B, *shape).

    x_{r+1} = sum_h keep[r, h] x_{r-h} + sum_h weights[r, h] D_{r-h} + noise[r] z, where row r draws
    step r + 1. Each row calls the denoiser once.

    Args:
        denoiser: See `protocol.Denoiser`.
        table: The solver.
        x: Initial states. Their dtype is kept throughout.
        draw: Returns the noise z of a step, with the shape and dtype of x. It is called in the
            order of the steps.
        condition: Rows for these samples.
        tick: Called after every call of the denoiser.
    """
    wide = max(table.keep.shape[1], table.weights.shape[1])
    states: deque[Tensor] = deque(maxlen=wide)
    outputs: deque[Tensor] = deque(maxlen=wide)
    for r in range(table.nfe):
        sigma = torch.full((len(x),), float(table.sigma[r]), dtype=torch.float64, device=x.device)
        states.appendleft(x)
        outputs.appendleft(denoiser(x, sigma, condition).to(x.dtype))
        x = torch.zeros_like(x)
        for factors, values in ((table.keep[r], states), (table.weights[r], outputs)):
            for factor, value in zip(factors.tolist(), values, strict=False):
                if factor != 0.0:
                    x = x.add(value, alpha=factor)
        if table.noise[r] != 0.0:
            x = x.add(draw(r + 1), alpha=float(table.noise[r]))
        if tick is not None:
            tick()
    return x


def walk(
    denoiser: Denoiser,
    solver: Solver,
    x: Tensor,
    paths: Tensor,
    draw: Draw,
    condition: Condition | None = None,
    tick: Ticker | None = None,
) -> Tensor:
    """Final states of these paths from initial states x, by a table or an iteration.

    The arguments are those of `walk_table`.

    Raises:
        DivergedError: Some sample is not finite at the end.
    """
    with torch.inference_mode():
        if isinstance(solver, ReducingIteration):
            x = walk_iteration(denoiser, solver, x, condition, tick)
        else:
            x = walk_table(denoiser, solver, x, draw, condition, tick)
        good = torch.isfinite(x).flatten(1).all(dim=1)
        if not bool(good.all()):
            lost, first = int((~good).sum()), int(paths[~good][0])
            raise DivergedError(
                f"samples must be finite, got {lost} of {len(x)} that are not, the first on path "
                f"{first}; the network overflows or the solver diverges"
            )
    return x


def sample_batches(
    denoiser: Denoiser,
    solver: Solver,
    shape: tuple[int, ...],
    n: int,
    seed: int,
    path: int = 0,
    *,
    batch: int = 256,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
    condition: Condition | None = None,
    progress: str = "samples",
) -> Iterator[Tensor]:
    """Samples of paths path .. path + n - 1 in order, batch by batch, each (m, *shape).

    Args:
        denoiser: See `protocol.Denoiser`.
        solver: A table or an iteration of `theory.solvers.registry.make_table`.
        shape: Shape of a sample.
        n: Number of samples, at least 1.
        seed: Whole number in [0, 2**32).
        path: First path, at least 0.
        batch: Samples per batch.
        device: Device of the computation, which must be the denoiser's.
        dtype: Dtype of the states.
        condition: Named tensors of n rows, or None.
        progress: Title of a progress bar over calls of the denoiser, shown after two seconds.
    """
    whole("n", n, 1), whole("path", path, 0), whole("batch", batch, 1)
    for name, values in (condition or {}).items():
        if len(values) != n:
            raise ValueError(f"condition must have {n} rows in {name}, got {len(values)}")
    batches = -(-n // batch)
    with meter(batches * solver.nfe, progress) as bar:
        for first in range(0, n, batch):
            m = min(batch, n - first)
            paths = torch.arange(path + first, path + first + m, device=device)
            draw = philox(seed, paths, shape, dtype)
            start = draw(0) * float(solver.start_std)
            rows = {
                name: values[first : first + m].to(device)
                for name, values in (condition or {}).items()
            }
            yield walk(denoiser, solver, start, paths, draw, rows or None, bar.update)


def sample(
    denoiser: Denoiser,
    solver: Solver,
    shape: tuple[int, ...],
    n: int,
    seed: int,
    path: int = 0,
    *,
    batch: int = 256,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
    condition: Condition | None = None,
    progress: str = "samples",
) -> Tensor:
    """Samples of these paths, shape (n, *shape), on the CPU; arguments as `sample_batches`."""
    parts = sample_batches(
        denoiser,
        solver,
        shape,
        n,
        seed,
        path,
        batch=batch,
        device=device,
        dtype=dtype,
        condition=condition,
        progress=progress,
    )
    return torch.cat([part.cpu() for part in parts])
