"""The computation of `entropic profile --network`: a measured profile, and its errors."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks.data import Data, read_data
from benchmarks.networks.measure import (
    LEVELS,
    SAMPLES,
    Measured,
    clean_samples,
    edm_levels,
    measure,
)
from benchmarks.networks.network import Network, check_embeddings
from benchmarks.networks.spec import open_network
from benchmarks.networks.spectrum import amplitudes, entries, has_spectrum, multiplicity
from theory.checks import Array, check_seed, monotone, require, vector
from theory.profiles.files import read_profile, write_profile
from theory.profiles.level_errors import LevelErrors
from theory.profiles.profile import Profile
from theory.profiles.spectral import spectral_mmse
from theory.reading import naming
from theory.writing import is_special

MOST_SPLIT = 2**27  # largest size of the split over frequencies: 1 GiB


def profile(
    network: str,
    data: str | None,
    out: str | None,
    sigma: tuple[float, ...] = (),
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    samples: int | None = None,
    levels: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    time: str | None = None,
    guidance: float | None = None,
    condition: str | None = None,
) -> dict[str, Any]:
    """The row of `entropic profile --network SPEC --data FILE --out profile.json`.

    Writes the profile to `out`, and the error of every sample and level to the .npz of the same
    name. While the command runs, the .npz has the errors measured so far. Where `out` is standard
    output, a device or a pipe, the errors are not kept.
    """
    if data is None or out is None:
        missing = "data" if data is None else "out"
        raise ValueError(f"{missing} must be given with network, got none")
    target = Path(out)
    if target.suffix == ".npz" or not target.parent.is_dir():
        raise ValueError(f"out must be a .json file in a folder that is there, got {out}")
    seed = 0 if seed is None else seed
    check_seed(seed)
    clean = read_data(data)
    opened = open_network(network, device or "cpu", precision, time or "nearest", guidance)
    key = {"precision": precision or "float32", "time": time or "nearest", "guidance": guidance}
    grid = _levels(opened, sigma, sigma_min, sigma_max, levels)
    place = torch.device(device or "cpu")
    if not is_special(out):
        return measured_profile(
            opened, clean, target, grid, samples, batch, seed, place, condition, key
        )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "profile.json"
        row = measured_profile(
            opened, clean, file, grid, samples, batch, seed, place, condition, key
        )
        measured = read_profile(file)
    del row["source"]["errors"]
    write_profile(out, replace(measured, source=row["source"]))
    return row


def measured_profile(
    opened: Network,
    clean: Data,
    target: Path,
    grid: Array,
    samples: int | None,
    batch: int | None,
    seed: int,
    place: torch.device,
    condition: str | None,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Measure, or continue to measure, and write the profile; see `profile`.

    Args:
        opened: The network.
        clean: The data.
        target: File of the profile. The errors are written beside it.
        grid: Levels, rising.
        samples: Number of clean samples. Default: 1024, or all if there are fewer.
        batch: Samples per batch. Default: 64.
        seed: Seed of samples and noise.
        place: Device of the network.
        condition: An .npz of named arrays, or None.
        more: Further entries of the measurement's key.
    """
    kept = target.with_suffix(".npz")
    if opened.encode is None and opened.shape not in (None, clean.shape):
        raise ValueError(
            f"{clean.source}: the samples must have shape {opened.shape}, the network's, got "
            f"{clean.shape}"
        )
    index = clean_samples(clean, min(SAMPLES, len(clean)) if samples is None else samples, seed)
    rows = _conditions(opened, clean, index, condition)
    shape = clean.shape if opened.encode is None else opened.shape or clean.shape
    with_split = has_spectrum(shape) and entries(shape) * grid.size <= MOST_SPLIT
    key = {
        "network": opened.spec,
        "weights": opened.weights,
        "data": clean.fingerprint(),
        "samples": int(index.size),
        "levels": [float(grid[0]), float(grid[-1]), int(grid.size)],
        "seed": seed,
        "condition": condition,
    } | dict(more)
    found = measure(
        opened.denoiser,
        clean,
        index,
        grid,
        kept,
        key,
        seed=seed,
        batch=64 if batch is None else batch,
        device=place,
        encode=opened.encode,
        condition=lambda part: {k: v[part].to(place) for k, v in rows.items()} or None,
        with_split=with_split,
    )
    curves = _spectral(found, clean, opened, shape, place) if found.split is not None else {}
    source = {"network": opened.spec, "data": clean.source, "errors": kept.name, "seed": seed}
    source |= {"samples": int(index.size), "weights": opened.weights, "torch": torch.__version__}
    source |= {"version": version("entropic"), "precision": key["precision"]}
    measured = LevelErrors(int(np.prod(shape)), grid, found.errors, curves, source).profile()
    write_profile(target, measured)
    return profile_row(measured)


def profile_row(measured: Profile) -> dict[str, Any]:
    """A measured profile as plain lists; entropies by the trapezoidal rule from the lowest level.

    Nothing is known below the lowest level, so `rescaled_entropy` starts at 0 there, as in paper A
    final, algorithm 2.
    """
    stderr, source = measured.stderr, dict(measured.source)
    return {
        "dim": measured.dim,
        "sigma": measured.sigma.tolist(),
        "mmse": measured.mmse.tolist(),
        "stderr": None if stderr is None else stderr.tolist(),
        "entropy_rate": measured.entropy_rate().tolist(),
        "conditional_entropy": None,
        "mutual_information": None,
        "entropy_from_sigma_min": measured.entropy_from_sigma_min("trapezoid").tolist(),
        "rescaled_entropy": measured.rescaled_entropy("trapezoid", include_below=False).tolist(),
        "spectral": sorted(measured.spectral),
        "source": source,
    }


def _levels(
    network: Network,
    sigma: tuple[float, ...],
    low: float | None,
    high: float | None,
    points: int | None,
) -> Array:
    """The given levels, or EDM's grid over the levels that the network was trained for."""
    if sigma:
        if points is not None or low is not None or high is not None:
            raise ValueError("sigma must stand without levels, sigma_min and sigma_max, got both")
        grid = np.unique(vector("sigma", sigma))
        if grid.size < 4:
            raise ValueError(f"sigma must name at least 4 levels, got {grid.size}")
    else:
        ends = (
            network.sigma_min if low is None else low,
            network.sigma_max if high is None else high,
        )
        require(np.array(ends) > 0, "sigma_min and sigma_max", np.array(ends), "be positive")
        monotone("sigma_min and sigma_max", np.array(ends))
        grid = edm_levels(LEVELS if points is None else points, *ends)
    inside = (grid >= network.sigma_min * (1 - 1e-9)) & (grid <= network.sigma_max * (1 + 1e-9))
    known = f"{network.sigma_min:g}..{network.sigma_max:g}"
    require(inside, "sigma", grid, f"be in {known}, which the network knows")
    return grid


def _conditions(network: Network, data: Data, index: Any, path: str | None) -> dict[str, Tensor]:
    """Named tensors with one row per chosen sample."""
    if path is not None:
        return _condition_file(network, path, index, len(data))
    if network.condition is None:
        return {}
    if network.condition != "class_labels":
        raise ValueError(
            f"condition must be given for a network that needs {network.condition}, got none"
        )
    if data.labels is None:
        raise ValueError(
            f"{data.source}: the data must have labels for this network, got none; name them in "
            "dataset.json, or in the array `labels` of an .npz"
        )
    labels = data.labels[index]
    if network.classes is not None and labels.max() >= network.classes:
        got = f"be below the network's {network.classes}, got {labels.max()}"
        raise ValueError(f"{data.source}: the labels must {got}")
    return {"class_labels": torch.from_numpy(labels)}


def read_arrays(path: str) -> dict[str, Tensor]:
    """Arrays of an .npz by name; ValueError, one line starting with the path."""
    with naming(path):
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {name: np.ascontiguousarray(found[name]) for name in found.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
            raise ValueError(f"the file must be an .npz of named arrays, got {error}") from None
        for name, rows in arrays.items():
            if rows.ndim == 0 or rows.size == 0 or not np.issubdtype(rows.dtype, np.number):
                raise ValueError(f"{name} must hold rows of numbers, got shape {rows.shape}")
        return {name: torch.from_numpy(rows) for name, rows in arrays.items()}


def given_condition(network: Network, path: str) -> dict[str, Tensor]:
    """Arrays of an .npz by name, checked for this network, without those named "null_..."."""
    found = {k: v for k, v in read_arrays(path).items() if not k.startswith("null_")}
    with naming(path):
        if network.weights == network.spec:
            return found  # the user's own code may take anything
        wanted = network.condition
        if wanted is None or list(found) != [wanted]:
            got = ", ".join(found) or "none"
            rule = "take a condition" if wanted is None else f"be given {wanted}"
            raise ValueError(f"the network must {rule}, got {got}")
        if network.classes is not None:
            labels = found[wanted]
            good = not labels.is_floating_point() and labels.ndim == 1
            if not good or labels.min() < 0 or labels.max() >= network.classes:
                raise ValueError(f"{wanted} must be whole numbers below {network.classes}")
            found[wanted] = labels.long()
        if network.width is not None:
            check_embeddings(wanted, found[wanted], network.width)
        return found


def _condition_file(network: Network, path: str, index: Any, n: int) -> dict[str, Tensor]:
    """The condition in a file, as one row per chosen sample, shared or individual."""
    out: dict[str, Tensor] = {}
    arrays = given_condition(network, path)
    with naming(path):
        for name, rows in arrays.items():
            if len(rows) not in (1, n):
                raise ValueError(f"{name} must have 1 row or {n}, got shape {tuple(rows.shape)}")
            chosen = rows[torch.from_numpy(index)] if len(rows) == n else rows
            out[name] = chosen.expand(index.size, *rows.shape[1:])
    return out


def _spectral(
    found: Measured, data: Data, network: Network, shape: tuple[int, ...], place: torch.device
) -> dict[str, Array]:
    """Both definitions of the spectral curve, from the split and the data's amplitudes."""
    assert found.split is not None
    counts = multiplicity(shape).ravel()
    split = found.split.reshape(found.sigma.size, -1).T
    alive = (split > 0).any(axis=1)  # a frequency without any error has no time change
    curves = {}
    for name, modulus in amplitudes(data, network.encode, place).items():
        weight = counts * modulus.ravel()
        if (weight[alive] > 0).any():
            curves[name] = spectral_mmse(found.sigma, split[alive], weight[alive])
    return curves
