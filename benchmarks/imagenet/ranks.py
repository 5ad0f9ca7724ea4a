"""Processes that share a run: those of torchrun, joined by gloo, which GPUs and the CPU both have.

Work is divided by number, k % size == rank, and passed on as files, so that processes only ever
wait for each other. No result depends on which process does what.
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
    """This process's number among all of them, and its device."""

    rank: int
    size: int
    device: torch.device

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """This process's share of the items."""
        return items[self.rank :: self.size]

    @property
    def first(self) -> bool:
        """Whether this process prints and writes for all."""
        return self.rank == 0

    @contextmanager
    def meter(self, total: int, title: str) -> Iterator[Ticker | None]:
        """Ticker of a progress bar over this process's share; None on all but the first process."""
        if not self.first:
            yield None
            return
        with meter(total, title) as bar:
            yield bar.update

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def fitting(batch: int) -> Iterator[None]:
    """Raise an error of one clear line if a batch of this size does not fit into GPU memory."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise ValueError(f"batch must fit the card's memory, got {batch}; give less") from None


def join(device: str) -> Ranks:
    """The ranks of this run from torchrun's environment, or a single rank without it.

    Args:
        device: "cpu", "cuda", or "auto" for cuda if there is a GPU. Each process of a machine takes
            a GPU of its own.
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
        # One thread, since sums in another order would change the last bits of the images.
        torch.set_num_threads(1)
        return Ranks(rank, size, torch.device("cpu"))
    if local >= torch.cuda.device_count():
        raise ValueError(
            f"processes must be at most the machine's {torch.cuda.device_count()} cards, got "
            f"process {local}"
        )
    torch.cuda.set_device(local)
    # TF32 is off and algorithms are fixed, so that a batch gives the same bytes in every run.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return Ranks(rank, size, torch.device("cuda", local))
