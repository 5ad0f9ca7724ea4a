"""Progress bars, shown after two seconds: one line that changes, or lines without a terminal."""

import sys
from collections.abc import Iterable
from multiprocessing import parent_process
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class _Lines:
    """Standard error that takes each state of a bar as a line of its own."""

    encoding = "utf-8"

    def write(self, text: str) -> None:
        """Write what is not blank, with the end of the line."""
        shown = text.replace("\r", " ").strip()
        if shown:
            sys.stderr.write(shown + "\n")

    def flush(self) -> None:
        """Flush standard error."""
        sys.stderr.flush()


def looks() -> dict[str, Any]:
    """Arguments of tqdm for this process: none in worker processes, lines without a terminal."""
    terminal = sys.stderr.isatty()
    return {
        "delay": 2,
        "leave": False,
        "mininterval": 0.1 if terminal else 10.0,
        "file": sys.stderr if terminal else _Lines(),
        "disable": parent_process() is not None,
    }


def meter(total: int, title: str, done: int = 0) -> "tqdm[None]":
    """A progress bar that the caller advances.

    Args:
        total: Number of steps.
        title: Title of the bar.
        done: Number of steps already made.
    """
    return tqdm(
        total=total,
        initial=done,
        desc=title,
        **looks(),
    )


def progress(items: Iterable[T], title: str, total: int | None = None) -> Iterable[T]:
    """The items, with a progress bar after two seconds.

    Without a terminal the bar is a line every ten seconds. Worker processes show none.

    Args:
        items: The items to iterate over.
        title: Title of the bar.
        total: Number of items, if `items` has no length.
    """
    bar: Iterable[T] = tqdm(
        items,
        title,
        total,
        **looks(),
    )
    return bar
