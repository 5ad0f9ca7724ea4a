"""The tables that the figures are drawn from; the figures themselves compute nothing.

Every function takes the budget ("quick", "default" or "paper"), the store and the number of
worker processes. It returns a tidy table.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.engine.store import Store, write_csv
from benchmarks.studies.bound_tightness import bound_tightness
from benchmarks.studies.called_levels import called_levels
from benchmarks.studies.claims_ledger import claims_ledger
from benchmarks.studies.digits_schedules import digits_schedules
from benchmarks.studies.entropic_time import entropic_time
from benchmarks.studies.entropy_reduction import entropy_reduction
from benchmarks.studies.infonoise_emergence import infonoise_emergence
from benchmarks.studies.infonoise_transfer import infonoise_transfer
from benchmarks.studies.information_window import information_window
from benchmarks.studies.kl_vs_steps import kl_vs_steps
from benchmarks.studies.las_mixtures import las_mixtures
from benchmarks.studies.learned_profile import learned_profile
from benchmarks.studies.low_noise_boundary import low_noise_boundary
from benchmarks.studies.optimal_levels import optimal_levels
from benchmarks.studies.pathwise_vs_terminal import pathwise_vs_terminal
from benchmarks.studies.phase_diagram import phase_diagram
from benchmarks.studies.re_vs_baselines import re_vs_baselines
from benchmarks.studies.schedule_regret import schedule_regret
from benchmarks.studies.schedules_compared import schedules_compared
from benchmarks.studies.solver_convergence import solver_convergence
from benchmarks.studies.spectral_profile import spectral_profile
from theory.checks import whole
from theory.levels import MOST_STEPS
from toys.files import toy_spec

TABLES: dict[str, Callable[..., pd.DataFrame]] = {
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
    "schedule_regret": schedule_regret,
    "optimal_levels": optimal_levels,
    "called_levels": called_levels,
}


# Processor seconds on two cores, compiled code cached: of the figure from an empty store, and of
# the study whose kept rows it reads (None where it has none, or where it was not measured).
# Measured by `python -m benchmarks.acceptance.walk times`, and by the runs that wrote the rows.
SECONDS: dict[str, tuple[float, float | None]] = {
    "entropic_time": (16, None),
    "kl_vs_steps": (114, None),
    "information_window": (4, None),
    "low_noise_boundary": (4, None),
    "solver_convergence": (41, None),
    "re_vs_baselines": (31, 1200),
    "entropy_reduction": (24, None),
    "las_mixtures": (22, 300),
    "pathwise_vs_terminal": (12, None),
    "schedules_compared": (11, None),
    "phase_diagram": (5, 900),
    "bound_tightness": (4, 300),
    "claims_ledger": (5, 1300),
    "infonoise_transfer": (4, 9000),
    "infonoise_emergence": (4, 9000),
    "learned_profile": (3, None),
    "spectral_profile": (3, None),
    "digits_schedules": (4, None),
    "schedule_regret": (4, 26000),
    "optimal_levels": (10, 200),
    "called_levels": (5, 7000),
}


def make_table(
    name: str,
    budget: str,
    store: Store,
    jobs: int | None,
    folder: Path,
    stem: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Compute the table of a figure and write it as a CSV file.

    Args:
        name: Name of the figure.
        budget: "quick", "default" or "paper".
        store: Where results are kept.
        jobs: Number of worker processes.
        folder: Folder of the file.
        stem: Name of the file, without .csv. Default: that of the figure.
        **options: What the figure follows, of those in `options_of`.
    """
    table = TABLES[name](budget, store, jobs, **checked_options(name, options))
    write_csv(table, folder / f"{stem or name}.csv")
    return table


def description(name: str) -> str:
    """What a figure shows, in one line."""
    first = (inspect.getdoc(TABLES[name]) or "").partition("\n")[0]
    return first.rstrip(".")


def options_of(name: str) -> tuple[str, ...]:
    """What a figure can follow: toy, steps, process and solver, as far as its table takes them."""
    parameters = inspect.signature(TABLES[name]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def checked_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not None, after a check that the figure follows them."""
    given = {key: value for key, value in options.items() if value is not None}
    known = options_of(name)
    for key, value in given.items():
        if key not in known:
            follows = f"follows {', '.join(known)}" if known else "follows no option"
            raise ValueError(
                f"{key} must be left out for figure {name!r}, which {follows}, got {value}"
            )
    for n in given.get("steps", ()):
        whole("steps", n, 1, MOST_STEPS)
    if "toy" in given:
        toy_spec(given["toy"])
    return given
