"""`entropic train`: trains a network by a recipe and writes it, with its numbers, to a folder.

From the start the folder contains recipe.json (the complete recipe, seed, device, versions), and
during the run state.pt. At the end it contains checkpoint.safetensors (the averaged weights),
losses.csv, samples.png and, written last, metrics.json. The columns of losses.csv are kex, sigma
and loss: thousands of examples seen, the noise level, and the loss |D - x0|^2 of a single sample,
unweighted and summed over coordinates.
"""

import io
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engine.store import make_folder
from benchmarks.networks.checkpoint import FILE as CHECKPOINT
from benchmarks.networks.checkpoint import write_checkpoint
from benchmarks.training import state
from benchmarks.training.evaluate import evaluate
from benchmarks.training.features import threads
from benchmarks.training.pictures import write_picture
from benchmarks.training.recipe import Recipe, load_recipe, read_recipe, same_recipe
from benchmarks.training.targets import Target, make_target
from benchmarks.training.train import SAVE_SECONDS, Trainer, train
from theory.checks import check_seed
from theory.reading import read_json, write_json
from theory.writing import write_text
from toys.progress import meter

RECIPE, METRICS, LOSSES, PICTURE = "recipe.json", "metrics.json", "losses.csv", "samples.png"


def run_training(
    preset: str, out: str, seed: int = 0, device: str = "cpu", resume: bool = False
) -> dict[str, Any]:
    """Train by a recipe, evaluate, and write all results to a folder.

    Args:
        preset: A name of `recipe.PRESETS`, or a recipe file.
        out: The folder. It is created if it does not exist.
        seed: Whole number in [0, 2**32).
        device: "cpu", "cuda" or "cuda:N".
        resume: Continue the run in the folder, if there is one.

    Returns:
        The contents of metrics.json, as plain values.

    Raises:
        ValueError: The input is bad; or the folder contains a run and `resume` is False; or
            `resume` is True and that run has another recipe, seed or device.
    """
    begin = time.monotonic()
    recipe = load_recipe(preset)
    check_seed(seed)
    _check_device(device)
    folder = Path(out)
    is_there = (folder / RECIPE).exists()
    if is_there:
        _check_run(folder, recipe, seed, device, resume)
        if (folder / METRICS).exists():
            return _finished(folder)
    target = make_target(recipe.target, **recipe.target_options)
    cuda = [torch.device(device)] if device != "cpu" else []
    with torch.random.fork_rng(devices=cuda), threads(recipe.threads):
        trainer = Trainer(recipe, target, seed, device)
        make_folder(folder)
        if not is_there:
            write_json(folder / RECIPE, _about(preset, recipe, seed, device, target))
        seconds = _train(trainer, folder, begin)
        row, samples = _evaluated(trainer)
    seconds["evaluation"] = time.monotonic() - begin - seconds["this_process"]
    return _finish(folder, trainer, preset, row, samples, seconds)


def training_text(row: dict[str, Any]) -> str:
    """The result of `run_training` as text; acceptance checks, if there are any, come last."""
    lines = [
        f"{row['preset']}, seed {row['seed']}, {row['device']}: {row['target']}, noise "
        f"{row['noise']}, weight {row['weighting']}, {row['steps']} steps, {row['kex']:g} kex, "
        f"{row['parameters']} weights, {row['seconds']['total']:.0f} s",
        f"in {row['out']}: {CHECKPOINT}, {LOSSES}, {METRICS}, {RECIPE}"
        + (f", {PICTURE}" if row["picture"] is None else f"; no {PICTURE}: {row['picture']}"),
    ]
    if "excess" in row:
        excess = row["excess"]
        lines.append(
            f"excess loss over the mmse: {excess['nats']:.4g} +- {excess['nats_stderr']:.1g} nats, "
            f"{excess['edm']:.4g} a coordinate by EDM's noise and weight"
        )
    if "frechet" in row:
        lines.append(_frechet_text(row))
    if "sequences" in row:
        lines += _sequence_lines(row)
    if "checks" in row:
        checks = row["checks"]
        lines.append(f"{_frechet_text(checks)}; {checks['n']} samples, NFE {row['nfe']}")
        for check in checks["checks"]:
            verdict = "passed" if check["passed"] else "failed"
            lines.append(
                f"{verdict:10s} {check['name']}: target {check['target']}; "
                f"measured {check['measured']:.4g}"
            )
    return "\n".join(lines)


def _frechet_text(row: dict[str, Any]) -> str:
    return (
        f"Frechet distance to the training images {row['frechet']:.4g}; real "
        f"{row['frechet_real']:.4g} ({row['frechet_real_is']}), Gaussian "
        f"{row['frechet_gaussian']:.4g}"
    )


def _sequence_lines(row: dict[str, Any]) -> list[str]:
    ours, real = row["sequences"], row["sequences_real"]
    lines = [
        f"valid places {ours['valid']:.4f}; k-mer distance {ours['kmer_distance']:.4f}, real "
        f"{real['kmer_distance']:.4f}"
    ]
    for name, motif in ours["motifs"].items():
        shares = motif["samples"]["share"], motif["reference"]["share"]
        lines.append(f"motif {name} {motif['word']}: in {shares[0]:.3f}, held out {shares[1]:.3f}")
    return lines


def _train(trainer: Trainer, folder: Path, begin: float) -> dict[str, float]:
    """Train to the end from the saved state, if any; the seconds spent so far, by name."""
    found = state.load_state(folder)
    before = 0.0
    if found is not None:
        trainer.load(found)
        before = float(found["seconds"])

    def save() -> None:
        spent = before + time.monotonic() - begin
        state.save_state(folder, {**trainer.state(), "seconds": spent})

    with meter(trainer.recipe.steps, "training", trainer.done) as bar:
        train(trainer, save, lambda: _evaluated(trainer)[0], bar.update, SAVE_SECONDS)
    save()
    here = time.monotonic() - begin
    return {"training": before + here, "this_process": here}


def _evaluated(trainer: Trainer) -> tuple[dict[str, Any], Any]:
    recipe = trainer.recipe
    return evaluate(
        trainer.denoiser(),
        trainer.target,
        recipe.samples,
        recipe.sample_steps,
        trainer.seed,
        trainer.device,
    )


def _finish(
    folder: Path,
    trainer: Trainer,
    preset: str,
    row: dict[str, Any],
    samples: Any,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Write the files of a finished run, metrics.json last."""
    recipe = trainer.recipe
    facts = {"recipe": recipe.to_dict(), "seed": trainer.seed, "kex": trainer.kex}
    write_checkpoint(
        folder / CHECKPOINT,
        trainer.ema.network,
        recipe.network,
        trainer.target.sigma_data,
        trainer.target.shape,
        facts,
    )
    text = io.StringIO()
    text.write("kex,sigma,loss\n")
    text.writelines(f"{kex!r},{sigma!r},{loss!r}\n" for kex, sigma, loss in trainer.log)
    write_text(folder / LOSSES, text.getvalue())
    reason = "no samples were asked for" if samples is None else None
    if reason is None:
        write_picture(folder / PICTURE, np.asarray(samples))
    del seconds["this_process"]
    metrics = {
        "kind": "training",
        "preset": preset,
        "out": str(folder),
        "seed": trainer.seed,
        "device": str(trainer.device),
        "target": recipe.target,
        "noise": recipe.noise,
        "weighting": recipe.weighting,
        "sigma_data": trainer.target.sigma_data,
        "steps": recipe.steps,
        "kex": trainer.kex,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "seconds": {**seconds, "total": sum(seconds.values())},
        "threads": recipe.threads,
        "picture": reason,
        "history": trainer.history,
        **row,
    }
    write_json(folder / METRICS, metrics)
    (folder / state.FILE).unlink(missing_ok=True)
    return metrics


def _finished(folder: Path) -> dict[str, Any]:
    found = read_json(folder / METRICS, "training", ())
    del found["source"]
    return found


def _check_device(device: str) -> None:
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not (index.isdigit() and kind == "cuda")):
        raise ValueError(f"device must be cpu, cuda or cuda:N, got {device!r}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"device must be there, got {device!r} with {count} CUDA devices")


def _check_run(folder: Path, recipe: Recipe, seed: int, device: str, resume: bool) -> None:
    """Refuse a folder that contains a run, unless it is the same run and is to be resumed."""
    if not resume:
        which = "finished" if (folder / METRICS).exists() else "unfinished"
        advice = "resume it, or name another folder"
        raise ValueError(
            f"out must be a folder without a run, got {folder} with a {which} one; {advice}"
        )
    about = read_json(folder / RECIPE, "recipe", ("seed", "device"))
    key = same_recipe(read_recipe(folder / RECIPE), recipe)
    if key is not None:
        theirs = json.dumps(about[key])
        raise ValueError(
            f"preset must be the recipe of the run in {folder}, got one with another {key}; "
            f"there it is {theirs:.120}"
        )
    for name, value in (("seed", seed), ("device", device)):
        if about[name] != value:
            raise ValueError(
                f"{name} must be that of the run in {folder}, {about[name]}, got {value}"
            )


def _about(preset: str, recipe: Recipe, seed: int, device: str, target: Target) -> dict[str, Any]:
    """The contents of recipe.json."""
    libraries = ("entropic", "torch", "numpy", "scipy", "scikit-learn", "safetensors")
    return {
        "kind": "recipe",
        **recipe.to_dict(),
        "seed": seed,
        "device": device,
        "versions": {name: version(name) for name in libraries},
        "facts": {"asked_for": preset, "sigma_data": target.sigma_data, **target.facts},
    }
