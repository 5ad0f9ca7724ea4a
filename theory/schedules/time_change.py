"""Schedules uniform in a time change phi(sigma): entropic, rescaled entropic, or the user's own.

All begin with the arguments of `theory.levels.Span` and return strictly decreasing noise levels of
shape (n_steps + 1,) with exact ends.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, monotone, one_of, require, vector
from theory.levels import Span
from theory.noise.processes import Coordinate
from theory.profiles.curves import LogCurve, solve_rising
from theory.profiles.profile import RULES, Profile

SLACK = 1e-9  # relative: gap allowed between the ends of a grid and of a span, for rounding


def covers(name: str, low: float, high: float, span: Span) -> None:
    """Raise ValueError unless the range low..high of sigma contains both ends of the span."""
    if low > span.sigma_min * (1 + SLACK) or high < span.sigma_max * (1 - SLACK):
        wanted = f"sigma {span.sigma_min:.9g}..{span.sigma_max:.9g}"
        raise ValueError(
            f"{name} must cover {wanted}, got {low:.9g}..{high:.9g}; "
            "extend it, or narrow sigma_min..sigma_max"
        )


def profile_sigmas(span: Span, profile: Profile, power: int, rule: str) -> Array:
    """Levels uniform in the integral of mmse / sigma^power over log sigma, shape (n_steps + 1,).

    Args:
        span: Number of steps and range of levels.
        profile: Profile of the data, which must cover the span.
        power: 2 for the entropy, 1 for the rescaled entropy.
        rule: Quadrature rule, "spline", "trapezoid" or "left"; see
            `theory.profiles.profile.Profile`.

    Raises:
        ValueError: The rule is unknown, the profile does not cover the span, or its mmse is 0.
    """
    if one_of("rule", rule, RULES) != "spline":
        phi, between = profile.time_change(power, rule), "linear" if rule == "left" else "pchip"
        return time_change_sigmas(
            span.n_steps,
            span.sigma_max,
            span.sigma_min,
            span.terminal,
            sigma=profile.sigma,
            phi=phi,
            interpolation=between,
        )
    covers("profile", float(profile.sigma[0]), float(profile.sigma[-1]), span)
    curve = profile.curve(power, float(np.log(span.sigma_min)), float(np.log(span.sigma_max)))
    if curve is None or not curve.total > 0:
        where = f"sigma {span.sigma_min:g} and {span.sigma_max:g}"
        raise ValueError(f"profile must have positive mmse between {where}, got 0; raise sigma_min")
    return span.finish(np.exp(curve.quantile(1.0 - span.fractions)))


def entropic_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    profile: Profile,
    rule: str = "spline",
) -> Array:
    """Entropic schedule: equal conditional entropy H[x0|x] per step (Stancevic et al., sec. 5.3).

    The entropy is the integral of dH = mmse / sigma^2 dlog(sigma) (their eq. 13).

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        profile: Profile of the data, which must cover sigma_min..sigma_max.
        rule: Quadrature rule (see `theory.profiles.profile.Profile`): "spline"; "trapezoid", better
            for noisy risks; or "left", with linear interpolation, as in algorithms 1 and 2 of the
            paper's final version.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the profile does not cover the levels, or two
            levels coincide in float64.
    """
    return profile_sigmas(Span(n_steps, sigma_max, sigma_min, terminal), profile, 2, rule)


def rescaled_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    profile: Profile,
    rule: str = "spline",
) -> Array:
    """Rescaled schedule: equal rescaled entropy R per step (Stancevic et al., sec. 5.3).

    R is the integral of dR = sigma dH, where H is the conditional entropy H[x0|x]. Its part below
    sigma_min is a constant and does not change the levels.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        profile: Profile of the data, which must cover sigma_min..sigma_max.
        rule: Quadrature rule (see `theory.profiles.profile.Profile`): "spline"; "trapezoid", better
            for noisy risks; or "left", with linear interpolation, as in algorithms 1 and 2 of the
            paper's final version.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the profile does not cover the levels, or two
            levels coincide in float64.
    """
    return profile_sigmas(Span(n_steps, sigma_max, sigma_min, terminal), profile, 1, rule)


def rate_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    time: ArrayLike,
    rate: ArrayLike,
    coordinate: Coordinate,
) -> Array:
    """Levels uniform in a phi whose rate dphi/dtime is tabulated in the time of a coordinate.

    Integration and inversion are done in that time, by `theory.profiles.curves.LogCurve`; only the
    result is mapped to sigma. By theorem 5.2 of Stancevic et al. the levels do not depend on the
    coordinate; here this holds to the accuracy of the spline of log rate.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        time: Times of the table, shape (m,), m >= 4, strictly increasing or decreasing. They must
            cover the times of sigma_max and sigma_min.
        rate: The rate dphi/dtime, shape (m,), all of one sign; the sign is ignored. It may be 0
            (an underflow) only in stretches at the ends of the table.
        coordinate: The coordinate that `time` belongs to; see `theory.noise.processes`.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the times do not cover the levels, or two
            levels coincide in float64.
    """
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    times, rates = vector("time", time, 4), vector("rate", rate)
    if times.shape != rates.shape:
        raise ValueError(f"rate must have shape {times.shape}, got {rates.shape}")
    if times[0] > times[-1]:
        times, rates = times[::-1], rates[::-1]
    monotone("time", times)
    require(rates * np.sign(rates.sum()) >= 0, "rate", rates, "keep one sign")
    reach = np.sort(coordinate.sigma(times[[0, -1]]))
    covers("time", float(reach[0]), float(reach[1]), span)
    alive = np.flatnonzero(np.abs(rates) >= 1e-290)
    if alive.size < 2:
        raise ValueError(f"rate must be positive at two points or more, got {alive.size}")
    inner = slice(alive[0], alive[-1] + 1)
    require(np.abs(rates[inner]) >= 1e-290, "rate", rates[inner], "be 0 only towards an end")
    ends = [float(coordinate.time(span.sigma_min)), float(coordinate.time(span.sigma_max))]
    curve = LogCurve(times[inner], np.log(np.abs(rates[inner])), min(ends), max(ends))
    if not curve.total > 0:
        raise ValueError(f"rate must be positive between times {ends[0]:g} and {ends[1]:g}, got 0")
    rises = ends[1] > ends[0]
    return span.finish(
        coordinate.sigma(curve.quantile(1.0 - span.fractions if rises else span.fractions))
    )


def time_change_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    sigma: ArrayLike,
    phi: ArrayLike,
    interpolation: str = "pchip",
) -> Array:
    """Levels uniform in a tabulated time change phi (Stancevic et al., final algorithm 1).

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0, as the paper's
            algorithm does.
        sigma: Noise levels of the table, shape (m,), m >= 2, positive, strictly increasing.
        phi: The time change at these levels, shape (m,), never decreasing, in any unit.
        interpolation: "linear" interpolates sigma against phi, as the algorithm is printed. "pchip"
            inverts the monotone cubic of phi against log sigma.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the table does not cover the levels, or two
            levels coincide in float64.
    """
    from scipy.interpolate import PchipInterpolator

    span = Span(n_steps, sigma_max, sigma_min, terminal)
    one_of("interpolation", interpolation, ("pchip", "linear"))
    levels, values = vector("sigma", sigma, 2), vector("phi", phi)
    if levels.shape != values.shape:
        raise ValueError(f"phi must have shape {levels.shape}, got {values.shape}")
    require(levels > 0, "sigma", levels, "be positive")
    monotone("sigma", levels)
    require(np.append(True, np.diff(values) >= 0), "phi", values, "never fall")
    covers("sigma", float(levels[0]), float(levels[-1]), span)
    ends = np.clip([span.sigma_min, span.sigma_max], levels[0], levels[-1])
    curve = PchipInterpolator(np.log(levels), values)
    is_linear = interpolation == "linear"
    low, high = np.interp(ends, levels, values) if is_linear else curve(np.log(ends))
    if not high > low:
        raise ValueError(f"phi must rise between sigma_min and sigma_max, got {low:g} at both")
    aims = high + span.fractions * (low - high)
    if is_linear:
        return span.finish(np.interp(aims, values, levels))
    i = np.clip(np.searchsorted(values, aims, side="left") - 1, 0, levels.size - 2)
    c3, c2, c1, c0 = curve.c[:, i]
    c0, width = c0 - aims, np.diff(curve.x)[i]

    def evaluate(u: Array) -> tuple[Array, Array]:
        return ((c3 * u + c2) * u + c1) * u + c0, (3 * c3 * u + 2 * c2) * u + c1

    roots = solve_rising(evaluate, width, 0.5 * width, 1e-15 * width)
    return span.finish(np.exp(curve.x[i] + roots))
