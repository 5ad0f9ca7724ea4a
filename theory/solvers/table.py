"""Solver tables: one row per denoiser call, in the form that samplers and exact laws share.

x_{r+1} = sum_h keep[r, h] x_{r-h} + sum_h weights[r, h] D_{r-h} + noise[r] z_r, with
D_r = denoise(x_r, sigma[r]), x = x0 + sigma eps, and x_0 = start_std z. x_r is the state at which
the denoiser is called. sigma[r] need not be on the schedule: it may be an inner stage, a level to
which noise was added, or a level below that of the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, monotone, number, positive, require, vector, whole


@dataclass(frozen=True, eq=False, repr=False)
class SolverTable:
    """A sampler that is linear in its states and denoiser outputs: one row per denoiser call.

    Row r calls D_r = denoise(x_r, sigma[r]) and steps to

        x_{r+1} = sum_h keep[r, h] x_{r-h} + sum_h weights[r, h] D_{r-h} + noise[r] z_r

    with x = x0 + sigma eps, z_r standard normal, and x_0 = start_std z. Column h of keep and
    weights refers to h rows earlier, and must be 0 where that is before the start. The levels sigma
    need not decrease, since inner stages and levels raised by added noise are rows too.

    Args:
        sigma: Noise level of each call, shape (rows,), positive, in data units.
        keep: Weights of the states, shape (rows, H_x).
        weights: Weights of the denoiser's outputs, shape (rows, H_D).
        noise: Standard deviation of the noise added by each row, shape (rows,), at least 0, in data
            units.
        start_std: Standard deviation of the initial state x_0, positive, in data units.
        end: Last level of the schedule, at least 0, in data units. The sampler's law is compared
            with that of the data at this level.
        order: Declared order of convergence, at least 1.
        n_steps: Number of steps of the schedule, 1 to rows.
        begin: Level of the initial state, positive, in data units. A sampler that starts from the
            data's law starts from that at this level. Default: sigma[0].

    Raises:
        ValueError: An argument is invalid; the message is one line and names it and the place.
    """

    sigma: Array
    keep: Array
    weights: Array
    noise: Array
    start_std: float
    end: float
    order: int
    n_steps: int
    begin: float = math.nan

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
        begin = sigma[0] if math.isnan(self.begin) else self.begin
        object.__setattr__(self, "begin", positive("begin", begin))
        object.__setattr__(self, "end", number("end", self.end, 0.0))
        object.__setattr__(self, "order", whole("order", self.order, 1))
        object.__setattr__(self, "n_steps", whole("n_steps", self.n_steps, 1, rows))

    def __repr__(self) -> str:
        return (
            f"<SolverTable of {self.nfe} calls in {self.n_steps} steps, order {self.order}, "
            f"sigma {self.begin:g} to {self.end:g}{', with noise' if self.noise.any() else ''}>"
        )

    @property
    def nfe(self) -> int:
        """Number of denoiser calls, which is the number of rows."""
        return int(self.sigma.size)


def steps(sigmas: ArrayLike, start_std: float | None) -> tuple[Array, Array, float]:
    """Levels at the start and the end of each step, and the initial standard deviation.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].

    Returns:
        sigmas[:-1], sigmas[1:] and the standard deviation.

    Raises:
        ValueError: The levels do not decrease, or one before the last is not positive.
    """
    levels = vector("sigmas", sigmas, 2)
    monotone("sigmas", levels, falling=True, advice="a schedule runs from high to low noise")
    good = (levels > 0) | ((levels == 0) & (np.arange(levels.size) == levels.size - 1))
    require(good, "sigmas", levels, "be positive, but for a last 0")
    return levels[:-1], levels[1:], float(levels[0]) if start_std is None else start_std
