"""The interface of a trained denoiser: x0-predictions at a noise level, in x = x0 + sigma eps.

Shapes: a batch has B samples, each of shape `shape`, such as (C, H, W). Conditions are named
tensors with one row per sample (class_labels, encoder_hidden_states, ...), passed to the network by
name.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

Condition = Mapping[str, Tensor]


class Denoiser(Protocol):
    """Anything with this call: a function, or a module wrapped by `adapters.Predictor`."""

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """x0-prediction, of the shape of x.

        Args:
            x: Noisy states x0 + sigma eps, shape (B, *shape), in data units; any float dtype.
            sigma: Noise level of each, shape (B,), float64, positive, in data units.
            condition: Named tensors of B rows each, or None.
        """


class Counting:
    """A denoiser that counts its calls, so that NFE is measured rather than computed."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.calls = 0

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """The denoiser's result."""
        self.calls += 1
        return self.denoiser(x, sigma, condition)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) as float64 of shape (B, 1, ..., 1), to broadcast against `like` (B, *shape)."""
    return values.to(torch.float64).reshape(-1, *[1] * (like.ndim - 1))
