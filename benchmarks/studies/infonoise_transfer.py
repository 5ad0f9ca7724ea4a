"""Compute-to-target from the rows of the training study: which methods reach it, and how soon.

This is paper D's measure. The target Q* is the best median final score of any fixed baseline. The
compute of a run is the number of examples, in thousands (kex), at which it first reaches Q*. It is
interpolated in log kex between two evaluations. A run that never reaches Q* is censored at the
budget. No torch is needed here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engine.results import results_file, rows_now
from benchmarks.engine.store import Store
from theory.checks import Array

TRANSFER_ROWS = results_file("infonoise_transfer")
COMMAND = "entropic figures infonoise_transfer --recompute"
# Noise and loss weight by method. Discrete targets take w = 1 in primary runs, and EDM's whole
# recipe as a separate baseline (Raya et al. 2026, section 6 and their "EDM transfer").
_CONTINUOUS = {
    "log_uniform": ("log_uniform", "edm"),
    "edm": ("edm", "edm"),
    "uniform_time": ("uniform_time", "edm"),
    "min_snr": ("min_snr", "min_snr"),
    "infonoise": ("infonoise", "edm"),
}
_DISCRETE = {
    "log_uniform": ("log_uniform", "one"),
    "edm": ("edm", "one"),
    "edm_transfer": ("edm", "edm"),
    "uniform_time": ("uniform_time", "one"),
    "min_snr": ("min_snr", "min_snr"),
    "infonoise": ("infonoise", "one"),
}
METHODS = {
    "points": _DISCRETE,
    "mixture": _CONTINUOUS,
    "digits": _CONTINUOUS,
    "binary-digits": _DISCRETE,
    "dna": _DISCRETE,
}
SEEDS = {"points": 10, "mixture": 10, "digits": 5, "binary-digits": 5, "dna": 5}
DRAWS, SHARE = 2000, 0.9


def is_discrete(target: str) -> bool:
    """Whether a target's data take finitely many values."""
    return METHODS[target] is _DISCRETE


def read_rows() -> pd.DataFrame:
    """The scores, one row per run and evaluation; method "real" is the floor of each target."""
    return pd.read_csv(rows_now(TRANSFER_ROWS))


def target_score(rows: pd.DataFrame) -> tuple[float, str]:
    """Q* of one target, and the fixed baseline that attains it."""
    last = rows[rows["kex"] == rows["kex"].max()]
    fixed = last[~last["method"].isin(["infonoise", "real"])]
    medians = fixed.groupby("method", sort=True)["score"].median()
    return float(medians.min()), str(medians.idxmin())


def first_reached(kex: Array, score: Array, target: float) -> tuple[float, bool]:
    """Examples at which a score first falls to the target, and whether it does.

    Args:
        kex: Thousands of examples at the evaluations of one run, shape (m,), rising.
        score: Score at each evaluation, shape (m,).
        target: Q*.

    Returns:
        (kex at the crossing, True), linear in log kex between the two evaluations around it, or
        (last kex, False).
    """
    below = np.flatnonzero(score <= target)
    if below.size == 0:
        return float(kex[-1]), False
    i = int(below[0])
    if i == 0:
        return float(kex[0]), True
    share = (score[i - 1] - target) / (score[i - 1] - score[i])
    step = np.log(kex[i] / kex[i - 1])
    return float(kex[i - 1] * np.exp(share * step)), True


def computes(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute-to-target of every run of one target, as columns method, seed, kex, reached."""
    aim, _ = target_score(rows)
    out = []
    for (method, seed), run in rows[rows["method"] != "real"].groupby(["method", "seed"]):
        run = run.sort_values("kex")
        kex, reached = first_reached(run["kex"].to_numpy(), run["score"].to_numpy(), aim)
        out.append({"method": method, "seed": seed, "kex": kex, "reached": reached})
    return pd.DataFrame(out)


def speedup(rows: pd.DataFrame, seed: int = 0) -> dict[str, object]:
    """How many times fewer examples InfoNoise needs than the best fixed baseline, on one target.

    The speed-up is a ratio of medians over seeds. The baseline is the one of least median compute.
    The interval covers the middle 90 % of a paired bootstrap, which draws the same seeds for both
    methods and chooses the baseline anew in every draw. If a median is censored, the ratio is only
    a bound, and `censored` is True.
    """
    table = computes(rows)
    wide = table.pivot(index="seed", columns="method", values="kex")
    ours, fixed = wide["infonoise"].to_numpy(), wide.drop(columns="infonoise")
    medians = fixed.median()
    best = str(medians.idxmin())
    rng = np.random.default_rng(seed)
    pick = rng.integers(0, len(wide), (DRAWS, len(wide)))
    theirs = np.median(fixed.to_numpy()[pick], axis=1).min(axis=1)
    ratios = theirs / np.median(ours[pick], axis=1)
    low, high = np.quantile(ratios, [0.5 * (1 - SHARE), 0.5 * (1 + SHARE)])
    reached = {name: part.to_numpy() for name, part in table.groupby("method")["reached"]}
    budget = float(rows["kex"].max())
    aim, aim_of = target_score(rows)
    return {
        "target_score": aim,
        "target_of": aim_of,
        "baseline": best,
        "baseline_kex": float(medians[best]),
        "infonoise_kex": float(np.median(ours)),
        "speedup": float(medians[best] / np.median(ours)),
        "low": float(low),
        "high": float(high),
        "infonoise_reached": int(reached["infonoise"].sum()),
        "baseline_reached": int(reached[best].sum()),
        "seeds": len(wide),
        "censored": bool(np.median(ours) >= budget or medians[best] >= budget),
        "budget_kex": budget,
    }


SAMPLES = 5000  # per score, in both studies
NFE, LINE_NFE = 15, 63  # of Heun in the study of training noise; in one dimension
ABOUT = ["torch", "numpy", "scipy", "numba"]


def infonoise_transfer(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper D Fig. 4 and Table 1(a) on small targets: rules of training noise compared.

    The table is that of `transfer_table`.
    """
    return transfer_table(read_rows())


def transfer_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores over examples, and compute-to-target.

    Args:
        rows: One row per run and evaluation. The rows of method "real" are the floor, the score of
            real samples.

    Returns:
        Rows of four kinds. "curve": median score and quartiles over seeds at every evaluation.
        "run": kex at which a run reaches Q*, or the budget with reached False. "method": the
        median of those kex, how many runs reach Q*, and whether the median run does. "target": Q*
        and the method that attains it, the floor, and InfoNoise's speed-up over the best fixed
        baseline with its interval.
    """
    parts = []
    for target in METHODS:
        mine = rows[rows["target"] == target]
        if mine.empty:
            continue
        runs = mine[mine["method"] != "real"]
        part = pd.concat([_curves(runs), *_computes(mine)], ignore_index=True)
        devices = "|".join(sorted(set(runs["device"])))
        shared: dict[str, Any] = {"target": target, "discrete": is_discrete(target)}
        shared |= {"budget_kex": float(runs["kex"].max()), "device": devices, "samples": SAMPLES}
        shared |= {"nfe": LINE_NFE if target in ("points", "mixture") else NFE}
        parts.append(part.assign(**shared, **versions_of(runs)))
    return pd.concat(parts, ignore_index=True)


def versions_of(rows: pd.DataFrame) -> dict[str, str]:
    """Versions of the libraries that the rows were computed with, by library."""
    return {
        name: "|".join(sorted(set(rows[name].dropna().astype(str))))
        for name in ABOUT
        if name in rows
    }


def _curves(runs: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles of the score over seeds."""
    grouped = runs.groupby(["method", "kex"])["score"]
    table = grouped.quantile(np.array([0.25, 0.5, 0.75])).unstack().reset_index()
    table = table.rename(columns={0.25: "low", 0.5: "score", 0.75: "high"})
    return table.assign(seeds=grouped.count().to_numpy(), kind="curve")


def _computes(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Rows of the kinds "run", "method" and "target" for one target."""
    runs = computes(rows)
    yield runs.assign(kind="run")
    grouped = runs.groupby("method")
    methods = grouped.agg(
        kex=("kex", "median"), reached_seeds=("reached", "sum"), seeds=("reached", "size")
    ).reset_index()
    # With an even number of runs the median is the mean of two, both of which must reach Q*.
    methods = methods.assign(reached=methods["reached_seeds"] > methods["seeds"] // 2)
    yield methods.assign(kind="method")
    found = speedup(rows)
    by_name = methods.set_index("method")
    # Several methods can share the least median, as all censored ones do. The one with the most
    # runs that reach Q* then represents them.
    fixed = by_name.drop(index="infonoise").assign(kex=lambda t: t["kex"].round(6))
    fixed = fixed.sort_values(["kex", "reached_seeds"], ascending=[True, False])
    baseline = str(fixed.index[0])
    bound = _bound(bool(by_name.loc["infonoise", "reached"]), bool(fixed["reached"].iloc[0]))
    kept = ("speedup", "low", "high", "baseline_kex", "infonoise_kex", "infonoise_reached", "seeds")
    row = {name: found[name] for name in kept} | {"bound": bound, "baseline": baseline}
    row |= {"score": found["target_score"], "target_of": found["target_of"]}
    row |= {"baseline_reached": int(fixed["reached_seeds"].iloc[0])}
    floor = rows.loc[rows["method"] == "real", "score"]
    yield pd.DataFrame([{"kind": "target", "floor": floor.mean(), **row}])


def _bound(ours_reached: bool, theirs_reached: bool) -> str:
    """What is known of the ratio of computes, theirs over ours, when medians may be censored."""
    if ours_reached and theirs_reached:
        return "exact"
    if not ours_reached and not theirs_reached:
        return "open"
    return "at least" if ours_reached else "at most"
