"""Paper D, (19): InfoGrid's coordinate, and the variable to which its factor sigma belongs."""

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.d_schedule import STEPS, Density, gated_profile, masses, pivots
from benchmarks.claims.ledger import Reading, relative, worst
from theory.checks import Array
from theory.schedules.time_change import rescaled_sigmas


def info_grid(case: Case) -> Reading:
    """(19): levels uniform in int s r(s) ds, paper A's rescaled entropy without the gate."""
    readings = []
    for pivot in pivots(case):
        ends = float(case.sigmas[0]), float(case.sigmas[-1])
        levels = rescaled_sigmas(STEPS, *ends, profile=gated_profile(case, pivot))
        found = masses(levels, Density(case, pivot, rescaled=True))
        readings.append(relative(found, np.full(STEPS, found.sum() / STEPS)))
        if pivot is None:
            c = float(case.toy.stds[0, 0])
            turned = np.diff(-np.arctan(levels / c))
            readings.append(relative(turned, np.full(STEPS, turned.sum() / STEPS)))
    return worst(readings)


def _grid(case: Case) -> Array:
    return np.geomspace(case.sigmas[0], case.sigmas[-1], 65)


def coordinates_apart(case: Case) -> float:
    """Largest |Psi - F| over the grid, Psi from s r ds and F from r ds, by quadrature."""
    found = []
    for density in (Density(case, rescaled=True), Density(case)):
        mass = masses(_grid(case), density)
        found.append(np.cumsum(mass[::-1]) / mass.sum())
    return float(np.abs(found[0] - found[1]).max())


def coordinates_apart_closed(case: Case) -> float:
    """`coordinates_apart` by closed forms: arctan(sigma / c), log(sigma / sqrt(c^2 + sigma^2))."""
    ratio = _grid(case) / float(case.toy.stds[0, 0])
    turned, told = np.arctan(ratio), -0.5 * np.log1p(ratio**-2.0)
    share = [(v - v[-1]) / (v[0] - v[-1]) for v in (turned, told)]
    return float(np.abs(share[0] - share[1]).max())


def log_noise_measure(case: Case) -> Reading:
    """Below (19), in our reading: with the extra factor the coordinate is that of log noise, F.

    The excess is the largest difference between Psi, from s r ds, and F of (14), which is the same
    in any variable.
    """
    value = coordinates_apart(case)
    return Reading(value, 1e-10, f"the two coordinates part by up to {value:.4f}")


def log_noise_is_training(case: Case) -> Reading:
    """Corrected: int s r dlog s gives F, and int s r ds gives the rescaled entropy.

    Both curves are compared with closed forms at every level of the engine's profile.
    """
    profile = gated_profile(case)
    c = float(case.toy.stds[0, 0])
    ratio = profile.sigma / c
    told = 0.5 * np.log1p(ratio**-2.0)
    gained = profile.entropy_from_sigma_min()
    rescaled = profile.rescaled_entropy(include_below=False)
    # arctan a - arctan b without cancellation at large ratios.
    turned = c * np.arctan((ratio - ratio[0]) / (1.0 + ratio * ratio[0]))
    # Compared together with the remainder: a difference of neighbours has no relative accuracy.
    return worst(
        [
            relative(gained + told, np.full(told.size, told[0])),
            relative(gained[-1] + told[-1], told[0]),
            relative(rescaled[1:], turned[1:]),
        ]
    )
