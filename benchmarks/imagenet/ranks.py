"""Processes that share a run: torchrun's, joined by gloo, which cards and the CPU have alike.

Work is divided by number, k % size == rank, and handed over as files: processes only ever wait for
each other. Which of them does what shows in no result.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from theory.checks import one_of
from toys.progress import meter

T = TypeVar("T")
Ticker = Callable[[], object]
PATIENCE = timedelta(days=7)  # the others may have hours of work left


@dataclass(frozen=True)
class Ranks:
    """This process's number among all, and its device."""

    rank: int
    size: int
    device: torch.device

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """This process's share."""
        return items[self.rank :: self.size]

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    @contextmanager
    def meter(self, total: int, title: str) -> Iterator[Ticker | None]:
        """A bar over this process's share, on the first only: what moves it, or None."""
        if not self.first:
            yield None
            return
        with meter(total, title) as bar:
            yield bar.update

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def fitting(batch: int) -> Iterator[None]:
    """One clear line where a batch of that size does not fit the card."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise ValueError(f"--batch must fit the card's memory, got {batch}; give less") from None


def join(device: str) -> Ranks:
    """The ranks of this run, as torchrun's environment says; one, without it.

    Args:
        device: "cpu", "cuda", or "auto" for cuda where there is a card. Each process of a machine
            takes a card of its own.
    """
    one_of("device", device, ("auto", "cpu", "cuda"))
    has_card = torch.cuda.is_available()
    if device == "cuda" and not has_card:
        raise ValueError("device must be cpu where no CUDA device is available, got 'cuda'")
    rank, size, local = (int(os.environ.get(n, d)) for n, d in (
        ("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")))  # fmt: skip
    if size > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=PATIENCE)
    if device == "cpu" or not has_card:
        # One thread: sums in another order would show in the images' last bits.
        torch.set_num_threads(1)
        return Ranks(rank, size, torch.device("cpu"))
    if local >= torch.cuda.device_count():
        raise ValueError(
            f"processes must be at most the machine's {torch.cuda.device_count()} cards, got "
            f"process {local}"
        )
    torch.cuda.set_device(local)
    # TF32 off and algorithms fixed: the same batch gives the same bytes in every run.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return Ranks(rank, size, torch.device("cuda", local))
