"""Schedules: falling sigmas of shape (n_steps + 1,), in data units, with exact ends.

Every function starts with the arguments of `theory.levels.Span`: n_steps, sigma_max, sigma_min,
terminal. The index of a schedule counts steps: sigmas[0] is sigma_max, whatever the terminal.
A new schedule is one function and one line in `SCHEDULES`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from theory.checks import Array, one_of, positive
from theory.las import Objective
from theory.las_levels import las_sigmas
from theory.levels import Span
from theory.noise import EDM, VP, Coordinate, Cosine
from theory.profile import UNDERFLOW, Profile
from theory.reweighted import infogrid_sigmas, spectral_sigmas
from theory.time_change import (
    entropic_sigmas,
    rate_sigmas,
    rescaled_sigmas,
    time_change_sigmas,
)

__all__ = [
    "SCHEDULES",
    "arctan_sigmas",
    "cosine_sigmas",
    "edm_sigmas",
    "entropic_sigmas",
    "fit_arctan_c",
    "infogrid_sigmas",
    "las_sigmas",
    "log_snr_sigmas",
    "make_sigmas",
    "rate_sigmas",
    "rescaled_sigmas",
    "spectral_sigmas",
    "time_change_sigmas",
    "time_sigmas",
]


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
        coordinate: Any of `theory.noise`; VP() gives vp_linear, EDM() edm_linear.
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


@dataclass(frozen=True)
class Options:
    """What a schedule by name may draw on; each takes what it needs and ignores the rest."""

    profile: Profile | None
    c: float | None
    vp: VP
    objective: Objective | None = None
    rule: str = "spline"
    amplitude: str = "mean"

    def need_profile(self, name: str) -> Profile:
        """The profile; ValueError if there is none."""
        if self.profile is None:
            raise ValueError(f"profile must be given for schedule {name!r}, got None")
        return self.profile

    def arctan_c(self) -> float:
        """The c given, or fitted to the profile."""
        if self.c is None and self.profile is None:
            raise ValueError("c must be given for schedule 'arctan', or a profile, got None")
        return fit_arctan_c(self.need_profile("arctan")) if self.c is None else self.c


SCHEDULES: dict[str, Callable[[tuple[int, float, float, str], Options], Array]] = {
    "vp_linear": lambda span, o: time_sigmas(*span, coordinate=o.vp),
    "edm_linear": lambda span, o: time_sigmas(*span, coordinate=EDM()),
    "edm": lambda span, o: edm_sigmas(*span),
    "log_snr": lambda span, o: log_snr_sigmas(*span),
    "cosine": lambda span, o: cosine_sigmas(*span),
    "arctan": lambda span, o: arctan_sigmas(*span, c=o.arctan_c()),
    "entropic": lambda span, o: entropic_sigmas(
        *span, profile=o.need_profile("entropic"), rule=o.rule
    ),
    "rescaled": lambda span, o: rescaled_sigmas(
        *span, profile=o.need_profile("rescaled"), rule=o.rule
    ),
    "spectral": lambda span, o: spectral_sigmas(
        *span, profile=o.need_profile("spectral"), amplitude=o.amplitude, rule=o.rule
    ),
    "infogrid": lambda span, o: infogrid_sigmas(
        *span, profile=o.need_profile("infogrid"), c=o.c, rule=o.rule
    ),
    "las": lambda span, o: las_sigmas(*span, profile=o.need_profile("las"), objective=o.objective),
}


def make_sigmas(
    name: str,
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    profile: Profile | None = None,
    c: float | None = None,
    vp: VP = VP(),  # noqa: B008
    objective: Objective | None = None,
    rule: str = "spline",
    amplitude: str = "mean",
) -> Array:
    """The schedule of that name in `SCHEDULES`; options that it does not use are ignored.

    Args:
        name: Unknown names raise ValueError with a suggestion.
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        profile: For entropic, rescaled, spectral, infogrid and las, and for arctan without c.
        c: For arctan, fitted to the profile if None; for infogrid, the pivot.
        vp: For vp_linear.
        objective: For las; see `theory.las_levels.las_sigmas`.
        rule: Quadrature of entropic, rescaled, spectral and infogrid; see `rescaled_sigmas`.
        amplitude: For spectral; "mean" or "rms".
    """
    one_of("schedule", name, SCHEDULES)
    span = n_steps, sigma_max, sigma_min, terminal
    return SCHEDULES[name](span, Options(profile, c, vp, objective, rule, amplitude))
