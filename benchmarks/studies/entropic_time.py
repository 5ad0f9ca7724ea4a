"""Paths of one SDE and the conditional entropy, in standard and entropic time."""

import numpy as np
import pandas as pd

from benchmarks.engine.store import Store
from theory.noise.processes import PROCESSES
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.ddim import stochastic_ddim_table
from theory.versions import versions
from toys import sampling, zoo
from toys.information import information


def entropic_time(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper A v1 Fig. 1: paths and conditional entropy of one SDE, in standard and entropic time.

    Kind "path" holds reverse VP paths of two points, in the VP coordinate, at equally spaced
    standard times and at equally spaced entropic times. Kind "entropy" holds the conditional
    entropy at the same times.
    """
    toy, process = zoo.toy("two_points"), PROCESSES["vp"]
    n_paths, points = (6, 60) if budget == "quick" else (16, 400)
    fine = log_snr_sigmas(4 * points, process.sigma_max, process.sigma_min)
    curves = information.curves(toy, fine[::-1])
    assert curves.conditional_entropy is not None  # two points are discrete
    entropy = curves.conditional_entropy[::-1]
    time = process.coordinate.time(fine)
    share = (entropy - entropy[-1]) / (entropy[0] - entropy[-1])
    table = stochastic_ddim_table(fine, start_std=process.start_std())
    paths = sampling.trace_paths(toy, table, n_paths, seed=1)[:, :, 0] * np.sqrt(
        1.0 / (1.0 + fine[:, None] ** 2)
    )
    keep = np.zeros(fine.size, dtype=bool)
    for axis in (time, share):  # dense enough for a continuous line in both panels
        places = np.interp(
            np.linspace(axis[-1], axis[0], points), axis[::-1], np.arange(fine.size)[::-1]
        )
        keep[np.round(places).astype(int)] = True
    parts = [
        pd.DataFrame(
            {
                "kind": "entropy",
                "path": -1,
                "sigma": fine[keep],
                "time": time[keep],
                "entropic_time": share[keep],
                "value": entropy[keep],
            }
        )
    ]
    for i in range(n_paths):
        parts.append(parts[0].assign(kind="path", path=i, value=paths[keep, i]))
    return pd.concat(parts, ignore_index=True).assign(
        toy="two_points", process="vp", seed=1, **versions()
    )
