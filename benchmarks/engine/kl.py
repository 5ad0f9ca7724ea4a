"""Rows with the KL of one sampler, or of all samplers at an equal number of denoiser calls."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.engine.experiments import Divergences
from benchmarks.measure import divergences
from theory.noise.processes import named_process
from theory.solvers.calls import equal_steps
from theory.solvers.registry import SOLVERS, solver_options
from toys.files import load_toy
from toys.mixture import Mixture

START_SAMPLES = 2**16
Levels = Callable[[int], tuple[float, ...]]


def rows_of_all(task: Divergences, levels: Levels) -> list[dict[str, Any]]:
    """One row per solver; each makes at most as many denoiser calls as the task has steps.

    Args:
        task: The experiment. Each solver in turn replaces its solver, and takes those of its
            options that it knows.
        levels: Function from the number of steps to the levels.
    """
    calls = len(task.sigmas) - 1
    rows = []
    for name in tqdm(SOLVERS, desc="solvers", leave=False):
        kept = tuple((k, v) for k, v in task.options if k in solver_options(name))
        own = replace(task, solver=name, options=kept)
        steps = equal_steps(lambda n, own=own: replace(own, sigmas=levels(n)).table.nfe, calls)  # type: ignore[misc]
        if steps == 0:
            reason = f"a step takes more than {calls} denoiser calls"
            rows.append(own.labels() | _no_kl(reason) | {"nfe": None})
            continue
        own = replace(own, sigmas=levels(steps))
        try:
            rows.append(kl_row(own))
        except ValueError as error:  # no exact law, or one that does not converge
            rows.append(own.labels() | _no_kl(str(error)))
    return rows


def _no_kl(reason: str) -> dict[str, Any]:
    return {"kl_data_model": None, "error": None, "reason": reason, "kl_discretisation": None}


def kl_row(task: Divergences) -> dict[str, Any]:
    """The row of a task, with the KL due to the initial law and to the steps, and distances."""
    toy, row = load_toy(task.toy), task.run()
    process = named_process(task.process)
    sigma_max = task.sigmas[0]
    if task.start == "data":
        row["kl_start"] = 0.0
    elif toy.dim == 1:
        row["kl_start"] = divergences.start_kl(toy, sigma_max, process.start_std(sigma_max))
    else:
        row["kl_start"] = _sampled_start_kl(toy, sigma_max, process.start_std(sigma_max))
    if task.paths:
        row["kl_discretisation"] = None
        if not toy.is_points or task.sigmas[-1] > 0:  # points at sigma 0 are binned instead
            row["kde_std"] = divergences.kde_std(toy, task.paths, task.sigmas[-1])
    else:
        from_data = row if task.start == "data" else replace(task, start="data").run()
        row["kl_discretisation"] = from_data["kl_data_model"]
        try:
            row |= divergences.exact_distances(toy, task.table, task.start)
        except ValueError as error:  # the KL does not depend on them
            row |= {"tv": None, "w1": None, "distances_reason": str(error)}
    row["sigmas"] = list(task.sigmas)
    return row


def _sampled_start_kl(toy: Mixture, sigma: float, start_std: float) -> float:
    """KL(noisy data at sigma || initial law), by Monte Carlo over the data."""
    x = toy.sample(START_SAMPLES, 0, 0, sigma)
    log_q = -0.5 * np.sum((x / start_std) ** 2, axis=1) - toy.dim * (
        np.log(start_std) + 0.5 * np.log(2 * np.pi)
    )
    return float(np.mean(toy.log_density(x, sigma) - log_q))
