"""Folders of saved diffusers pipelines, as denoisers.

Only classes on an allow-list are created, from safetensors. Nothing is downloaded or executed.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

from benchmarks.networks.diffusers_models import SchedulerDenoiser, denoiser_from
from benchmarks.networks.diffusers_times import SCHEDULERS
from theory.checks import one_of
from theory.reading import StrPath, naming, read_text

MODELS = ("UNet2DModel", "UNet2DConditionModel", "DiTTransformer2DModel")
KL = ("AutoencoderKL",)
CLASSES = {"model": MODELS, "scheduler": SCHEDULERS, "autoencoder": (*KL, "VQModel")}
# Roles of the entries in model_index.json.
ROLES = {
    "unet": "model",
    "transformer": "model",
    "scheduler": "scheduler",
    "vae": "autoencoder",
    "vqvae": "autoencoder",
}
# Older folders name DiT by the class that it was split from. This norm identifies it.
OLD_DIT = {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_zero"}
WEIGHTS = "diffusion_pytorch_model"
# Config entries for further inputs. `load_folder` refuses models in which one of them is set.
EXTRAS = ("class_embed_type", "addition_embed_type", "encoder_hid_dim", "time_cond_proj_dim")


@dataclass(frozen=True)
class FolderInfo:
    """Description of the denoiser in a folder.

    Attributes:
        model: Class of the model.
        scheduler: Class of the scheduler.
        shape: (C, H, W) of a sample, which is a latent if there is an autoencoder.
        condition: "class_labels", "encoder_hidden_states", or None.
        condition_size: For labels (classes,), without DiT's extra label for "no class", whose
            number it is. For text embeddings (tokens, width), with tokens None if there is no text
            encoder to read it from. Otherwise ().
        sigma_min: Lowest level that the network was trained for, in data units.
        sigma_max: Highest such level.
        encode: Maps images (B, 3, h, w) in [-1, 1] to latents, float32. The latents are the mode
            of the encoder's normal law, or VQ's before quantisation, less `shift_factor` and times
            `scaling_factor`. None if there is no autoencoder.
        decode: Maps latents to images.
    """

    model: str
    scheduler: str
    shape: tuple[int, int, int]
    condition: str | None
    condition_size: tuple[int | None, ...]
    sigma_min: float
    sigma_max: float
    encode: Callable[[Tensor], Tensor] | None
    decode: Callable[[Tensor], Tensor] | None


def load_folder(
    path: StrPath,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> tuple[SchedulerDenoiser, FolderInfo]:
    """The denoiser in the folder of a saved diffusers pipeline, and its description.

    Only the classes of CLASSES are created, from safetensors. Nothing is downloaded or executed.

    Args:
        path: Folder with model_index.json, or a model's own folder with the scheduler's config in
            it or beside it.
        device: Device of model and autoencoder.
        dtype: Dtype of the model. The autoencoder stays in float32, since many overflow in less.
        **options: Further options of `denoiser_from`.

    Raises:
        ValueError: The folder is not of this kind; one line starting with the path.
    """
    root = Path(path)
    with naming(root):
        parts = _parts(root)
        (name, folder), (kind, scheduler_folder) = parts["model"], parts["scheduler"]
        model = _weights(name, folder, dtype).to(device)
        shape, (condition, size) = _shape(model.config), _condition(name, model.config, root)
        scheduler = _made(kind, scheduler_folder)
        encode = decode = None
        if "autoencoder" in parts:
            latents = _Latents(_weights(*parts["autoencoder"], torch.float32).to(device), shape[0])
            encode, decode = latents.encode, latents.decode
        denoiser = denoiser_from(model, scheduler, dtype=dtype, **options)
    ends = denoiser.sigma_min, denoiser.sigma_max
    return denoiser, FolderInfo(name, kind, shape, condition, size, *ends, encode, decode)


def load_autoencoder(path: StrPath, device: torch.device | str = "cpu") -> Any:
    """The AutoencoderKL in a diffusers folder, in float32; raises as `load_folder` does."""
    with naming(path):
        if not (Path(path) / "config.json").is_file():
            raise ValueError("path must be a folder with config.json, got none")
        one_of("autoencoder", str(_json(Path(path) / "config.json").get("_class_name")), KL)
        return _weights(KL[0], Path(path), torch.float32).to(device)


class _Latents:
    """The autoencoder whose latents the model works on."""

    def __init__(self, vae: Any, channels: int) -> None:
        config = vae.config
        if config.latent_channels != channels:
            got = config.latent_channels
            raise ValueError(f"latent_channels must be {channels}, the model's, got {got}")
        if any(getattr(config, name, None) is not None for name in ("latents_mean", "latents_std")):
            raise ValueError("latents_mean and latents_std must be null, got others")
        self.vae, self.scale = vae, float(config.scaling_factor)
        self.shift = float(getattr(config, "shift_factor", None) or 0.0)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        found = self.vae.encode(images.to(self.vae.device, torch.float32))
        codes: Tensor = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
        return (codes - self.shift) * self.scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        codes = latents.to(self.vae.device, torch.float32) / self.scale + self.shift
        images: Tensor = self.vae.decode(codes).sample
        return images


def _parts(root: Path) -> dict[str, tuple[str, Path]]:
    """Class and folder of "model", "scheduler" and perhaps "autoencoder"."""
    found: dict[str, tuple[Any, Path]] = {}
    if (root / "model_index.json").is_file():
        index = _json(root / "model_index.json")
        for key in ROLES:
            if (entry := index.get(key) or [None, None]) != [None, None]:
                if not isinstance(entry, list) or len(entry) != 2 or entry[0] != "diffusers":
                    raise ValueError(f"{key} must be a class of diffusers, got {entry!r:.80}")
                inner = root / key
                found[ROLES[key]] = entry[1], inner if inner.is_dir() else root
    elif (root / "config.json").is_file():
        found["model"] = _json(root / "config.json").get("_class_name"), root
        for folder in (root, root / "scheduler", root.parent / "scheduler"):
            if (folder / "scheduler_config.json").is_file():
                kind = _json(folder / "scheduler_config.json").get("_class_name")
                found.setdefault("scheduler", (kind, folder))
    else:
        raise ValueError("path must be a folder with model_index.json or config.json, got neither")
    if not {"model", "scheduler"} <= found.keys():
        got = ", ".join(found) or "neither"
        raise ValueError(f"path must hold a model and a scheduler, got {got}")
    name, folder = found["model"]
    config = _json(folder / "config.json")
    own = config.get("_class_name")
    if name == own and config.items() >= OLD_DIT.items():
        found["model"] = "DiTTransformer2DModel", folder
    elif name in MODELS and name != own:
        raise ValueError(f"{folder.name}/config.json must be of a {name}, got {own!r}")
    return {role: (one_of(role, kind, CLASSES[role]), at) for role, (kind, at) in found.items()}


def _shape(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(C, H, W) of a model's samples."""
    channels, size = config["in_channels"], config["sample_size"]
    height, width = size if isinstance(size, (list, tuple)) and len(size) == 2 else (size, size)
    if not isinstance(height, int) or not isinstance(width, int):
        raise ValueError(f"sample_size in the model's config.json must be 1 or 2 sides, got {size}")
    if (out := config["out_channels"]) not in (None, channels, 2 * channels):
        raise ValueError(f"out_channels must be {channels} or {2 * channels}, got {out}")
    return channels, height, width


def _condition(
    name: str, config: Mapping[str, Any], root: Path
) -> tuple[str | None, tuple[int | None, ...]]:
    """Name and size of the condition that a model takes."""
    is_text = name == "UNet2DConditionModel"
    for key in (*EXTRAS, "num_class_embeds") if is_text else EXTRAS:
        if config.get(key) is not None:
            raise ValueError(f"{key} must be null in the model's config.json, got {config[key]!r}")
    if is_text:
        text = root / "text_encoder" / "config.json"
        tokens = _json(text).get("max_position_embeddings") if text.is_file() else None
        return "encoder_hidden_states", (tokens, config["cross_attention_dim"])
    classes = config["num_class_embeds" if name == "UNet2DModel" else "num_embeds_ada_norm"]
    return (None, ()) if classes is None else ("class_labels", (classes,))


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} must be valid JSON, got {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path.name} must hold a JSON object, got {type(fields).__name__}")
    return fields


def _weights(name: str, folder: Path, dtype: torch.dtype) -> Any:
    """A model with all its weights from safetensors, in evaluation mode.

    Where there is only a variant, such as fp16, its numbers are read; float32 holds them exactly.
    """
    options = {"torch_dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    files = f"{WEIGHTS}.safetensors", f"{WEIGHTS}.safetensors.index.json"
    if not any((folder / file).is_file() for file in files):
        others = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".safetensors"))
        variants = _variants(folder)
        if len(variants) != 1:
            got = f"{', '.join(others)}; save it as safetensors?" if others else "none"
            got = f"the variants {', '.join(variants)}; keep one of them" if variants else got
            raise ValueError(f"weights of {name} must be in {folder / files[0]}, got {got}")
        options["variant"] = variants[0]
    model, report = _made(name, folder, **options, low_cpu_mem_usage=False)
    for fault in ("missing_keys", "unexpected_keys"):
        if report[fault]:
            got = f"{len(report[fault])} {fault.replace('_', ' ')}, {min(report[fault])}, ..."
            raise ValueError(f"weights in {folder} must be those of its config.json, got {got}")
    return model


def _variants(folder: Path) -> list[str]:
    """Names of the variants of a model's weights, whole or in shards."""
    whole, shards = (
        rf"{WEIGHTS}\.(\w+)\.safetensors",
        rf"{WEIGHTS}\.safetensors\.index\.(\w+)\.json",
    )
    found = (re.fullmatch(f"{whole}|{shards}", path.name) for path in folder.glob("*"))
    return sorted({match.group(1) or match.group(2) for match in found if match})


def _made(name: str, folder: Path, **options: Any) -> Any:
    usual = torch.get_default_dtype()
    try:
        made = getattr(diffusers, name).from_pretrained(
            os.fspath(folder), local_files_only=True, **options
        )
    # A constructor can raise anything when the config comes from others.
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip():.200}".splitlines()[0]
        raise ValueError(f"{folder} must hold a {name} that loads, got {reason}") from error
    finally:
        torch.set_default_dtype(usual)  # if diffusers fails, it leaves torch_dtype set
    return made
