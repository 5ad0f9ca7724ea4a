"""Compute-to-target of training-noise samplers, as paper D measures it, on five small targets.

Every run of a target trains the same small network on the same number of examples. It is scored at
twelve log-spaced points, from which the number of examples needed for a given score follows. This
module runs the study; `benchmarks/studies/infonoise_transfer.py` makes the tables from its rows.

    python -m benchmarks.training.transfer OUT [--device cuda] [--jobs N]
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.engine.results import rows_new
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, write_csv
from benchmarks.measure.bins import bin_counts
from benchmarks.measure.frechet import Moments, frechet, moments
from benchmarks.measure.samples import sample_distances
from benchmarks.networks.protocol import Denoiser
from benchmarks.networks.sampling import sample
from benchmarks.studies.infonoise_emergence import EMERGENCE_ROWS
from benchmarks.studies.infonoise_transfer import METHODS, SEEDS, TRANSFER_ROWS, is_discrete
from benchmarks.training import sequences
from benchmarks.training.evaluate import excess_loss
from benchmarks.training.features import digit_features
from benchmarks.training.recipe import PRESETS, Recipe
from benchmarks.training.targets import Floats, Target, make_target
from benchmarks.training.train import Trainer
from theory.checks import Array
from theory.infonoise.allocation import InfoNoise
from theory.schedules.standard import edm_sigmas
from theory.solvers.registry import make_table
from theory.versions import versions

EVALUATIONS = 12
FIRST = 1 / 40  # of the budget: the first evaluation
SAMPLES = 5000
SAMPLE_STEPS, LAW_STEPS = 8, 32  # of Heun, NFE 15; sharp 1-D laws need NFE 63
DRAWN = 1000  # samples per batch
STEPS, MLP_STEPS = 1000, 3000
SAMPLE_SEED = 50  # not the seed of any training
REFRESH = 50
UNET = {"name": "unet", "channels": 1, "width": 16, "multipliers": [1, 2], "blocks": 1}
SEQUENCE = {
    **{"name": "unet", "channels": 4, "width": 16, "multipliers": [1, 2, 2], "blocks": 1},
    **{"dims": 1, "attention": True},
}
NETWORKS: dict[str, Mapping[str, Any]] = {
    "points": {"name": "mlp", "dim": 1, "width": 96, "depth": 3},
    "mixture": {"name": "mlp", "dim": 1, "width": 96, "depth": 3},
    "digits": UNET,
    "binary-digits": UNET,
    "dna": SEQUENCE,
}


def study_recipe(target: str, method: str) -> Recipe:
    """The recipe of a run; the methods of a target differ only in noise and weight."""
    noise, weighting = METHODS[target][method]
    steps = STEPS if NETWORKS[target]["name"] == "unet" else MLP_STEPS
    options: dict[str, Any] = {}
    if noise == "infonoise":
        pivot = "slope" if is_discrete(target) else "onset"
        options = {"warmup": steps // 5, "refresh": REFRESH, "pivot": pivot}
    return replace(
        PRESETS[target],
        network=NETWORKS[target],
        target_options={"dim": 1} if target == "mixture" else {},
        noise=noise,
        weighting=weighting,
        noise_options=options,
        steps=steps,
        lr_decay=0.0,
        evaluate_kex=(),
        log_every=0,
    )


def evaluation_steps(steps: int) -> list[int]:
    """Log-spaced steps after which a run is scored, including the last one."""
    return sorted({int(s) for s in np.rint(np.geomspace(FIRST * steps, steps, EVALUATIONS))})


@dataclass(frozen=True)
class StudyRun:
    """One training run with a score at every evaluation.

    Args:
        target: Name in METHODS.
        method: A method of that target.
        seed: Seed of the training.
        device: "cpu" or "cuda".
    """

    target: str
    method: str
    seed: int
    device: str = "cpu"

    def run(self) -> dict[str, Any]:
        """Scores at every evaluation, and InfoNoise's sampler at each of them."""
        torch.set_num_threads(1)  # runs, not threads, share the cores
        recipe = study_recipe(self.target, self.method)
        target = _target(self.target)
        trainer = Trainer(recipe, target, self.seed, self.device)
        begin, about = time.monotonic(), {"torch": torch.__version__, **versions()}
        rows: list[dict[str, Any]] = []
        held: list[dict[str, Any]] = []
        points = set(evaluation_steps(recipe.steps))
        while trainer.done < recipe.steps:
            trainer.step()
            if trainer.done in points:
                found = score(trainer.denoiser(), target, self.device)
                seconds = round(time.monotonic() - begin, 1)
                rows.append({"kex": trainer.kex, **found, "seconds": seconds, **about})
                if isinstance(trainer.noise, InfoNoise):
                    held.append({"kex": trainer.kex, **_held(trainer.noise)})
        return {"rows": rows, "held": held}


@cache
def _target(name: str) -> Target:
    return make_target(name, **({"dim": 1} if name == "mixture" else {}))


def score(denoiser: Denoiser, target: Target, device: str) -> dict[str, float | None]:
    """The score of a network, lower being better, and further statistics of its samples.

    The score of points and mixture is the Wasserstein-1 distance to the exact law. Points also have
    the share of samples outside all bins, whose half width is 0.49 of the smallest gap, and the
    total variation distance over the bins. The score of digits and binary-digits is the Frechet
    distance to the training images. The score of dna is the total variation distance between the
    spectra of 4-letter words of samples and held-out sequences. All come from 5000 samples, with
    the same noise in all runs, so real samples score above 0 too: see `floor_scores`.
    """
    steps = SAMPLE_STEPS if target.law is None else LAW_STEPS
    table = make_table("heun", edm_sigmas(steps, 80.0, 0.002, "zero"))
    drawn = sample(
        denoiser, table, target.shape, SAMPLES, SAMPLE_SEED, batch=DRAWN, device=device,
        dtype=torch.float32,
    )  # fmt: skip
    row = sample_score(drawn.numpy().astype(np.float32), target)
    if target.law is not None:
        found = excess_loss(denoiser, target.law, target.sigma_data, device=device)
        row |= {"excess_nats": found["nats"], "excess_edm": found["edm"]}
    return row


def sample_score(samples: Floats, target: Target) -> dict[str, float | None]:
    """The score of samples (n, *shape); see `score`."""
    if target.law is not None:
        wide = samples.astype(np.float64)
        row: dict[str, float | None] = {"score": sample_distances(target.law, wide, 0.0)[0]}
        if target.law.is_points:
            weights, counts = bin_counts(target.law, wide)
            share = counts / len(samples)
            outside = 1.0 - share.sum()
            tv = 0.5 * (np.abs(share - weights).sum() + outside)
            row |= {"outside": float(outside), "tv": float(tv)}
        return row
    if target.name == "dna":
        found = sequences.statistics(samples, target.held_out)
        return {"score": found["kmer_distance"], "valid": found["valid"]}
    clipped = np.clip(samples, -1.0, 1.0)
    return {"score": frechet(moments(digit_features(clipped)), _training_moments(target.name))}


@cache
def _training_moments(name: str) -> Moments:
    return moments(digit_features(_target(name).train))


def floor_scores(name: str, samples: int = 0) -> dict[str, float | None]:
    """The score of real samples, drawn afresh, or with replacement if there is no law.

    A bootstrap of few held-out images repeats images. For binary digits and dna too, a network
    that has memorised the training data can score below this floor.
    """
    target, drawn = _target(name), samples or SAMPLES
    if target.law is not None:
        real = target.law.sample(drawn, SAMPLE_SEED).astype(np.float32)
    elif name == "dna":
        real = sequences.synthetic(SAMPLE_SEED, drawn)
    else:
        rows = np.random.default_rng(SAMPLE_SEED).integers(0, len(target.held_out), drawn)
        real = target.held_out[rows]
    return sample_score(real, target)


def _held(noise: InfoNoise) -> dict[str, Any]:
    """InfoNoise's density per unit of log sigma, its losses and its pivot, at 64 levels."""
    sigma = np.geomspace(0.002, 80.0, 65)
    middle: Array = np.sqrt(sigma[1:] * sigma[:-1])
    risk = [None] * middle.size if noise.refreshes == 0 else noise.profile().mmse.tolist()
    return {
        "sigma": middle.tolist(),
        "density": (noise.density(middle) * middle).tolist(),
        "mmse": risk,
        "pivot": None if noise.refreshes == 0 else noise.pivot,
        "rule": noise.rule,
        "refreshes": noise.refreshes,
    }


def tasks(device: str) -> list[StudyRun]:
    """All runs of the study, seed by seed. MLPs stay on the CPU."""
    return [
        StudyRun(target, method, seed, device if NETWORKS[target]["name"] == "unet" else "cpu")
        for seed in range(max(SEEDS.values()))
        for target, methods in METHODS.items()
        for method in methods
        if seed < SEEDS[target]
    ]


def compute_study(store: Store, jobs: int | None, device: str = "cpu") -> None:
    """Run the study and write its rows."""
    write_study(store, jobs, device, rows_new(TRANSFER_ROWS), rows_new(EMERGENCE_ROWS))


def write_study(store: Store, jobs: int | None, device: str, scores: Path, emergence: Path) -> None:
    """Run what is not in the store yet, and write the rows of scores and of InfoNoise's samplers.

    Args:
        store: Store of finished runs.
        jobs: Number of worker processes.
        device: "cpu" or "cuda".
        scores: File of the scores, one row per run and evaluation.
        emergence: File of InfoNoise's samplers, one row per level and evaluation, for the
            InfoNoise runs of the first seed.
    """
    todo = tasks(device)
    found = run_tasks(todo, store, jobs, "compute to target")
    about = {"torch": torch.__version__, **versions()}
    rows, held = [], []
    for task, result in zip(todo, found, strict=True):
        name = {"target": task.target, "method": task.method, "seed": task.seed}
        name |= {"device": task.device}
        rows += [name | row for row in result["rows"]]
        if task.seed == 0:
            held += [name | row for row in result["held"]]
    for target in METHODS:
        rows.append({"target": target, "method": "real", **floor_scores(target)} | about)
    write_csv(pd.DataFrame(rows), scores)
    write_csv(pd.DataFrame(held).explode(["sigma", "density", "mmse"]), emergence)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--jobs", type=click.IntRange(1))
def main(out: Path, device: str, jobs: int | None) -> None:
    """Run the study into a folder of its own."""
    write_study(
        Store(out / "store"), jobs, device, out / TRANSFER_ROWS.name, out / EMERGENCE_ROWS.name
    )


if __name__ == "__main__":
    # Imported by its name, so that tasks can be sent to worker processes.
    from benchmarks.training.transfer import main as command

    sys.exit(command())
