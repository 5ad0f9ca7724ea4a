"""Numbers of steps for equal numbers of denoiser calls."""

from bisect import bisect_right
from collections.abc import Callable


def equal_steps(nfe: Callable[[int], int], calls: int) -> int:
    """Largest number of steps for which a solver makes at most `calls` calls; 0 if none.

    Args:
        nfe: Number of calls for a number of steps, a non-decreasing function.
        calls: Largest number of calls, and of steps.
    """
    return bisect_right(range(1, calls + 1), calls, key=nfe)
