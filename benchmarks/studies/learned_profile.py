"""Learned profiles compared with exact ones, from committed rows."""

import numpy as np
import pandas as pd

from benchmarks.engine.results import results_file, rows_now
from benchmarks.engine.store import Store
from benchmarks.studies.infonoise_transfer import versions_of
from theory.profiles.profile import Profile
from theory.schedules.registry import schedule

PROFILE_ROWS = results_file("learned_profile")
STEPS = 16  # steps of the rescaled schedules


def learned_profile(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Profiles measured on trained networks compared with exact ones.

    The table is that of `profile_table`.
    """
    return profile_table(pd.read_csv(rows_now(PROFILE_ROWS)))


def profile_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Profiles, their ratios and the rescaled levels that follow from them.

    Args:
        rows: One row per target, kind of profile ("exact", "train", "held_out") and level.

    Returns:
        Rows of two kinds; `of` names the profile that a row belongs to. "profile": the mmse with
        its standard error, the rate mmse / sigma^2 per unit of log sigma in nats, and the ratio
        to the profile `base` (the exact one if known, otherwise that of the training data). The
        ratio's standard error takes the two profiles as independent. "level": the rescaled levels
        from each profile, with terminal "zero".
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
            sigmas = schedule("rescaled", STEPS, None, profile, "zero", rule="trapezoid")
            shared = {"target": target, "of": name, "base": base, "dim": dim}
            shared |= {"samples": part["samples"].iloc[0], **versions_of(part)}
            values = {"sigma": sigma, "mmse": mmse, "stderr": part["stderr"].to_numpy()}
            values |= {"rate": mmse / sigma**2, "ratio": ratio}
            values |= {"ratio_stderr": ratio * (0.0 if name == base else spread)}
            parts.append(pd.DataFrame(values).assign(kind="profile", **shared))
            levels = {"step": np.arange(sigmas.size), "sigma": sigmas}
            parts.append(pd.DataFrame(levels).assign(kind="level", **shared))
    return pd.concat(parts, ignore_index=True)
