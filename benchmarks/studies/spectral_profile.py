"""The spectral profile of a network of the digits, from committed rows."""

import pandas as pd

from benchmarks.engine.results import results_file, rows_now
from benchmarks.engine.store import Store

SPECTRUM_ROWS = results_file("spectral_profile")


def spectral_profile(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper A v2 Fig. 2 on a network of the digits: entropy rates by frequency.

    The rows are kept ones.
    """
    return pd.read_csv(rows_now(SPECTRUM_ROWS))
