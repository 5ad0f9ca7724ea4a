"""The meaning of `--network SPEC`: a checkpoint, a published file, a folder or `module:function`.

Checkpoints are our own, published files are EDM's and EDM2's, and folders are those of diffusers.
All three are data, and opening them runs no code of theirs. `module:function` is the user's own
code, imported as Python would import it from the current folder.
"""

import importlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.networks.checkpoint import FILE, is_checkpoint, read_checkpoint
from benchmarks.networks.network import (
    PRECISIONS,
    Network,
    check_embeddings,
    chosen_device,
    folder_hash,
    weights_hash,
)
from benchmarks.networks.protocol import Condition, Denoiser
from theory.checks import one_of, positive
from theory.noise.processes import PROCESSES


@dataclass(frozen=True)
class _Precise:
    """A denoiser called under mixed precision."""

    denoiser: Denoiser
    dtype: torch.dtype

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        with torch.autocast(x.device.type, dtype=self.dtype):
            return self.denoiser(x, sigma, condition)


def open_network(
    spec: str,
    device: str = "cpu",
    precision: str | None = None,
    time: str = "nearest",
    guidance: float | None = None,
    null: Condition | None = None,
    **official: Any,
) -> Network:
    """The network of a spec, ready to be called.

    Args:
        spec: A .safetensors file or a folder with checkpoint.safetensors (`entropic train`), a
            file of EDM's or EDM2's networks (see `published.checkpoints`), the folder of a saved
            diffusers pipeline, or `module:function`. The latter is a function without arguments
            that returns a `protocol.Denoiser`, whose `shape`, `sigma_min` and `sigma_max` are used
            if it has them.
        device: "cpu" or "cuda".
        precision: Precision inside the network: float32, bfloat16 or float16 (mixed precision).
            Default: the authors' precision for published files, float32 for all others.
        time: For integer times of diffusers models: "nearest" or "interpolated" in log sigma.
        guidance: Weight of classifier-free guidance, for class-conditional DiT and for networks
            with text. None for none.
        null: The condition that guidance steers away from, for text: `encoder_hidden_states`, one
            row.
        **official: Options of `published.opened.open_official`, for published files only.

    Raises:
        ValueError: One line that states the error.
    """
    place, kind = chosen_device(device), _kind(spec)
    low = one_of("precision", precision or "float32", PRECISIONS)
    if guidance is not None and kind != "folder":
        raise ValueError(f"guidance must come with a diffusers folder, got {guidance:g} without")
    if kind == "official":
        from benchmarks.networks.published.opened import open_official  # it needs this module

        return open_official(spec, place, precision, **official)
    for name, value in official.items():
        if value:
            raise ValueError(f"{name} must come with a published file, got {spec}")
    if kind == "folder":
        return _from_folder(spec, place, PRECISIONS[low], time, guidance, null)
    if kind == "checkpoint":
        predictor, about = read_checkpoint(spec, place)
        predictor.autocast = PRECISIONS[low]
        ends = PROCESSES["edm"].sigma_min, PROCESSES["edm"].sigma_max
        return Network(predictor, spec, about["shape"], *ends, weights=weights_of(spec))
    denoiser = _from_code(spec)
    dtype = PRECISIONS[low]
    shape = getattr(denoiser, "shape", None)
    return Network(
        denoiser if dtype is None else _Precise(denoiser, dtype),
        spec,
        None if shape is None else tuple(int(size) for size in shape),
        positive("sigma_min", getattr(denoiser, "sigma_min", PROCESSES["edm"].sigma_min)),
        positive("sigma_max", getattr(denoiser, "sigma_max", PROCESSES["edm"].sigma_max)),
        weights=spec,
    )


def _kind(spec: str) -> str:
    place = Path(spec)
    if (place / FILE).is_file():
        return "checkpoint"
    if place.is_file():
        return "checkpoint" if is_checkpoint(place) else "official"
    if place.is_dir():
        return "folder"
    if ":" in spec:
        return "code"
    raise ValueError(
        f"network must be a checkpoint, a folder or module:function, got {spec!r}, which is "
        "neither there nor has a colon"
    )


def _from_folder(
    spec: str,
    device: torch.device,
    autocast: torch.dtype | None,
    time: str,
    guidance: float | None,
    null: Condition | None,
) -> Network:
    from benchmarks.networks.diffusers_folders import load_folder  # it takes seconds to import

    denoiser, info = load_folder(spec, device=device, time=time, autocast=autocast)
    classes = info.condition_size[0] if info.condition == "class_labels" else None
    if guidance is not None:
        if info.condition == "class_labels":
            if info.model != "DiTTransformer2DModel":
                raise ValueError(f"guidance must come with a DiT or text, got {info.model}")
            null = {"class_labels": torch.tensor([classes], device=device)}
        elif info.condition is None or null is None or info.condition not in null:
            got = info.condition or "none"
            raise ValueError(f"guidance must come with a condition and its null, got {got}")
        else:
            check_embeddings(f"null_{info.condition}", null[info.condition], info.condition_size[1])
        null = {name: rows.to(device) for name, rows in null.items()}
        guided = replace(denoiser.predictor.network, guidance=guidance, null_condition=null)  # type: ignore[type-var]
        denoiser.predictor.network = guided
    weights = weights_of(spec)
    ends = info.sigma_min, info.sigma_max
    latents = info.encode, info.decode
    return Network(
        denoiser, spec, info.shape, *ends, info.condition, *latents, weights, classes,
        width=info.condition_size[1] if info.condition == "encoder_hidden_states" else None,
        unit_start=denoiser.predictor.scale == "vp",
    )  # fmt: skip


def _from_code(spec: str) -> Denoiser:
    """The result of the user's function, which must be callable."""
    module, _, name = spec.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise ValueError(f"network must name a function to import, got {spec!r}: {error}") from None
    denoiser: Denoiser = found()
    if not callable(denoiser):
        kind = type(denoiser).__name__
        raise ValueError(f"network must return something to call, got {kind} from {spec}")
    return denoiser


def weights_of(spec: str) -> str:
    """`Network.weights` of a spec, without opening it; ValueError if nothing is there."""
    kind, place = _kind(spec), Path(spec)
    if kind == "code":
        return spec
    if kind == "folder":
        return folder_hash(place)
    return weights_hash([place / FILE if place.is_dir() else place])
