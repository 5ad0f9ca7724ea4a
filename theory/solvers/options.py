"""Options of solvers as texts, and numbers of steps at equal numbers of denoiser calls."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress

Option = float | str | bool | None


def equal_steps(nfe: Callable[[int], int], calls: int) -> int:
    """The most steps, up to `calls`, at which a solver makes at most that many calls; 0 if none.

    Args:
        nfe: Calls at a number of steps, rising with it.
        calls: Calls allowed.
    """
    return bisect_right(range(1, calls + 1), calls, key=nfe)


def parse_options(texts: Sequence[str]) -> dict[str, Option]:
    """Solver options from NAME=VALUE texts: numbers, true or false, or words."""
    out: dict[str, Option] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"option must be NAME=VALUE, got {text!r}")
        out[name] = {"true": True, "false": False}.get(value.lower(), value)
        if "_" not in value:  # Python's digit groups are words here
            for number in (float, int):
                with suppress(ValueError):
                    out[name] = number(value)
    return out
