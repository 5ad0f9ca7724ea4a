"""Where every schedule puts its levels on one target."""

import pandas as pd

from benchmarks.engine.store import Store
from benchmarks.studies.las_mixtures import mixture_profiles, profile_points
from theory.schedules.las_levels import natural_lambda
from theory.schedules.registry import SCHEDULES, schedule
from theory.versions import versions

# Spectral needs images, and InfoGrid's gate is meant for networks.
ALL_COMPARED = tuple(name for name in SCHEDULES if name not in ("spectral", "infogrid"))
COMPARED_TOY, COMPARED_STEPS = "circle8", 10


def schedules_compared(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """The levels of every schedule on one target (kind "level"), and its profile (kind "curve")."""
    profiles = mixture_profiles(store, jobs, (COMPARED_TOY,), profile_points(budget))
    profile = profiles[COMPARED_TOY]
    parts = [
        pd.DataFrame(
            {
                "kind": "curve",
                "sigma": profile.sigma,
                "mmse": profile.mmse,
                "noise_risk": profile.mmse / profile.sigma**2,
            }
        )
    ]
    for name in ALL_COMPARED:
        sigmas = schedule(name, COMPARED_STEPS, "vp", profile)
        parts.append(
            pd.DataFrame(
                {"kind": "level", "schedule": name, "step": range(sigmas.size), "sigma": sigmas}
            )
        )
    return pd.concat(parts, ignore_index=True).assign(
        toy=COMPARED_TOY,
        process="vp",
        terminal="stop",
        natural_lambda=natural_lambda(profile, COMPARED_STEPS),
        **versions(),
    )
