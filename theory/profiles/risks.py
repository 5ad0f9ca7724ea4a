"""From denoising losses of any parametrisation to x0-prediction risks, and to a profile.

The channel is x = x0 + sigma eps. Risks are E|x0 - D|^2, summed over the d coordinates, in squared
data units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, one_of, positive, require, vector, whole
from theory.profiles.profile import Profile

PARAMETRISATIONS = ("eps", "x0", "v", "edm")


def x0_risks(
    sigma: ArrayLike,
    loss: ArrayLike,
    parametrisation: str,
    dim: int,
    sigma_data: float = 0.5,
    reduction: str = "sum",
) -> tuple[Array, Array]:
    """Noise levels and x0-prediction risks E|x0 - D|^2 of denoising losses, shape (n,) each.

    The loss of each parametrisation is the risk times a factor:

    - "eps", the noise: 1 / sigma^2.
    - "x0": 1.
    - "v", v = alpha eps - alpha sigma x0 with alpha = (1 + sigma^2)^(-1/2) (the VP process):
      (1 + sigma^2) / sigma^2.
    - "edm", the weighted loss of Karras et al. (2022, table 1):
      (sigma^2 + sigma_data^2) / (sigma sigma_data)^2.

    Args:
        sigma: Noise levels, shape (n,), in [1e-30, 1e30], in data units.
        loss: Losses, shape (n,), in [0, 1e30].
        parametrisation: "eps", "x0", "v" or "edm".
        dim: Number of coordinates d of x0.
        sigma_data: Standard deviation of the data, in data units; for "edm" only.
        reduction: "sum" if losses are summed over coordinates, "mean" if they are averaged.

    Raises:
        ValueError: An argument is invalid; the message is one line and names it.
    """
    one_of("parametrisation", parametrisation, PARAMETRISATIONS)
    one_of("reduction", reduction, ("sum", "mean"))
    levels, losses = vector("sigma", sigma), vector("loss", loss)
    if levels.shape != losses.shape:
        raise ValueError(f"loss must have shape {levels.shape}, got {losses.shape}")
    require(levels > 0, "sigma", levels, "be positive")
    require(losses >= 0, "loss", losses, "be at least 0")
    # The bound allows the squares that the standard errors need.
    require(losses <= 1e30, "loss", losses, "be at most 1e+30")
    require((levels >= 1e-30) & (levels <= 1e30), "sigma", levels, "be in [1e-30, 1e+30]")
    count = whole("dim", dim, 1)
    scale = {
        "eps": lambda: levels,
        "x0": lambda: np.ones_like(levels),
        "v": lambda: levels / np.hypot(1.0, levels),
        "edm": lambda: levels * (positive("sigma_data", sigma_data) / np.hypot(levels, sigma_data)),
    }[parametrisation]()
    return levels, losses * scale**2 * (count if reduction == "mean" else 1)


def profile_from_losses(
    sigma: ArrayLike,
    loss: ArrayLike,
    parametrisation: str,
    dim: int,
    sigma_data: float = 0.5,
    *,
    reduction: str = "sum",
    samples: ArrayLike | None = None,
    source: Mapping[str, Any] | None = None,
) -> Profile:
    """The profile of denoising losses, which overestimates the mmse of the data.

    A network is not the posterior mean, so that its risk exceeds the mmse.

    Args:
        sigma: Noise levels, shape (n,), positive, in any order, in data units; repeated levels are
            averaged.
        loss: Losses, shape (n,), at least 0.
        parametrisation: Target of the loss: "eps", "x0", "v" or "edm"; see `x0_risks`.
        dim: Number of coordinates d of x0.
        sigma_data: Standard deviation of the data, in data units; for "edm" only.
        reduction: "sum" if losses are summed over coordinates, "mean" if they are averaged.
        samples: Number of samples whose mean each loss is, shape (n,), at least 1. Default: 1.
        source: Origin of the numbers, which the profile keeps.

    Returns:
        A profile on the distinct levels. Its stderr is the standard error of the mean at each level
        if every level has at least two rows, else None.

    Raises:
        ValueError: An argument is invalid, or there are fewer than 4 distinct levels.
    """
    levels, risks = x0_risks(sigma, loss, parametrisation, dim, sigma_data, reduction)
    distinct, where, rows = np.unique(levels, return_inverse=True, return_counts=True)
    weight = np.ones_like(risks) if samples is None else vector("samples", samples)
    if weight.shape != risks.shape:
        raise ValueError(f"samples must have shape {risks.shape}, got {weight.shape}")
    require(weight >= 1, "samples", weight, "be at least 1")
    total = np.bincount(where, weight)
    mean = np.bincount(where, risks * weight) / total
    stderr = None
    if rows.min() > 1:
        variance = np.bincount(where, weight * (risks - mean[where]) ** 2) / (rows - 1)
        stderr = np.sqrt(variance / total)
    return Profile(whole("dim", dim, 1), distinct, mean, stderr, dict(source or {}))
