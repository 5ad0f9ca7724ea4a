"""Schedules uniform in a time change phi(sigma): entropic, rescaled entropic, or the user's own.

All share the arguments of `theory.levels.Span`, and
return falling sigmas of shape (n_steps + 1,) with exact ends.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from theory.checks import Array, monotone, one_of, require, vector
from theory.levels import Span
from theory.noise.processes import Coordinate
from theory.profiles.curves import LogCurve, solve_rising
from theory.profiles.profile import RULES, Profile

SLACK = 1e-9  # relative: how far short of an end a grid may stop, for rounding's sake


def covers(name: str, low: float, high: float, span: Span) -> None:
    """Raise ValueError unless sigma = low..high reaches both ends of the span."""
    if low > span.sigma_min * (1 + SLACK) or high < span.sigma_max * (1 - SLACK):
        wanted = f"sigma {span.sigma_min:.9g}..{span.sigma_max:.9g}"
        raise ValueError(
            f"{name} must cover {wanted}, got {low:.9g}..{high:.9g}; "
            "extend it, or narrow sigma_min..sigma_max"
        )


def profile_sigmas(span: Span, profile: Profile, power: int, rule: str) -> Array:
    """Levels uniform in the integral of mmse / sigma^power over log sigma, (n_steps + 1,).

    Args:
        span: Ends and steps.
        profile: Must cover the span.
        power: 2 for entropy, 1 for rescaled entropy.
        rule: See `rescaled_sigmas`.
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
    """Every step loses the same conditional entropy H[x0|x] (Stancevic et al., section 5).

    In dH = mmse / sigma^2 dlog(sigma) (their eq. 13), integrated as `Profile` says.

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        profile: Must cover sigma_min..sigma_max.
        rule: Quadrature, as `theory.profiles.profile.Profile` says: "spline", "trapezoid", better
            for risks with noise, or "left" with linear interpolation, the paper's algorithms 1 and
            2.
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
    """Every step loses the same rescaled entropy, dR = sigma dH (Stancevic et al., section 5).

    What R holds below sigma_min shifts it by a constant and so does not matter here.

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        profile: Must cover sigma_min..sigma_max.
        rule: Quadrature, as `theory.profiles.profile.Profile` says: "spline", "trapezoid", better
            for risks with noise, or "left" with linear interpolation, the paper's algorithms 1 and
            2.
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
    """Levels uniform in a phi whose rate dphi/dtime is tabulated in any coordinate's own time.

    Integration and inversion happen in that variable, by `theory.profiles.curves.LogCurve`; only
    the result is mapped to sigma. That the answer does not depend on the variable is Theorem 5.2 of
    Stancevic et al., and here holds to the accuracy of the spline of log rate.

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        time: Shape (m,), m >= 4, rising or falling strictly, covering the times of both ends.
        rate: The rate dphi/dtime, shape (m,), of one sign (negative where time falls with
            sigma, but the sign is not read); 0 (an underflow) only in runs at the grid's ends.
        coordinate: What `time` is; see `theory.noise.processes`.
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
    """Levels uniform in a tabulated time change phi (Stancevic et al., algorithm 1).

    Args:
        n_steps: See `theory.levels.Span`, as the next three; terminal "zero" is the algorithm's.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        sigma: Noise levels of the table, shape (m,), m >= 2, rising strictly.
        phi: Shape (m,), never falling; any unit.
        interpolation: "linear", of sigma against phi, is the algorithm as printed; "pchip", the
            default, is the monotone cubic of phi against log sigma, inverted.
    """
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
