"""Magnitude-preserving layers of EDM2 (Karras et al. 2024), without biases or normalisation layers.

Independent activations of mean square 1 keep it in every layer. The formulas are in
docs/papers/networks.md, Primitives.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-4
SILU_GAIN = 0.596
HEAD = 64


def normalized(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The ratio of x to its root mean square along dims plus 1e-4, computed in float32."""
    norm = torch.linalg.vector_norm(x, dim=dims, keepdim=True, dtype=torch.float32)
    rms = norm * math.sqrt(norm.numel() / x.numel())
    out: Tensor = x / (rms + EPS).to(x.dtype)
    return out


def mp_silu(x: Tensor) -> Tensor:
    """silu(x) / 0.596."""
    return functional.silu(x) / SILU_GAIN


def mp_sum(a: Tensor, b: Tensor, t: float) -> Tensor:
    """((1 - t) a + t b) / ((1 - t)^2 + t^2)^(1/2)."""
    return a.lerp(b, t) / math.hypot(1.0 - t, t)


def mp_cat(a: Tensor, b: Tensor) -> Tensor:
    """Concatenation along the channels, a and b each giving half of the mean square."""
    na, nb = a.shape[1], b.shape[1]
    c = math.sqrt((na + nb) / 2.0)
    return torch.cat([a * (c / math.sqrt(na)), b * (c / math.sqrt(nb))], dim=1)


class MPFourier(nn.Module):
    """2^(1/2) cos(x f_j + phi_j) of x (B,), in float32, shape (B, channels)."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 2.0 * math.pi * torch.randn(channels))
        self.register_buffer("phases", 2.0 * math.pi * torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        angle = x.float().outer(self.freqs.float()) + self.phases.float()
        return math.sqrt(2.0) * angle.cos()


class MPConv(nn.Module):
    """A convolution, or without kernel a linear map, whose weights have root mean square 1.

    The stored weight is normalised per filter in float32, multiplied by gain / fan_in^(1/2), and
    cast to the dtype of the activations. This happens at every call, or once by `settle`.
    """

    ready: Tensor | None

    def __init__(self, fan: int, out: int, kernel: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, fan, *kernel))
        self.register_buffer("ready", None, persistent=False)

    def scaled(self, gain: float | Tensor = 1.0) -> Tensor:
        """The weight as it is applied, float32."""
        weight = normalized(self.weight.float(), tuple(range(1, self.weight.ndim)))
        return weight * (gain / math.sqrt(weight[0].numel()))

    def settle(self, dtype: torch.dtype, gain: float | Tensor = 1.0) -> None:
        """Compute the applied weight once. Later changes of weight and gain have no effect."""
        with torch.no_grad():
            weight = self.scaled(gain).to(dtype)
        dense = weight.ndim == 4 and weight.is_cuda
        self.ready = weight.contiguous(
            memory_format=torch.channels_last if dense else torch.contiguous_format
        )

    def forward(self, x: Tensor, gain: float | Tensor = 1.0) -> Tensor:
        """Output for x (B, fan) or (B, fan, H, W)."""
        weight = self.scaled(gain).to(x.dtype) if self.ready is None else self.ready
        if weight.ndim == 2:
            return functional.linear(x, weight)
        return functional.conv2d(x, weight, padding=weight.shape[-1] // 2)


def attention(qkv: Tensor, settled: bool) -> Tensor:
    """Attention over pixels, in heads of 64 channels, with normalised queries, keys and values.

    Args:
        qkv: Shape (B, 3 C, H, W). The channels are ordered as heads x 64 x 3, with (q, k, v) the
            fastest index, or as (q, k, v) x heads x 64 if `settled`.
        settled: Which order the channels of `qkv` have.

    Returns:
        Shape (B, C, H, W).
    """
    b, channels, height, width = qkv.shape
    heads = channels // (3 * HEAD)
    if settled:  # this order needs no copies in channels_last
        rows = qkv.permute(0, 2, 3, 1).reshape(b, height * width, 3, heads, HEAD)
        q, k, v = (normalized(t, (3,)).transpose(1, 2) for t in rows.unbind(2))
        out = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return out.reshape(b, height, width, channels // 3).permute(0, 3, 1, 2)
    q, k, v = qkv.reshape(b, heads, HEAD, 3, -1).unbind(3)
    q, k, v = (normalized(t, (2,)).transpose(2, 3) for t in (q, k, v))
    out = functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(2, 3).reshape(b, channels // 3, height, width)
