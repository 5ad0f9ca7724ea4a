"""The tables of the figures on training studies, from their committed rows; no torch is needed.

The rows take a graphics card or hours, so every budget reads the same ones; `--recompute` runs
`benchmarks.training.transfer` and `benchmarks.training.schedules` again.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import schedule_tables, transfer_tables
from benchmarks.profiles import network_part
from benchmarks.schedule_tables import IMAGE_ROWS, PROFILE_ROWS, SPECTRUM_ROWS
from benchmarks.store import Store
from benchmarks.transfer_tables import EMERGENCE_ROWS, METHODS
from theory.allocation import edm_weight, gate
from theory.profile import Profile
from theory.schedules import make_sigmas
from toys.kernels import Array

SAMPLES = 5000  # behind every score of both studies
NFE, LINE_NFE = 15, 63  # of Heun in the study of training noise; on the line
SIGMA_DATA = {"mixture": 1.1010, "digits": 0.7525}  # of EDM's weight, four digits
STEPS = 16  # of the rescaled schedules from exact and learned profiles
ABOUT = ["torch", "numpy", "scipy", "numba"]


def compute_transfer_study(store: Store, jobs: int | None) -> None:
    """Run the study of training noise again and write its rows."""
    network_part("benchmarks.training.transfer").compute_study(store, jobs)


def compute_schedule_study(store: Store, jobs: int | None) -> None:
    """Run the study of schedules on trained networks again and write its rows."""
    network_part("benchmarks.training.schedules").compute_study(store, jobs)


def infonoise_transfer(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper D Fig. 4 and Table 1(a) on small targets, see `transfer_table`."""
    return transfer_table(transfer_tables.read_rows())


def transfer_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores over examples and compute-to-target.

    Args:
        rows: A row a run and evaluation, and the floor of real samples as method "real".

    Returns:
        By kind. "curve": median score and quartiles over seeds at every evaluation; "run": kex
        at which a run reaches Q*, or the budget and reached False; "method": the median of those,
        how many reach it and whether the median run does; "target": Q*, whose it is, the floor,
        and InfoNoise's speed-up over the best fixed baseline with its interval.
    """
    parts = []
    for target in METHODS:
        mine = rows[rows["target"] == target]
        if mine.empty:
            continue
        runs = mine[mine["method"] != "real"]
        part = pd.concat([_curves(runs), *_computes(mine)], ignore_index=True)
        devices = "|".join(sorted(set(runs["device"])))
        shared: dict[str, Any] = {"target": target, "discrete": transfer_tables.is_discrete(target)}
        shared |= {"budget_kex": float(runs["kex"].max()), "device": devices, "samples": SAMPLES}
        shared |= {"nfe": LINE_NFE if target in ("points", "mixture") else NFE}
        parts.append(part.assign(**shared, **_versions(runs)))
    return pd.concat(parts, ignore_index=True)


def _versions(rows: pd.DataFrame) -> dict[str, str]:
    """Versions behind the rows, as the rows tell."""
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
    """Runs, methods and the target's own row."""
    runs = transfer_tables.computes(rows)
    yield runs.assign(kind="run")
    grouped = runs.groupby("method")
    methods = grouped.agg(
        kex=("kex", "median"), reached_seeds=("reached", "sum"), seeds=("reached", "size")
    ).reset_index()
    # Of an even number the median is the mean of two runs, both of which must reach Q*.
    methods = methods.assign(reached=methods["reached_seeds"] > methods["seeds"] // 2)
    yield methods.assign(kind="method")
    found = transfer_tables.speedup(rows)
    by_name = methods.set_index("method")
    # Methods that share the least median, as all censored ones do: the one most of whose runs
    # reach Q* stands for them.
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
    """What a ratio of compute, theirs over ours, says where one is the budget and no less."""
    if ours_reached and theirs_reached:
        return "exact"
    if not ours_reached and not theirs_reached:
        return "open"
    return "at least" if ours_reached else "at most"


def infonoise_emergence(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper D Fig. 5 on small targets, see `emergence_table`."""
    return emergence_table(pd.read_csv(EMERGENCE_ROWS))


def emergence_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What InfoNoise held over one training of every target.

    Args:
        rows: A row a level and evaluation: density per unit of log sigma.

    Returns:
        By kind. "level": density, the emphasis density times weight, and the gated rate
        mmse / sigma^2 g(sigma), which the emphasis follows above the floor, scaled to the same
        maximum of density (null before the first refresh); "evaluation": pivot (null too), its
        rule, refreshes, and the largest difference of the distribution function from that of the
        evaluation before.
    """
    parts = []
    for target in METHODS:
        mine = rows[rows["target"] == target].sort_values(["kex", "sigma"])
        before = None
        for kex, now in mine.groupby("kex"):
            sigma, density = now["sigma"].to_numpy(), now["density"].to_numpy()
            weight = _weight(target, sigma)
            aim = np.full(sigma.size, np.nan)
            if now["refreshes"].iloc[0] > 0:
                aim = now["mmse"].to_numpy() / sigma**2 * gate(sigma, now["pivot"].iloc[0])
                aim *= density.max() / (aim / weight).max()
            share = np.cumsum(density) / density.sum()
            distance = np.nan if before is None else float(np.abs(share - before).max())
            before, first = share, now.iloc[0]
            levels = {"sigma": sigma, "density": density, "emphasis": density * weight}
            levels |= {"gated_rate": aim}
            about = {"target": target, "kex": kex, "refreshes": first["refreshes"]}
            about |= {"seed": first["seed"], "device": first["device"]}
            row = {"pivot": first["pivot"], "rule": first["rule"], "distance": distance}
            parts.append(pd.DataFrame(levels).assign(kind="level", **about))
            parts.append(pd.DataFrame([row]).assign(kind="evaluation", **about))
    return pd.concat(parts, ignore_index=True)


def _weight(target: str, sigma: Array) -> Array:
    """The loss weight of the target's InfoNoise runs."""
    if METHODS[target]["infonoise"][1] == "one":
        return np.ones_like(sigma)
    return edm_weight(sigma, SIGMA_DATA[target])


def learned_profile(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Learned against exact profiles, see `profile_table`."""
    return profile_table(pd.read_csv(PROFILE_ROWS))


def profile_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Profiles, their ratios and the levels that follow from them.

    Args:
        rows: A row a target, kind of profile ("exact", "train", "held_out") and level.

    Returns:
        By kind. "profile": mmse and its standard error, `of` telling which profile, the rate
        per unit of log sigma mmse / sigma^2 in nats, and the ratio to the profile that the target
        is compared with (`base`: exact, or of the data seen) with a standard error, that of the
        sampled values, taken as independent; "level": rescaled levels from each, terminal "zero".
    """
    parts = []
    for target, mine in rows.groupby("target"):
        base = "exact" if "exact" in set(mine["kind"]) else "train"
        of = {str(name): part.sort_values("sigma") for name, part in mine.groupby("kind")}
        below = of[base]
        for name, part in of.items():
            sigma, mmse = part["sigma"].to_numpy(), part["mmse"].to_numpy()
            ratio = mmse / below["mmse"].to_numpy()
            spread = np.hypot(
                *(p["stderr"].to_numpy() / p["mmse"].to_numpy() for p in (part, below))
            )
            dim = int(part["dim"].iloc[0])
            profile = Profile(dim, sigma, mmse)
            ends = float(sigma[-1]), float(sigma[0])
            sigmas = make_sigmas("rescaled", STEPS, *ends, "zero", profile, rule="trapezoid")
            shared = {"target": target, "of": name, "base": base, "dim": dim}
            shared |= {"samples": part["samples"].iloc[0], **_versions(part)}
            values = {"sigma": sigma, "mmse": mmse, "stderr": part["stderr"].to_numpy()}
            values |= {"rate": mmse / sigma**2, "ratio": ratio}
            values |= {"ratio_stderr": ratio * (0.0 if name == base else spread)}
            parts.append(pd.DataFrame(values).assign(kind="profile", **shared))
            levels = {"step": np.arange(sigmas.size), "sigma": sigmas}
            parts.append(pd.DataFrame(levels).assign(kind="level", **shared))
    return pd.concat(parts, ignore_index=True)


def spectral_profile(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper A v2 Fig. 2 on a network of the digits: its rows as they were written."""
    return pd.read_csv(SPECTRUM_ROWS)


def digits_schedules(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper A's image tables on networks we trained, see `schedules_table`."""
    return schedules_table(schedule_tables.read_scores(), pd.read_csv(IMAGE_ROWS))


def schedules_table(scores: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Scores of schedules, who wins where, and images.

    Args:
        scores: A row a target, schedule, solver and number of calls; schedule "real" the floor.
        images: A row a pixel.

    Returns:
        By kind: "score", "floor", "winner" (with EDM's and the runner-up's score over the best
        one) and "pixel".
    """
    real = scores["schedule"] == "real"
    cell = ["target", "solver", "calls"]
    wins = schedule_tables.winners(scores)
    second = scores[[*cell, "schedule", "score"]].rename(
        columns={"schedule": "runner_up", "score": "second"}
    )
    wins = wins.merge(second, on=[*cell, "runner_up"], how="left", validate="one_to_one")
    wins = wins.assign(lead=wins["second"] / wins["score"]).rename(columns={"winner": "schedule"})
    parts = (
        scores[~real].assign(kind="score"),
        scores[real].assign(kind="floor"),
        wins.drop(columns="second").assign(kind="winner"),
        images.drop(columns=ABOUT, errors="ignore").assign(kind="pixel"),
    )
    return pd.concat(parts, ignore_index=True)
