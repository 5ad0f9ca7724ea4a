"""EDM's networks, DDPM++ and ADM (Karras et al. 2022).

They follow docs/papers/networks.md, EDM's networks.

Parameter names are those of the published files, with the prefix `model.`. `Edm` is the raw network
F(c_in x, c_noise). `benchmarks.networks.adapters.Predictor` with target "edm" makes it a denoiser.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from theory.checks import one_of

GROUPS, LEAST_GROUP = 32, 4  # most groups of GroupNorm, fewest channels per group
AUGMENTATIONS = 9  # labels of the augmentation in training, 0 in sampling


@dataclass(frozen=True)
class Layout:
    """The sizes of a network.

    Args:
        kind: "ddpmpp" or "adm".
        resolution: Side of the images, in pixels.
        classes: Number of labels, 0 for none.
        width: Channels of the first level divided by its multiplier.
        multipliers: Channels of every level divided by the width.
        blocks: Blocks per encoder level. Decoder levels have one more.
        attend: Sides of the levels with attention.
    """

    kind: str
    resolution: int
    classes: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attend: tuple[int, ...]

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("ddpmpp", "adm"))


LAYOUTS = {
    "cifar10": Layout("ddpmpp", 32, 0, 128, (2, 2, 2), 4, (16,)),
    "ffhq64": Layout("ddpmpp", 64, 0, 128, (1, 2, 2, 2), 4, (16,)),
    "imagenet64": Layout("adm", 64, 1000, 192, (1, 2, 3, 4), 3, (32, 16, 8)),
}


class GroupNorm(nn.GroupNorm):
    """GroupNorm of min(32, C / 4) groups, in the dtype of the input."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__(min(GROUPS, channels // LEAST_GROUP), channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        """The normalised x (B, channels, H, W)."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return functional.group_norm(x, self.num_groups, weight, bias, self.eps)


class Conv(nn.Module):
    """A convolution with bias (none for kernel 0) after resampling by the filter [1, 1].

    Halving takes means of 2 x 2 pixels and doubling repeats pixels. This equals the normalised
    filter, and four times it. The buffer of the filter exists only because the files have it.
    """

    resample_filter: Tensor
    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, fan: int, out: int, kernel: int, resample: str = "") -> None:
        super().__init__()
        self.resample = resample
        self.weight = self.bias = None
        if kernel:
            bound = 1.0 / math.sqrt(fan * kernel * kernel)
            self.weight = nn.Parameter(bound * torch.randn(out, fan, kernel, kernel))
            self.bias = nn.Parameter(torch.zeros(out))
        if resample:
            self.register_buffer("resample_filter", torch.full((1, 1, 2, 2), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """Output for x (B, fan, H, W)."""
        if self.resample == "down":
            x = functional.avg_pool2d(x, 2)
        elif self.resample == "up":
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        if self.weight is None:
            return x
        weight, bias = self.weight.to(x.dtype), self.bias
        assert bias is not None
        return functional.conv2d(x, weight, bias.to(x.dtype), padding=weight.shape[-1] // 2)


class Linear(nn.Linear):
    """A linear map in the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Output for x (B, fan)."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return functional.linear(x, self.weight.to(x.dtype), bias)


class Block(nn.Module):
    """Residual block, including attention (docs/papers/networks.md, EDM's networks)."""

    def __init__(
        self, fan: int, out: int, embedding: int, layout: Layout, *,
        attend: bool = False, resample: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        adm = layout.kind == "adm"
        eps = 1e-5 if adm else 1e-6
        self.adm, self.scale = adm, 1.0 if adm else math.sqrt(0.5)
        self.heads = out // 64 if adm else 1
        self.norm0 = GroupNorm(fan, eps)
        self.conv0 = Conv(fan, out, 3, resample)
        self.affine = Linear(embedding, 2 * out if adm else out)
        self.norm1 = GroupNorm(out, eps)
        self.conv1 = Conv(out, out, 3)
        # Resampling without a change of channels has weights in DDPM++ and none in ADM.
        weighted = fan != out or (bool(resample) and not adm)
        self.skip = Conv(fan, out, int(weighted), resample) if weighted or resample else None
        if attend:
            self.norm2 = GroupNorm(out, eps)
            self.qkv, self.proj = Conv(out, 3 * out, 1), Conv(out, out, 1)
        self.attend = attend

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Output of the block; emb has shape (B, embedding)."""
        y = self.conv0(functional.silu(self.norm0(x)))
        shift = self.affine(emb)[:, :, None, None].to(y.dtype)
        if self.adm:
            gain, shift = shift.chunk(2, dim=1)
            y = functional.silu(torch.addcmul(shift, self.norm1(y), gain + 1.0))
        else:
            y = functional.silu(self.norm1(y + shift))
        y = self.conv1(y)
        x = (y + (x if self.skip is None else self.skip(x))) * self.scale
        if self.attend:
            x = (self.proj(self._attention(self.qkv(self.norm2(x)))) + x) * self.scale
        return x

    def _attention(self, qkv: Tensor) -> Tensor:
        """Attention over pixels; qkv has heads x C / heads x 3 channels, (q, k, v) fastest."""
        b, channels, height, width = qkv.shape
        parts = qkv.reshape(b, self.heads, channels // (3 * self.heads), 3, -1)
        q, k, v = (t.transpose(2, 3) for t in parts.unbind(3))
        out = functional.scaled_dot_product_attention(q, k, v)
        return out.transpose(2, 3).reshape(b, channels // 3, height, width)


def positional(time: Tensor, channels: int, kind: str) -> Tensor:
    """Sines and cosines of c_noise (B,), shape (B, channels), float32.

    DDPM++ has frequencies (1e-4)^(j / (C/2 - 1)), sines first. ADM has (1e-4)^(j / (C/2)), cosines
    first.
    """
    half = channels // 2
    j = torch.arange(half, dtype=torch.float32, device=time.device)
    angle = time.float().outer(1e-4 ** (j / (half - (kind == "ddpmpp"))))
    parts = [angle.sin(), angle.cos()] if kind == "ddpmpp" else [angle.cos(), angle.sin()]
    return torch.cat(parts, dim=1)


class UNet(nn.Module):
    """DDPM++ or ADM."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        adm, width = layout.kind == "adm", layout.width
        widths = [width * m for m in layout.multipliers]
        embedding = 4 * width
        self.map_augment = None if adm else Linear(AUGMENTATIONS, width, bias=False)
        self.map_layer0 = Linear(width, embedding)
        self.map_layer1 = Linear(embedding, embedding)
        self.map_label = None
        if layout.classes:
            self.map_label = Linear(layout.classes, embedding if adm else width, bias=not adm)
        self.enc = nn.ModuleDict()
        skips, out = [], 3
        for level, wide in enumerate(widths):
            side = layout.resolution >> level
            if level == 0:
                self.enc[f"{side}x{side}_conv"] = Conv(out, width, 3)
                out = width
            else:
                self.enc[f"{side}x{side}_down"] = Block(
                    out, out, embedding, layout, resample="down"
                )
            skips.append(out)
            for i in range(layout.blocks):
                self.enc[f"{side}x{side}_block{i}"] = Block(
                    out, wide, embedding, layout, attend=side in layout.attend
                )
                out = wide
                skips.append(out)
        self.dec = nn.ModuleDict()
        for level, wide in reversed(list(enumerate(widths))):
            side = layout.resolution >> level
            if level == len(widths) - 1:
                for i in range(2):
                    self.dec[f"{side}x{side}_in{i}"] = Block(
                        out, out, embedding, layout, attend=i == 0
                    )
            else:
                self.dec[f"{side}x{side}_up"] = Block(out, out, embedding, layout, resample="up")
            for i in range(layout.blocks + 1):
                attend = side in layout.attend and (adm or i == layout.blocks)
                self.dec[f"{side}x{side}_block{i}"] = Block(
                    out + skips.pop(), wide, embedding, layout, attend=attend
                )
                out = wide
        if adm:
            self.out_norm, self.out_conv = GroupNorm(out, 1e-5), Conv(out, 3, 3)
        else:
            side = layout.resolution
            self.dec[f"{side}x{side}_aux_norm"] = GroupNorm(out, 1e-6)
            self.dec[f"{side}x{side}_aux_conv"] = Conv(out, 3, 3)

    def embed(self, time: Tensor, labels: Tensor | None) -> Tensor:
        """Embedding of c_noise (B,) and of labels, as integers (B,) or as rows (B, classes)."""
        emb = positional(time, self.layout.width, self.layout.kind)
        if self.layout.kind == "ddpmpp":
            emb = emb + self._labelled(emb, labels, math.sqrt(self.layout.classes))
            return functional.silu(self.map_layer1(functional.silu(self.map_layer0(emb))))
        emb = self.map_layer1(functional.silu(self.map_layer0(emb)))
        return functional.silu(emb + self._labelled(emb, labels, 1.0))

    def _labelled(self, emb: Tensor, labels: Tensor | None, scale: float) -> Tensor | float:
        """The contribution of the labels to the embedding; missing labels are zeros."""
        if self.map_label is None:
            return 0.0
        if labels is None:
            labels = emb.new_zeros(1, self.layout.classes)
        elif not labels.dtype.is_floating_point:
            labels = functional.one_hot(labels, self.layout.classes)
        found: Tensor = self.map_label(scale * labels.to(emb.dtype))
        return found

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of x (B, 3, side, side), in the dtype of x."""
        emb = self.embed(time, labels)
        skips = []
        for block in self.enc.values():
            x = block(x, emb) if isinstance(block, Block) else block(x)
            skips.append(x)
        for name, block in self.dec.items():
            if isinstance(block, Block):
                x = block(torch.cat([x, skips.pop()], dim=1) if "block" in name else x, emb)
            elif isinstance(block, nn.GroupNorm):
                x = functional.silu(block(x))
            else:
                x = block(x)
        if self.layout.kind == "adm":
            x = self.out_conv(functional.silu(self.out_norm(x)))
        return x


class Edm(nn.Module):
    """The network of the published files.

    Args:
        layout: Its sizes, one of LAYOUTS or a user's own.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.shape = (3, layout.resolution, layout.resolution)
        self.classes = layout.classes
        self.model = UNet(layout)

    def forward(self, x: Tensor, time: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """F(c_in x, c_noise): shape (B, 3, side, side), dtype of x."""
        out: Tensor = self.model(x, time, class_labels)
        return out
