"""How InfoNoise's density develops over one training per target (paper D, Fig. 5)."""

import numpy as np
import pandas as pd

from benchmarks.engine.results import results_file, rows_now
from benchmarks.engine.store import Store
from benchmarks.studies.infonoise_transfer import METHODS
from theory.checks import Array
from theory.infonoise.allocation import edm_weight
from theory.profiles.pivots import gate

EMERGENCE_ROWS = results_file("infonoise_emergence")
SIGMA_DATA = {"mixture": 1.1010, "digits": 0.7525}  # for EDM's weight, to four digits


def infonoise_emergence(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper D Fig. 5 on small targets: how InfoNoise's density develops in one training.

    The table is that of `emergence_table`.
    """
    return emergence_table(pd.read_csv(rows_now(EMERGENCE_ROWS)))


def emergence_table(rows: pd.DataFrame) -> pd.DataFrame:
    """How InfoNoise's density develops over one training per target.

    Args:
        rows: One row per level and evaluation. The density is per unit of log sigma.

    Returns:
        Rows of two kinds. "level": the density, the emphasis (density times weight), and the
        gated rate mmse / sigma^2 g(sigma), which the emphasis follows above the floor. The gated
        rate is scaled to the density's maximum and null before the first refresh.
        "evaluation": the pivot (null before the first refresh), its rule, the number of
        refreshes, and the largest change of the distribution function since the evaluation before.
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
