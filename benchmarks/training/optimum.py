"""The schedules `law` and `optimal` on networks that we trained, beside other schedules.

The networks and their profiles are those of `benchmarks.training.schedules`. The levels of
`optimal` come from the measured profile alone. Every setting is sampled with three seeds.

    python -m benchmarks.training.optimum OUT [--device cuda] [--jobs N]
"""

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch

from benchmarks.engine.results import rows_new
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, make_folder, write_csv
from benchmarks.networks.spec import open_network
from benchmarks.optimum.registry import schedule as any_schedule
from benchmarks.studies.digits_schedules import CALLS, OPTIMUM_ROWS, TARGETS
from benchmarks.studies.digits_schedules import OPTIMUM_SCHEDULES as SCHEDULES
from benchmarks.studies.digits_schedules import OPTIMUM_SEEDS as SEEDS
from benchmarks.training.schedules import (
    SIGMA_MAX,
    SIGMA_MIN,
    ScheduleScore,
    levels,
    steps_at,
    trained,
)
from benchmarks.training.transfer import floor_scores
from theory.profiles.files import read_profile
from theory.profiles.profile import Profile
from theory.versions import versions

SOLVERS = ("ddim", "stochastic_ddim", "heun", "dpmpp_2m")
SAMPLES = 2500  # per seed


@dataclass(frozen=True)
class NetworkLevels:
    """The levels of a schedule for a solver on a network, with terminal "zero".

    Args:
        profile: File of the network's measured profile.
        weights: Hash of the network's weights.
        schedule: Name of the schedule.
        solver: Name of the solver, which `law` and `optimal` draw on.
        steps: Number of steps.
    """

    profile: str
    weights: str
    schedule: str
    solver: str
    steps: int

    def run(self) -> dict[str, Any]:
        """The levels."""
        measured = _measured(self.profile)
        if self.schedule not in ("law", "optimal"):
            return {"sigmas": levels(self.schedule, self.steps, measured).tolist()}
        ends = "zero", SIGMA_MIN, SIGMA_MAX
        found = any_schedule(self.schedule, self.steps, "edm", measured, *ends, solver=self.solver)
        return {"sigmas": found.tolist()}


@lru_cache(maxsize=2)
def _measured(file: str) -> Profile:
    """The profile of a file; the same object, so that stand-ins are fitted to it once."""
    return read_profile(file)


def tasks(
    name: str,
    network: Path,
    store: Store,
    jobs: int | None,
    device: str,
    calls: tuple[int, ...] = CALLS,
) -> list[ScheduleScore]:
    """All settings of a network. Every solver takes the most steps that its calls allow."""
    weights = open_network(str(network)).weights
    file = str(network.parent / f"{name}.train.json")
    wanted = {
        (solver, count, schedule): NetworkLevels(
            file, weights, schedule, solver, steps_at(name, solver, count)
        )
        for solver in SOLVERS
        for count in calls
        for schedule in SCHEDULES
        if schedule != "spectral" or _measured(file).spectral
    }
    found = run_tasks(list(wanted.values()), store, jobs, f"{name}, levels")
    out = []
    for (solver, count, schedule), row in zip(wanted, found, strict=True):
        given = name, str(network), weights, schedule, solver, count
        out += [
            ScheduleScore(*given, tuple(row["sigmas"]), device, seed, SAMPLES) for seed in SEEDS
        ]
    return out


def write_study(
    store: Store, jobs: int | None, device: str, path: Path, calls: tuple[int, ...] = CALLS
) -> None:
    """Train, profile and sample, and write the rows; finished work is not repeated."""
    scores = []
    for name in TARGETS:
        network, _, _ = trained(name, store.folder / "networks", device)
        wanted = tasks(name, network, store, jobs, device, calls)
        scores += run_tasks(wanted, store, jobs, f"{name}, scores")
        scores.append({"target": name, "schedule": "real", **floor_scores(name, SAMPLES)})
    write_csv(pd.DataFrame(scores).assign(torch=torch.__version__, **versions()), path)


def compute_study(store: Store, jobs: int | None, device: str = "cpu") -> None:
    """Run the study and write its rows."""
    write_study(store, jobs, device, rows_new(OPTIMUM_ROWS))


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--jobs", type=click.IntRange(1))
def main(out: Path, device: str, jobs: int | None) -> None:
    """Run the study into a folder of its own."""
    folder = make_folder(out)
    write_study(Store(out / "store"), jobs, device, folder / OPTIMUM_ROWS.name)


if __name__ == "__main__":
    # Imported by its name, so that tasks can be sent to worker processes.
    from benchmarks.training.optimum import main as command

    sys.exit(command())
