"""The noise levels of a profile at which a stand-in is fitted, with their targets and noise.

For data of one coordinate R(sigma) = mmse / sigma^2 lies in (0, 1). The fit compares
log(R + FAINT), so that an R far below FAINT, as between points at low noise, counts as 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theory.checks import Array
from theory.profiles.profile import UNDERFLOW, Profile

FAINT = 3e-3  # R below which differences of R, rather than of log R, are compared
LEVELS = 46  # levels of a fit; a profile of many more is thinned out, or averaged
TOP = 10.0  # highest level of a fit, in standard deviations of the data
LEAST_GAIN = 1e-3  # 1 - R below which a level says nothing about the data
EXACT = 1e-3  # relative white noise below which a profile counts as exact
DENSE = 0.12  # spacing in log sigma below which fourth differences of a curve are negligible
WHITE = 0.7  # share of the standard errors from which on they count as white altogether
LEAST = 4  # smallest number of levels of a fit


@dataclass(frozen=True)
class Levels:
    """What a stand-in is fitted to, with the standard deviation of the data as unit.

    Attributes:
        sigma: Noise levels, shape (M,), increasing.
        target: log(R + FAINT), shape (M,).
        noise: Standard error of the target, shape (M,); 0 for an exact profile.
    """

    sigma: Array
    target: Array
    noise: Array

    def every(self, step: int) -> "Levels":
        """Every step-th level."""
        return Levels(self.sigma[::step], self.target[::step], self.noise[::step])


class ProfileGrid:
    """The levels of a profile that say something about the data.

    Args:
        profile: Profile of data of one coordinate.

    Attributes:
        scale: Standard deviation of the data, in data units, by the mmse at high noise.
        sigma: Noise levels, shape (m,), in standard deviations of the data.
        target: log(R + FAINT), shape (m,).

    Raises:
        ValueError: The data have more coordinates, or the levels say nothing about the data.
    """

    def __init__(self, profile: Profile) -> None:
        if profile.dim != 1:
            raise ValueError(f"dim must be 1 for a stand-in, got {profile.dim}")
        # As for the profile's own curves, an underflow above a larger value is left out.
        alive = profile.mmse >= UNDERFLOW
        alive |= ~np.maximum.accumulate(alive)
        sigma, mmse = profile.sigma[alive], profile.mmse[alive]
        ratio = mmse / sigma**2
        _check_range(ratio)
        self.scale = _scale(mmse, ratio)
        x, target = np.log(sigma / self.scale), np.log(ratio + FAINT)
        # On a coarse grid the curve's own bends look like noise, until a fit is subtracted.
        self._white = np.inf
        if float(np.median(np.diff(x))) < DENSE:
            self._white = white_noise(x, target, ratio)
        inside = _informative(x, ratio, self.white)
        self._x, self._ratio = x[inside], ratio[inside]
        self.sigma, self.target = np.exp(self._x), target[inside]
        self._stderr: Array | None = None  # standard errors of the targets
        if profile.stderr is not None and profile.stderr.any():
            self._stderr = (profile.stderr[alive] / sigma**2 / (ratio + FAINT))[inside]

    @property
    def white(self) -> float:
        """Estimated relative white noise of the mmse; 0 where it is not known yet."""
        return self._white if np.isfinite(self._white) else 0.0

    @property
    def is_exact(self) -> bool:
        """Whether the profile has neither standard errors nor visible noise."""
        return self._stderr is None and self.white < EXACT

    def levels(self, smooth: Array | None = None) -> Levels:
        """At most about LEVELS levels, evenly spaced in log sigma.

        An exact profile is thinned out, a noisy one is averaged over windows.

        Args:
            smooth: A smooth curve close to the targets, shape (m,). The noise is estimated beside
                it, and the averages follow its bends.
        """
        x, curve = self._x, np.zeros_like(self.target) if smooth is None else smooth
        if smooth is not None:
            self._white = min(self._white, white_noise(x, self.target - curve, self._ratio))
        white, rest = self._noise()
        if 2 * x.size <= 3 * LEVELS:
            return Levels(self.sigma, self.target, np.hypot(white, rest))
        edges = np.linspace(x[0], x[-1], LEVELS + 1)
        if self.is_exact:
            middles = 0.5 * (edges[1:] + edges[:-1])
            near = np.unique(np.abs(x[:, None] - middles).argmin(axis=0))
            return Levels(self.sigma[near], self.target[near], np.zeros(near.size))
        window = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, LEVELS - 1)
        window = np.unique(window, return_inverse=True)[1]
        count = np.bincount(window)

        def mean(values: Array) -> Array:
            return np.asarray(np.bincount(window, values) / count)

        target = mean(self.target - curve) + np.interp(mean(x), x, curve)
        # Only the white part of the noise averages out.
        noise = np.sqrt(mean(white**2) / count + mean(rest) ** 2)
        return Levels(np.exp(mean(x)), target, noise)

    def _noise(self) -> tuple[Array, Array]:
        """White part and rest of the standard errors of the targets, shape (m,) each."""
        if self._stderr is None:
            share = self._ratio / (self._ratio + FAINT)
            return (self.white if self.white >= EXACT else 0.0) * share, 0.0 * share
        part = self.white / float(np.median(self._stderr[self._stderr > 0.0]))
        part = 1.0 if part > WHITE else part
        return part * self._stderr, np.sqrt(1.0 - part**2) * self._stderr


def white_noise(x: Array, y: Array, ratio: Array) -> float:
    """Standard deviation of the white noise in y(x), from differences.

    Every fourth divided difference, which is 0 for cubics, gives an estimate. Their median ignores
    the few places where a smooth curve bends sharply.

    Args:
        x: Places, shape (m,), increasing.
        y: Values, shape (m,).
        ratio: R at these places, shape (m,); places where R is not far above FAINT are left out.
    """
    good = ratio > 3.0 * FAINT
    x, y = x[good], y[good]
    if x.size < 5:
        return 0.0
    index = np.arange(x.size - 4)[:, None] + np.arange(5)
    gaps = x[index][:, :, None] - x[index][:, None, :] + np.eye(5)
    factors = 1.0 / gaps.prod(axis=2)
    differences = np.abs((factors * y[index]).sum(axis=1)) / np.linalg.norm(factors, axis=1)
    return float(np.median(differences)) / 0.6745  # the median of |N(0, 1)|


def _check_range(ratio: Array) -> None:
    """Refuse levels at which the mmse is all but 0, or all but sigma^2, shape (m,)."""
    top, bottom = float(ratio.max()), float(ratio.min())
    if top <= FAINT:
        side = "downwards" if int(np.argmax(ratio)) <= ratio.size // 2 else "upwards"
        raise ValueError(
            f"mmse must exceed {FAINT:g} sigma^2 somewhere for schedule 'optimal', got {top:.3g} "
            f"sigma^2; extend the profile {side}"
        )
    if bottom >= 1.0 - LEAST_GAIN:
        raise ValueError(
            f"mmse must be below {1.0 - LEAST_GAIN:g} sigma^2 somewhere for schedule 'optimal', "
            f"got {bottom:.3g} sigma^2; extend the profile upwards"
        )


def _scale(mmse: Array, ratio: Array) -> float:
    """Standard deviation of the data: variance = mmse / (1 - R) for Gaussian data."""
    low = np.flatnonzero(ratio >= 0.1)  # points have a small R at low noise as well
    high = slice(min(int(low[-1]) + 1 if low.size else 0, ratio.size - 1), None)
    return float(np.sqrt(np.mean(mmse[high] / np.maximum(1.0 - ratio[high], 0.01))))


def _informative(x: Array, ratio: Array, white: float) -> NDArray[np.bool_]:
    """Whether log sigma = x lies between the first level with R < 1 and TOP, shape (m,).

    With noise, R is averaged over windows first, and an octave more is kept.
    """
    inside, lowest = x <= np.log(TOP), x[0]
    if white < EXACT:
        lowest = x[int(np.argmax(1.0 - ratio > LEAST_GAIN))]
    else:
        n = max(x.size // LEVELS, 1)
        padded = np.pad(ratio, (n // 2, n - 1 - n // 2), mode="edge")
        mean = np.convolve(padded, np.full(n, 1.0 / n), mode="valid")
        first = int(np.argmax(1.0 - mean > max(LEAST_GAIN, 4.0 * white / np.sqrt(n))))
        lowest = x[first] - np.log(2.0)
    inside &= x >= lowest
    return inside if inside.sum() >= LEAST else np.ones_like(inside)
