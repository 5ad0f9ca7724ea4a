"""DINOv2's features for FD-DINOv2 (Stein et al. 2023), from a local folder of transformers.

Images are resized to 224 x 224 (bicubic, with antialiasing) and normalised by ImageNet's mean and
std. The feature is the class token after the last layer norm. The trained position embeddings are a
grid of 37 x 37 patches, of which 224 pixels need 16 x 16. The code of torch's hub, by which the
published references were made, interpolates by the scale (16 + 0.1) / 37, and transformers by the
target size. The two differ by several per cent.
"""

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.imagenet.inception import coloured
from theory.checks import one_of
from theory.reading import naming, read_text

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OFFSET = 0.1  # in patches, added by the hub's code before the division
POSITIONS = ("hub", "transformers")


class Dino:
    """Features of images of bytes (B, C, h, w), C 1 or 3, as {"dinov2": (B, width)}, float32."""

    def __init__(self, model: Any, device: torch.device, dtype: torch.dtype) -> None:
        self.model, self.device, self.dtype = model, device, dtype

    @torch.no_grad()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """The class tokens."""
        x = prepared(coloured(images)).to(self.dtype)
        return {"dinov2": self.model(pixel_values=x).last_hidden_state[:, 0].float()}


def load_dino(
    folder: str | Path,
    *,
    positions: str = "hub",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Dino:
    """The network in a folder saved by transformers, with embeddings for 224 x 224 pixels.

    Only the class Dinov2Model is created, from safetensors. Nothing is downloaded or executed.

    Args:
        folder: Folder with config.json and model.safetensors, such as facebook/dinov2-large.
        positions: How position embeddings are interpolated, "hub" or "transformers".
        device: Device on which the network is placed.
        dtype: Dtype of the network.

    Raises:
        ValueError: The folder has something else in it; one line starting with the folder.
    """
    one_of("dino_positions", positions, POSITIONS)
    place = Path(folder)
    with naming(folder):
        if '"dinov2"' not in read_text(place / "config.json"):
            raise ValueError("config.json must be of model_type dinov2, got another")
        if not any(place.glob("model*.safetensors")):
            raise ValueError("weights must be in model.safetensors, got none")
        model = _loaded(place).to(device, dtype).eval().requires_grad_(False)
        grid, patch = model.embeddings.position_embeddings, model.config.patch_size
        if not isinstance(patch, int) or SIDE % patch or model.config.num_channels != 3:
            raise ValueError(f"patch_size must be a divisor of {SIDE}, got {patch}")
        if positions == "hub":
            found = hub_positions(grid, SIDE // patch)
            model.embeddings.position_embeddings = nn.Parameter(found, requires_grad=False)
    return Dino(model, torch.device(device), dtype)


def hub_positions(embeddings: Tensor, n: int) -> Tensor:
    """Embeddings (1, 1 + m^2, d) of an m x m grid for n x n patches, by the hub's scale.

    The interpolation is bicubic by (n + 0.1) / m, and this scale itself determines the sampling
    points. The embeddings are unchanged for m = n.
    """
    m = math.isqrt(embeddings.shape[1] - 1)
    if m * m != embeddings.shape[1] - 1:
        raise ValueError(f"position_embeddings must be of a square grid, got {m * m + 1} of them")
    if m == n:
        return embeddings
    first, grid = embeddings[:, :1], embeddings[:, 1:].float()
    scale = (n + OFFSET) / m
    square = grid.reshape(1, m, m, -1).permute(0, 3, 1, 2)
    found = functional.interpolate(
        square, scale_factor=(scale, scale), mode="bicubic", recompute_scale_factor=False
    )
    if found.shape[2:] != (n, n):
        raise ValueError(f"position_embeddings must give {n} x {n}, got {tuple(found.shape[2:])}")
    rows = found.permute(0, 2, 3, 1).reshape(1, n * n, -1).to(first.dtype)
    return torch.cat([first, rows], dim=1)


def prepared(images: Tensor) -> Tensor:
    """The network's input, (B, 3, 224, 224), float32."""
    x = functional.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", antialias=True)
    mean, std = (torch.tensor(v, device=x.device).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    return (x / 255.0 - mean) / std


def _loaded(place: Path) -> Any:
    """The model with all its weights."""
    from transformers import Dinov2Model
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        loaded: Any = Dinov2Model.from_pretrained(
            os.fspath(place), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    # A constructor can raise anything when the config comes from others.
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip():.200}".splitlines()[0]
        raise ValueError(f"the folder must hold a Dinov2 that loads, got {reason}") from error
    model, report = loaded
    for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(str(n) for n in report.get(fault) or () if "mask_token" not in str(n))
        if names:
            raise ValueError(
                f"weights must be those of config.json, got {fault.replace('_', ' ')}: {names[0]}"
            )
    return model
