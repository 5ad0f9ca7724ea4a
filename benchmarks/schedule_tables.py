"""Rows of the study of sampling schedules on networks we trained; no torch is needed here."""

import pandas as pd

from benchmarks.store import ROOT

RESULTS = ROOT / "benchmarks" / "results"
SCHEDULE_ROWS = RESULTS / "digits_schedules.csv"
IMAGE_ROWS = RESULTS / "digits_images.csv"
PROFILE_ROWS = RESULTS / "learned_profile.csv"
SPECTRUM_ROWS = RESULTS / "spectral_profile.csv"

SCHEDULES = ("edm", "log_snr", "rescaled", "spectral", "las", "infogrid")
SOLVERS = ("ddim", "stochastic_ddim", "heun", "dpmpp_2m", "sde_dpmpp_2m", "re_multi")
CALLS = (5, 10, 16, 32, 64)
IMAGE_CALLS = (6, 16)
TARGETS = ("digits", "mixture")
SCORES = {"digits": "Frechet distance to the training images", "mixture": "Wasserstein-1 distance"}


def read_scores() -> pd.DataFrame:
    """A row a target, schedule, solver and number of calls; schedule "real" is the floor."""
    return pd.read_csv(SCHEDULE_ROWS)


def winners(rows: pd.DataFrame) -> pd.DataFrame:
    """The best schedule of every target, solver and number of calls, and its lead."""
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
