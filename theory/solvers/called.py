"""The level at which a step calls its denoiser.

A step from a to b keeps the share k of the state, gives the denoiser's output the weight 1 - k and
adds noise of variance b^2 - k^2 a^2, so that it would be exact if the output were the data. The
output is a mean over the posterior, so that its law is too narrow. A denoiser called at a level s
below a returns a wider law, at no cost. `docs/called_levels.md` derives the levels used here.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, positive

CALLS = ("state", "geometric", "log_mean", "matched")
MOST_SHARE = 2.0  # at eta = 1 the level of the call is then that of the step's end


class HasRisk(Protocol):
    """A profile of the data, as far as solvers draw on it."""

    @property
    def dim(self) -> int:
        """Number of coordinates d."""

    def mmse_at(self, sigma: ArrayLike, /) -> Array:
        """The mmse at the levels, summed over coordinates, in squared data units."""


@dataclass(frozen=True)
class GaussianRisk:
    """The profile of N(0, c^2).

    Args:
        c: Standard deviation of the data, in data units.
    """

    c: float = 1.0
    dim = 1

    def mmse_at(self, sigma: ArrayLike, /) -> Array:
        """The mmse c^2 sigma^2 / (c^2 + sigma^2) at the levels."""
        s = np.asarray(sigma, dtype=np.float64)
        return (s * (positive("c", self.c) / np.hypot(self.c, s))) ** 2


def called_levels(
    call: str | float, a: Array, keep: Array, profile: HasRisk | None = None
) -> Array:
    """Levels at which steps call the denoiser, shape (n_steps,), positive, in data units.

    The square of the level is a^2 times a mean of 1 and k: their geometric mean k^(1/2), which is
    a^(3/2) b^(1/2) for deterministic DDIM; their logarithmic mean (k - 1) / log k, which is
    (a^2 - b^2) / log(a^2 / b^2) for ancestral sampling; or (G + k) / (1 + G) with
    G^2 = R + (1 - R) k^2 and R = mmse / (d a^2), for which the step is exact on N(0, c^2 I). A step
    to 0 has k = 0 there, where the first two vanish; they then are (1 + k) / 2, the mean for R = 1.

    Args:
        call: "state" for a, "geometric", "log_mean", "matched", or a number in [0, 2], the share of
            the geometric shift: the square is then a^2 k^(share / 2), or a^2 / 2^share before 0.
        a: Levels of the states, shape (n_steps,), in data units.
        keep: Shares k of the states that the steps keep, shape (n_steps,), in [0, 1).
        profile: Profile of the data, for "matched".

    Raises:
        ValueError: The call is unknown, "matched" has no profile, or the profile does not reach a
            level of the states.
    """
    last = keep == 0.0
    inner = np.where(last, 0.5, keep)  # any share, where the mean does not use it
    if isinstance(call, str):
        if call == "state":
            return a
        if call == "geometric":
            mean = np.sqrt(inner)
        elif call == "log_mean":
            mean = (inner - 1.0) / np.log(inner)
        elif call == "matched":
            risk = relative_risk(a, profile, "call 'matched'")
            moved = np.sqrt(risk + (1.0 - risk) * keep**2)
            return a * np.sqrt((moved + keep) / (1.0 + moved))
        else:
            raise ValueError(f"call must be one of {', '.join(CALLS)} or a number, got {call!r}")
        return a * np.sqrt(np.where(last, 0.5, mean))
    share = floats("call", call)
    if share.ndim or not 0.0 <= share <= MOST_SHARE:
        raise ValueError(f"call must be a share in [0, {MOST_SHARE:g}] or a name, got {call}")
    return a * np.where(last, 0.5 ** (share / 2.0), inner ** (share / 4.0))


def relative_risk(sigma: Array, profile: HasRisk | None, what: str) -> Array:
    """R = mmse / (d sigma^2) at the levels, shape of sigma, at most 1.

    Args:
        sigma: Levels, in data units.
        profile: Profile of the data.
        what: What needs it, for the message.

    Raises:
        ValueError: There is no profile, or it does not reach a level.
    """
    if profile is None:
        raise ValueError(f"profile must be given for {what}, got None")
    if not hasattr(profile, "mmse_at"):
        raise ValueError(f"profile must be a Profile, got {type(profile).__name__}")
    risk = np.asarray(profile.mmse_at(sigma)) / (profile.dim * sigma**2)
    return np.minimum(risk, 1.0)
