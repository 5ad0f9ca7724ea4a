"""Schedules that need no data: uniform in a time, in sigma^(1 / rho), or in log SNR.

Every function starts with the arguments of `theory.levels.Span`: n_steps, sigma_max, sigma_min,
terminal. The index of a schedule counts steps: sigmas[0] is sigma_max, whatever the terminal.
"""

import numpy as np

from theory.checks import Array, positive
from theory.levels import Span
from theory.noise.ddpm import Cosine
from theory.noise.processes import Coordinate


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
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        coordinate: Any of `theory.noise.processes`; VP() gives vp_linear, EDM() edm_linear.
    """
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    start, end = float(coordinate.time(span.sigma_max)), float(coordinate.time(span.sigma_min))
    return span.finish(coordinate.sigma(start + span.fractions * (end - start)))


def edm_sigmas(
    n_steps: int, sigma_max: float, sigma_min: float, terminal: str = "stop", *, rho: float = 7.0
) -> Array:
    """Levels uniform in sigma^(1 / rho) (Karras et al. 2022, eq. 5; theirs has terminal "zero").

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        rho: Positive; 1 is uniform in sigma, larger values crowd towards sigma_min.
    """
    span, power = Span(n_steps, sigma_max, sigma_min, terminal), positive("rho", rho)
    # On sigma / sigma_max: sigma_max^(1 / rho) itself overflows for a tiny rho.
    end = (span.sigma_min / span.sigma_max) ** (1.0 / power)
    return span.finish(span.sigma_max * (1.0 + span.fractions * (end - 1.0)) ** power)


def log_snr_sigmas(
    n_steps: int, sigma_max: float, sigma_min: float, terminal: str = "stop"
) -> Array:
    """Levels uniform in log sigma, hence in log SNR.

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
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
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        offset: Their s; 0 makes this `arctan_sigmas` with c = 1.
    """
    return time_sigmas(n_steps, sigma_max, sigma_min, terminal, coordinate=Cosine(offset))
