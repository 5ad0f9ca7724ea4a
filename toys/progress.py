"""Progress bars, shown after two seconds."""

import sys
from collections.abc import Iterable
from multiprocessing import parent_process
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


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
        delay=2,
        leave=False,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,
        disable=parent_process() is not None,
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
        delay=2,
        leave=False,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,
        disable=parent_process() is not None,
    )
    return bar
