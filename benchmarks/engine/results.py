"""Where the rows of studies and the numbers printed in the papers are.

The rows of the package are those that were committed. Rows that a user computes again stand in a
folder of the user's own, which wins over the package inside `results_under`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.resources import files
from pathlib import Path

RESULTS = Path(str(files("benchmarks") / "results"))
PRINTED = Path(str(files("benchmarks") / "published"))
_OWN: ContextVar[Path | None] = ContextVar("own rows", default=None)


def results_file(name: str) -> Path:
    """The file of a study's committed rows, NAME.csv."""
    return RESULTS / f"{name}.csv"


def printed_file(paper: str) -> Path:
    """The file of the numbers that a paper prints: paper A, B or C."""
    return PRINTED / f"{paper}_tables.csv"


@contextmanager
def results_under(folder: Path) -> Iterator[None]:
    """Context in which rows are written to a folder, and read from it where it has them.

    Args:
        folder: Folder of the user's own rows, made with the first of them.
    """
    before = _OWN.set(folder)
    try:
        yield
    finally:
        _OWN.reset(before)


def rows_now(committed: Path) -> Path:
    """The file to read rows from: the user's own of the same name, else the committed one."""
    own = _OWN.get()
    return (
        own / committed.name if own is not None and (own / committed.name).exists() else committed
    )


def rows_new(committed: Path) -> Path:
    """The file to write rows to: in the user's own folder if there is one."""
    own = _OWN.get()
    if own is None:
        return committed
    own.mkdir(parents=True, exist_ok=True)
    return own / committed.name
