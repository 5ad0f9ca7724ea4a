"""Where every schedule puts its levels on one target."""

from collections.abc import Sequence

import pandas as pd

from benchmarks.engine.store import Store
from benchmarks.engine.toy_profiles import toy_profile
from benchmarks.studies.las_mixtures import mixture_profiles, profile_points
from theory.noise.processes import named_process
from theory.schedules.las_levels import natural_lambda
from theory.schedules.registry import SCHEDULES, schedule
from theory.versions import versions
from toys.files import toy_spec

# Spectral needs images, InfoGrid's gate is meant for networks, and the law for one coordinate.
LEFT_OUT = ("spectral", "infogrid", "law")
ALL_COMPARED = tuple(name for name in SCHEDULES if name not in LEFT_OUT)
COMPARED_TOY, COMPARED_STEPS = "circle8", 10


def schedules_compared(
    budget: str,
    store: Store,
    jobs: int | None,
    *,
    toy: str | None = None,
    steps: Sequence[int] | None = None,
    process: str | None = None,
) -> pd.DataFrame:
    """The levels of every schedule on one target (kind "level"), and its profile (kind "curve").

    Args:
        budget: How much to compute: "quick" for few levels of the profile.
        store: Where results are kept.
        jobs: Number of worker processes.
        toy: Mixture of your own. Default: COMPARED_TOY.
        steps: Number of steps, one. Default: COMPARED_STEPS.
        process: "edm" or "vp". Default: "vp".
    """
    if steps is not None and len(steps) != 1:
        got = ", ".join(map(str, steps))
        raise ValueError(f"steps must be one number for schedules_compared, got {got}")
    n = COMPARED_STEPS if steps is None else steps[0]
    own = named_process(process or "vp")
    if toy is None and process is None:
        profile = mixture_profiles(store, jobs, (COMPARED_TOY,), profile_points(budget))[
            COMPARED_TOY
        ]
    else:
        profile = toy_profile(toy_spec(toy or COMPARED_TOY), own.sigma_min, own.sigma_max)
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
        sigmas = schedule(name, n, own.name, profile)
        parts.append(
            pd.DataFrame(
                {"kind": "level", "schedule": name, "step": range(sigmas.size), "sigma": sigmas}
            )
        )
    return pd.concat(parts, ignore_index=True).assign(
        toy=toy or COMPARED_TOY,
        process=own.name,
        terminal="stop",
        natural_lambda=natural_lambda(profile, n),
        **versions(),
    )
