"""Compute-to-target from the rows of the training study: who reaches the target, and how soon.

Paper D's measure: Q* is the best median final score of any fixed baseline; a run's compute is the
thousands of examples (kex) at which it first reaches Q*, interpolated in log kex between two
evaluations; a run that never does is censored at the budget. No torch is needed here.
"""

import numpy as np
import pandas as pd

from benchmarks.store import ROOT
from toys.kernels import Array

TRANSFER_ROWS = ROOT / "benchmarks" / "results" / "infonoise_transfer.csv"
EMERGENCE_ROWS = ROOT / "benchmarks" / "results" / "infonoise_emergence.csv"
COMMAND = "entropic figures infonoise_transfer --recompute"

# Method to noise and loss weight. Discrete targets take w = 1 in primary runs, and EDM's whole
# recipe as a baseline of its own (Raya et al. 2026, section 6 and their "EDM transfer").
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
    """The scores, a row a run and evaluation; method "real" has one row a target, its floor."""
    return pd.read_csv(TRANSFER_ROWS)


def target_score(rows: pd.DataFrame) -> tuple[float, str]:
    """Q* and the fixed baseline that has it, of the rows of one target."""
    last = rows[rows["kex"] == rows["kex"].max()]
    fixed = last[~last["method"].isin(["infonoise", "real"])]
    medians = fixed.groupby("method", sort=True)["score"].median()
    return float(medians.min()), str(medians.idxmin())


def first_reached(kex: Array, score: Array, target: float) -> tuple[float, bool]:
    """Examples at which a score first falls to the target, and whether it ever does.

    Args:
        kex: Evaluations of one run, shape (m,), rising.
        score: Shape (m,).
        target: Q*.

    Returns:
        The crossing, linear in log kex between the evaluations around it, and True; or the
        last kex and False.
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
    """Compute-to-target of every run of one target: method, seed, kex, reached."""
    aim, _ = target_score(rows)
    out = []
    for (method, seed), run in rows[rows["method"] != "real"].groupby(["method", "seed"]):
        run = run.sort_values("kex")
        kex, reached = first_reached(run["kex"].to_numpy(), run["score"].to_numpy(), aim)
        out.append({"method": method, "seed": seed, "kex": kex, "reached": reached})
    return pd.DataFrame(out)


def speedup(rows: pd.DataFrame, seed: int = 0) -> dict[str, object]:
    """How many times fewer examples InfoNoise needs than the best fixed baseline, on one target.

    Ratio of medians over seeds, the baseline being that of least median compute; its interval is
    the middle 90 % of a paired bootstrap, which draws the same seeds for both methods and chooses
    the baseline anew in every draw. Where a median is censored the ratio is a bound, and says so.
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


def final_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Median final score of every method of one target, with the quartiles over seeds."""
    last = rows[rows["kex"] == rows["kex"].max()]
    out = [
        {"method": method, **dict(zip(("low", "score", "high"), quartiles, strict=True))}
        for method, part in last.groupby("method")
        for quartiles in [part["score"].quantile([0.25, 0.5, 0.75]).tolist()]
    ]
    return pd.DataFrame(out)
