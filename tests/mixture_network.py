"""A mixture as a denoiser in torch, used to test the torch code against the compiled code."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks.protocol import Condition
from toys.mixture import Mixture


class MixtureDenoiser:
    """E[x0 given x] of a Gaussian mixture or a set of points, in float64.

    Responsibilities are a softmax of log weights. Differences are squared directly, not expanded.

    Args:
        toy: The mixture, d coordinates.
        device: Device of its parameters.
    """

    def __init__(self, toy: Mixture, device: str | torch.device = "cpu") -> None:
        self.shape = (toy.dim,)
        self.log_weights, self.means, self.stds = (
            torch.tensor(a, dtype=torch.float64, device=device)
            for a in (np.log(toy.weights), toy.means, toy.stds)
        )

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """Posterior mean (B, d) of x (B, d) at sigma (B,). The condition is ignored."""
        states = x.to(torch.float64)[:, None, :]  # (B, 1, d)
        noise = sigma.to(torch.float64)[:, None, None] ** 2
        total = self.stds**2 + noise  # (B, K, d)
        gap = states - self.means
        logs = self.log_weights - 0.5 * (total.log() + gap**2 / total).sum(dim=2)  # (B, K)
        own = self.means + self.stds**2 / total * gap
        return (torch.softmax(logs, dim=1)[:, :, None] * own).sum(dim=1).to(x.dtype)
