"""Tiny networks in the published formats, for tests."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.networks.published.edm import Edm, Layout
from benchmarks.networks.published.edm2 import Edm2

CLASSES, SIDE = 5, 8


def tiny_edm2(channels: int = 3, classes: int = CLASSES) -> Edm2:
    """Two levels, one block each, random weights and gains that let the blocks act."""
    torch.manual_seed(0)
    made = Edm2(SIDE, channels, classes, 64, multipliers=(1, 2), blocks=1, attend=(4,))
    with torch.no_grad():
        for name, value in made.named_parameters():
            if name.endswith("gain"):
                value.fill_(0.5)
    return made


def tiny_edm() -> Edm:
    """The same for DDPM++, without labels."""
    torch.manual_seed(0)
    return Edm(Layout("ddpmpp", SIDE, 0, 16, (1, 2), 1, (4,)))


def write_network(path: Path, network: torch.nn.Module) -> str:
    """Write its state dict as safetensors and return the path."""
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    return str(path)
