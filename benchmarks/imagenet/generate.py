"""Images of a network by any solver and schedule, batch by batch, on any number of GPUs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine.store import make_folder
from benchmarks.imagenet.ranks import Ranks, fitting
from benchmarks.imagenet.seeds import drawn
from benchmarks.imagenet.shards import Shards, Writer
from benchmarks.networks.network import Network
from benchmarks.networks.sampling import walk
from theory.checks import Array, whole
from theory.reading import naming, read_json, write_json
from theory.solvers.reducing import Solver
from theory.solvers.registry import make_table

RUN_FILE, IMAGES = "run.json", "images"


@dataclass(frozen=True)
class Recipe:
    """Everything that an image depends on, besides its seed and the network.

    Args:
        solver: Name in `theory.solvers.registry.SOLVERS`.
        options: Options of the solver.
        sigmas: Levels, shape (n_steps + 1,).
        noise: Rule of the random numbers, one of `seeds.RULES`.
        batch: Seeds per batch.
        images: "png" or "array".
        more: Further settings that the images depend on.
    """

    solver: str
    options: Mapping[str, Any]
    sigmas: Array
    noise: str
    batch: int
    images: str
    more: Mapping[str, Any]

    def table(self, network: Network) -> Solver:
        """The solver at these levels, from the network's initial noise."""
        start = network.start_std(float(self.sigmas[0]))
        return make_table(self.solver, self.sigmas, start, **self.options)

    def key(self, network: Network, device: torch.device) -> dict[str, Any]:
        """Identity of the run that the images of a folder belong to."""
        return {
            "weights": network.weights,
            "solver": self.solver,
            "options": dict(self.options),
            "sigmas": np.asarray(self.sigmas).tolist(),
            "noise": self.noise,
            "batch": self.batch,
            "images": self.images,
            "device": device.type,
        } | dict(self.more)


def claim(folder: Path, key: Mapping[str, Any], source: Mapping[str, Any]) -> None:
    """Write the identity of a folder's images, or check that they belong to this run.

    Raises:
        ValueError: They belong to another run.
    """
    path = make_folder(folder) / RUN_FILE
    plain = json.loads(json.dumps(dict(key)))
    if path.exists():
        found = read_json(path, "images", ("key",))["key"]
        names = (*plain, *(n for n in found if n not in plain))
        other = next((n for n in names if found.get(n) != plain.get(n)), None)
        if other is not None:
            raise ValueError(
                f"{path}: the images must belong to this run, got {other} "
                f"{found.get(other)!r:.40} for {plain.get(other)!r:.40}; name another folder"
            )
        return
    write_json(path, {"kind": "images", "key": plain, "source": dict(source)})


def shards_in(folder: Path) -> tuple[Shards, dict[str, Any]]:
    """The shards in a folder, and the identity of their run."""
    path = folder / RUN_FILE
    found = read_json(path, "images", ("key",))
    with naming(path):
        key = found["key"] if isinstance(found["key"], dict) else {}
        batch, form = key.get("batch"), key.get("images")
        if not isinstance(batch, int) or "weights" not in key:
            raise ValueError("key must say batch, images and weights, got others")
        return Shards(folder / IMAGES, whole("batch", batch, 1), str(form)), found


def generate_images(
    network: Network,
    recipe: Recipe,
    seeds: range,
    folder: Path,
    ranks: Ranks,
    condition: Mapping[str, Tensor] | None = None,
    source: Mapping[str, Any] | None = None,
) -> int:
    """Make those images of these seeds that are not in the folder yet, and count the batches made.

    Args:
        network: The network, on `ranks.device`.
        recipe: Settings of the images.
        seeds: Consecutive seeds. Whole batches are made, so there may be a few images more.
        folder: Output folder, for run.json and images/.
        ranks: The processes that share the work.
        condition: Named rows besides labels. Seed s takes row s modulo their number.
        source: Origin of the schedule, kept in run.json.

    Raises:
        ValueError: The folder belongs to another run, or sampling diverges (`DivergedError`).
    """
    if network.shape is None:
        raise ValueError(f"{network.spec}: the network must say the shape of a sample, got none")
    shards = Shards(folder / IMAGES, recipe.batch, recipe.images)
    if ranks.first:
        origin = {"network": network.spec, "torch": torch.__version__} | dict(source or {})
        claim(folder, recipe.key(network, ranks.device), origin)
        shards.clear_parts()
    ranks.wait()
    missing = shards.missing(seeds)
    ranks.wait()  # all processes list the folder before one adds to it
    mine, solver = ranks.mine(missing), recipe.table(network)
    writer = Writer(shards)
    with ranks.meter(len(mine) * solver.nfe, "generate") as tick, fitting(recipe.batch):
        try:
            for k in mine:
                seeds = shards.seeds(k)
                images = batch_images(network, solver, recipe, seeds, condition, tick, ranks.device)
                writer.put(k, images)
        finally:
            writer.close()
    ranks.wait()
    return len(missing)


def batch_images(
    network: Network,
    solver: Solver,
    recipe: Recipe,
    seeds: range,
    condition: Mapping[str, Tensor] | None,
    tick: Any,
    device: torch.device,
) -> Tensor:
    """Images of these seeds as bytes, (B, C, h, w)."""
    assert network.shape is not None
    draw, labels = drawn(recipe.noise, seeds, network.shape, network.classes, device, network.dtype)
    rows = {} if labels is None else {"class_labels": labels}
    paths = torch.arange(seeds.start, seeds.stop, device=device)
    for name, values in (condition or {}).items():
        values = values.to(device)
        rows[name] = values[paths % len(values)]
    start = draw(0) * float(solver.start_std)
    states = walk(network.denoiser, solver, start, paths, draw, rows or None, tick)
    return to_pixels(network, states)


def to_pixels(network: Network, states: Tensor) -> Tensor:
    """Bytes of final states, by the network's own rule or EDM's trunc(clip(127.5 x + 128, 0, 255)).

    Raises:
        ValueError: The states are latents, and there is no autoencoder.
    """
    if network.pixels is not None:
        return network.pixels(states)
    if network.decode is not None:
        states = network.decode(states)
    if states.ndim != 4 or states.shape[1] not in (1, 3):
        shape = tuple(states.shape[1:])
        raise ValueError(f"samples must be images of 1 or 3 channels, got {shape}; give vae?")
    return (states * 127.5 + 128.0).clamp(0.0, 255.0).to(torch.uint8)
