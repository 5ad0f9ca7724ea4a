"""KL against steps, exact and by paper A's Monte Carlo protocol."""

from dataclasses import dataclass

import pandas as pd

from benchmarks.engine.experiments import Divergences
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store
from benchmarks.engine.toy_profiles import ToyProfile, to_profile
from theory.noise.processes import PROCESSES
from theory.schedules.registry import schedule


@dataclass(frozen=True)
class KLBudget:
    """How much of the figure to compute.

    Args:
        steps: Numbers of steps.
        marked: Those of them that are repeated by Monte Carlo.
        paths: Monte Carlo paths per repeat.
        repeats: Monte Carlo repeats.
        rtol: Relative tolerance of the exact KL.
    """

    steps: tuple[int, ...]
    marked: tuple[int, ...]
    paths: int
    repeats: int
    rtol: float


KL_BUDGETS = {
    "quick": KLBudget((2, 4, 8), (4,), 1000, 2, 1e-5),
    "default": KLBudget((2, 4, 8, 16, 32, 64, 128, 256), (2, 8, 32, 128), 10_000, 4, 1e-6),
    "paper": KLBudget(
        (2, 4, 8, 16, 32, 64, 128, 256), (2, 4, 8, 16, 32, 64, 128, 256), 10_000, 100, 1e-8
    ),
}
KL_TOYS = {"points15": "zero", "gaussians15_narrow": "stop", "gaussians15_overlap": "stop"}
STANDARD = {"vp": "vp_linear", "edm": "edm_linear"}
KL_SCHEDULES = ("standard", "edm", "log_snr", "entropic", "rescaled")


def kl_vs_steps(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper A v1 Figs. 2 and 4: KL(data || sampler) against steps, exact and by Monte Carlo."""
    size = KL_BUDGETS[budget]
    pairs = [(name, process) for name in KL_TOYS for process in STANDARD]
    grids = [
        ToyProfile(name, PROCESSES[process].sigma_min, PROCESSES[process].sigma_max)
        for name, process in pairs
    ]
    profiles = [
        to_profile(row, {"toy": grid.toy})
        for grid, row in zip(grids, run_tasks(grids, store, jobs, "profiles"), strict=True)
    ]
    tasks, labels = [], []
    for (name, process), profile in zip(pairs, profiles, strict=True):
        for label in KL_SCHEDULES:
            method = STANDARD[process] if label == "standard" else label
            for n in size.steps:
                sigmas = schedule(method, n, process, profile, KL_TOYS[name])
                task = Divergences(
                    name,
                    process,
                    method,
                    tuple(sigmas.tolist()),
                    terminal=KL_TOYS[name],
                    rtol=size.rtol,
                )
                tasks.append(task)
                labels.append(label)
                if n in size.marked:
                    tasks.append(
                        Divergences(
                            name,
                            process,
                            method,
                            task.sigmas,
                            terminal=task.terminal,
                            paths=size.paths,
                            repeats=size.repeats,
                        )
                    )
                    labels.append(label)
    rows = run_tasks(tasks, store, jobs, "KL against steps")
    table = pd.DataFrame(rows)
    table.insert(3, "label", labels)
    return table
