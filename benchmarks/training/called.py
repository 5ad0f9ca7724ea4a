"""Called levels on networks that we trained: shares of the shift, and why the gain is smaller.

Networks of the digits, the binary digits and a 1-D mixture are trained with three seeds each, and
once more with told levels below those of their inputs. All sample down EDM's grid, DDIM and
ancestral sampling with shares of the geometric shift, with three seeds of noise each. On the
mixture the network's error is measured where it is told a level below that of its input.

    python -m benchmarks.training.called OUT [--device cuda] [--jobs N] [--quick]
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.engine.results import rows_new
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, make_folder, write_csv
from benchmarks.networks.spec import open_network
from benchmarks.studies.called_levels import CALLED_NETWORK_ROWS, TRAININGS
from benchmarks.training.evaluate import EVALUATION_SEED, denoised
from benchmarks.training.run import run_training
from benchmarks.training.schedules import RECIPES, SIGMA_MAX, SIGMA_MIN, ScheduleScore, steps_at
from benchmarks.training.targets import make_target
from benchmarks.training.transfer import floor_scores
from theory.reading import write_json
from theory.schedules.standard import edm_sigmas
from theory.versions import versions

TARGETS = ("digits", "binary-digits", "mixture")
SAMPLERS = ("ddim", "stochastic_ddim")
REFERENCES = ("dpmpp_2m", "heun")  # with their own calls
SHARES = (0.0, 0.25, 0.5, 1.0)
CALLS = (4, 8, 16, 32, 64)
CURED_CALLS = (4, 8, 16)
SAMPLES, SEEDS = 2500, (60, 61, 62)
ONE_SEED = 32  # calls from which there is one seed of the noise per training
SHIFT = 0.5  # told_shift of the networks that have seen such inputs
SHIFTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)  # of told levels, at which errors are measured
ERROR_LEVELS, ERROR_SAMPLES = np.geomspace(0.01, 20.0, 12), 20_000


@dataclass(frozen=True)
class Network:
    """A network of the study.

    Args:
        target: Name of the data.
        training: Seed of the training.
        told_shift: That of the recipe.
    """

    target: str
    training: int
    told_shift: float = 0.0

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.target}-{self.training}{'-told' if self.told_shift else ''}"


@dataclass(frozen=True)
class Training:
    """The training of a network, which is not repeated if its folder is there.

    Args:
        network: The network.
        folder: The folder of all networks.
        device: "cpu" or "cuda".
        steps: Optimiser steps; 0 for those of the recipe.
    """

    network: Network
    folder: str
    device: str
    steps: int = 0

    def run(self) -> dict[str, Any]:
        """The network's folder and the hash of its weights."""
        one, folder = self.network, make_folder(Path(self.folder))
        recipe = dict(RECIPES[one.target]) | {"told_shift": one.told_shift}
        recipe |= {"steps": self.steps} if self.steps else {}
        file, place = folder / f"{one.name}.recipe.json", folder / one.name
        write_json(file, {"kind": "recipe", **recipe})
        run_training(str(file), str(place), one.training, self.device, resume=place.exists())
        return {"place": str(place), "weights": open_network(str(place)).weights}


@dataclass(frozen=True)
class ToldErrors:
    """Errors of a mixture's network that is told a level below that of its input.

    Args:
        network: Folder of the network.
        weights: Hash of its weights.
    """

    network: str
    weights: str

    def run(self) -> list[dict[str, Any]]:
        """One row per level of the input and shift of the told level.

        "error" is E|D_network - D|^2 with both told the same level, "change" is E|D(x, told) -
        D(x, sigma)|^2 of the exact denoiser, and "learned" the same of the network.
        """
        torch.set_num_threads(1)
        law = make_target("mixture", **RECIPES["mixture"]["target_options"]).law
        assert law is not None
        denoiser, rows = open_network(self.network).denoiser, []
        for i, sigma in enumerate(ERROR_LEVELS.tolist()):
            x = law.sample(ERROR_SAMPLES, EVALUATION_SEED, i * ERROR_SAMPLES, sigma)
            plain: dict[str, Any] = {}
            for shift in SHIFTS:
                told = sigma * float(np.exp(-shift))
                found = denoised(denoiser, torch.from_numpy(x), told).double().numpy()
                exact = law.denoise(x, told)
                plain = plain or {"network": found, "exact": exact}
                rows.append(
                    {
                        "kind": "error",
                        "sigma": sigma,
                        "shift": shift,
                        "error": float(np.mean((found - exact) ** 2)),
                        "change": float(np.mean((exact - plain["exact"]) ** 2)),
                        "learned": float(np.mean((found - plain["network"]) ** 2)),
                    }
                )
        return rows


def share_text(sampler: str, share: float) -> str:
    """The sampler with a share of the shift, as text."""
    return f"{sampler}:call={share:g}" if share else sampler


def networks(quick: bool) -> list[Network]:
    """The networks: three trainings per target, and one each that has seen told levels."""
    seeds = range(1 if quick else TRAININGS)
    plain = [Network(target, seed) for target in TARGETS for seed in seeds]
    return [*plain, *(Network(target, 0, SHIFT) for target in TARGETS)]


def write_study(
    store: Store, jobs: int | None, device: str, path: Path, quick: bool = False
) -> None:
    """Train, sample and measure, and write the rows; finished work is not repeated."""
    folder, ours = str(store.folder / "networks"), networks(quick)
    trainings = [Training(one, folder, device, 20 if quick else 0) for one in ours]
    places = run_tasks(trainings, store, jobs, "trainings")
    scores: list[ScheduleScore] = []
    about: list[dict[str, Any]] = []
    for one, found in zip(ours, places, strict=True):
        calls = CURED_CALLS if one.told_shift else CALLS
        samplers = (*SAMPLERS, *(() if one.told_shift else REFERENCES))
        for sampler, count in ((s, c) for s in samplers for c in (calls[:1] if quick else calls)):
            for share in SHARES if sampler in SAMPLERS else SHARES[:1]:
                solver = share_text(sampler, share)
                sigmas = edm_sigmas(
                    steps_at(one.target, solver, count), SIGMA_MAX, SIGMA_MIN, "zero"
                )
                for seed in SEEDS[:1] if quick or count >= ONE_SEED else SEEDS:
                    given = one.target, found["place"], found["weights"], "edm", solver, count
                    levels = tuple(sigmas.tolist())
                    scores.append(ScheduleScore(*given, levels, device, seed, SAMPLES))
                    about.append(
                        {"sampler": sampler, "share": share, "training": one.training}
                        | {"told_shift": one.told_shift}
                    )
    rows = run_tasks(scores, store, jobs, "scores")
    table = [{"kind": "score"} | more | row for more, row in zip(about, rows, strict=True)]
    measured = [
        (one, ToldErrors(found["place"], found["weights"]))
        for one, found in zip(ours, places, strict=True)
        if one.target == "mixture"
    ]
    errors = run_tasks([task for _, task in measured], store, jobs, "errors")
    for (one, _), part in zip(measured, errors, strict=True):
        more = {"target": one.target, "training": one.training, "told_shift": one.told_shift}
        table += [more | row for row in part]
    table += [{"kind": "real", "target": name, **floor_scores(name)} for name in TARGETS]
    write_csv(pd.DataFrame(table).assign(torch=torch.__version__, **versions()), path)


def compute_study(store: Store, jobs: int | None, device: str = "cpu") -> None:
    """Run the study and write its rows."""
    write_study(store, jobs, device, rows_new(CALLED_NETWORK_ROWS))


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--jobs", type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="Few steps of training and one seed, to try it.")
def main(out: Path, device: str, jobs: int | None, quick: bool) -> None:
    """Run the study into a folder of its own."""
    folder = make_folder(out)
    write_study(Store(out / "store"), jobs, device, folder / CALLED_NETWORK_ROWS.name, quick)


if __name__ == "__main__":
    # Imported by its name, so that tasks can be sent to worker processes.
    from benchmarks.training.called import main as command

    sys.exit(command())
