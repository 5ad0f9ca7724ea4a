"""Inception's features for FID, sFID and the Inception score, from the published TorchScript.

The file inception-2015-12-05.pt is a translation of the network of the original scores.
net(images, return_features=True) gives the 2048 features for FID. net(images, no_output_bias=True)
gives the class probabilities of the Inception score, whose original has no bias in its softmax.
sFID (Nash et al. 2021; ADM's evaluator) takes the first 7 channels of the 17 x 17 output of
mixed_6's first convolution. The file has this layer but does not return its output. It is therefore
computed layer by layer, after the file's own resizing, and only if all layers called in this way
reproduce the features that the file returns.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.networks.published.checkpoints import verify
from theory.reading import naming

SIDE, CENTRE = 299, 128.0  # input of the layers: 299 x 299 pixels, (x - 128) / 128
SPATIAL_CHANNELS = 7
SPATIAL_LAYER = "mixed_6"
AGREES = 1e-3  # largest difference of features, by layers and by the file, over the largest
TRIAL = 2, 3, 32, 32  # shape of the trial images when the file is loaded


class Inception:
    """Features of images of bytes (B, C, h, w), C 1 or 3, as named tensors (B, d), float32.

    Attributes:
        missing: The reason for each of "probabilities" and "spatial" that is not available.
    """

    def __init__(self, network: Any, device: torch.device) -> None:
        self.network, self.device = network, device
        self.missing: dict[str, str] = {}
        made = torch.Generator().manual_seed(0)
        trial = torch.randint(0, 256, TRIAL, generator=made, dtype=torch.uint8).to(device)
        with torch.no_grad():
            features = self._pooled(trial)
            self._find_probabilities(trial)
            self._find_spatial(trial, features)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Inception features, and probabilities and spatial features if they are available."""
        x = coloured(images)
        answer = {"inception": self._pooled(x)}
        if "probabilities" not in self.missing:
            answer["probabilities"] = self._called(x, no_output_bias=True)
        if "spatial" not in self.missing:
            answer["spatial"] = self._spatial(x)
        return answer

    def _pooled(self, x: Tensor) -> Tensor:
        found = self._called(x, return_features=True)
        if found.ndim != 2 or len(found) != len(x) or not bool(torch.isfinite(found).all()):
            shape = tuple(found.shape)
            raise ValueError(f"the network must answer with {len(x)} finite rows, got {shape}")
        return found

    def _called(self, x: Tensor, **keywords: bool) -> Tensor:
        found = self.network(x, **keywords)
        if not isinstance(found, Tensor):
            raise ValueError(f"the network must answer with a tensor, got {type(found).__name__}")
        return found.float()

    def _find_probabilities(self, trial: Tensor) -> None:
        try:
            found = self._called(trial, no_output_bias=True)
        except (RuntimeError, TypeError, ValueError) as error:
            self.missing["probabilities"] = f"the Inception file has none: {_line(error)}"
            return
        sums = found.sum(dim=1) if found.ndim == 2 else torch.zeros(1, device=trial.device)
        if not bool(torch.isfinite(found).all()) or float((sums - 1.0).abs().max()) > AGREES:
            self.missing["probabilities"] = "the Inception file's do not sum to 1"

    def _find_spatial(self, trial: Tensor, features: Tensor) -> None:
        try:
            spatial, h = self._spatial(trial), resized(trial)
            for _, layer in self.network.layers.named_children():
                h = layer(h)
        except (RuntimeError, TypeError, AttributeError) as error:
            self.missing["spatial"] = f"the Inception file has no {SPATIAL_LAYER}: {_line(error)}"
            return
        found, scale = h.float().flatten(1), float(features.abs().max())
        if found.shape != features.shape or float((found - features).abs().max()) > AGREES * scale:
            self.missing["spatial"] = "the Inception file's layers do not repeat its features"
        elif not bool(torch.isfinite(spatial).all()):
            self.missing["spatial"] = "the Inception file's spatial features are not finite"

    def _spatial(self, x: Tensor) -> Tensor:
        h = resized(x)
        for name, layer in self.network.layers.named_children():
            if name == SPATIAL_LAYER:
                found: Tensor = layer.conv(h)[:, :SPATIAL_CHANNELS].float().flatten(1)
                return found
            h = layer(h)
        raise AttributeError("not among its layers")


def load_inception(
    path: str | Path,
    *,
    sha256: str | None = None,
    trust: bool = False,
    device: torch.device | str = "cpu",
) -> Inception:
    """The network in the TorchScript file. The file is code, which runs on loading and calling.

    Args:
        path: The file, such as inception-2015-12-05.pt.
        sha256: Hexadecimal digest that the file must have.
        trust: Whether to load it without a digest.
        device: Device on which the network is placed.

    Raises:
        ValueError: Neither digest nor trust is given, or the file is another; one line.
    """
    with naming(path):
        if sha256 is None and not trust:
            raise ValueError("TorchScript must come with inception_sha256 or trust, got neither")
        try:
            content = io.BytesIO(Path(path).read_bytes())  # read once: the verified bytes run
        except OSError as error:
            raise ValueError(f"the file must be readable, got {error.strerror}") from None
        if sha256 is not None:
            verify(content, sha256)
        try:
            with warnings.catch_warnings():
                # Torch deprecates TorchScript, the format of the published file.
                warnings.filterwarnings("ignore", ".*torch.jit.*", DeprecationWarning)
                warnings.filterwarnings("ignore", ".*torch.jit.*", FutureWarning)
                network = torch.jit.load(content, map_location=device).eval()  # type: ignore[no-untyped-call]
            return Inception(network, torch.device(device))
        except (RuntimeError, TypeError, AttributeError, ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"the file must be TorchScript of Inception, got {_line(error):.160}"
            ) from None


def coloured(images: Tensor) -> Tensor:
    """Images of bytes (B, 3, h, w), with the channel of grey images repeated.

    Raises:
        ValueError: They are not images of bytes.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        got = f"{images.dtype} of shape {tuple(images.shape)}"
        raise ValueError(f"images must be bytes of shape (B, 1 or 3, h, w), got {got}")
    return images if images.shape[1] == 3 else images.repeat(1, 3, 1, 1)


def resized(images: Tensor) -> Tensor:
    """The layers' input (x - 128) / 128: bilinear, pixel i of 299 at i w / 299, corners kept."""
    b, channels, height, width = images.shape
    theta = torch.eye(2, 3, device=images.device)
    theta[0, 2], theta[1, 2] = 1.0 / width - 1.0 / SIDE, 1.0 / height - 1.0 / SIDE
    grid = functional.affine_grid(theta.expand(b, 2, 3), [b, channels, SIDE, SIDE], False)
    x = functional.grid_sample(images.float(), grid, "bilinear", "border", False)
    return (x - CENTRE) / CENTRE


def _line(error: BaseException) -> str:
    """The end of an error's text on one line, where TorchScript states the reason."""
    lines = [line for line in str(error).splitlines() if line.strip(" ~^<-.")]
    return " ".join(lines[-1].split())[:120] if lines else type(error).__name__
