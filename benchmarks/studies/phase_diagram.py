"""Which schedule wins on paper A's toys, over overlap, steps, process, terminal and smoothing.

The targets have the zoo's 15 random means and one std per target, from 0 (points) to 0.5, with
total variance 1. The solver is stochastic DDIM, and the score is the exact KL(data || sampler). The
whole diagram takes a quarter of an hour, so its rows are kept in PHASE_ROWS. The figure reads them,
except with the budgets "quick" and "paper".

A row without a value has a reason. Its error is 0 if the KL is infinite. It is null if the KL is
not known, because the setting was left out or because the law did not settle.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engine.results import results_file, rows_new, rows_now
from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store, write_csv
from benchmarks.engine.toy_profiles import PROFILE_POINTS, ToyProfile, to_profile
from theory.noise.processes import PROCESSES
from theory.profiles.profile import Profile
from theory.schedules.registry import schedule
from theory.versions import versions
from toys import zoo

PHASE_ROWS = results_file("phase_diagram")
COMMAND = "entropic figures phase_diagram --recompute"
RTOL = 1e-5
SMOOTHING = 0.01  # paper A's kernel bandwidth
STANDARD = {"edm": "edm_linear", "vp": "vp_linear"}  # uniform in the process's own time
LABELS = ("standard", "entropic", "rescaled", "log_snr")
PAPER_LABELS = LABELS[:3]  # those that paper A compares
ENDS = (("stop", 0.002), ("stop", 0.05), ("zero", 0.002))  # terminal policy, lowest noise
CELL = ["std", "process", "terminal", "sigma_min", "smoothing", "n_steps"]
LEFT_OUT = (
    "left out: points after terminal zero are compared by bins, and smoothing gives a density"
)


@dataclass(frozen=True)
class PhaseBudget:
    """How much of the diagram to compute.

    Args:
        stds: Stds of the components, rising; 0 for points.
        steps: Numbers of steps. At 2, terminal "zero" leaves no level to choose.
        points: Levels of the profiles.
    """

    stds: tuple[float, ...]
    steps: tuple[int, ...]
    points: int = PROFILE_POINTS


STUDY = PhaseBudget(
    (0.0, 0.005, 0.008, 0.0125, 0.02, 0.032, 0.05, 0.08, 0.125, 0.2, 0.32, 0.5),
    (4, 8, 16, 32, 64),
)
QUICK = PhaseBudget((0.2, 0.5), (4,), points=40)


@dataclass(frozen=True)
class PhaseCell:
    """One schedule in one cell of the diagram.

    Args:
        std: Std of the 15 components.
        process: "edm" or "vp".
        terminal: "stop" or "zero".
        sigma_min: Lowest noise above 0.
        smoothing: Std of the Gaussian with which the sampler's law is blurred.
        label: One of LABELS.
        sigmas: The levels, falling.
    """

    std: float
    process: str
    terminal: str
    sigma_min: float
    smoothing: float
    label: str
    sigmas: tuple[float, ...]

    @property
    def setting(self) -> Setting | None:
        """The setting that is run; None for one that is left out."""
        if self.std == 0 and self.terminal == "zero" and self.smoothing > 0:
            return None
        return Setting(
            target(self.std),
            method(self.label, self.process),
            len(self.sigmas) - 1,
            process=self.process,
            terminal=self.terminal,
            sigmas=self.sigmas,
            metrics=(("kl_data_model", RTOL),),
            smoothing=self.smoothing,
        )

    def row(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """The row of the figure's table, from the row of the setting or none."""
        row: dict[str, Any] = {"std": self.std, "std_over_gap": std_over_gap(self.std)}
        row |= {"process": self.process, "terminal": self.terminal, "sigma_max": self.sigmas[0]}
        n = len(self.sigmas) - 1
        row |= {"smoothing": self.smoothing, "n_steps": n, "nfe": n}
        row |= {"schedule": method(self.label, self.process), "solver": "stochastic_ddim"}
        row |= {"seed": None, "sigma_min": self.sigma_min, "label": self.label, "stderr": 0.0}
        if found is None:
            row |= {"kl_data_model": None, "error": None, "reason": LEFT_OUT}
        else:
            row |= {"kl_data_model": found["value"], "error": found["error"]}
            row |= {"reason": found["reason"]}
        return row | versions() | {"command": COMMAND}


@cache
def target(std: float) -> str:
    """The mixture as JSON text: the zoo's 15 means with this std, scaled to total variance 1."""
    means = zoo.toy("points15").means[:, 0] * np.sqrt(1.0 - std**2)
    mixture = {"kind": "mixture", "weights": [1.0] * means.size}
    return json.dumps(mixture | {"means": means.tolist(), "stds": [std] * means.size})


def std_over_gap(std: float) -> float:
    """The overlap: the std over the median gap between neighbouring means."""
    gaps = np.diff(np.sort(zoo.toy("points15").means[:, 0]))
    return float(std / (np.median(gaps) * np.sqrt(1.0 - std**2)))


def method(label: str, process: str) -> str:
    """The name in theory.schedules.registry that a label has under a process."""
    return STANDARD[process] if label == "standard" else label


def phase_rows(size: PhaseBudget, store: Store, jobs: int | None) -> pd.DataFrame:
    """KL of every schedule in every setting, one row each."""
    grids = {
        (std, process): ToyProfile(
            target(std),
            min(low for _, low in ENDS),
            PROCESSES[process].sigma_max,
            size.points,
        )
        for std in size.stds
        for process in STANDARD
    }
    found = run_tasks(list(grids.values()), store, jobs, "profiles")
    profiles = {key: to_profile(row, {}) for key, row in zip(grids, found, strict=True)}
    cells = [
        PhaseCell(std, process, terminal, low, smoothing, label, sigmas)
        for (std, process), profile in profiles.items()
        for terminal, low in ENDS
        for n in size.steps
        for label in LABELS
        for sigmas in [_levels(label, n, process, profile, terminal, low)]
        for smoothing in (0.0, SMOOTHING)
    ]
    settings = {i: s for i, s in enumerate(c.setting for c in cells) if s is not None}
    parts = run_tasks(list(settings.values()), store, jobs, "phase diagram")
    of = {i: part[0] for i, part in zip(settings, parts, strict=True)}
    return pd.DataFrame([cell.row(of.get(i)) for i, cell in enumerate(cells)])


def _levels(
    label: str, n: int, process: str, profile: Profile, terminal: str, low: float
) -> tuple[float, ...]:
    """The levels of a schedule, falling."""
    name = method(label, process)
    return tuple(schedule(name, n, process, profile, terminal, low).tolist())


def compute_study(store: Store, jobs: int | None) -> None:
    """Compute PHASE_ROWS again, for `entropic figures phase_diagram --recompute`."""
    write_csv(phase_rows(STUDY, store, jobs), rows_new(PHASE_ROWS))


def read_rows() -> pd.DataFrame:
    """The study's rows as they are stored."""
    read = pd.read_csv(rows_now(PHASE_ROWS), dtype={"reason": object})
    return read.assign(reason=read["reason"].where(read["reason"].notna(), None))


def phase_diagram(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper A section 6.1: one row per schedule and setting, with the setting's winner."""
    if budget == "default":
        table = read_rows()
    else:
        table = phase_rows(QUICK if budget == "quick" else STUDY, store, jobs)
    found = winners(table).rename(columns={"reason": "winner_reason"})
    found = found.drop(columns=["std_over_gap", "kl_data_model"])
    return table.merge(found, on=CELL, how="left", validate="many_to_one")


def winners(table: pd.DataFrame, labels: Sequence[str] = LABELS) -> pd.DataFrame:
    """The schedule of least KL in every setting, and its lead.

    Args:
        table: Rows of `phase_rows`.
        labels: The schedules that compete.

    Returns:
        One row per setting. Columns: those of CELL, std_over_gap, the winner with its KL, the
        runner_up, the lead (the runner-up's KL over the winner's, infinite if the runner-up's is),
        and decided (whether their difference exceeds both stated errors). Winner and KL are null,
        with a reason, if all KLs are infinite or one of them is not known.
    """
    rows = []
    for cell, group in table[table["label"].isin(labels)].groupby(CELL, sort=True):
        row: dict[str, Any] = dict(zip(CELL, cell, strict=True))
        row |= {"std_over_gap": group["std_over_gap"].iloc[0]}
        rows.append(row | _winner(group))
    return pd.DataFrame(rows)


def _winner(group: pd.DataFrame) -> dict[str, Any]:
    """The winner among the schedules of one setting."""
    kl, error = _known_kl(group), pd.to_numeric(group["error"])
    place = kl.to_numpy().argsort(kind="stable")
    none = {"winner": None, "kl_data_model": None, "runner_up": None, "lead": None}
    if kl.isna().any() or np.isinf(kl.min()):
        first = group["reason"][kl.isna() | np.isinf(kl)].iloc[0]
        return none | {"decided": False, "reason": first}
    best, second = kl.iloc[place[0]], kl.iloc[place[1]]
    gap = second - best - error.iloc[place[0]] - error.iloc[place[1]]
    return {
        "winner": group["label"].iloc[place[0]],
        "kl_data_model": best,
        "runner_up": group["label"].iloc[place[1]],
        "lead": second / best if best > 0 else np.inf,
        "decided": bool(gap > 0),
        "reason": None,
    }


def _known_kl(rows: pd.DataFrame) -> pd.Series:
    """KL with infinity where it is infinite; NaN where it is not known."""
    kl, error = pd.to_numeric(rows["kl_data_model"]), pd.to_numeric(rows["error"])
    return kl.mask(kl.isna() & error.notna(), np.inf)


LARGE_MARGIN = 2.0  # the runner-up's KL over the winner's
NEGLIGIBLE, OVERLAPPING = 0.1, 0.5  # std over median gap: at most, at least


def paper_claims(
    table: pd.DataFrame, labels: Sequence[str] = PAPER_LABELS
) -> dict[str, tuple[int, int]]:
    """In how many settings of a table each statement of paper A, section 6.1, holds.

    "In the discrete case, the entropic time outperforms other schedules by a large margin, while
    the standard schedule gives the worst results"; with Gaussians much narrower than their
    distances "the entropic schedule gives better results"; where the variances are not negligible
    "the rescaled entropic schedule gives the best results, while the entropic schedule
    underperforms". The paper gives no numbers, so the thresholds are ours: a large margin is
    LARGE_MARGIN, and an overlap is negligible up to NEGLIGIBLE and not negligible from OVERLAPPING
    on. No statement is tested between the two. Settings with an unknown KL do not count.

    Args:
        table: Rows of `phase_rows`, any part of them.
        labels: The schedules that compete. Default: the paper's three.

    Returns:
        (agreeing, total) by statement, and (changed, total) for the effect of smoothing.
    """
    rows = table[table["label"].isin(labels)]
    wide = rows.assign(kl=_known_kl(rows)).pivot(index=CELL, columns="label", values="kl").dropna()
    best, worst = wide.idxmin(axis=1), wide.idxmax(axis=1)
    std = wide.index.get_level_values("std").to_numpy()
    overlap = np.array([std_over_gap(value) for value in std.tolist()])
    points, negligible = std == 0, (std > 0) & (overlap <= NEGLIGIBLE)
    overlapping = overlap >= OVERLAPPING
    margin = wide.drop(columns="entropic").min(axis=1) >= LARGE_MARGIN * wide["entropic"]
    cases = {
        "points_entropic_best": (best == "entropic", points),
        "points_entropic_best_by_large_margin": (margin, points),
        "points_standard_worst": (worst == "standard", points),
        "negligible_overlap_entropic_best": (best == "entropic", negligible),
        "overlap_rescaled_best": (best == "rescaled", overlapping),
        "overlap_entropic_behind_rescaled": (wide["entropic"] > wide["rescaled"], overlapping),
        "overlap_entropic_worst": (worst == "entropic", overlapping),
    }
    counts = {
        name: (int(held.to_numpy()[where].sum()), int(where.sum()))
        for name, (held, where) in cases.items()
    }
    return counts | {"smoothing_changes_winner": _changes(best)}


def _changes(best: pd.Series) -> tuple[int, int]:
    """(changed, total): settings whose winner smoothing changes, of those with and without it."""
    pairs = best.unstack("smoothing").dropna()
    if pairs.shape[1] < 2:
        return 0, 0
    return int((pairs[0.0] != pairs[SMOOTHING]).sum()), len(pairs)
