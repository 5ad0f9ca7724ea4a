"""A denoiser with its description."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.networks.protocol import Denoiser
from theory.checks import one_of

PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Network:
    """A denoiser with its description.

    Args:
        denoiser: See `protocol.Denoiser`.
        spec: The network's name as the user gave it.
        shape: Shape of a sample of the denoiser, or None if only the data determine it.
        sigma_min: Lowest level that the network was trained for, in data units.
        sigma_max: Highest such level.
        condition: Name of the condition that it needs, or None.
        encode: Maps images to latents, or None.
        decode: Maps latents to images, or None.
        weights: Hash of the weights, or the spec itself for the user's own code.
        classes: Number of labels of a network with the condition "class_labels", or None.
        width: Width of the text embeddings (tokens, width) of a network with the condition
            "encoder_hidden_states", or None.
        pixels: Maps samples to images of bytes, (B, C, h, w). None for samples in [-1, 1], which
            follow the usual rule.
        dtype: Dtype of the states while sampling, as in the authors' program.
        unit_start: Whether sampling starts with variance 1 + sigma_max^2, as for networks trained
            in variance-preserving coordinates, rather than sigma_max^2.
    """

    denoiser: Denoiser
    spec: str
    shape: tuple[int, ...] | None
    sigma_min: float
    sigma_max: float
    condition: str | None = None
    encode: Callable[[Tensor], Tensor] | None = None
    decode: Callable[[Tensor], Tensor] | None = None
    weights: str = ""
    classes: int | None = None
    width: int | None = None
    pixels: Callable[[Tensor], Tensor] | None = None
    dtype: torch.dtype = torch.float64
    unit_start: bool = False

    def start_std(self, sigma_max: float) -> float:
        """Standard deviation of the initial noise at this highest level."""
        return math.hypot(1.0, sigma_max) if self.unit_start else sigma_max


def chosen_device(name: str) -> torch.device:
    """The device of this name, cpu or cuda; ValueError for cuda without a CUDA device."""
    one_of("device", name, ("cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device must be cpu where no CUDA device is available, got 'cuda'")
    return torch.device(name)


def check_embeddings(name: str, rows: Tensor, width: int | None) -> None:
    """Raise ValueError unless these are rows of text embeddings of this width."""
    if not rows.is_floating_point() or rows.ndim != 3 or rows.shape[2] != width:
        got = f"{rows.dtype} of shape {tuple(rows.shape)}"
        raise ValueError(f"{name} must be floats of shape (rows, tokens, {width}), got {got}")


def folder_hash(folder: str | Path) -> str:
    """Hash of the weights and configurations in a folder, at any depth."""
    found = (p for p in Path(folder).rglob("*") if p.suffix in (".safetensors", ".json"))
    return weights_hash(sorted(found))


def weights_hash(files: list[Path]) -> str:
    """Hash of the bytes of some files."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(2**22):
                digest.update(block)
    return digest.hexdigest()[:16]
