"""The schedules `law` and `optimal` on networks that we trained, beside other schedules.

The networks and their profiles are those of `benchmarks.training.schedules`. The levels of
`optimal` come from the measured profile alone. Every setting is sampled with three seeds.

    python -m benchmarks.training.optimum OUT [--device cuda] [--jobs N]
"""

import sys
from pathlib import Path

import click
import pandas as pd
import torch

from benchmarks.engine.results import results_file, rows_new
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, make_folder, write_csv
from benchmarks.networks.spec import open_network
from benchmarks.optimum.registry import schedule as any_schedule
from benchmarks.studies.digits_schedules import CALLS, TARGETS
from benchmarks.training.schedules import (
    SIGMA_MAX,
    SIGMA_MIN,
    ScheduleScore,
    levels,
    steps_at,
    trained,
)
from benchmarks.training.transfer import floor_scores
from theory.checks import Array
from theory.profiles.profile import Profile
from theory.versions import versions

NETWORK_ROWS = results_file("optimum_networks")
SCHEDULES = ("edm", "log_snr", "rescaled", "spectral", "las", "law", "optimal")
SOLVERS = ("ddim", "stochastic_ddim", "heun", "dpmpp_2m")
SEEDS = (60, 61, 62)
T_THREE = 4.302652729911275  # 97.5 % quantile of Student's t with two degrees of freedom


def levels_for(schedule: str, steps: int, measured: Profile, solver: str) -> Array:
    """Levels of a schedule with terminal "zero"; those of `law` and `optimal` are for a solver."""
    if schedule not in ("law", "optimal"):
        return levels(schedule, steps, measured)
    ends = "zero", SIGMA_MIN, SIGMA_MAX
    return any_schedule(schedule, steps, "edm", measured, *ends, solver=solver)


def tasks(
    name: str, network: Path, measured: Profile, device: str, calls: tuple[int, ...] = CALLS
) -> list[ScheduleScore]:
    """All settings of a network. Every solver takes the most steps that its calls allow."""
    weights, out = open_network(str(network)).weights, []
    for solver in SOLVERS:
        for count in calls:
            steps = steps_at(name, solver, count)
            for schedule in SCHEDULES:
                if schedule == "spectral" and not measured.spectral:
                    continue
                sigmas = tuple(levels_for(schedule, steps, measured, solver).tolist())
                given = (name, str(network), weights, schedule, solver, count, sigmas, device)
                out += [ScheduleScore(*given, seed) for seed in SEEDS]
    return out


def intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean score over the seeds and half the width of its 95 % interval, by Student's t."""
    keys = ["target", "schedule", "solver", "calls"]
    found = rows.groupby(keys, sort=False)["score"].agg(["mean", "std", "count"]).reset_index()
    half = T_THREE * found["std"] / found["count"] ** 0.5
    return found.assign(half=half.where(found["count"] == len(SEEDS))).drop(columns="std")


def write_study(
    store: Store, jobs: int | None, device: str, path: Path, calls: tuple[int, ...] = CALLS
) -> None:
    """Train, profile and sample, and write the rows; finished work is not repeated."""
    scores = []
    for name in TARGETS:
        network, seen, _ = trained(name, store.folder / "networks", device)
        scores += run_tasks(
            tasks(name, network, seen, device, calls), store, jobs, f"{name}, optimal levels"
        )
        scores.append({"target": name, "schedule": "real", **floor_scores(name)})
    write_csv(pd.DataFrame(scores).assign(torch=torch.__version__, **versions()), path)


def compute_study(store: Store, jobs: int | None, device: str = "cpu") -> None:
    """Run the study and write its rows."""
    write_study(store, jobs, device, rows_new(NETWORK_ROWS))


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--jobs", type=click.IntRange(1))
def main(out: Path, device: str, jobs: int | None) -> None:
    """Run the study into a folder of its own."""
    folder = make_folder(out)
    write_study(Store(out / "store"), jobs, device, folder / NETWORK_ROWS.name)


if __name__ == "__main__":
    # Imported by its name, so that tasks can be sent to worker processes.
    from benchmarks.training.optimum import main as command

    sys.exit(command())
