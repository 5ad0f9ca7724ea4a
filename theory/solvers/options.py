"""Solver options given as text, and numbers of steps for equal numbers of denoiser calls."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress

Option = float | str | bool | None


def equal_steps(nfe: Callable[[int], int], calls: int) -> int:
    """Largest number of steps for which a solver makes at most `calls` calls; 0 if none.

    Args:
        nfe: Number of calls for a number of steps, a non-decreasing function.
        calls: Largest number of calls, and of steps.
    """
    return bisect_right(range(1, calls + 1), calls, key=nfe)


def parse_options(texts: Sequence[str]) -> dict[str, Option]:
    """Solver options from texts NAME=VALUE, whose values are numbers, true, false or words."""
    out: dict[str, Option] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"option must be NAME=VALUE, got {text!r}")
        out[name] = {"true": True, "false": False}.get(value.lower(), value)
        if "_" not in value:  # a number with digit groups, such as 1_000, is a word
            for number in (float, int):
                with suppress(ValueError):
                    out[name] = number(value)
    return out
