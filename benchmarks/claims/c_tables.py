"""Paper C's tables and figures: the printed numbers, and the same comparison on exact toys.

The printed FIDs are those of benchmarks/published/C_tables.csv. The divergences on toys are those
of the committed study benchmarks/results/re_vs_baselines_kl.csv with 42 settings (two mixtures,
three grids, NFE 5 to 20).
"""

import csv
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from benchmarks.claims.c_factors import single
from benchmarks.claims.c_orders import Engine, ends
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most
from benchmarks.engine.results import printed_file, results_file
from theory.schedules.standard import log_snr_sigmas

PRINTED = printed_file("C")
TOYS = results_file("re_vs_baselines_kl")
OURS = ("RE", "EVODiff")
REDUCING = ("re_multi", "evodiff")
COMPARED = ("dpmpp_2m", "unipc_2", "heun")  # the baselines of the paper's tables
FEW_STEPS = 10
# Table 3, ScoreSDE and EDM, and table 2: the paper's iteration and the best other solver, typed
# from docs/papers/c.md, Settings and printed results.
TYPED = (
    ((13.54, 8.56, 4.11, 3.38, 3.22, 2.76, 2.42), (12.76, 7.40, 3.94, 3.40, 3.24, 2.91, 2.71)),
    ((11.82, 8.30, 3.46, 2.48, 2.21, 2.07, 2.01), (12.21, 8.56, 3.50, 2.51, 2.24, 2.08, 2.01)),
    ((13.98, 10.98, 8.84, 8.14, 7.79, 7.48, 7.25), (14.92, 11.13, 8.98, 8.14, 7.93, 7.70, 7.42)),
)


@lru_cache(maxsize=1)
def printed() -> tuple[dict[str, str], ...]:
    """Rows of the printed tables."""
    with PRINTED.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def pairs(paper: str, table: str, dataset: str, net: str = "") -> list[tuple[str, float, float]]:
    """For each printed column: its name, the paper's iteration's value and the best other's."""
    columns: dict[str, dict[bool, list[float]]] = {}
    for row in printed():
        asked = (row["paper"], row["table"], row["dataset"]) == (paper, table, dataset)
        if not asked or not row["net"].startswith(net):
            continue
        name = row["net"] if table == "1" else row["nfe"]
        sides = columns.setdefault(name, {True: [], False: []})
        sides[row["solver"] in OURS].append(float(row["value"]))
    return [(name, min(s[True]), min(s[False])) for name, s in columns.items()]


def published(
    case: Case, paper: str, table: str, dataset: str, net: str = "", fewest: int = 0
) -> Reading:
    """Share of printed columns in which the paper's iteration is not the best.

    Columns with fewer than `fewest` calls are left out.
    """
    found = pairs(paper, table, dataset, net)
    found = [row for row in found if not fewest or int(row[0]) >= fewest]
    shown = ", ".join(f"{name}: {ours / other:.4g}" for name, ours, other in found)
    share = sum(ours > other for _, ours, other in found) / len(found)
    return Reading(share, 0.0, f"printed FID over the best other's, {shown}")


def limits_of_sampling(case: Case) -> Reading:
    """Section 5.1: 3.15 in 84 calls against DDPM's 3.17 in 1000, "approximately 10x"."""
    rows = {r["solver"]: r for r in printed() if r["net"] == "discrete"}
    ours, other = rows["RE"], rows["DDPM"]
    ratio = float(ours["value"]) / float(other["value"])
    faster = float(other["nfe"]) / float(ours["nfe"])
    return Reading(ratio - 1.0, 0.0, f"printed FIDs' ratio {ratio:.4g}, calls' ratio {faster:.3g}")


def consistently(case: Case) -> Reading:
    """Section 5.2, "tables 3, 2 demonstrate ... consistently improves": columns that contradict it.

    Ties do not count as contradictions.
    """
    found = [
        *pairs("C-v1", "3", "CIFAR-10", "ScoreSDE"),
        *pairs("C-v1", "3", "CIFAR-10", "EDM"),
        *pairs("C-v1", "2", "ImageNet-256"),
    ]
    worse = [f"NFE {name}: {ours} over {other}" for name, ours, other in found if ours > other]
    return Reading(
        len(worse) / len(found), 0.0, f"{len(worse)} of {len(found)}; {'; '.join(worse)}"
    )


def consistently_by_csv(case: Case) -> float:
    """The excess of `consistently` as a route."""
    return consistently(case).value


def consistently_typed(case: Case) -> float:
    """The excess of `consistently` from the numbers typed in this file."""
    ours, others = (np.array([side[i] for side in TYPED]) for i in (0, 1))
    return float(np.mean(ours > others))


@lru_cache(maxsize=1)
def _settings() -> dict[tuple[str, str, str], dict[str, float]]:
    """KL by setting and solver; an unknown value counts as infinite."""
    out: dict[tuple[str, str, str], dict[str, float]] = {}
    with TOYS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = (row["toy"], row["schedule"], row["calls"])
            value = float(row["value"]) if row["value"] else math.inf
            out.setdefault(key, {})[row["solver"]] = value
    return out


def first_on_toys(case: Case) -> Reading:
    """Share of the toy settings in which no iteration of the paper is better than all baselines."""
    settings = _settings()

    def best(of: dict[str, float], names: Sequence[str]) -> float:
        return min(of[name] for name in names)

    firsts = sum(best(v, REDUCING) < best(v, COMPARED) for v in settings.values())
    detail = f"first in {firsts} of {len(settings)} settings"
    return Reading(1.0 - firsts / len(settings), 0.0, detail)


def first_on_toys_by_rows(case: Case) -> float:
    """The excess of `first_on_toys` as a route."""
    return first_on_toys(case).value


def first_on_toys_by_pandas(case: Case) -> float:
    """The excess of `first_on_toys` from a pivot of the file."""
    rows = pd.read_csv(TOYS)
    rows["value"] = rows["value"].fillna(math.inf)
    wide = rows.pivot_table(
        index=["toy", "schedule", "calls"], columns="solver", values="value", aggfunc="min"
    )
    ours, others = wide[list(REDUCING)].min(axis=1), wide[list(COMPARED)].min(axis=1)
    return float(1.0 - (ours < others).mean())


def drawn(case: Case, solver: str, other: str) -> Reading:
    """A counterpart of a figure without numbers: KL ratio at 10 calls on the overlapping toy."""
    values = _settings()["gaussians15_overlap", "log_snr", "10"]
    ratio = values[solver] / values[other]
    return Reading(ratio - 1.0, 0.0, f"on the toy, KL of {solver} over {other}'s is {ratio:.4g}")


def single_steps_on_gaussian(case: Case) -> Reading:
    """Figure 2 on Gaussian data: ten steps of (4.1) have a smaller error than ten of (3.7)."""
    high, low, c = ends(case)
    levels, exact = log_snr_sigmas(FEW_STEPS, high, low), np.hypot(c, low) / np.hypot(c, high)
    found = [abs(Engine(name)(levels, c) - exact) for name in ("re_single", "fd_2")]
    return at_most(found[0], found[1])


def single_steps_by_factors(case: Case) -> float:
    """The excess of `single_steps_on_gaussian` from products of factors."""
    high, low, c = ends(case)
    levels, exact = log_snr_sigmas(FEW_STEPS, high, low), np.hypot(c, low) / np.hypot(c, high)
    found = [abs(single(levels, c, "noise", weight) - exact) for weight in ("lower", "none")]
    return float((found[0] - found[1]) / max(found))
