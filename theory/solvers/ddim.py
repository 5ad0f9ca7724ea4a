"""DDIM, deterministic and stochastic: one denoiser call per step, no memory."""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import floats
from theory.solvers.table import SolverTable, steps


def ddim_table(sigmas: ArrayLike, start_std: float | None = None) -> SolverTable:
    """Deterministic DDIM, which is Euler in sigma (Song et al. 2021; order 1).

    From a to b: keep b / a, weight 1 - b / a on D. The row that reaches 0 returns D.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
    """
    a, b, std = steps(sigmas, start_std)
    columns = (b / a)[:, None], ((a - b) / a)[:, None]
    return SolverTable(a, *columns, np.zeros_like(a), std, float(b[-1]), order=1, n_steps=a.size)


def stochastic_ddim_table(
    sigmas: ArrayLike, start_std: float | None = None, eta: float = 1.0
) -> SolverTable:
    """Stochastic DDIM (Song et al. 2021, eqs. 12 and 16; order 1 in law).

    From a to b, with q = b^2 / a^2: noise eta b sqrt(1 - q), keep sqrt(b^2 - noise^2) / a,
    weight 1 - keep. eta = 1 is ancestral sampling: it solves the reverse SDE exactly for a
    denoiser frozen at a. Written without 1 - q and 1 - keep as differences of near numbers.
    Euler with ancestral noise (k-diffusion) is the same method: it steps to sqrt(b^2 - noise^2).

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        eta: Share of the ancestral noise, in [0, 1]; 0 is `ddim_table`.
    """
    a, b, std = steps(sigmas, start_std)
    share = floats("eta", eta)
    if share.ndim or not 0.0 <= share <= 1.0:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    ratio = b / a
    gap = ((a - b) / a) * (1.0 + ratio)  # 1 - q
    keep = ratio * np.sqrt((1.0 - share) * (1.0 + share) + (share * ratio) ** 2)
    weight = gap * (1.0 + (share * ratio) ** 2) / (1.0 + keep)  # (1 - keep^2) / (1 + keep)
    noise = share * b * np.sqrt(gap)
    return SolverTable(
        a, keep[:, None], weight[:, None], noise, std, float(b[-1]), order=1, n_steps=a.size
    )
