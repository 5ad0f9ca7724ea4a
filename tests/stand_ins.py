"""Stand-ins for the networks of features: a TorchScript Inception and a Dinov2, tiny and random."""

import warnings
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn


class Mixed(nn.Module):
    """A convolution, then another beside it, as Inception's mixed_6 begins with one."""

    def __init__(self, fan: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(fan, 9, 1)
        self.tower = nn.Conv2d(fan, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The second convolution after a ReLU, plus the mean over channels of the first."""
        return self.tower(x).relu() + self.conv(x).mean(1, keepdim=True)


class StandIn(nn.Module):
    """The interface of inception-2015-12-05.pt."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, 8, 5, stride=16),
                pool0=nn.ReLU(),
                mixed=nn.Conv2d(8, 8, 3),
                mixed_6=Mixed(8, features),
                pool2=nn.AdaptiveAvgPool2d(1),
            )
        )
        self.output = nn.Linear(features, classes)

    def forward(
        self, img: Tensor, return_features: bool = False, use_fp16: bool = False,
        no_output_bias: bool = False,
    ) -> Tensor:  # fmt: skip
        """Features, or class probabilities, of bytes (B, 3, h, w), resized to 299 x 299."""
        h, w = img.shape[2], img.shape[3]
        theta = torch.eye(2, 3, device=img.device)
        theta[0, 2] += 1.0 / w - 1.0 / 299
        theta[1, 2] += 1.0 / h - 1.0 / 299
        grid = nn.functional.affine_grid(
            theta.unsqueeze(0).repeat(img.shape[0], 1, 1), [img.shape[0], 3, 299, 299], False
        )
        x = nn.functional.grid_sample(img.float(), grid, "bilinear", "border", False)
        features = self.layers((x - 128.0) / 128.0).flatten(1)
        if return_features:
            return features
        logits = nn.functional.linear(features, self.output.weight)
        return (logits if no_output_bias else logits + self.output.bias).softmax(1)


class Plain(nn.Module):
    """A network without layers that returns features only."""

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        """Means of the colours."""
        return img.float().mean((2, 3))


def script(path: Path, module: nn.Module) -> Path:
    """Write a module as TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.*", DeprecationWarning)
        torch.jit.save(torch.jit.script(module.eval()), str(path))
    return path


def write_inception(path: Path, features: int = 32, classes: int = 10) -> Path:
    """The stand-in, random but the same at every call."""
    torch.manual_seed(7)
    return script(path, StandIn(features, classes))


def write_dino(folder: Path, width: int = 16, side: int = 70) -> Path:
    """A Dinov2 of two layers for a grid of side / 14 patches, as transformers saves it."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(8)
    config = Dinov2Config(
        hidden_size=width, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2,
        image_size=side, patch_size=14,
    )  # fmt: skip
    Dinov2Model(config).save_pretrained(folder, safe_serialization=True)
    return folder
