"""EDM2's network (Karras et al. 2024), after docs/papers/networks.md, Constants to Preconditioning.

Parameter names are those of the published files. `Edm2` is the raw network F(c_in x, c_noise).
`benchmarks.networks.adapters.Predictor` with target "edm" makes it a denoiser.
"""

import math

import torch
from torch import Tensor, nn

from benchmarks.networks.published.magnitude import (
    HEAD,
    MPConv,
    MPFourier,
    attention,
    mp_cat,
    mp_silu,
    mp_sum,
    normalized,
)
from theory.checks import one_of, whole

SIZES = {"xs": 128, "s": 192, "m": 256, "l": 320, "xl": 384, "xxl": 448}
MULTIPLIERS, BLOCKS = (1, 2, 3, 4), 3
ATTENTION = (16, 8)
CLIP, RESIDUAL, LOGVAR = 256.0, 0.3, 128
SIGMA_DATA = 0.5


class Block(nn.Module):
    """Residual block of encoder or decoder, with attention (docs/papers/networks.md, Block)."""

    def __init__(
        self, fan: int, out: int, embedding: int, *, decoder: bool, attend: bool, resample: str = ""
    ) -> None:
        super().__init__()
        self.decoder, self.resample = decoder, resample
        self.emb_gain = nn.Parameter(torch.zeros([]))
        self.conv_res0 = MPConv(fan if decoder else out, out, (3, 3))
        self.emb_linear = MPConv(embedding, out)
        self.conv_res1 = MPConv(out, out, (3, 3))
        self.conv_skip = MPConv(fan, out, (1, 1)) if fan != out else None
        self.attn_qkv = MPConv(out, 3 * out, (1, 1)) if attend else None
        self.attn_proj = MPConv(out, out, (1, 1)) if attend else None

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Output of the block; emb has shape (B, embedding)."""
        if self.resample == "down":
            x = nn.functional.avg_pool2d(x, 2)
        elif self.resample == "up":
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        if not self.decoder:
            x = x if self.conv_skip is None else self.conv_skip(x)
            x = normalized(x, (1,))
        y = self.conv_res0(mp_silu(x))
        scale = self.emb_linear(emb, self.emb_gain) + 1.0
        y = self.conv_res1(mp_silu(y * scale[:, :, None, None].to(y.dtype)))
        if self.decoder and self.conv_skip is not None:
            x = self.conv_skip(x)
        x = mp_sum(x, y, RESIDUAL)
        if self.attn_qkv is not None and self.attn_proj is not None:
            y = attention(self.attn_qkv(x), self.attn_qkv.ready is not None)
            x = mp_sum(x, self.attn_proj(y), RESIDUAL)
        return x.clamp(-CLIP, CLIP)

    def settle(self, dtype: torch.dtype) -> None:
        """Compute the weights once for all calls, in this dtype (float32 for the embedding)."""
        for conv in (self.conv_res0, self.conv_res1, self.conv_skip, self.attn_proj):
            if conv is not None:
                conv.settle(dtype)
        self.emb_linear.settle(torch.float32, self.emb_gain)
        if self.attn_qkv is not None:
            self.attn_qkv.settle(dtype)
            assert self.attn_qkv.ready is not None
            rows = torch.arange(self.attn_qkv.ready.shape[0], device=self.attn_qkv.ready.device)
            order = rows.reshape(-1, HEAD, 3).permute(2, 0, 1).flatten()
            self.attn_qkv.ready = self.attn_qkv.ready[order].contiguous()


class UNet(nn.Module):
    """EDM2's U-Net; for wiring and names see docs/papers/networks.md, Wiring."""

    def __init__(
        self,
        resolution: int,
        channels: int,
        classes: int,
        width: int,
        *,
        multipliers: tuple[int, ...] = MULTIPLIERS,
        blocks: int = BLOCKS,
        attend: tuple[int, ...] = ATTENTION,
    ) -> None:
        super().__init__()
        widths = [width * m for m in multipliers]
        embedding = max(widths)
        self.classes = classes
        self.emb_fourier = MPFourier(widths[0])
        self.emb_noise = MPConv(widths[0], embedding)
        self.emb_label = MPConv(classes, embedding) if classes else None
        self.enc = nn.ModuleDict()
        skips, out = [], channels + 1
        for level, wide in enumerate(widths):
            side = resolution >> level
            if level == 0:
                self.enc[f"{side}x{side}_conv"] = MPConv(out, wide, (3, 3))
                out = wide
            else:
                self.enc[f"{side}x{side}_down"] = Block(
                    out, out, embedding, decoder=False, attend=False, resample="down"
                )
            skips.append(out)
            for i in range(blocks):
                self.enc[f"{side}x{side}_block{i}"] = Block(
                    out, wide, embedding, decoder=False, attend=side in attend
                )
                out = wide
                skips.append(out)
        self.dec = nn.ModuleDict()
        for level, wide in reversed(list(enumerate(widths))):
            side = resolution >> level
            if level == len(widths) - 1:
                for i in range(2):
                    self.dec[f"{side}x{side}_in{i}"] = Block(
                        out, out, embedding, decoder=True, attend=i == 0
                    )
            else:
                self.dec[f"{side}x{side}_up"] = Block(
                    out, out, embedding, decoder=True, attend=False, resample="up"
                )
            for i in range(blocks + 1):
                self.dec[f"{side}x{side}_block{i}"] = Block(
                    out + skips.pop(), wide, embedding, decoder=True, attend=side in attend
                )
                out = wide
        self.out_gain = nn.Parameter(torch.zeros([]))
        self.out_conv = MPConv(out, channels, (3, 3))

    def embed(self, time: Tensor, labels: Tensor | None) -> Tensor:
        """Embedding of c_noise (B,) and of labels, as integers (B,) or as rows (B, classes)."""
        emb: Tensor = self.emb_noise(self.emb_fourier(time))
        if self.emb_label is not None:
            if labels is None:
                rows = emb.new_zeros(1, self.classes)
            elif labels.dtype.is_floating_point:
                rows = labels.to(emb.dtype)
            else:
                rows = nn.functional.one_hot(labels, self.classes).to(emb.dtype)
            emb = mp_sum(emb, self.emb_label(rows * math.sqrt(self.classes)), 0.5)
        return mp_silu(emb)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of x (B, channels, side, side), in the dtype of x."""
        emb = self.embed(time, labels)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        skips = []
        for block in self.enc.values():
            x = block(x, emb) if isinstance(block, Block) else block(x)
            skips.append(x)
        for name, block in self.dec.items():
            x = block(mp_cat(x, skips.pop()) if "block" in name else x, emb)
        out: Tensor = self.out_conv(x, self.out_gain)
        return out

    def settle(self, dtype: torch.dtype) -> None:
        """Compute the weights once for all calls; see `MPConv.settle`."""
        self.emb_noise.settle(torch.float32)
        if self.emb_label is not None:
            self.emb_label.settle(torch.float32)
        for block in (*self.enc.values(), *self.dec.values()):
            assert isinstance(block, Block | MPConv)
            block.settle(dtype)
        self.out_conv.settle(dtype, self.out_gain)


class Edm2(nn.Module):
    """The network of the published files, including the branch for the loss's log-variance.

    Args:
        resolution: Side of the images or latents, in pixels.
        channels: Channels of the images or latents.
        classes: Number of labels, 0 for none.
        width: Channels of the first level, a value of SIZES in the published files.
        multipliers: Channels of every level divided by those of the first.
        blocks: Blocks per encoder level.
        attend: Sides of the levels with attention, whose channels must be multiples of 64.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        classes: int,
        width: int,
        *,
        multipliers: tuple[int, ...] = MULTIPLIERS,
        blocks: int = BLOCKS,
        attend: tuple[int, ...] = ATTENTION,
    ) -> None:
        super().__init__()
        self.shape = (channels, resolution, resolution)
        self.classes = classes
        self.unet = UNet(
            resolution, channels, classes, width,
            multipliers=multipliers, blocks=blocks, attend=attend,
        )  # fmt: skip
        self.logvar_fourier = MPFourier(LOGVAR)
        self.logvar_linear = MPConv(LOGVAR, 1)

    def forward(self, x: Tensor, time: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """F(c_in x, c_noise): shape (B, channels, side, side), dtype of x."""
        out: Tensor = self.unet(x, time, class_labels)
        return out

    def settle(self, dtype: torch.dtype) -> "Edm2":
        """Normalise all weights once, for inference in this dtype; returns self."""
        self.unet.settle(dtype)
        return self


def build(size: str, *, latents: bool = False, classes: int = 1000) -> Edm2:
    """An ImageNet network of a published size, with random weights.

    Args:
        size: "xs", "s", "m", "l", "xl" or "xxl".
        latents: Whether it is for ImageNet-512's latents, 4 channels, rather than 64 x 64 pixels.
        classes: 1000, or 0 for an unconditional network.
    """
    width = SIZES[one_of("size", size, SIZES)]
    return Edm2(64, 4 if latents else 3, whole("classes", classes, 0), width)
