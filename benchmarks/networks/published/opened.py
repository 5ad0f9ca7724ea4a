"""Published files as networks ready to be called: precision, memory layout, latents, pixels.

The authors' rules (docs/papers/networks.md, Preconditioning and sampling): EDM2's networks and
EDM's ImageNet network compute in float16 on a GPU, EDM's others in float32. On the CPU all compute
in float32. EDM2's states are float32, EDM's float64.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.networks.adapters import Predictor
from benchmarks.networks.network import PRECISIONS, Network, weights_hash
from benchmarks.networks.noise import normals
from benchmarks.networks.published.checkpoints import load_network
from benchmarks.networks.published.edm import Edm
from benchmarks.networks.published.edm2 import SIGMA_DATA, Edm2
from theory.noise.processes import PROCESSES

RAW_MEAN, RAW_STD = (5.81, 3.25, 0.12, -2.15), (4.17, 4.62, 3.71, 3.28)
LATENT_CHANNELS, LATENT_STD = 4, 0.5


def open_official(
    path: str,
    device: torch.device,
    precision: str | None = None,
    sha256: str | None = None,
    vae: str | None = None,
    compiled: bool = False,
) -> Network:
    """The network of a published file; see `checkpoints.load_network`.

    Args:
        path: Path of the file.
        device: Device on which the network is placed.
        precision: Precision inside it: float32, bfloat16 or float16. Default: the authors' rule.
        sha256: Digest that the file must have, or None.
        vae: Folder of the autoencoder for a network of latents. Without it there are no images.
        compiled: Whether to compile the network, which takes a minute at the first call.
    """
    if compiled and device.type != "cuda":
        raise ValueError(f"compile must come with a CUDA device, got {device.type}")
    made = load_network(path, sha256)
    dtype = authors_dtype(made, device) if precision is None else PRECISIONS[precision]
    dtype = dtype or torch.float32
    made = made.to(device)
    if isinstance(made, Edm2):
        made, states = made.settle(dtype), torch.float32
    else:
        made, states = made.to(dtype, memory_format=torch.channels_last), torch.float64  # type: ignore[call-overload]
    called: Callable[..., Any] = torch.compile(made, dynamic=False) if compiled else made
    latents = None
    if made.shape[0] == LATENT_CHANNELS and vae is not None:
        from benchmarks.networks.diffusers_folders import load_autoencoder  # it takes seconds

        latents = Latents(load_autoencoder(vae, device))
    elif vae is not None:
        raise ValueError(f"vae must come with a network of latents, got one of {made.shape}")
    ends = PROCESSES["edm"].sigma_min, PROCESSES["edm"].sigma_max
    return Network(
        Predictor(_ChannelsLast(called), "edm", sigma_data=SIGMA_DATA, dtype=dtype),
        path,
        made.shape,
        *ends,
        condition="class_labels" if made.classes else None,
        encode=None if latents is None else latents.encode,
        weights=weights_hash([Path(path)]),
        classes=made.classes or None,
        pixels=None if latents is None else latents.pixels,
        dtype=states,
    )


def authors_dtype(network: Edm2 | Edm, device: torch.device) -> torch.dtype:
    """The precision in which the authors' networks compute on this device."""
    is_half = isinstance(network, Edm2) or network.model.layout.kind == "adm"
    return torch.float16 if is_half and device.type == "cuda" else torch.float32


class _ChannelsLast:
    """A network that is given its input with the channels last in memory, for tensor cores."""

    def __init__(self, network: Callable[..., Any]) -> None:
        self.network = network

    def __call__(self, x: Tensor, time: Tensor, **condition: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        out: Tensor = self.network(x, time, **condition)
        return out


class Latents:
    """EDM2's latents of Stable Diffusion's autoencoder (docs/papers/networks.md, Constants).

    The autoencoder is given images in [0, 1]. Latents are drawn from the encoder's normal law, as
    in training. The noise is a function of the image's own bytes.
    """

    def __init__(self, autoencoder: Any) -> None:
        self.autoencoder = autoencoder

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Latents (B, 4, h/8, w/8) of images (B, 3, h, w) in [-1, 1], or of EDM2's raw latents.

        Raw latents are the encoder's mean and standard deviation, (B, 8, h/8, w/8).
        """
        if images.shape[1] == 2 * LATENT_CHANNELS:
            mean, std = images.to(torch.float32).chunk(2, dim=1)
        else:
            law = self.autoencoder.encode((images.to(torch.float32) + 1.0) / 2.0).latent_dist
            mean, std = law.mean, law.std
        noise = normals(0, _own_paths(images).to(mean.device), 0, tuple(mean.shape[1:]), mean.dtype)
        centre, spread = self._moments(mean)
        return (mean + std * noise - centre) * (LATENT_STD / spread)

    @torch.no_grad()
    def pixels(self, latents: Tensor) -> Tensor:
        """Images of bytes, (B, 3, 8 h, 8 w)."""
        centre, spread = self._moments(latents)
        raw = latents.to(torch.float32) * (spread / LATENT_STD) + centre
        out: Tensor = self.autoencoder.decode(raw).sample.clamp(0.0, 1.0) * 255.0
        return out.to(torch.uint8)

    @staticmethod
    def _moments(like: Tensor) -> tuple[Tensor, Tensor]:
        values = torch.tensor((RAW_MEAN, RAW_STD), device=like.device)
        centre, spread = values[:, None, :, None, None]
        return centre, spread


def _own_paths(images: Tensor) -> Tensor:
    """A path number for the noise of every image, computed from its bytes."""
    rows = images.detach().to("cpu", torch.float32).contiguous().numpy()
    digests = [hashlib.sha256(row.tobytes()).digest()[:7] for row in rows]
    return torch.tensor([int.from_bytes(digest, "little") for digest in digests])
