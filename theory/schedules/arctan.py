"""The schedule that is optimal for DDIM on Gaussian data, and the scale that fits a profile."""

import numpy as np
from scipy.optimize import brentq

from theory.checks import Array, positive
from theory.levels import Span
from theory.profiles.profile import UNDERFLOW, Profile


def arctan_sigmas(
    n_steps: int, sigma_max: float, sigma_min: float, terminal: str = "stop", *, c: float
) -> Array:
    """Levels uniform in arctan(sigma / c): optimal for DDIM and N(0, c^2 I) data.

    Sabour et al. 2024, theorem 3.1; Stancevic et al., eq. 6.

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        c: Standard deviation of the data, in data units.
    """
    span, scale = Span(n_steps, sigma_max, sigma_min, terminal), positive("c", c)
    u = span.fractions
    angle = (1.0 - u) * np.arctan(span.sigma_max / scale) + u * np.arctan(span.sigma_min / scale)
    # The angle's complement, taken by itself: near pi / 2 the tangent has no digits left.
    rest = (1.0 - u) * np.arctan(scale / span.sigma_max) + u * np.arctan(scale / span.sigma_min)
    return span.finish(scale * np.where(angle < rest, np.tan(angle), 1.0 / np.tan(rest)))


def fit_arctan_c(profile: Profile) -> float:
    """The c, in data units, of the Gaussian whose rescaled entropy is shaped most like this one.

    Gaussian data have dR/dlog(sigma) = A c^2 sigma / (c^2 + sigma^2), a sech in log(sigma / c).
    Fits c and the free amplitude A (d for a Gaussian, fewer for data near a low-dimensional
    set) by least squares to mmse / sigma, weighted by the spacing in log sigma: bounded where the
    log of an mmse is not, and weighing what uniform rescaled entropy weighs. A Gaussian
    profile gives its own c back.

    Raises:
        ValueError: mmse is 0, or its peak lies too far outside the grid to be located.
    """
    x = np.log(profile.sigma)
    weight = np.sqrt(np.gradient(x))
    rate = weight * profile.mmse / profile.sigma
    if profile.mmse.max() < UNDERFLOW:
        raise ValueError("profile must have a positive mmse, got 0 throughout; give c")
    rate /= np.linalg.norm(rate)

    def shape(log_c: float) -> Array:
        decay = np.exp(-np.abs(x - log_c))
        return np.asarray(weight * decay / (1.0 + decay**2))  # a sech that cannot overflow

    trial = np.linspace(x[0] - 6.0, x[-1] + 6.0, 400)
    cosines = [shape(t) @ rate / np.linalg.norm(shape(t)) for t in trial]
    best = int(np.argmax(cosines))
    if best in (0, trial.size - 1):
        span = f"sigma {profile.sigma[0]:g}..{profile.sigma[-1]:g}"
        raise ValueError(f"profile must show the peak of mmse / sigma, got none in {span}; give c")

    def ascent(log_c: float) -> float:
        """Derivative of the cosine between curve and shape, up to a positive factor."""
        s = shape(log_c)
        change = s * np.tanh(x - log_c)
        return float((rate @ change) * (s @ s) - (rate @ s) * (s @ change))

    # A root, not a maximum: that is flat, and would cost half of the digits.
    return float(np.exp(brentq(ascent, trial[best - 1], trial[best + 1], xtol=1e-14)))
