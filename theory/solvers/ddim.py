"""Deterministic and stochastic DDIM: one denoiser call per step and no history.

The option `call` chooses the level at which a step calls its denoiser (`theory.solvers.called`).
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import floats
from theory.solvers.called import HasRisk, called_levels, relative_risk
from theory.solvers.table import SolverTable, steps


def ddim_table(
    sigmas: ArrayLike,
    start_std: float | None = None,
    call: str | float = "state",
    profile: HasRisk | None = None,
) -> SolverTable:
    """Deterministic DDIM, which is Euler's rule in sigma (Song et al. 2021; order 1).

    A step from a to b keeps b / a of the state and gives D, the denoiser's output, the weight
    1 - b / a. A step to 0 returns D.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        call: Level of the call: "state", "geometric", "log_mean", "matched", or a number in [0, 2],
            the share of the geometric shift.
        profile: Profile of the data, for call "matched".
    """
    a, b, std = steps(sigmas, start_std)
    keep, told = b / a, called_levels(call, a, b / a, profile)
    columns = keep[:, None], ((a - b) / a)[:, None]
    return SolverTable(
        told, *columns, np.zeros_like(a), std, float(b[-1]), 1, n_steps=a.size, begin=float(a[0])
    )


def stochastic_ddim_table(
    sigmas: ArrayLike,
    start_std: float | None = None,
    eta: float = 1.0,
    call: str | float = "state",
    profile: HasRisk | None = None,
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
        call: Level of the call: "state", "geometric", "log_mean", "matched", or a number in [0, 2],
            the share of the geometric shift.
        profile: Profile of the data, for call "matched".
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
    told = called_levels(call, a, keep, profile)
    ends = float(b[-1]), 1, a.size, float(a[0])
    return SolverTable(told, keep[:, None], weight[:, None], noise, std, *ends)


def analytic_ddpm_table(
    sigmas: ArrayLike, start_std: float | None = None, *, profile: HasRisk | None, eta: float = 1.0
) -> SolverTable:
    """Analytic-DPM, the reverse variance of least divergence (Bao et al. 2022; order 1 in law).

    The step of stochastic DDIM from a to b keeps k and gives D the weight 1 - k; its noise has the
    variance b^2 - k^2 a^2 + (1 - k)^2 mmse(a) / d, by which the second moments of the states are
    exact. A step to 0 adds no noise, as theirs.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        profile: Profile of the data, which must reach all levels but the last.
        eta: Share of the ancestral noise, in [0, 1]; 0 is Analytic-DDIM.
    """
    a, b, _ = steps(sigmas, start_std)
    risk = relative_risk(a, profile, "solver 'analytic_ddpm'")
    plain = stochastic_ddim_table(sigmas, start_std, eta)
    spread = plain.weights[:, 0] * a * np.sqrt(risk)
    noise = np.where(b > 0.0, np.hypot(plain.noise, spread), 0.0)
    return SolverTable(
        a, plain.keep, plain.weights, noise, plain.start_std, plain.end, order=1, n_steps=a.size
    )
