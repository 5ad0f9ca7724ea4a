"""Solvers as tables: one row per denoiser call, walked alike by every sampler and exact law.

x_{r+1} = sum_h keep[r, h] x_{r-h} + sum_h weights[r, h] D_{r-h} + noise[r] z_r, with
D_r = denoise(x_r, sigma[r]), x = x0 + sigma eps, and x_0 = start_std z. A new solver is one
function `<method>_table(sigmas, start_std=None, ...)` and one line in `SOLVERS`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, monotone, one_of, positive, require, vector, whole


@dataclass(frozen=True, eq=False)
class SolverTable:
    """A linear sampler, row by row; see the module for the meaning of a row.

    keep and weights may have different numbers of columns; column h reaches h rows back, and
    what would reach back beyond the start must be 0. sigma need not fall: stages and churn.

    Args:
        sigma: Noise level of each call, shape (rows,), positive, in data units.
        keep: Shape (rows, H_x), weights of the states.
        weights: Shape (rows, H_D), weights of the denoiser's outputs.
        noise: Shape (rows,), >= 0, in data units.
        start_std: Standard deviation of the start x_0, positive, in data units.
        order: Declared order of convergence, >= 1.
        n_steps: Steps of the schedule, in 1..rows.

    Raises:
        ValueError: One line naming the argument, the rule, the value and the place.
    """

    sigma: Array
    keep: Array
    weights: Array
    noise: Array
    start_std: float
    order: int
    n_steps: int

    def __post_init__(self) -> None:
        sigma, noise = vector("sigma", self.sigma), vector("noise", self.noise)
        rows = sigma.size
        arrays = {"sigma": sigma, "noise": noise}
        for name in ("keep", "weights"):
            arrays[name] = table = floats(name, getattr(self, name))
            if table.ndim != 2 or table.shape[0] != rows or table.shape[1] < 1:
                raise ValueError(f"{name} must have shape ({rows}, H), got {table.shape}")
            reach = np.arange(table.shape[1]) <= np.arange(rows)[:, None]
            require(reach | (table == 0), name, table, "be 0 where it reaches before the start")
        if noise.shape != sigma.shape:
            raise ValueError(f"noise must have shape {sigma.shape}, got {noise.shape}")
        require(sigma > 0, "sigma", sigma, "be positive")
        require(noise >= 0, "noise", noise, "be at least 0")
        for name, values in arrays.items():
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        object.__setattr__(self, "start_std", positive("start_std", self.start_std))
        object.__setattr__(self, "order", whole("order", self.order, 1))
        object.__setattr__(self, "n_steps", whole("n_steps", self.n_steps, 1, rows))

    @property
    def nfe(self) -> int:
        """Number of denoiser calls, which is the number of rows."""
        return int(self.sigma.size)


def _steps(sigmas: ArrayLike, start_std: float | None) -> tuple[Array, Array, float]:
    """Levels at the start and the end of each step, shape (n_steps,), and the start's std."""
    levels = vector("sigmas", sigmas, 2)
    monotone("sigmas", levels, falling=True, advice="a schedule runs from high to low noise")
    good = (levels > 0) | ((levels == 0) & (np.arange(levels.size) == levels.size - 1))
    require(good, "sigmas", levels, "be positive, but for a last 0")
    return levels[:-1], levels[1:], float(levels[0]) if start_std is None else start_std


def ddim_table(sigmas: ArrayLike, start_std: float | None = None) -> SolverTable:
    """Deterministic DDIM, which is Euler in sigma (Song et al. 2021; order 1).

    From a to b: keep b / a, weight 1 - b / a on D. The row that reaches 0 returns D.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
    """
    a, b, std = _steps(sigmas, start_std)
    columns = (b / a)[:, None], ((a - b) / a)[:, None]
    return SolverTable(a, *columns, np.zeros_like(a), std, order=1, n_steps=a.size)


def stochastic_ddim_table(
    sigmas: ArrayLike, start_std: float | None = None, eta: float = 1.0
) -> SolverTable:
    """Stochastic DDIM (Song et al. 2021, eqs. 12 and 16; order 1 in law).

    From a to b, with q = b^2 / a^2: noise eta b sqrt(1 - q), keep sqrt(b^2 - noise^2) / a,
    weight 1 - keep. eta = 1 is ancestral sampling: it solves the reverse SDE exactly for a
    denoiser frozen at a. Written without 1 - q and 1 - keep as differences of near numbers.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        eta: Share of the ancestral noise, in [0, 1]; 0 is `ddim_table`.
    """
    a, b, std = _steps(sigmas, start_std)
    share = floats("eta", eta)
    if share.ndim or not 0.0 <= share <= 1.0:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    ratio = b / a
    gap = ((a - b) / a) * (1.0 + ratio)  # 1 - q
    keep = ratio * np.sqrt((1.0 - share) * (1.0 + share) + (share * ratio) ** 2)
    weight = gap * (1.0 + (share * ratio) ** 2) / (1.0 + keep)  # (1 - keep^2) / (1 + keep)
    noise = share * b * np.sqrt(gap)
    return SolverTable(a, keep[:, None], weight[:, None], noise, std, order=1, n_steps=a.size)


SOLVERS: dict[str, Callable[..., SolverTable]] = {
    "ddim": ddim_table,
    "stochastic_ddim": stochastic_ddim_table,
}


def takes_eta(name: str) -> bool:
    """Whether the solver of that name has an amount of noise to choose."""
    return "eta" in inspect.signature(SOLVERS[name]).parameters


def make_table(
    name: str, sigmas: ArrayLike, start_std: float | None = None, eta: float | None = None
) -> SolverTable:
    """The table of the solver of that name in `SOLVERS`.

    Args:
        name: Unknown names raise ValueError with a suggestion.
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        eta: Only for solvers that take one; None is the solver's default.
    """
    one_of("solver", name, SOLVERS)
    solver = SOLVERS[name]
    if eta is None:
        return solver(sigmas, start_std)
    if not takes_eta(name):
        raise ValueError(f"eta must be left out for solver {name!r}, got {eta}")
    return solver(sigmas, start_std, eta=eta)
