"""Schedules uniform in the rescaled entropy of a reweighted profile: spectral, and InfoGrid.

All share the arguments of `theory.levels.Span`, and
return falling sigmas of shape (n_steps + 1,) with exact ends.
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
    """Every step loses the same spectral rescaled entropy (Stancevic et al., final text, 5.4).

    Rescaled entropy of `theory.profiles.spectral.spectral_mmse`, normalised over the profile's own
    range.

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        profile: Must cover sigma_min..sigma_max, and have a split over frequencies.
        amplitude: "mean", E|x_k|, or "rms"; the paper leaves it open.
        rule: See `rescaled_sigmas`.
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
    """InfoGrid (Raya et al. 2026, eq. 19): every step loses the same gated rescaled entropy.

    Uniform in the integral of s r(s) g(s) ds, r = mmse / s^3 and g the gate (17). Without the
    gate it is `rescaled_sigmas`; the gate takes steps away from below the pivot.

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        profile: Must cover sigma_min..sigma_max.
        c: Pivot, in data units; by the onset rule (18) on the profile's grid if None.
        power: Exponent n of the gate.
        rule: See `rescaled_sigmas`.
    """
    pivot = onset_pivot(profile.sigma, profile.entropy_rate()) if c is None else c
    gated = profile.mmse * gate(profile.sigma, pivot, power)
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    return profile_sigmas(span, Profile(profile.dim, profile.sigma, gated), 1, rule)
