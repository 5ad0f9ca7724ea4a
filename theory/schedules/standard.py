"""Schedules that need no data: uniform in a time, in sigma^(1 / rho), or in log SNR.

Every function begins with the arguments of `theory.levels.Span`: n_steps, sigma_max, sigma_min and
terminal. sigmas[0] is sigma_max for either terminal.
"""

import numpy as np

from theory.checks import Array, positive
from theory.levels import Span
from theory.noise.ddpm import Cosine
from theory.noise.processes import EDM, VP, Coordinate


def time_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    coordinate: Coordinate,
) -> Array:
    """Levels uniform in a coordinate's time, between the times of the two ends.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        coordinate: A coordinate of `theory.noise.processes`.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    start, end = float(coordinate.time(span.sigma_max)), float(coordinate.time(span.sigma_min))
    return span.finish(coordinate.sigma(start + span.fractions * (end - start)))


def vp_linear_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    beta_min: float = 0.1,
    beta_max: float = 20.0,
) -> Array:
    """Levels uniform in the time of the VP process (Song et al. 2021, eq. 32).

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        beta_min: Rate beta of the process at t = 0, positive.
        beta_max: Rate beta of the process at t = 1, at least beta_min.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    coordinate = VP(beta_min, beta_max)
    return time_sigmas(n_steps, sigma_max, sigma_min, terminal, coordinate=coordinate)


def edm_linear_sigmas(
    n_steps: int, sigma_max: float, sigma_min: float, terminal: str = "stop"
) -> Array:
    """Levels uniform in sigma, the time of the EDM process.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    return time_sigmas(n_steps, sigma_max, sigma_min, terminal, coordinate=EDM())


def edm_sigmas(
    n_steps: int, sigma_max: float, sigma_min: float, terminal: str = "stop", *, rho: float = 7.0
) -> Array:
    """Levels uniform in sigma^(1 / rho) (Karras et al. 2022, eq. 5, where the terminal is "zero").

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        rho: Exponent, positive. 1 is uniform in sigma; larger values move levels to sigma_min.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    span, power = Span(n_steps, sigma_max, sigma_min, terminal), positive("rho", rho)
    # In units of sigma_max, because sigma_max^(1 / rho) itself overflows for a tiny rho.
    end = (span.sigma_min / span.sigma_max) ** (1.0 / power)
    return span.finish(span.sigma_max * (1.0 + span.fractions * (end - 1.0)) ** power)


def log_snr_sigmas(
    n_steps: int, sigma_max: float, sigma_min: float, terminal: str = "stop"
) -> Array:
    """Levels uniform in log sigma, hence in log SNR.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    start, end = np.log(span.sigma_max), np.log(span.sigma_min)
    return span.finish(np.exp(start + span.fractions * (end - start)))


def cosine_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    offset: float = 0.008,
) -> Array:
    """Levels uniform in the time of iDDPM's cosine schedule (Nichol & Dhariwal 2021, eq. 17).

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        offset: The paper's s, at least 0. With 0 the levels are those of arctan with c = 1.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    return time_sigmas(n_steps, sigma_max, sigma_min, terminal, coordinate=Cosine(offset))
