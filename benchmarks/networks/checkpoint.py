"""Checkpoints of our small networks: weights as safetensors, with the architecture as JSON inside.

The metadata of the file have one entry, "entropic". It is JSON with the architecture (a name of
`small.ARCHITECTURES` and its options), sigma_data, the shape of a sample, and free facts. A
checkpoint is data, and reading it runs no code. A defective checkpoint raises ValueError, with one
line that starts with its path.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from benchmarks.networks.adapters import Predictor
from benchmarks.networks.small import build_network
from theory.checks import positive, whole
from theory.reading import StrPath, naming
from theory.writing import write_bytes

FILE = "checkpoint.safetensors"
FORMAT, ENTRY = "entropic network 1", "entropic"
MOST_NUMBERS = 10**9  # weights of a network; a description with more is refused


def write_checkpoint(
    path: StrPath,
    network: nn.Module,
    arch: Mapping[str, Any],
    sigma_data: float,
    shape: Sequence[int],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write a network's weights and what is needed to use it, replacing the file as a whole.

    Args:
        path: Path of the file.
        network: The trained result of `build_network(arch)`, on any device.
        arch: Description of the architecture.
        sigma_data: Standard deviation of the data in EDM's preconditioning, in data units.
        shape: Shape of a sample.
        facts: Further facts, of types that JSON has.
    """
    about = {
        "format": FORMAT,
        "arch": dict(arch),
        "target": "edm",
        "sigma_data": positive("sigma_data", sigma_data),
        "shape": [whole("shape", int(size), 1) for size in shape],
        "facts": dict(facts or {}),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    with naming(path):
        try:
            text = json.dumps(about, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"facts must be what JSON can hold, got {error}") from None
    write_bytes(path, save(tensors, metadata={ENTRY: text}))


def read_checkpoint(
    path: StrPath, device: str | torch.device = "cpu"
) -> tuple[Predictor, dict[str, Any]]:
    """The denoiser in a checkpoint, ready for use, and the description in the file.

    Args:
        path: The file, or a folder with a checkpoint.safetensors, such as that of a training run.
        device: Device on which the network is placed.

    Returns:
        The denoiser, and a dictionary with arch, sigma_data, shape (a tuple) and facts.

    Raises:
        ValueError: One line starting with the path.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    with naming(file):
        try:
            with safe_open(file, framework="pt", device="cpu") as stored:
                about = _about(stored.metadata())
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"the file must be whole safetensors, got {error}") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise ValueError(f"the file must be readable, got {reason:.120}") from None
        with torch.device("meta"):
            network = build_network(about["arch"])
        _check_tensors(network, tensors)
        network = build_network(about["arch"])
        network.load_state_dict(tensors)
        network = network.to(device).eval().requires_grad_(False)
    return Predictor(network, "edm", sigma_data=about["sigma_data"]), about


def is_checkpoint(path: StrPath) -> bool:
    """Whether a file is for `read_checkpoint` to read or refuse, not for the published reader."""
    try:
        with open(path, "rb") as file:
            start = file.read(2**16)
    except OSError:
        return True  # reading it raises the error
    if start[:2] == b"PK" or (start[:1] == b"\x80" and len(start) > 1 and start[1] < 6):
        return False  # an archive by torch, or a pickle
    return f'"{ENTRY}"'.encode() in start or b".enc." not in start


def _about(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """The description in a file's metadata, checked."""
    if not metadata or ENTRY not in metadata:
        names = ", ".join(metadata or {}) or "none"
        raise ValueError(f"the file must have metadata {ENTRY!r}, got {names:.80}")
    try:
        about = json.loads(metadata[ENTRY])
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"metadata must be valid JSON, got {error}") from None
    wanted = {"format": str, "arch": dict, "sigma_data": float, "shape": list, "facts": dict}
    wanted["target"] = str
    if not isinstance(about, dict) or set(about) != set(wanted):
        got = ", ".join(map(str, about)) if isinstance(about, dict) else type(about).__name__
        raise ValueError(f"metadata must have the keys {', '.join(wanted)}, got {got:.120}")
    for name, kind in wanted.items():
        if not isinstance(about[name], kind):
            raise ValueError(f"{name} must be of kind {kind.__name__}, got {about[name]!r:.40}")
    for name, value in (("format", FORMAT), ("target", "edm")):
        if about[name] != value:
            raise ValueError(f"{name} must be {value!r}, got {about[name]!r:.40}")
    positive("sigma_data", about["sigma_data"])
    about["shape"] = tuple(whole("shape", size, 1) for size in about["shape"])
    return about


def _check_tensors(network: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that are not exactly those of the network."""
    wanted = network.state_dict()
    if sum(math.prod(t.shape) for t in wanted.values()) > MOST_NUMBERS:
        raise ValueError(f"network must have at most {MOST_NUMBERS} weights, got more")
    for name in sorted(wanted.keys() ^ tensors.keys()):
        rule = "hold" if name in wanted else "not hold"
        raise ValueError(f"the file must {rule} the tensor {name!r:.80}")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            want, got = (f"{tuple(t.shape)} of {t.dtype}" for t in (wanted[name], tensor))
            raise ValueError(f"tensor {name} must be {want}, got {got}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"tensor {name} must be finite, got a number that is not")
