"""KL against steps, exact and by paper A's Monte Carlo protocol."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from benchmarks.engine.rows import figure_row
from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting, tidy
from benchmarks.engine.store import Store
from theory.checks import one_of
from theory.solvers.registry import REGISTRY
from toys.files import as_mixture, toy_spec


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
SAMPLED = (("kl_data_model", 1e-8), ("w1", 1e-5), ("ks", 1e-5))
KL_SCHEDULES = ("standard", "edm", "log_snr", "entropic", "rescaled")


def kl_vs_steps(
    budget: str,
    store: Store,
    jobs: int | None,
    *,
    toy: str | None = None,
    steps: Sequence[int] | None = None,
    process: str | None = None,
    solver: str | None = None,
) -> pd.DataFrame:
    """Paper A v1 Figs. 2 and 4: KL(data || sampler) against steps, exact and by Monte Carlo.

    Args:
        budget: How much to compute, a key of KL_BUDGETS.
        store: Where results are kept.
        jobs: Number of worker processes.
        toy: One-dimensional mixture of your own. Default: those of KL_TOYS.
        steps: Numbers of steps. Default: those of the budget.
        process: "edm" or "vp". Default: both.
        solver: Solver with an exact law. Default: stochastic DDIM.
    """
    size = KL_BUDGETS[budget]
    targets = KL_TOYS if toy is None else {toy_spec(toy): ends_of(toy)}
    settings, labels = [], []
    for name, terminal in targets.items():
        for own in STANDARD if process is None else [process]:
            for label in KL_SCHEDULES:
                for n in size.steps if steps is None else steps:
                    exact = setting_of(name, own, label, n, size.rtol, terminal)
                    exact = exact if solver is None else _solved(exact, solver)
                    exact.check()
                    sampled = replace(
                        exact, metrics=SAMPLED, paths=size.paths, repeats=size.repeats
                    )
                    found = [exact, sampled] if n in size.marked else [exact]
                    settings += found
                    labels += [label] * len(found)
    parts = run_tasks(settings, store, jobs, "KL against steps")
    table = pd.DataFrame([_row(part) for part in parts])
    table.insert(3, "label", labels)
    return table if toy is None else table.assign(toy=toy)


def setting_of(toy: str, process: str, label: str, n: int, rtol: float, terminal: str) -> Setting:
    """The exact KL of a schedule of the figure."""
    method = STANDARD[one_of("process", process, STANDARD)] if label == "standard" else label
    metrics = (("kl_data_model", rtol),)
    return Setting(toy, method, n, process=process, terminal=terminal, metrics=metrics)


def ends_of(toy: str) -> str:
    """The terminal policy for a mixture: points are compared without noise."""
    return "zero" if as_mixture(toy).is_points else "stop"


def _solved(setting: Setting, solver: str) -> Setting:
    name, options = REGISTRY.parse(solver)
    return replace(setting, solver=name, solver_options=tidy(options))


def _row(part: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of one setting as a row of the figure's table."""
    kl = part[0]
    row = figure_row(kl)
    old = {key: row[key] for key in ("toy", "process", "schedule", "solver", "n_steps", "nfe")}
    old |= {key: row[key] for key in ("terminal", "start", "options", "sigma_max", "sigma_min")}
    old |= {"smoothing": kl["smoothing"], "paths": kl["paths"], "repeats": kl["repeats"]}
    old |= {"seed": kl["seed"], "kl_data_model": kl["value"]}
    old |= {key: row[key] for key in ("error", "reason")} | {"empty_bins": kl["empty_bins"]}
    several = kl["sd"] is not None and kl["value"] is not None
    old |= {"sd": kl["sd"], "stderr": row["stderr"] if several or not kl["paths"] else None}
    old |= {key: row[key] for key in ("numpy", "scipy", "numba")}
    if kl["paths"]:
        old |= {"infinite_repeats": kl["infinite_repeats"], "kl_finite_mean": kl["finite_mean"]}
        old |= {other["metric"]: other["value"] for other in part[1:]}
    return old
