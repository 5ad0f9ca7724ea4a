"""Schedules uniform in the rescaled entropy of a reweighted profile: spectral, and InfoGrid.

Both begin with the arguments of `theory.levels.Span` and return strictly decreasing noise levels of
shape (n_steps + 1,) with exact ends.
"""

from theory.checks import Array, one_of
from theory.levels import Span
from theory.profiles.pivots import GATE_POWER, gate, onset_pivot
from theory.profiles.profile import AMPLITUDES, Profile
from theory.schedules.time_change import profile_sigmas


def spectral_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    profile: Profile,
    amplitude: str = "mean",
    rule: str = "trapezoid",
) -> Array:
    """Levels with equal spectral rescaled entropy per step (Stancevic et al., final section 5.4).

    The spectral rescaled entropy is that of `theory.profiles.spectral.spectral_mmse`, normalised
    over the range of the profile.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        profile: Profile of the data, which must cover sigma_min..sigma_max and have a split over
            frequencies.
        amplitude: Amplitude of a frequency, "mean" for E|x_k| or "rms" for the root mean square.
            The paper does not say which it uses.
        rule: Quadrature rule, "trapezoid", "spline" or "left"; see
            `theory.profiles.profile.Profile`.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the profile does not cover the levels, or two
            levels coincide in float64.
    """
    if one_of("amplitude", amplitude, AMPLITUDES) not in profile.spectral:
        rule_text = "have a split over frequencies for schedule 'spectral'"
        raise ValueError(f"profile must {rule_text}, got none; measure a network on images")
    weighted = Profile(profile.dim, profile.sigma, profile.spectral[amplitude])
    return profile_sigmas(Span(n_steps, sigma_max, sigma_min, terminal), weighted, 1, rule)


def infogrid_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    profile: Profile,
    c: float | None = None,
    power: float = GATE_POWER,
    rule: str = "spline",
) -> Array:
    """InfoGrid (Raya et al. 2026, eq. 19): levels with equal gated rescaled entropy per step.

    The levels are uniform in the integral of s r(s) g(s) ds, where r = mmse / s^3 and g is the gate
    (eq. 17). Without the gate they are those of `theory.schedules.time_change.rescaled_sigmas`; the
    gate leaves fewer steps below the pivot.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        profile: Profile of the data, which must cover sigma_min..sigma_max.
        c: Pivot of the gate, in data units. Default: the onset rule (eq. 18) on the profile's grid.
        power: Exponent n of the gate, positive.
        rule: Quadrature rule, "spline", "trapezoid" or "left"; see
            `theory.profiles.profile.Profile`.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the profile does not cover the levels, or two
            levels coincide in float64.
    """
    pivot = onset_pivot(profile.sigma, profile.entropy_rate()) if c is None else c
    gated = profile.mmse * gate(profile.sigma, pivot, power)
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    return profile_sigmas(span, Profile(profile.dim, profile.sigma, gated), 1, rule)
