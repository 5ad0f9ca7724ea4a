"""The range of noise levels of a schedule: its checks, fractions and exact ends."""

from dataclasses import dataclass

import numpy as np

from theory.checks import Array, one_of, positive, whole

MOST_STEPS = 10**6
TERMINALS = ("stop", "zero")


@dataclass(frozen=True)
class Span:
    """Number of steps and range of a schedule, which places the levels between the two ends.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units, below sigma_max.
        terminal: "stop": n_steps + 1 levels from sigma_max to sigma_min. "zero": n_steps levels
            from sigma_max to sigma_min, then 0 (n_steps = 1 is [sigma_max, 0]).

    Raises:
        ValueError: An argument is out of its range; the message is one line and names it.
    """

    n_steps: int
    sigma_max: float
    sigma_min: float
    terminal: str = "stop"

    def __post_init__(self) -> None:
        whole("n_steps", self.n_steps, 1, MOST_STEPS)
        top, bottom = positive("sigma_max", self.sigma_max), positive("sigma_min", self.sigma_min)
        if not bottom < top:
            raise ValueError(f"sigma_min must be below sigma_max {top:.17g}, got {bottom:.17g}")
        one_of("terminal", self.terminal, TERMINALS)
        object.__setattr__(self, "sigma_max", top)
        object.__setattr__(self, "sigma_min", bottom)

    @property
    def fractions(self) -> Array:
        """Fractions j / (count - 1) of the inner levels, shape (count - 2,); 0 is sigma_max."""
        count = self.n_steps + (self.terminal == "stop")
        return np.arange(1.0, count - 1) / max(count - 1, 1)

    def finish(self, inner: Array) -> Array:
        """The full schedule, shape (n_steps + 1,), with exact ends.

        Args:
            inner: Levels strictly between the ends, of the shape of `fractions`, decreasing.

        Returns:
            sigma_max, the inner levels and sigma_min, then 0 if the terminal is "zero".

        Raises:
            ValueError: Two levels coincide in float64.
        """
        tail = [self.sigma_min] if self.n_steps + (self.terminal == "stop") > 1 else []
        tail += [0.0] if self.terminal == "zero" else []
        sigmas = np.concatenate([[self.sigma_max], inner, tail])
        good = np.diff(sigmas) < 0  # False for nan as well
        if not good.all():
            i = int(np.argmin(good))
            places = f"levels {i} and {i + 1} coincide in float64 at {sigmas[i]:.17g}"
            raise ValueError(
                f"n_steps must leave the levels distinct, got {self.n_steps}: {places}; "
                "take fewer steps or a wider span"
            )
        return sigmas


def resampled(sigmas: Array, n_steps: int) -> Array:
    """A list of levels resampled to another number of steps, linearly in log sigma.

    Args:
        sigmas: Noise levels, strictly decreasing; only the last may be 0.
        n_steps: Number of steps of the new list.

    Returns:
        Levels of shape (n_steps + 1,) with the same ends, and with the final 0 if there was one.
    """
    if n_steps == sigmas.size - 1:
        return sigmas
    zero = sigmas[-1] == 0.0
    positive = sigmas[:-1] if zero else sigmas
    place = np.linspace(0.0, positive.size - 1, n_steps + 1 - zero)
    out = np.exp(np.interp(place, np.arange(positive.size), np.log(positive)))
    out[0] = positive[0]
    if out.size > 1:
        out[-1] = positive[-1]
    return np.append(out, 0.0) if zero else out
