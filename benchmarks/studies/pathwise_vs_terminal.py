"""Paper B's pathwise KL against the exact KL of the terminal laws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store
from benchmarks.engine.toy_profiles import PROFILE_POINTS, ToyProfile, to_profile
from benchmarks.studies.las_mixtures import QUICK_POINTS
from theory.noise.processes import PROCESSES
from theory.schedules.las_levels import natural_lambda
from theory.schedules.registry import schedule
from theory.versions import versions
from toys.files import load_toy, toy_spec

EDM = PROCESSES["edm"]
LINE_TOY = "gaussians15_overlap"
METRICS = (("kl_data_model", 1e-5), ("pathwise_kl", 1e-12))
LINE_STEPS = (2, 4, 8, 16, 32, 64)
FOLLOWED = 10  # steps of the schedules that are followed level by level
LAMBDA_STEPS = (5, 10, 20)
LAMBDAS = np.geomspace(1e-5, 10.0, 25)
LINE_SCHEDULES = ("las_0", "las", "edm", "log_snr", "entropic", "rescaled")


def pathwise_vs_terminal(
    budget: str,
    store: Store,
    jobs: int | None,
    *,
    toy: str | None = None,
    steps: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Stochastic DDIM's pathwise KL against the exact KL of the terminal laws, start "data".

    Kind "steps": schedules over numbers of steps. Kind "level": along schedules of FOLLOWED steps,
    the KL of the laws at each level and the pathwise KL up to it. Kind "lambda": LAS over lambda.
    Schedule "las_0" is LAS with lambda 0, which minimises the pathwise KL; "las" is LAS with
    `natural_lambda`.

    Args:
        budget: How much to compute, "quick" for less.
        store: Where results are kept.
        jobs: Number of worker processes.
        toy: One-dimensional mixture of your own, not points. Default: LINE_TOY.
        steps: Numbers of steps. Default: LINE_STEPS.
    """
    spec = LINE_TOY if toy is None else toy_spec(toy)
    if load_toy(spec).is_points:
        raise ValueError(f"toy must have stds above 0 for a pathwise KL, got points: {toy}")
    quick = budget == "quick"
    points = 3 * QUICK_POINTS if quick else PROFILE_POINTS
    grid = ToyProfile(spec, EDM.sigma_min, EDM.sigma_max, points)
    profile = to_profile(run_tasks([grid], store, jobs, "profile")[0], {"toy": spec})
    settings: list[Setting] = []
    labels: list[dict[str, float | str]] = []

    def add(kind: str, name: str, n: int, levels: int | None = None, at: float = np.nan) -> None:
        natural = natural_lambda(profile, n)
        lam = {"las": natural, "las_0": 0.0}.get(name, np.nan) if np.isnan(at) else at
        options: dict[str, Any] = {} if np.isnan(lam) else {"lambda_": lam}
        sigmas = schedule(name.removesuffix("_0"), n, "edm", profile, **options)
        kept = tuple(sigmas[:levels].tolist())
        settings.append(
            Setting(spec, name, len(kept) - 1, start="data", sigmas=kept, metrics=METRICS)
        )
        labels.append({"kind": kind, "of_steps": n, "lambda": lam, "natural_lambda": natural})

    for name in LINE_SCHEDULES:
        for n in steps or (LINE_STEPS[:3] if quick else LINE_STEPS):
            add("steps", name, n)
        for levels in range(2, FOLLOWED + 2, 3 if quick else 1):
            add("level", name, FOLLOWED, levels)
    for n in LAMBDA_STEPS:
        for lam in LAMBDAS[::8] if quick else LAMBDAS:
            add("lambda", "las", n, at=float(lam))
    parts = run_tasks(settings, store, jobs, "pathwise KL")
    table = pd.DataFrame([_row(*part) for part in parts])
    table = table if toy is None else table.assign(toy=toy)
    return pd.concat([pd.DataFrame(labels), table], axis=1)


def _row(kl: dict[str, Any], pathwise: dict[str, Any]) -> dict[str, Any]:
    """The two metrics of a setting as a row of the figure's table."""
    kept = ("toy", "process", "schedule", "solver", "n_steps", "nfe", "terminal", "start")
    row = {name: kl[name] for name in (*kept, "sigma_max", "sigma_min")}
    row |= {"kl_data_model": kl["value"], "error": kl["error"], "stderr": 0.0}
    return row | {"pathwise_kl": pathwise["value"], "seed": None} | versions()
