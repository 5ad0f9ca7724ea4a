"""The sizes of a network, inferred from the names and shapes of its tensors."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.networks.published.edm import Edm, Layout
from benchmarks.networks.published.edm2 import Edm2

BLOCK = re.compile(r"(?:unet|model)\.enc\.(\d+)x\1_block(\d+)\.")
AUGMENT = "model.map_augment.weight"
MOST_PARAMETERS = 4_000_000_000  # the largest published network has 1.5e9


def network_of(tensors: Mapping[str, Tensor]) -> Edm2 | Edm:
    """The network whose parameters and buffers are these tensors.

    Raises:
        ValueError: Names or shapes are not those of an EDM2 or EDM network, or there are too many
            numbers.
    """
    count = sum(tensor.numel() for tensor in tensors.values())
    if count > MOST_PARAMETERS:
        raise ValueError(f"tensors must have at most {MOST_PARAMETERS} numbers, got {count}")
    with torch.device("meta"):
        made: Edm2 | Edm = _edm2(tensors) if "unet.out_gain" in tensors else _edm(tensors)
    wanted = made.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise ValueError(f"tensors must include {name!r}, got {len(tensors)} others")
        if name not in wanted:
            raise ValueError(f"tensors must be those of the network, got {name!r} too")
        if tensors[name].shape != wanted[name].shape:
            shapes = tuple(wanted[name].shape), tuple(tensors[name].shape)
            raise ValueError(f"{name} must have shape {shapes[0]}, got {shapes[1]}")
        if not tensors[name].dtype.is_floating_point:
            raise ValueError(f"{name} must be floating-point numbers, got {tensors[name].dtype}")
        if not bool(torch.isfinite(tensors[name]).all()):
            raise ValueError(f"{name} must be finite, got numbers that are not")
    made.load_state_dict(dict(tensors), assign=True)
    return made.eval().requires_grad_(False)


def _edm2(tensors: Mapping[str, Tensor]) -> Edm2:
    sides, blocks = _levels(tensors)
    width = _shape(tensors, "unet.emb_fourier.freqs", 1)[0]
    channels = _shape(tensors, "unet.out_conv.weight", 4)[0]
    label = "unet.emb_label.weight"
    widths = [
        _shape(tensors, f"unet.enc.{n}x{n}_block{blocks - 1}.conv_res1.weight", 4)[0] for n in sides
    ]
    attend = [n for n in sides if f"unet.enc.{n}x{n}_block0.attn_qkv.weight" in tensors]
    return Edm2(
        sides[0],
        channels,
        _shape(tensors, label, 2)[1] if label in tensors else 0,
        width,
        multipliers=_multipliers(widths, width),
        blocks=blocks,
        attend=tuple(attend),
    )


def _edm(tensors: Mapping[str, Tensor]) -> Edm:
    adm = "model.out_conv.weight" in tensors
    if "model.map_noise.freqs" in tensors or any(
        ".enc." in name and "_aux_" in name for name in tensors
    ):
        raise ValueError("tensors must be those of DDPM++ or ADM, got those of NCSN++")
    if not adm and "model.map_layer0.weight" in tensors and AUGMENT not in tensors:
        raise ValueError("tensors must be those of training with augmentation, got augment=0")
    sides, blocks = _levels(tensors)
    label = "model.map_label.weight"
    width = _shape(tensors, "model.map_layer0.weight", 2)[1]
    widths = [
        _shape(tensors, f"model.enc.{n}x{n}_block{blocks - 1}.conv1.weight", 4)[0] for n in sides
    ]
    attend = [n for n in sides if f"model.enc.{n}x{n}_block0.qkv.weight" in tensors]
    return Edm(
        Layout(
            "adm" if adm else "ddpmpp",
            sides[0],
            _shape(tensors, label, 2)[1] if label in tensors else 0,
            width,
            _multipliers(widths, width),
            blocks,
            tuple(attend),
        )
    )


def _levels(tensors: Mapping[str, Tensor]) -> tuple[list[int], int]:
    """Sides of the levels, falling, and the number of blocks per encoder level."""
    found = [(int(m[1]), int(m[2])) for m in map(BLOCK.match, tensors) if m]
    if not found:
        raise ValueError("tensors must be those of an EDM2 or EDM network, got none of its blocks")
    sides = sorted({side for side, _ in found}, reverse=True)
    return sides, 1 + max(block for _, block in found)


def _shape(tensors: Mapping[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim != dims:
        raise ValueError(f"tensors must include {name!r} with {dims} dimensions")
    return tuple(tensors[name].shape)


def _multipliers(widths: list[int], width: int) -> tuple[int, ...]:
    if not width or any(w % width for w in widths):
        raise ValueError(f"widths of the levels must be multiples of {width}, got {widths}")
    return tuple(w // width for w in widths)
