"""Where the committed rows of studies and the numbers printed in the papers are."""

from importlib.resources import files
from pathlib import Path

RESULTS = Path(str(files("benchmarks") / "results"))
PRINTED = Path(str(files("benchmarks") / "published"))


def results_file(name: str) -> Path:
    """The file of a study's committed rows, NAME.csv."""
    return RESULTS / f"{name}.csv"


def printed_file(paper: str) -> Path:
    """The file of the numbers that a paper prints: paper A, B or C."""
    return PRINTED / f"{paper}_tables.csv"
