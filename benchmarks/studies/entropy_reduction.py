"""Paper C's propositions 3.1 to 4.2, measured on the log-SNR grid of EDM's range."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store
from benchmarks.measure.conditional_entropy import level_rows, step_rows
from theory.noise.processes import PROCESSES
from theory.schedules.standard import log_snr_sigmas
from theory.versions import versions

TOYS = ("gaussian", "gaussians15_overlap", "points15")
SIZES = {"quick": (4, 9), "default": (10, 61), "paper": (20, 121)}  # steps, levels


@dataclass(frozen=True)
class StepEntropies:
    """Rows of one toy on the log-SNR grid of EDM's range.

    Args:
        toy: Name in the zoo.
        n_steps: Number of steps that are measured one by one.
        n_levels: Number of levels at which the predictions are evaluated.
    """

    toy: str
    n_steps: int
    n_levels: int

    def run(self) -> dict[str, Any]:
        """The rows of `level_rows` and `step_rows`."""
        ends = PROCESSES["edm"]
        levels = log_snr_sigmas(self.n_levels - 1, ends.sigma_max, ends.sigma_min)
        sigmas = log_snr_sigmas(self.n_steps, ends.sigma_max, ends.sigma_min)
        return {"rows": level_rows(self.toy, levels) + step_rows(self.toy, sigmas)}


def entropy_reduction(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper C's propositions 3.1, 3.2, 3.4, 4.1, 4.2 measured on toys.

    Kind "step" or "level".
    """
    n_steps, n_levels = SIZES[budget]
    tasks = [StepEntropies(toy, n_steps, n_levels) for toy in TOYS]
    parts = run_tasks(tasks, store, jobs, "conditional entropies")
    rows = [row for part in parts for row in part["rows"]]
    return pd.DataFrame(rows).assign(
        process="edm",
        schedule="log_snr",
        n_steps=n_steps,
        terminal="stop",
        seed=None,
        stderr=0.0,
        **versions(),
    )
