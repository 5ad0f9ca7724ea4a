"""The law: a step density made from the mmse alone, without constants to fit.

R(sigma) = mmse / (d sigma^2) is the share of the noise's variance that the denoiser cannot remove.
It is 1 far below all scales of the data and 0 far above them.
"""

import numpy as np

from theory.checks import Array, one_of
from theory.levels import Span
from theory.profiles.curves import LogCurve
from theory.profiles.isotonic import isotonic
from theory.profiles.profile import UNDERFLOW, Profile
from theory.schedules.time_change import covers

FORMS = ("stochastic", "deterministic")
LEAST_RATIO = 1e-40  # a smaller R counts as 0, and the density there is 0 as well
SURE = 3.0  # errors by which R has to be below 1 to show it
ROUNDING = 1e-15
LAW_WARNING = (
    "the law is derived for data of one coordinate; the profile has {dim}, whose mean hides how "
    "many scales they have, and the divergence may be many times the least one"
)

POINTS_WARNING = (
    "the law does not suit points: at the lowest noise the mmse is {share:.2g} times the variance "
    "of the noise, and for solvers with noise the divergence may be many times the least one"
)
FALLEN = (
    0.5  # R at the lowest level, also over the largest R, below which the data look like points
)


def law_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    profile: Profile,
    form: str = "stochastic",
) -> Array:
    """Levels that are quantiles of a density of steps near the optimal one, for one coordinate.

    The density dN / dlog(sigma) is proportional to R (1 - R)^(1/2 + 1/N) for one-step solvers with
    noise, and to sqrt(R (1 - R)) for deterministic solvers of first order, where
    R = mmse / (d sigma^2). For Gaussian data R is c^2 / (c^2 + sigma^2). The deterministic form is
    then the arctan grid, which is optimal at every N, and the stochastic form tends to the optimum
    for many steps. The correction 1/N was found by experiment.

    N is the number of steps from sigma_max to sigma_min. With terminal "zero" this is n_steps - 1,
    because for Gaussian data the last step, to 0, costs the same on all levels.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        profile: Profile of the data, which must cover sigma_min..sigma_max.
        form: "stochastic" for solvers such as stochastic_ddim, "deterministic" for those such as
            ddim.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the profile does not cover the levels or
            nowhere falls below d sigma^2, or two levels coincide in float64.
    """
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    covers("profile", float(profile.sigma[0]), float(profile.sigma[-1]), span)
    power = 0.5
    if one_of("form", form, FORMS) == "stochastic":
        power += 1.0 / (span.fractions.size + 1)
    logs, odds = log_odds(profile)
    # With s = (1 - R) / R, R is 1 / (1 + s) and 1 - R is s / (1 + s).
    on_r = 1.0 if form == "stochastic" else 0.5
    density = power * odds - (on_r + power) * np.logaddexp(0.0, odds)
    curve = LogCurve(logs, density, np.log(span.sigma_min), np.log(span.sigma_max))
    if not curve.total > 0:
        where = f"sigma {span.sigma_min:g} and {span.sigma_max:g}"
        raise ValueError(f"profile must have positive mmse between {where}, got 0; raise sigma_min")
    return span.finish(np.exp(curve.quantile(1.0 - span.fractions)))


def log_odds(profile: Profile) -> tuple[Array, Array]:
    """log(sigma) and log((1 - R) / R) at the levels where R is above 1e-40, two arrays (n,).

    (1 - R) / R = sigma^2 g with g = d / mmse - 1 / sigma^2, which is positive and never increases
    with sigma, because d(mmse) / d(snr) is at most -mmse^2 / d. Noise of the risks breaks this law,
    and so does rounding where R is close to 1. Two steps repair it. The nearest g that obeys the
    law takes its place, by least squares with the weights of a constant relative error of the mmse.
    Where R is within three errors of 1, g is that of the next higher level: it tends to a constant
    at low levels if the data have a smooth density.

    Args:
        profile: The mmse over noise levels.

    Raises:
        ValueError: R is above 1e-40 at fewer than two levels, or nowhere clearly below 1.
    """
    level = profile.sigma / profile.sigma[0]  # a unit whose square neither over- nor underflows
    ratio = profile.mmse / profile.dim / profile.sigma**2
    seen = ratio >= LEAST_RATIO
    if np.count_nonzero(seen) < 2:
        raise ValueError(f"profile must have a positive mmse at two levels, got {seen.sum()}")
    errors = _relative_errors(profile)[seen]
    level, ratio = level[seen], ratio[seen]
    size = ratio * level**2  # the mmse, in that unit
    weight = np.maximum(size / size.max(), 1e-100) ** 2
    g = isotonic((1.0 - ratio) / ratio / level**2, weight)
    clear = np.flatnonzero((1.0 - ratio > SURE * errors) & (g > 0.0))
    if not clear.size:
        rule = "have an mmse clearly below d sigma^2 at some level"
        raise ValueError(f"profile must {rule}, got {ratio.min():g} d sigma^2 at the least")
    above = np.searchsorted(clear, np.arange(g.size))
    g = g[clear[np.minimum(above, clear.size - 1)]]
    return np.log(profile.sigma[seen]), np.log(g) + 2.0 * np.log(level)


def _relative_errors(profile: Profile) -> Array:
    """Relative errors of the mmse, shape (m,), from its standard errors or from its roughness."""
    if profile.stderr is not None and profile.stderr.any():
        return np.asarray(profile.stderr / np.maximum(profile.mmse, UNDERFLOW) + ROUNDING)
    logs = np.log(profile.mmse[profile.mmse >= UNDERFLOW])
    # White noise of size e gives fourth differences of size sqrt(70) e, 0.6745 times in the median.
    rough = np.median(np.abs(np.diff(logs, 4))) / (0.6745 * np.sqrt(70.0)) if logs.size > 4 else 0.0
    return np.full(profile.sigma.size, rough + ROUNDING)


def law_warnings(profile: Profile) -> list[str]:
    """What limits the law on this profile, one sentence each: many coordinates, or points.

    Args:
        profile: The profile that the law is made from.
    """
    ratio = profile.mmse / (profile.dim * profile.sigma**2)
    share = float(ratio[np.argmin(profile.sigma)])
    warnings = [LAW_WARNING.format(dim=profile.dim)] if profile.dim > 1 else []
    if share < FALLEN * min(1.0, float(ratio.max())):
        warnings.append(POINTS_WARNING.format(share=share))
    return warnings
