"""Paper D's entropy rate at low noise, its slope, and the gate."""

import numpy as np
import pandas as pd

from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store
from benchmarks.engine.toy_profiles import ToyProfile
from theory.profiles.pivots import gate, onset_pivot
from theory.versions import versions

BOUNDARY_TOYS = {
    "gaussian": "continuous",
    "gaussians15_overlap": "continuous",
    "two_points": "discrete",
    "points15": "discrete",
}
DENOISER_ERROR = 0.01  # r.m.s. error of the imperfect denoiser in the boundary figure


def low_noise_boundary(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper D Fig. 11, eqs. (48)-(51): the entropy rate at low noise, its slope, and the gate.

    Discrete toys appear twice: with the exact denoiser, and with one of error DENOISER_ERROR
    (r.m.s.). The latter's loss, not the posterior, causes the power law that the paper reports.
    """
    grids = [
        ToyProfile(name, 0.002, 80.0, 60 if budget == "quick" else 400) for name in BOUNDARY_TOYS
    ]
    parts = []
    for grid, row in zip(grids, run_tasks(grids, store, jobs, "profiles"), strict=True):
        sigma, exact = np.array(row["sigma"]), np.array(row["mmse"])
        data = BOUNDARY_TOYS[grid.toy]
        for error in (0.0, DENOISER_ERROR) if data == "discrete" else (0.0,):
            rate = (exact + error**2) / sigma**3
            c = onset_pivot(sigma, rate)
            good = rate > 1e-290
            slope = np.full(rate.shape, np.nan)
            slope[good] = np.gradient(np.log(rate[good]), np.log(sigma[good]))
            parts.append(
                pd.DataFrame(
                    {
                        "toy": grid.toy,
                        "data": data,
                        "denoiser_error": error,
                        "sigma": sigma,
                        "rate": rate,
                        "slope": slope,
                        "pivot": c,
                        "gated_rate": rate * gate(sigma, c),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True).assign(**versions())
