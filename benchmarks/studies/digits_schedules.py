"""Sampling schedules on networks that we trained, from committed rows, without torch."""

import pandas as pd

from benchmarks.engine.results import results_file, rows_now
from benchmarks.engine.store import Store
from benchmarks.studies.infonoise_transfer import ABOUT

SCHEDULE_ROWS = results_file("digits_schedules")
IMAGE_ROWS = results_file("digits_images")
SCHEDULES = ("edm", "log_snr", "rescaled", "spectral", "las", "infogrid")
SOLVERS = ("ddim", "stochastic_ddim", "heun", "dpmpp_2m", "sde_dpmpp_2m", "re_multi")
CALLS = (5, 10, 16, 32, 64)
IMAGE_CALLS = (6, 16)
TARGETS = ("digits", "mixture")
# Levels of `law` and `optimal` on the same networks (`benchmarks.training.optimum`), which
# `docs/optimum.md` shows.
OPTIMUM_ROWS = results_file("optimum_networks")
OPTIMUM_SCHEDULES = ("edm", "log_snr", "rescaled", "spectral", "las", "law", "optimal")
OPTIMUM_SEEDS = (60, 61, 62)
T_THREE = 4.302652729911275  # 97.5 % quantile of Student's t with two degrees of freedom
SCORES = {"digits": "Frechet distance to the training images", "mixture": "Wasserstein-1 distance"}


def read_scores() -> pd.DataFrame:
    """One row per target, schedule, solver and number of calls; schedule "real" is the floor."""
    return pd.read_csv(rows_now(SCHEDULE_ROWS))


def winners(rows: pd.DataFrame) -> pd.DataFrame:
    """The best schedule, the second best and EDM's ratio, per target, solver and calls."""
    out = []
    scored = rows[rows["schedule"] != "real"]
    for (target, solver, calls), part in scored.groupby(["target", "solver", "calls"]):
        ranked = part.sort_values("score")
        edm = part.loc[part["schedule"] == "edm", "score"].iloc[0]
        out.append(
            {
                "target": target,
                "solver": solver,
                "calls": calls,
                "winner": ranked["schedule"].iloc[0],
                "score": ranked["score"].iloc[0],
                "runner_up": ranked["schedule"].iloc[1],
                "edm_over_best": edm / ranked["score"].iloc[0],
            }
        )
    return pd.DataFrame(out)


def digits_schedules(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper A's image tables repeated on networks that we trained.

    The table is that of `schedules_table`.
    """
    return schedules_table(read_scores(), pd.read_csv(rows_now(IMAGE_ROWS)))


def schedules_table(scores: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Scores of schedules, the best schedule per setting, and images.

    Args:
        scores: One row per target, schedule, solver and number of calls. The rows of schedule
            "real" are the floor.
        images: One row per pixel.

    Returns:
        Rows of kind "score", "floor", "winner" and "pixel". A "winner" also has EDM's score and
        the runner-up's score, each divided by the best one.
    """
    real = scores["schedule"] == "real"
    cell = ["target", "solver", "calls"]
    wins = winners(scores)
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


def intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean score over the seeds and half the width of its 95 % interval, by Student's t."""
    keys = ["target", "schedule", "solver", "calls"]
    found = rows.groupby(keys, sort=False)["score"].agg(["mean", "std", "count"]).reset_index()
    half = T_THREE * found["std"] / found["count"] ** 0.5
    return found.assign(half=half.where(found["count"] == len(OPTIMUM_SEEDS))).drop(columns="std")


def markdown(rows: pd.DataFrame, target: str) -> list[str]:
    """Lines of a Markdown table of a target: score and half its interval, per solver and calls."""
    own = rows[(rows["target"] == target) & (rows["schedule"] != "real")]
    found = intervals(own).set_index(["solver", "calls", "schedule"]).sort_index()
    names = [name for name in OPTIMUM_SCHEDULES if name in set(own["schedule"])]
    lines = ["| solver | calls | " + " | ".join(f"`{name}`" for name in names) + " |"]
    lines.append("|---" * (2 + len(names)) + "|")
    for solver, calls in own[["solver", "calls"]].drop_duplicates().itertuples(index=False):
        part = found.loc[solver, calls]
        cells = [f"{part.loc[n, 'mean']:.3g} ± {part.loc[n, 'half']:.2g}" for n in names]
        lines.append(f"| {solver} | {calls:.0f} | {' | '.join(cells)} |")
    return lines
