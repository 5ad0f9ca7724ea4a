"""Sampling schedules on networks that we trained: a small counterpart of the image tables.

A network of the digits and one of a 1-D mixture are trained and profiled at 128 levels of EDM's
grid. Every schedule and solver then samples from them with equal numbers of network calls.

    python -m benchmarks.training.schedules OUT [--device cuda] [--jobs N]
"""

import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.engine.results import rows_new
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, make_folder, write_csv
from benchmarks.networks.data import read_data
from benchmarks.networks.measure import read_measured
from benchmarks.networks.profiles import profile
from benchmarks.networks.sampling import DivergedError, sample
from benchmarks.networks.spec import open_network
from benchmarks.networks.spectrum import amplitudes, radial_mean
from benchmarks.studies.digits_schedules import (
    CALLS,
    IMAGE_CALLS,
    IMAGE_ROWS,
    SCHEDULE_ROWS,
    SCHEDULES,
    SOLVERS,
    TARGETS,
)
from benchmarks.studies.learned_profile import PROFILE_ROWS
from benchmarks.studies.spectral_profile import SPECTRUM_ROWS
from benchmarks.training.run import run_training
from benchmarks.training.targets import Target, make_target
from benchmarks.training.transfer import floor_scores, sample_score
from theory.checks import Array
from theory.profiles.files import read_profile
from theory.profiles.profile import Profile
from theory.reading import write_json
from theory.schedules.registry import REGISTRY
from theory.schedules.registry import schedule as named_schedule
from theory.schedules.standard import edm_sigmas, log_snr_sigmas
from theory.solvers import registry as solvers
from theory.solvers.calls import equal_steps
from theory.solvers.reducing import Solver
from theory.versions import versions
from theory.writing import write_bytes
from toys.information import information

SAMPLES, DRAWN, SEED = 5000, 1000, 60
IMAGES = 8
SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
RECIPES: dict[str, Mapping[str, Any]] = {
    "digits": {"preset": "digits-quick", "samples": 0, "log_every": 0},
    "binary-digits": {
        "preset": "digits-quick",
        "target": "binary-digits",
        "samples": 0,
        "log_every": 0,
    },
    "mixture": {
        "preset": "mixture",
        "target_options": {"dim": 1},
        "network": {"name": "mlp", "dim": 1, "width": 96, "depth": 3},
        "samples": 0,
        "log_every": 0,
    },
}


@cache
def _target(name: str) -> Target:
    return make_target(name, **RECIPES[name].get("target_options", {}))


def trained(name: str, folder: Path, device: str) -> tuple[Path, Profile, Profile]:
    """The folder of a network, and its profiles on training data and on held-out data.

    The network is trained unless it is there already.

    Args:
        name: A key of RECIPES.
        folder: The folder of all networks.
        device: "cpu" or "cuda".
    """
    make_folder(folder)
    target, place = _target(name), folder / name
    recipe = folder / f"{name}.recipe.json"
    write_json(recipe, {"kind": "recipe", **RECIPES[name]})
    run_training(str(recipe), str(place), 0, device, resume=place.exists())
    profiles = []
    for part, data in (("train", target.train), ("held_out", target.held_out)):
        file, out = folder / f"{name}.{part}.npy", folder / f"{name}.{part}.json"
        content = io.BytesIO()
        np.save(content, data)
        write_bytes(file, content.getvalue())
        profile(str(place), str(file), str(out), device=device, batch=512)
        profiles.append(read_profile(out))
    return place, profiles[0], profiles[1]


def levels(schedule: str, steps: int, measured: Profile) -> Array:
    """Levels of a schedule by name with terminal "zero", as for any measured profile."""
    rule = {"rule": "trapezoid"} if "rule" in REGISTRY.options(schedule) else {}
    return named_schedule(schedule, steps, "edm", measured, "zero", SIGMA_MIN, SIGMA_MAX, **rule)


def solver_at(solver: str, sigmas: Array, target: Target) -> Solver:
    """The solver on these levels; re_multi takes its inner products by channel."""
    name, own = solvers.REGISTRY.parse(solver)
    options: dict[str, Any] = dict(own)
    if name == "re_multi":
        options["channels"] = target.shape[0]
    return solvers.make_table(name, sigmas, None, **options)


@dataclass(frozen=True)
class ScheduleScore:
    """The score of one schedule and solver on one network.

    Args:
        target: A key of RECIPES.
        network: Folder of the network.
        weights: Hash of its weights.
        schedule: Name of the schedule, for the row only.
        solver: Name of the solver, with its options as in "ddim:call=0.5".
        calls: Number of denoiser calls allowed.
        sigmas: The levels.
        device: "cpu" or "cuda".
        seed: Seed of the samples.
        samples: Number of samples; 0 for that of the study of schedules.
    """

    target: str
    network: str
    weights: str
    schedule: str
    solver: str
    calls: int
    sigmas: tuple[float, ...]
    device: str
    seed: int = SEED
    samples: int = 0

    def run(self) -> dict[str, Any]:
        """One row. If the solver diverges, the row has no score but a reason."""
        torch.set_num_threads(1)
        target = _target(self.target)
        table = solver_at(self.solver, np.array(self.sigmas), target)
        drawn = self.samples or SAMPLES
        scores: dict[str, Any]
        try:
            samples = sample(
                open_network(self.network, self.device).denoiser, table, target.shape, drawn,
                self.seed, batch=DRAWN, device=self.device, dtype=torch.float32,
            )  # fmt: skip
            scores = dict(sample_score(samples.numpy().astype(np.float32), target))
        except DivergedError as lost:
            scores = {"score": None, "reason": str(lost)}
        return {
            "target": self.target,
            "schedule": self.schedule,
            "solver": self.solver,
            "calls": self.calls,
            "nfe": table.nfe,
            "n_steps": len(self.sigmas) - 1,
            "terminal": "zero",
            **scores,
            "seed": self.seed,
            "samples": drawn,
            "weights": self.weights,
            "device": self.device,
        }


def steps_at(name: str, solver: str, calls: int) -> int:
    """The most steps of a solver that a number of denoiser calls allows on a network."""

    def calls_at(n: int) -> int:
        return solver_at(solver, log_snr_sigmas(n, 9.0, 1.0, "zero"), _target(name)).nfe

    return equal_steps(calls_at, calls)


def tasks(name: str, network: Path, measured: Profile, device: str) -> list[ScheduleScore]:
    """All settings of a network. Every solver takes the most steps that its calls allow."""
    weights, out = open_network(str(network)).weights, []
    for solver in SOLVERS:
        for calls in CALLS:
            steps = steps_at(name, solver, calls)
            for schedule in SCHEDULES:
                if schedule == "spectral" and not measured.spectral:
                    continue
                sigmas = tuple(levels(schedule, steps, measured).tolist())
                given = (name, str(network), weights, schedule, solver, calls, sigmas, device)
                out.append(ScheduleScore(*given))
    return out


def image_rows(network: Path, measured: Profile, device: str) -> pd.DataFrame:
    """Digits by deterministic DDIM at equal seeds, one row per pixel."""
    target, parts = _target("digits"), []
    denoiser = open_network(str(network), device).denoiser
    for calls in (*IMAGE_CALLS, 128):
        for schedule in SCHEDULES if calls < 128 else ("edm",):
            table = solvers.make_table("ddim", levels(schedule, calls, measured))
            drawn = sample(denoiser, table, target.shape, IMAGES, SEED, device=device)
            pixels = np.clip(drawn.numpy().reshape(IMAGES, -1), -1.0, 1.0)
            index = np.indices(pixels.shape)
            parts.append(
                pd.DataFrame(
                    {
                        "schedule": schedule,
                        "nfe": calls,
                        "image": index[0].ravel(),
                        "pixel": index[1].ravel(),
                        "value": np.round(pixels.ravel(), 3),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True).assign(seed=SEED, device=device)


def profile_rows(name: str, seen: Profile, unseen: Profile) -> pd.DataFrame:
    """Learned profiles on training and held-out data, and the exact one if the law is known."""
    parts = []
    for kind, found in (("train", seen), ("held_out", unseen)):
        columns = {"sigma": found.sigma, "mmse": found.mmse, "stderr": found.stderr}
        parts.append(pd.DataFrame(columns).assign(kind=kind, samples=found.source["samples"]))
    law = _target(name).law
    if law is not None:
        exact = {"sigma": seen.sigma, "mmse": information.curves(law, seen.sigma).mmse}
        parts.append(pd.DataFrame(exact).assign(kind="exact", stderr=0.0, samples=0))
    return pd.concat(parts, ignore_index=True).assign(target=name, dim=seen.dim)


def spectrum_rows(folder: Path, measured: Profile) -> pd.DataFrame:
    """Spectral profile of the digits: rescaled entropy by radial frequency and the time changes.

    The three time changes and the data's amplitudes are included. All shares are integrated by the
    trapezoidal rule from the lowest level and normalised to 1 at sigma_max.
    """
    shape, sigma = _target("digits").shape, measured.sigma
    split = read_measured(folder / "digits.train.npz").split
    assert split is not None
    rings = [radial_mean(part, shape, 0) for part in split]
    parts = []
    for k, cycles in enumerate(rings[0][0]):
        risk = np.array([mean[k] for _, mean in rings])
        share = Profile(1, sigma, risk).time_change(1, "trapezoid")
        columns = {"sigma": sigma, "share": share / share[-1], "mmse": risk}
        parts.append(pd.DataFrame(columns).assign(kind="ring", cycles=cycles))
    curves = {"rescaled": measured.mmse} | {
        f"spectral_{k}": v for k, v in measured.spectral.items()
    }
    for name, risk in curves.items():
        share = Profile(1, sigma, risk).time_change(1, "trapezoid")
        columns = {"sigma": sigma, "share": share / share[-1], "mmse": risk}
        parts.append(pd.DataFrame(columns).assign(kind=name))
    edm = edm_sigmas(sigma.size - 1, SIGMA_MAX, SIGMA_MIN)[::-1]
    parts.append(pd.DataFrame({"sigma": edm, "share": np.linspace(0, 1, edm.size), "kind": "edm"}))
    for name, modulus in amplitudes(read_data(str(folder / "digits.train.npy"))).items():
        cycles, mean = radial_mean(modulus, shape, 0)
        parts.append(pd.DataFrame({"kind": f"amplitude_{name}", "cycles": cycles, "share": mean}))
    return pd.concat(parts, ignore_index=True)


def write_study(store: Store, jobs: int | None, device: str, results: Path) -> None:
    """Train, profile and sample, and write all rows to a folder; finished work is not repeated."""
    folder = store.folder / "networks"
    about = {"torch": torch.__version__, **versions()}
    scores, learned = [], []
    for name in TARGETS:
        network, seen, unseen = trained(name, folder, device)
        scores += run_tasks(tasks(name, network, seen, device), store, jobs, f"{name} schedules")
        scores.append({"target": name, "schedule": "real", **floor_scores(name)})
        learned.append(profile_rows(name, seen, unseen))
        if name == "digits":
            write_csv(image_rows(network, seen, device).assign(**about), results / IMAGE_ROWS.name)
            rows = spectrum_rows(folder, seen).assign(**about)
            write_csv(rows, results / SPECTRUM_ROWS.name)
    write_csv(pd.DataFrame(scores).assign(**about), results / SCHEDULE_ROWS.name)
    write_csv(pd.concat(learned).assign(**about), results / PROFILE_ROWS.name)


def compute_study(store: Store, jobs: int | None, device: str = "cpu") -> None:
    """Run the study and write its rows."""
    write_study(store, jobs, device, rows_new(SCHEDULE_ROWS).parent)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--jobs", type=click.IntRange(1))
def main(out: Path, device: str, jobs: int | None) -> None:
    """Run the study into a folder of its own."""
    write_study(Store(out / "store"), jobs, device, make_folder(out))


if __name__ == "__main__":
    # Imported by its name, so that tasks can be sent to worker processes.
    from benchmarks.training.schedules import main as command

    sys.exit(command())
