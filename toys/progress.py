"""A progress bar for what takes over two seconds."""

import sys
from collections.abc import Iterable
from multiprocessing import parent_process
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def meter(total: int, title: str, done: int = 0) -> "tqdm[None]":
    """A bar to be moved by hand, as `progress` shows it."""
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
    """The items, with a bar after two seconds; a line every ten without a terminal.

    Worker processes keep quiet: the run they belong to has a bar of its own.
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
