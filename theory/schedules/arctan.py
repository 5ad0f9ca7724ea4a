"""The schedule that is optimal for DDIM on Gaussian data, and the fit of its data scale."""

import numpy as np

from theory.checks import Array, positive
from theory.levels import Span
from theory.profiles.profile import UNDERFLOW, Profile


def arctan_sigmas(
    n_steps: int, sigma_max: float, sigma_min: float, terminal: str = "stop", *, c: float
) -> Array:
    """Levels uniform in arctan(sigma / c), optimal for deterministic DDIM on data N(0, c^2 I).

    The grid is that of Sabour et al. (2024), theorem 3.1, and of Stancevic et al., eq. 6.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        c: Standard deviation of the data, positive, in data units.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    span, scale = Span(n_steps, sigma_max, sigma_min, terminal), positive("c", c)
    u = span.fractions
    angle = (1.0 - u) * np.arctan(span.sigma_max / scale) + u * np.arctan(span.sigma_min / scale)
    # The complement of the angle: near pi / 2 the tangent of the angle itself has no digits left.
    rest = (1.0 - u) * np.arctan(scale / span.sigma_max) + u * np.arctan(scale / span.sigma_min)
    return span.finish(scale * np.where(angle < rest, np.tan(angle), 1.0 / np.tan(rest)))


def fit_arctan_c(profile: Profile) -> float:
    """Standard deviation c of the Gaussian whose rescaled entropy fits a profile best, data units.

    Gaussian data have dR/dlog(sigma) = A c^2 sigma / (c^2 + sigma^2), a sech in log(sigma / c). The
    amplitude A is d for a Gaussian and smaller for data near a low-dimensional set. Both c and A
    are fitted to mmse / sigma by least squares, weighted by the spacing in log sigma. This fit is
    bounded, unlike one to log mmse, and it weights the levels as uniform rescaled entropy does.
    The profile of a Gaussian returns its own c.

    Args:
        profile: The mmse over noise levels.

    Raises:
        ValueError: The mmse is 0, or the peak of mmse / sigma is too far outside the grid.
    """
    from scipy.optimize import brentq

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

    # The root of the derivative: a search for the flat maximum would cost half of the digits.
    return float(np.exp(brentq(ascent, trial[best - 1], trial[best + 1], xtol=1e-14)))
