"""Networks of every usual parametrisation as denoisers: eps, v, x0, flow and EDM's preconditioning.

A network is given c_in x and a time, and returns an estimate F of its target. `Predictor` computes
x0 from x and F. With alpha = (1 + sigma^2)^(-1/2) and u = sigma / (1 + sigma):

    target   x0-prediction                        usual c_in
    eps      x - sigma F                          alpha (VP), or 1 (VE)
    x0       F                                    alpha, or 1
    v        alpha^2 x - alpha sigma F            alpha           v = alpha eps - alpha sigma x0
    flow     (1 - u) x - u F                      1 - u           F = eps - x0
    edm      s^2 / (sigma^2 + s^2) x + sigma s / (sigma^2 + s^2)^(1/2) F
                                                  (sigma^2 + s^2)^(-1/2), s = sigma_data
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.networks.protocol import Condition, per_sample
from theory.checks import one_of, positive

SCALES = ("vp", "ve", "flow", "edm")
DEFAULT_SCALE = {"eps": "vp", "x0": "vp", "v": "vp", "flow": "flow", "edm": "edm"}
Time = Callable[[Tensor], Tensor]


def edm_time(sigma: Tensor) -> Tensor:
    """Time input log(sigma) / 4 of EDM's networks (Karras et al. 2022, table 1)."""
    return sigma.log() / 4.0


def flow_time(sigma: Tensor) -> Tensor:
    """Flow-matching time u = sigma / (1 + sigma)."""
    return sigma / (1.0 + sigma)


@dataclass
class Predictor:
    """A network as a `protocol.Denoiser`, by the formulas at the top of this file.

    The scalings are computed in float64. They are applied in the dtype of x, but at least in
    float32, whatever the network computes in.

    Args:
        network: Called as network(c_in x, time, **condition). It returns F, of the shape of x.
        target: "eps", "x0", "v", "flow" or "edm".
        time: Maps sigma (B,), float64, to the network's time (B,). Default: log(sigma) / 4 for
            "edm" and u for "flow". It is required for the others, which have no common convention.
        scale: c_in: "vp" is alpha, "ve" is 1, "flow" is 1 - u, and "edm" is that of the table.
            Default: the usual one of the target.
        sigma_data: s of "edm", in data units.
        dtype: Dtype of the network's input. The time is float32, or float64 if dtype is.
        autocast: Dtype of mixed precision inside the network, or None.
        limit: Bound to which x0-predictions are clipped, [-limit, limit], or None.
    """

    network: Callable[..., Any]
    target: str
    time: Time | None = None
    scale: str | None = None
    sigma_data: float = 0.5
    dtype: torch.dtype = torch.float32
    autocast: torch.dtype | None = None
    limit: float | None = None

    def __post_init__(self) -> None:
        one_of("target", self.target, DEFAULT_SCALE)
        if self.time is None:
            usual = {"edm": edm_time, "flow": flow_time}
            if self.target not in usual:
                raise ValueError(f"time must be given for target {self.target!r}, got None")
            self.time = usual[self.target]
        self.scale = one_of("scale", self.scale or DEFAULT_SCALE[self.target], SCALES)
        positive("sigma_data", self.sigma_data)
        if self.limit is not None:
            positive("limit", self.limit)

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """x0-prediction; see `protocol.Denoiser`."""
        wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
        sigma = sigma.to(device=x.device, dtype=torch.float64)
        assert self.time is not None  # set in __post_init__
        fed = (per_sample(self._c_in(sigma), x).to(wide.dtype) * wide).to(self.dtype)
        time = self.time(sigma).to(torch.promote_types(torch.float32, self.dtype))
        with self._precision(x.device.type):
            out = self.network(fed, time, **(condition or {}))
        if out.shape != x.shape:
            got, rule = tuple(out.shape), f"answer with the shape of its input, {tuple(x.shape)}"
            raise ValueError(f"network must {rule}, got {got}")
        keep, gain = (per_sample(c, x).to(wide.dtype) for c in self._c_out(sigma))
        x0: Tensor = keep * wide + gain * out.to(wide.dtype)
        return x0 if self.limit is None else x0.clamp(-self.limit, self.limit)

    def _precision(self, device: str) -> AbstractContextManager[Any]:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(device, dtype=self.autocast)

    def _c_in(self, sigma: Tensor) -> Tensor:
        if self.scale == "ve":
            return torch.ones_like(sigma)
        if self.scale == "flow":
            return 1.0 / (1.0 + sigma)
        width = 1.0 if self.scale == "vp" else self.sigma_data
        return 1.0 / torch.hypot(sigma, torch.full_like(sigma, width))

    def _c_out(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of x and of F in the x0-prediction."""
        one = torch.ones_like(sigma)
        if self.target == "eps":
            return one, -sigma
        if self.target == "x0":
            return 0.0 * one, one
        if self.target == "flow":
            return 1.0 / (1.0 + sigma), -sigma / (1.0 + sigma)
        norm = torch.hypot(sigma, one)
        if self.target == "v":
            return norm**-2, -sigma / norm
        s = self.sigma_data
        norm = torch.hypot(sigma, s * one)
        return (s / norm) ** 2, sigma * s / norm
