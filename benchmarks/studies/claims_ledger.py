"""The table of the figure `claims_ledger`: the committed full run of the ledger."""

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.engine.results import results_file, rows_now
from benchmarks.engine.store import Store

FULL_RUN = results_file("claims")


def read_full_run(path: Path | None = None) -> list[dict[str, Any]]:
    """Rows of the committed full run."""
    table = pd.read_csv(path or rows_now(FULL_RUN), keep_default_na=False)
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def claims_ledger(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """The verdicts on the claims of the four papers.

    The rows are those of the kept full run; every budget draws the same.
    """
    table = pd.DataFrame(read_full_run())
    table = table[table["paper"] != "O"]
    return table.assign(place=range(len(table)))
