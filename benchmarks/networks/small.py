"""Small networks of our own: a residual MLP for points, a U-Net for 8x8 images and sequences.

Each is called as network(x, time, **condition) and returns the shape of x. The time is
log(sigma) / 4, as given by `adapters.Predictor` with target "edm". These networks have no
conditions, and refuse them by name. The last layer starts at 0, so that an untrained network
returns 0.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from theory.checks import one_of, whole

FREQUENCIES = 16
LOWEST, HIGHEST = 0.25, 16.0  # periods 4 .. 1 / 16; log(sigma) / 4 usually spans 2.65
MOST_WIDTH, MOST_BLOCKS, MOST_LEVELS = 4096, 64, 8
GROUP = 8  # channels per group of GroupNorm, fewer if they do not divide the width


class TimeFeatures(nn.Module):
    """Sines and cosines of the time, passed through a small perceptron, shape (B, width)."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        steps = torch.linspace(0.0, 1.0, FREQUENCIES, dtype=torch.float64)
        waves = 2.0 * math.pi * LOWEST * (HIGHEST / LOWEST) ** steps
        self.register_buffer("frequencies", waves.float(), persistent=False)
        self.first = nn.Linear(2 * FREQUENCIES, width)
        self.second = nn.Linear(width, width)

    def forward(self, time: Tensor) -> Tensor:
        """Features of times (B,)."""
        angles = time[:, None] * self.frequencies.to(time.dtype)
        waves = torch.cat([angles.cos(), angles.sin()], dim=1).to(self.first.weight.dtype)
        return functional.silu(self.second(functional.silu(self.first(waves))))


class MLP(nn.Module):
    """Residual perceptron over the flattened state.

    Args:
        dim: Number of coordinates of a sample.
        width: Width of the hidden layers.
        depth: Number of residual blocks.
        dropout: Share of hidden units dropped in training.
    """

    def __init__(self, dim: int, width: int = 128, depth: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        _sizes(dim=dim, width=width)
        whole("depth", depth, 1, MOST_BLOCKS)
        self.dim = dim
        self.time = TimeFeatures(width)
        self.first = nn.Linear(dim, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.shifts = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.ins = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.outs = nn.ModuleList(_zero(nn.Linear(2 * width, width)) for _ in range(depth))
        self.dropout = nn.Dropout(_share(dropout))
        self.last_norm = nn.LayerNorm(width)
        self.last = _zero(nn.Linear(width, dim))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Output for states (B, *shape) at times (B,), of the same shape."""
        if x[0].numel() != self.dim:
            raise ValueError(f"x must have {self.dim} coordinates a sample, got {x[0].numel()}")
        features, h = self.time(time), self.first(x.flatten(1))
        for norm, shift, enter, leave in zip(
            self.norms, self.shifts, self.ins, self.outs, strict=True
        ):
            gain, offset = shift(features).chunk(2, dim=1)
            inner = functional.silu(enter(norm(h) * (1.0 + gain) + offset))
            h = h + leave(self.dropout(inner))
        out: Tensor = self.last(functional.silu(self.last_norm(h)))
        return out.reshape(x.shape)


class Block(nn.Module):
    """Two normalised convolutions with a shortcut; the time sets gain and offset between them."""

    def __init__(self, into: int, out: int, features: int, dims: int, dropout: float) -> None:
        super().__init__()
        conv = _CONV[dims]
        self.norm0, self.conv0 = _norm(into), conv(into, out, 3, padding=1)
        self.shift = nn.Linear(features, 2 * out)
        self.norm1, self.conv1 = _norm(out), _zero(conv(out, out, 3, padding=1))
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Identity() if into == out else conv(into, out, 1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Output of shape (B, out, *space)."""
        h = self.norm1(self.conv0(functional.silu(self.norm0(x))))
        gain, offset = self.shift(features).reshape(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        h = functional.silu(torch.addcmul(h + offset, h, gain))
        out: Tensor = self.shortcut(x) + self.conv1(self.dropout(h))
        return out


class Attention(nn.Module):
    """Self-attention over places, with one head and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.into, self.out = nn.Linear(width, 3 * width), _zero(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Output of the shape of x, (B, width, *space)."""
        places = self.norm(x).flatten(2).transpose(1, 2)
        query, key, value = self.into(places).chunk(3, dim=2)
        mixed = self.out(functional.scaled_dot_product_attention(query, key, value))
        out: Tensor = x + mixed.transpose(1, 2).reshape(x.shape)
        return out


class SmallUNet(nn.Module):
    """U-Net of residual blocks that halves the space between its levels.

    Args:
        channels: Channels of the data.
        width: Channels of the first level.
        multipliers: Channels of each level, in widths. Every level but the first halves the space.
        blocks: Residual blocks per level and direction.
        dims: 2 for images, 1 for sequences.
        attention: Whether the lowest level has attention over its places.
        dropout: Share of the activations dropped in training.
    """

    def __init__(
        self,
        channels: int,
        width: int = 32,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,
        dims: int = 2,
        attention: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _sizes(channels=channels, width=width)
        whole("blocks", blocks, 1, MOST_BLOCKS)
        levels = [width * whole("multipliers", m, 1, MOST_BLOCKS) for m in multipliers]
        if not 1 <= len(levels) <= MOST_LEVELS:
            raise ValueError(f"multipliers must be 1 to {MOST_LEVELS} numbers, got {len(levels)}")
        if dims not in _CONV:
            raise ValueError(f"dims must be 1 or 2, got {dims!r}")
        self.channels, self.dims, self.factor = channels, dims, 2 ** (len(levels) - 1)
        features, conv = 2 * width, _CONV[dims]

        def block(into: int, out: int) -> Block:
            return Block(into, out, features, dims, _share(dropout))

        self.time = TimeFeatures(features)
        self.first = conv(channels, levels[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        h = levels[0]
        for level in levels:
            self.down.append(
                nn.ModuleList(block(h if i == 0 else level, level) for i in range(blocks))
            )
            h = level
        self.attention = Attention(h) if attention else nn.Identity()
        self.middle = block(h, h)
        for level in reversed(levels):
            self.up.append(
                nn.ModuleList(block(h + level if i == 0 else level, level) for i in range(blocks))
            )
            h = level
        self.last_norm, self.last = _norm(h), _zero(conv(h, channels, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Output for states (B, channels, *space) at times (B,), of the same shape."""
        space = x.shape[2:]
        if x.shape[1:2] != (self.channels,) or len(space) != self.dims:
            got, rule = tuple(x.shape), f"have {self.channels} channels and {self.dims} axes"
            raise ValueError(f"x must {rule} a sample, got shape {got}")
        if any(size % self.factor for size in space):
            raise ValueError(f"x must have sides divisible by {self.factor}, got {tuple(space)}")
        features, h, kept = self.time(time), self.first(x), []
        for i, level in enumerate(self.down):
            h = _halved(h) if i else h
            for block in level:  # type: ignore[attr-defined]
                h = block(h, features)
            kept.append(h)
        h = self.middle(self.attention(h), features)
        for i, level in enumerate(self.up):
            h = functional.interpolate(h, scale_factor=2.0, mode="nearest") if i else h
            h = torch.cat([h, kept.pop()], dim=1)
            for block in level:  # type: ignore[attr-defined]
                h = block(h, features)
        out: Tensor = self.last(functional.silu(self.last_norm(h)))
        return out


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"mlp": MLP, "unet": SmallUNet}
_CONV: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d}


def build_network(arch: Mapping[str, Any]) -> nn.Module:
    """The network of a description, e.g. {"name": "mlp", "dim": 2, "width": 64, "depth": 3}.

    Raises:
        ValueError: An unknown name or argument, or one of a wrong kind or size.
    """
    options = dict(arch)
    name = one_of("network", str(options.pop("name", None)), ARCHITECTURES)
    for key, value in options.items():
        one_of(f"option of {name}", key, inspect.signature(ARCHITECTURES[name]).parameters)
        if not isinstance(value, int | float | bool | list | tuple):
            raise ValueError(f"{key} must be a number or a list of them, got {value!r:.40}")
    try:
        network = ARCHITECTURES[name](**options)
        # This layout is a sixth faster on CPU cores.
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"network must have good options, got {error!s:.200}") from None


def _halved(x: Tensor) -> Tensor:
    """Means over two neighbours per axis."""
    return functional.avg_pool1d(x, 2) if x.ndim == 3 else functional.avg_pool2d(x, 2)


def _norm(width: int) -> nn.Module:
    return nn.GroupNorm(width // GROUP if width % GROUP == 0 else 1, width)


def _zero(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _share(dropout: float) -> float:
    if not (isinstance(dropout, int | float) and 0.0 <= dropout < 1.0):
        raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")
    return float(dropout)


def _sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        whole(name, size, 1, MOST_WIDTH)
