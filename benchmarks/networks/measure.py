"""Squared errors of a network on clean samples, by level (paper A final, algorithms 2 and 3).

All levels use the same clean samples with fresh noise. Finished levels are saved to one .npz every
few seconds, so that an interruption loses little.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks.data import Data
from benchmarks.networks.noise import normals
from benchmarks.networks.protocol import Condition, Denoiser
from benchmarks.networks.spectrum import multiplicity, spectrum
from theory.checks import Array, whole
from theory.reading import naming
from theory.schedules.standard import edm_sigmas
from theory.writing import write_bytes
from toys.progress import meter, progress

SAMPLES, LEVELS = 1024, 128  # as in paper A's image experiments
SAVE_SECONDS = 5.0


def edm_levels(points: int, sigma_min: float, sigma_max: float) -> Array:
    """Rising levels of EDM's grid, shape (points,), as used by paper A."""
    return edm_sigmas(whole("levels", points, 4) - 1, sigma_max, sigma_min)[::-1].copy()


@dataclass
class Measured:
    """Errors measured so far.

    Args:
        sigma: Levels, shape (m,), rising.
        errors: Squared errors summed over coordinates, shape (n, m); NaN where not yet measured.
        split: Mean squared modulus of the residual's transform, shape (m, C, ...), or None for
            samples without frequencies; see `spectrum`.
        key: Identity of the measurement. A file with another key is not continued.
    """

    sigma: Array
    errors: Array
    split: Array | None
    key: Mapping[str, Any]

    @property
    def done(self) -> int:
        """Number of levels measured so far, which are always the lowest ones."""
        return int(np.isfinite(self.errors[0]).sum())

    def write(self, path: Path) -> None:
        """Write everything, replacing the file as a whole."""
        stream = io.BytesIO()
        arrays: dict[str, Any] = {"sigma": self.sigma, "errors": self.errors}
        if self.split is not None:
            arrays["split"] = self.split
        np.savez(stream, key=np.array(json.dumps(self.key, sort_keys=True)), **arrays)
        write_bytes(path, stream.getvalue())


def read_measured(path: Path) -> Measured:
    """The contents of a file by `Measured.write`; ValueError, one line starting with the path."""
    with naming(path):
        try:
            with np.load(path, allow_pickle=False) as found:
                split = found["split"] if "split" in found.files else None
                key = json.loads(str(found["key"]))
                got = Measured(found["sigma"], found["errors"], split, key)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"the file must hold measured errors, got {error}") from None
        if got.errors.ndim != 2 or got.errors.shape[1] != got.sigma.size:
            raise ValueError(f"errors must be (n, {got.sigma.size}), got {got.errors.shape}")
        return got


def clean_samples(data: Data, n: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Indices of n clean samples drawn without replacement, sorted, shape (n,)."""
    if n > len(data):
        raise ValueError(f"samples must be at most the {len(data)} in the data, got {n}")
    chosen = np.random.default_rng(seed).permutation(len(data))[: whole("samples", n, 2)]
    return np.sort(chosen).astype(np.int64)


def measure(
    denoiser: Denoiser,
    data: Data,
    index: np.ndarray[Any, np.dtype[np.int64]],
    sigma: Array,
    path: Path,
    key: Mapping[str, Any],
    *,
    seed: int = 0,
    batch: int = 64,
    device: torch.device | str = "cpu",
    encode: Callable[[Tensor], Tensor] | None = None,
    condition: Callable[[slice], Condition | None] = lambda part: None,
    with_split: bool = True,
) -> Measured:
    """Errors of a denoiser at all levels; measurement continues from the file at `path`.

    Args:
        denoiser: See `protocol.Denoiser`.
        data: Clean samples.
        index: Indices of the chosen samples, shape (n,). Row i of the errors belongs to index[i].
            Its noise at level k is that of path i and step k + 1.
        sigma: Levels, shape (m,), rising.
        path: File of the errors.
        key: Identity of the measurement.
        seed: Seed of the noise.
        batch: Samples per batch.
        device: Device of the denoiser.
        encode: Maps images to latents, applied once per sample; None for none.
        condition: Returns named tensors for a slice of the rows of `index`.
        with_split: Whether to keep the split over frequencies too.

    Raises:
        ValueError: The file has another key, or the network returns values that are not finite.
    """
    n, whole_batch = index.size, whole("batch", batch, 1)
    clean = _encoded(data, index, encode, whole_batch, device)
    shape = tuple(clean.shape[1:])
    found = _start(path, key, sigma, n, shape if with_split and len(shape) > 1 else None)
    saved = time.monotonic()
    parts = range(0, n, whole_batch)
    bar = meter(sigma.size * len(parts), "profile", found.done * len(parts))
    with bar, torch.inference_mode():
        for k in range(found.done, sigma.size):
            total: Any = 0.0
            for i in parts:
                rows = slice(i, min(i + whole_batch, n))
                x0 = clean[rows].to(device)
                paths = torch.arange(rows.start, rows.stop, device=device)
                z = normals(seed, paths, k + 1, shape)
                level = torch.full((len(x0),), float(sigma[k]), dtype=torch.float64, device=device)
                x0 = x0.to(torch.float64)
                gap = denoiser(x0 + sigma[k] * z, level, condition(rows)).to(torch.float64) - x0
                error = (gap**2).flatten(1).sum(dim=1).cpu().numpy()
                if not np.isfinite(error).all():
                    at = int(index[i + int(np.argmin(np.isfinite(error)))])
                    raise ValueError(
                        f"network must answer with finite numbers, got others for sample {at} at "
                        f"sigma {sigma[k]:g}"
                    )
                found.errors[rows, k] = error
                if found.split is not None:
                    total = total + (spectrum(gap).abs() ** 2).sum(dim=0)
                bar.update()
            if found.split is not None:
                found.split[k] = (total / n).cpu().numpy()
            if time.monotonic() - saved > SAVE_SECONDS or k == sigma.size - 1:
                found.write(path)
                saved = time.monotonic()
    return found


def _encoded(
    data: Data,
    index: np.ndarray[Any, np.dtype[np.int64]],
    encode: Callable[[Tensor], Tensor] | None,
    batch: int,
    device: torch.device | str,
) -> Tensor:
    """The clean samples on the CPU, encoded if there is an encoder, shape (n, *shape)."""
    if encode is None:
        return data.take(index)
    parts = progress(range(0, index.size, batch), "encode")
    return torch.cat([encode(data.take(index[i : i + batch]).to(device)).cpu() for i in parts])


def _start(
    path: Path, key: Mapping[str, Any], sigma: Array, n: int, shape: tuple[int, ...] | None
) -> Measured:
    """The contents of the file if it has this key, or an empty measurement if there is no file."""
    if path.exists():
        found = read_measured(path)
        if dict(found.key) != json.loads(json.dumps(dict(key))):
            ours, theirs = dict(key), dict(found.key)
            other = next((k for k in ours if theirs.get(k) != ours[k]), "key")
            raise ValueError(
                f"{path}: the file must belong to this run, got {other} {theirs.get(other)!r:.40} "
                f"for {ours.get(other)!r:.40}; name another file, or delete it"
            )
        return found
    split = None if shape is None else np.full((sigma.size, *multiplicity(shape).shape), np.nan)
    return Measured(sigma, np.full((n, sigma.size), np.nan), split, key)
