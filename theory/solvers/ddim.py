"""Deterministic and stochastic DDIM: one denoiser call per step and no history."""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import floats
from theory.solvers.table import SolverTable, steps


def ddim_table(sigmas: ArrayLike, start_std: float | None = None) -> SolverTable:
    """Deterministic DDIM, which is Euler's rule in sigma (Song et al. 2021; order 1).

    A step from a to b keeps b / a of the state and gives D, the denoiser's output, the weight
    1 - b / a. A step to 0 returns D.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
    """
    a, b, std = steps(sigmas, start_std)
    columns = (b / a)[:, None], ((a - b) / a)[:, None]
    return SolverTable(a, *columns, np.zeros_like(a), std, float(b[-1]), order=1, n_steps=a.size)


def stochastic_ddim_table(
    sigmas: ArrayLike, start_std: float | None = None, eta: float = 1.0
) -> SolverTable:
    """Stochastic DDIM (Song et al. 2021, eqs. 12 and 16; order 1 in law).

    A step from a to b, with q = b^2 / a^2, has noise of standard deviation eta b sqrt(1 - q). It
    keeps k = sqrt(b^2 - noise^2) / a of the state and gives D, the denoiser's output, the weight
    1 - k. eta = 1 is ancestral sampling, which solves the reverse SDE exactly for a denoiser frozen
    at a. k-diffusion's Euler with ancestral noise is the same method: it steps to
    sqrt(b^2 - noise^2) and adds the noise.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        eta: Share of the ancestral noise, in [0, 1]; 0 is deterministic DDIM.
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
