"""The numbers that the papers print, which some figures show beside the suite's own."""

from importlib.resources import files
from pathlib import Path

import pandas as pd


def printed(paper: str, keep_default_na: bool = True) -> pd.DataFrame:
    """Rows of `benchmarks/published` for one paper, "A", "B" or "C".

    Figures import no module of `benchmarks`; these data files are found by the package's name.

    Args:
        paper: Letter of the paper.
        keep_default_na: Whether empty cells are NaN rather than empty strings.
    """
    path = Path(str(files("benchmarks") / "published" / f"{paper}_tables.csv"))
    return pd.read_csv(path, keep_default_na=keep_default_na)
