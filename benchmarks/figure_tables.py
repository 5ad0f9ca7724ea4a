"""The tables that the figures are drawn from; the figures themselves compute nothing.

Every function takes the budget ("quick", "default" or "paper"), the store and the number of
worker processes, and returns a tidy table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bound_tightness import bound_tightness
from benchmarks.bound_tightness import compute_study as compute_bound_study
from benchmarks.claims.report import claims_ledger, compute_full_run
from benchmarks.entropy_reduction import entropy_reduction
from benchmarks.experiments import Divergences, ToyProfile, schedule, to_profile
from benchmarks.las_tables import (
    compute_mixture_study,
    las_mixtures,
    pathwise_vs_terminal,
    schedules_compared,
)
from benchmarks.phase_diagram import compute_study as compute_phase_study
from benchmarks.phase_diagram import phase_diagram
from benchmarks.run import run_tasks
from benchmarks.solver_tables import compute_study, re_vs_baselines, solver_convergence
from benchmarks.store import Store, versions, write_csv
from benchmarks.study_tables import (
    compute_schedule_study,
    compute_transfer_study,
    digits_schedules,
    infonoise_emergence,
    infonoise_transfer,
    learned_profile,
    spectral_profile,
)
from theory.allocation import gate, onset_pivot
from theory.noise import PROCESSES
from theory.schedules import log_snr_sigmas
from theory.solvers import stochastic_ddim_table
from toys import information, sampling, zoo
from toys.kernels import Array


@dataclass(frozen=True)
class KLBudget:
    """How much of the steps figure to run."""

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
    """Paper A Figs. 2-4: KL(data || sampler) against steps, exact and by the paper's protocol."""
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


def entropic_time(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper A Fig. 1: paths of one SDE and the conditional entropy, in standard and entropic time.

    Reverse VP paths of two points, in the VP coordinate, at equally spaced standard times and at
    equally spaced entropic times; kind "path" or "entropy".
    """
    toy, process = zoo.toy("two_points"), PROCESSES["vp"]
    n_paths, points = (6, 60) if budget == "quick" else (16, 400)
    fine = log_snr_sigmas(4 * points, process.sigma_max, process.sigma_min)
    curves = information.curves(toy, fine[::-1])
    assert curves.conditional_entropy is not None  # two points are discrete
    entropy = curves.conditional_entropy[::-1]
    time = process.coordinate.time(fine)
    share = (entropy - entropy[-1]) / (entropy[0] - entropy[-1])
    table = stochastic_ddim_table(fine, start_std=process.start_std())
    paths = sampling.trace_paths(toy, table, n_paths, seed=1)[:, :, 0] * np.sqrt(
        1.0 / (1.0 + fine[:, None] ** 2)
    )
    keep = np.zeros(fine.size, dtype=bool)
    for axis in (time, share):  # what either panel needs to look continuous
        places = np.interp(
            np.linspace(axis[-1], axis[0], points), axis[::-1], np.arange(fine.size)[::-1]
        )
        keep[np.round(places).astype(int)] = True
    parts = [
        pd.DataFrame(
            {
                "kind": "entropy",
                "path": -1,
                "sigma": fine[keep],
                "time": time[keep],
                "entropic_time": share[keep],
                "value": entropy[keep],
            }
        )
    ]
    for i in range(n_paths):
        parts.append(parts[0].assign(kind="path", path=i, value=paths[keep, i]))
    return pd.concat(parts, ignore_index=True).assign(
        toy="two_points", process="vp", seed=1, **versions()
    )


def information_window(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper D Figs. 1 and 10, eqs. (39)-(47), two points at -1 and 1 (a = 1).

    kind "field": marginal density, denoised value and posterior entropy over (sigma, x).
    kind "curve": posterior entropy, its rates, the stable fixed point of the denoiser and the
    curvature of the log density at 0, over sigma.
    """
    toy = zoo.toy("two_points")
    n_sigma, n_x = (40, 41) if budget == "quick" else (160, 161)
    sigma = np.geomspace(0.1, 4.0, n_sigma)
    x = np.linspace(-3.0, 3.0, n_x)
    fields = []
    for s in sigma.tolist():
        r = toy.responsibilities(x, s)
        with np.errstate(divide="ignore", invalid="ignore"):
            unsure = -np.where(r > 0, r * np.log(r), 0.0).sum(axis=1)
        fields.append(
            pd.DataFrame(
                {
                    "kind": "field",
                    "sigma": s,
                    "x": x,
                    "density": np.exp(toy.log_density(x, s)),
                    "denoised": toy.denoise(x, s),
                    "posterior_entropy": unsure,
                }
            )
        )
    fine = np.geomspace(0.1, 4.0, 4 * n_sigma)
    curves = information.curves(toy, fine)
    line = pd.DataFrame(
        {
            "kind": "curve",
            "sigma": fine,
            "posterior_entropy": curves.conditional_entropy,
            "rate": curves.entropy_rate,
            "rate_log_sigma": curves.entropy_rate * fine,
            "fixed_point": stable_fixed_point(fine),
            "curvature_at_0": (1.0 / fine**2 - 1.0) / fine**2,
        }
    )
    return pd.concat([*fields, line], ignore_index=True).assign(toy="two_points", **versions())


def stable_fixed_point(sigma: Array) -> Array:
    """Largest solution of x = tanh(x / sigma^2) (eq. 45, a = 1), shape (m,); 0 for sigma >= 1.

    By bisection of x / artanh(x) = sigma^2, which falls from 1 to 0 over x in (0, 1).
    """
    low, high = np.zeros_like(sigma), np.ones_like(sigma)
    for _ in range(80):
        middle = 0.5 * (low + high)
        with np.errstate(divide="ignore", invalid="ignore"):
            above = middle / np.arctanh(middle) > sigma**2
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(sigma < 1.0, 0.5 * (low + high), 0.0)


BOUNDARY_TOYS = {
    "gaussian": "continuous",
    "gaussians15_overlap": "continuous",
    "two_points": "discrete",
    "points15": "discrete",
}
DENOISER_ERROR = 0.01  # r.m.s. error of the imperfect denoiser in the boundary figure


def low_noise_boundary(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper D Fig. 11, eqs. (48)-(51): the entropy rate at low noise, its slope, and the gate.

    Discrete toys come twice: exact, and with a denoiser that errs by DENOISER_ERROR (r.m.s.),
    whose loss, not the posterior, makes the power law that the paper reports.
    """
    grids = [
        ToyProfile(name, 0.002, 80.0, 60 if budget == "quick" else 400) for name in BOUNDARY_TOYS
    ]
    parts = []
    for grid, row in zip(grids, run_tasks(grids, store, jobs, "profiles"), strict=True):
        sigma, exact = np.array(row["sigma"]), np.array(row["mmse"])
        data = BOUNDARY_TOYS[grid.toy]
        for error in (0.0, DENOISER_ERROR) if data == "discrete" else (0.0,):
            rate = (exact + error**2) / sigma**3
            c = onset_pivot(sigma, rate)
            good = rate > 1e-290
            slope = np.full(rate.shape, np.nan)
            slope[good] = np.gradient(np.log(rate[good]), np.log(sigma[good]))
            parts.append(
                pd.DataFrame(
                    {
                        "toy": grid.toy,
                        "data": data,
                        "denoiser_error": error,
                        "sigma": sigma,
                        "rate": rate,
                        "slope": slope,
                        "pivot": c,
                        "gated_rate": rate * gate(sigma, c),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True).assign(**versions())


TABLES: dict[str, Callable[[str, Store, int | None], pd.DataFrame]] = {
    "entropic_time": entropic_time,
    "kl_vs_steps": kl_vs_steps,
    "information_window": information_window,
    "low_noise_boundary": low_noise_boundary,
    "solver_convergence": solver_convergence,
    "re_vs_baselines": re_vs_baselines,
    "entropy_reduction": entropy_reduction,
    "las_mixtures": las_mixtures,
    "pathwise_vs_terminal": pathwise_vs_terminal,
    "schedules_compared": schedules_compared,
    "phase_diagram": phase_diagram,
    "bound_tightness": bound_tightness,
    "claims_ledger": claims_ledger,
    "infonoise_transfer": infonoise_transfer,
    "infonoise_emergence": infonoise_emergence,
    "learned_profile": learned_profile,
    "spectral_profile": spectral_profile,
    "digits_schedules": digits_schedules,
}

# Rows too long for `make figures`, kept in benchmarks/results and computed again on demand.
STUDIES: dict[str, Callable[[Store, int | None], None]] = {
    "re_vs_baselines": compute_study,
    "las_mixtures": compute_mixture_study,
    "phase_diagram": compute_phase_study,
    "bound_tightness": compute_bound_study,
    "claims_ledger": compute_full_run,
    **dict.fromkeys(["infonoise_transfer", "infonoise_emergence"], compute_transfer_study),
    **dict.fromkeys(
        ["learned_profile", "spectral_profile", "digits_schedules"], compute_schedule_study
    ),
}


def make_table(
    name: str, budget: str, store: Store, jobs: int | None, folder: Path
) -> pd.DataFrame:
    """Compute the table of a figure and write it as folder/name.csv."""
    table = TABLES[name](budget, store, jobs)
    write_csv(table, folder / f"{name}.csv")
    return table
