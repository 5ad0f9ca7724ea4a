"""From denoising losses of any prediction to x0-prediction risks, and to a profile.

The channel is x = x0 + sigma eps. Risks are E|x0 - D|^2, summed over the d coordinates, in squared
data units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, one_of, positive, require, vector, whole
from theory.profiles.profile import Profile

PREDICTIONS = ("eps", "x0", "v", "flow", "edm")
# Names of the same in diffusers' configs.
DIFFUSERS = {
    "epsilon": "eps",
    "sample": "x0",
    "v_prediction": "v",
    "flow_prediction": "flow",
}
WEIGHTS = ("none", "min-snr", "edm", "p2")


def prediction_of(name: str) -> str:
    """The prediction of that name, or of diffusers' name for it."""
    found = DIFFUSERS.get(str(name).lower(), name)
    return one_of("prediction", found, PREDICTIONS)


def x0_risks(
    sigma: ArrayLike,
    loss: ArrayLike,
    prediction: str,
    dim: int,
    sigma_data: float = 0.5,
    reduction: str = "sum",
    weight: str = "none",
) -> tuple[Array, Array]:
    """Noise levels and x0-prediction risks E|x0 - D|^2 of denoising losses, shape (n,) each.

    The loss of each prediction is the risk times a factor:

    - "eps", the noise: 1 / sigma^2.
    - "x0": 1.
    - "v", v = alpha eps - alpha sigma x0 with alpha = (1 + sigma^2)^(-1/2) (the VP process):
      (1 + sigma^2) / sigma^2.
    - "flow", the velocity eps - x0 of x_t = (1 - t) x0 + t eps: 1 / t^2 with t = sigma / (1 +
      sigma).
    - "edm", the weighted loss of Karras et al. (2022, table 1):
      (sigma^2 + sigma_data^2) / (sigma sigma_data)^2.

    Args:
        sigma: Noise levels, shape (n,), in [1e-30, 1e30], in data units.
        loss: Losses, shape (n,), in [0, 1e30].
        prediction: "eps", "x0", "v", "flow" or "edm", or diffusers' name for one.
        dim: Number of coordinates d of x0.
        sigma_data: Standard deviation of the data, in data units; for "edm" only.
        reduction: "sum" if losses are summed over coordinates, "mean" if they are averaged.
        weight: Weight by which the losses were multiplied; see `loss_weight`.

    Raises:
        ValueError: An argument is invalid; the message is one line and names it.
    """
    prediction = prediction_of(prediction)
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
        "flow": lambda: levels / (1.0 + levels),
        "edm": lambda: levels * (positive("sigma_data", sigma_data) / np.hypot(levels, sigma_data)),
    }[prediction]()
    losses = losses / loss_weight(levels, weight, prediction, sigma_data)
    return levels, losses * scale**2 * (count if reduction == "mean" else 1)


def loss_weight(sigma: ArrayLike, weight: str, prediction: str, sigma_data: float = 0.5) -> Array:
    """The factor by which a training loop multiplies the losses of a level, shape of sigma.

    With snr = 1 / sigma^2:

    - "none": 1.
    - "min-snr:GAMMA" (Hang et al. 2023; 5 by default): min(snr, gamma) over snr for "eps", over
      snr + 1 for "v", and itself for "x0".
    - "edm": (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, for "x0" (Karras et al. 2022).
    - "p2:GAMMA" (Choi et al. 2022; 1 by default): (1 + snr)^(-gamma), for "eps".

    Args:
        sigma: Noise levels, positive, in data units.
        weight: One of these.
        prediction: Target of the losses.
        sigma_data: Standard deviation of the data, in data units; for "edm" only.

    Raises:
        ValueError: The weight is unknown, its number is invalid, or it is not defined for the
            prediction.
    """
    s, prediction = floats("sigma", sigma), prediction_of(prediction)
    name, colon, text = str(weight).partition(":")
    one_of("weight", name, WEIGHTS)
    defaults = {"min-snr": 5.0, "p2": 1.0}
    if colon and name not in defaults:
        raise ValueError(f"weight {name} must come without a number, got {weight!r}")
    gamma = defaults.get(name, 0.0)
    if colon:
        try:
            gamma = positive("number of the weight", float(text))
        except ValueError:
            raise ValueError(f"weight must be {name}:NUMBER, positive, got {weight!r}") from None
    served = {"min-snr": ("eps", "x0", "v"), "edm": ("x0",), "p2": ("eps",)}
    if name in served and prediction not in served[name]:
        known = " or ".join(served[name])
        raise ValueError(f"weight {name} must come with prediction {known}, got {prediction!r}")
    if name == "min-snr":
        power = {"eps": 0.0, "x0": -1.0, "v": 0.0}[prediction]
        # min(snr, gamma) / snr without overflow of snr
        factor = np.minimum(1.0, gamma * s**2) * s ** (2.0 * power)
        return np.asarray(factor / (1.0 + s**2) if prediction == "v" else factor)
    if name == "edm":
        data = positive("sigma_data", sigma_data)
        return np.asarray((np.hypot(s, data) / (s * data)) ** 2)
    if name == "p2":
        return np.asarray((s**2 / (1.0 + s**2)) ** gamma)
    return np.ones_like(s)


def profile_from_losses(
    sigma: ArrayLike,
    loss: ArrayLike,
    prediction: str,
    dim: int,
    sigma_data: float = 0.5,
    *,
    reduction: str = "sum",
    samples: ArrayLike | None = None,
    source: Mapping[str, Any] | None = None,
    weight: str = "none",
) -> Profile:
    """The profile of denoising losses, which overestimates the mmse of the data.

    A network is not the posterior mean, so that its risk exceeds the mmse.

    Args:
        sigma: Noise levels, shape (n,), positive, in any order, in data units; repeated levels are
            averaged.
        loss: Losses, shape (n,), at least 0.
        prediction: Target of the loss: "eps", "x0", "v", "flow" or "edm"; see `x0_risks`.
        dim: Number of coordinates d of x0.
        sigma_data: Standard deviation of the data, in data units; for "edm" only.
        reduction: "sum" if losses are summed over coordinates, "mean" if they are averaged.
        samples: Number of samples whose mean each loss is, shape (n,), at least 1. Default: 1.
        source: Origin of the numbers, which the profile keeps.
        weight: Weight by which the losses were multiplied; see `loss_weight`.

    Returns:
        A profile on the distinct levels. Its stderr is the standard error of the mean at each level
        if every level has at least two rows, else None.

    Raises:
        ValueError: An argument is invalid, or there are fewer than 4 distinct levels.
    """
    levels, risks = x0_risks(sigma, loss, prediction, dim, sigma_data, reduction, weight)
    distinct, where, rows = np.unique(levels, return_inverse=True, return_counts=True)
    counts = np.ones_like(risks) if samples is None else vector("samples", samples)
    if counts.shape != risks.shape:
        raise ValueError(f"samples must have shape {risks.shape}, got {counts.shape}")
    require(counts >= 1, "samples", counts, "be at least 1")
    total = np.bincount(where, counts)
    mean = np.bincount(where, risks * counts) / total
    stderr = None
    if rows.min() > 1:
        variance = np.bincount(where, counts * (risks - mean[where]) ** 2) / (rows - 1)
        stderr = np.sqrt(variance / total)
    return Profile(whole("dim", dim, 1), distinct, mean, stderr, dict(source or {}))
