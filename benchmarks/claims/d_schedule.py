"""Paper D, (6), (7), (13) to (16), appendix D: densities over the noise level, grids from them.

Where only the arithmetic of a curve matters, the data are N(0, c^2), whose closed forms hold for
all sigma; the engine's `Profile` then has LEVELS levels. Rates are gated where the paper gates.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.channel import entropy_gained
from benchmarks.claims.ledger import Reading, relative, worst
from theory.checks import Array
from theory.gaussian import gaussian_entropy_rate, gaussian_mmse
from theory.noise.ddpm import Cosine
from theory.noise.processes import EDM, SNR, VP, Coordinate, Flow, LogSNR
from theory.profiles.pivots import gate
from theory.profiles.profile import Profile
from theory.profiles.risks import x0_risks
from theory.schedules.time_change import entropic_sigmas, rate_sigmas
from toys.information import information

LEVELS = 2000
WINDOW = 1.02  # 16 levels resolve even the steepest log mmse of points (-660) to 5e-10
STEPS = 4
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
SPREAD = 0.5  # EDM's sigma_data


def panels(low: float, high: float, per_octave: float = 3.0) -> tuple[Array, Array]:
    """Nodes and weights of an integral over log sigma, shape (q,) each."""
    count = max(1, int(np.ceil(per_octave * np.log2(high / low))))
    edges = np.linspace(np.log(low), np.log(high), count + 1)
    half = 0.5 * np.diff(edges)[:, None]
    x = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * NODES
    return np.exp(x.ravel()), (half * WEIGHTS).ravel()


def masses(levels: Array, density: Callable[[Array], Array]) -> Array:
    """Integral of a density per unit of sigma between neighbours of falling levels, (n,)."""
    found = []
    for high, low in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        sigma, weights = panels(low, high)
        found.append(float(weights @ (density(sigma) * sigma)))
    return np.array(found)


class Density:
    """Rate of N(0, c^2) data, gated with n = 3 if there is a pivot, over a weight w.

    Args:
        case: Case of the domain "gaussian".
        pivot: The gate's c, or None.
        weighted: Whether to divide by EDM's loss weight.
        rescaled: Whether to multiply by sigma.
    """

    def __init__(
        self, case: Case, pivot: float | None = None, weighted: bool = False, rescaled: bool = False
    ) -> None:
        self.c = float(case.toy.stds[0, 0])
        self.pivot, self.weighted, self.rescaled = pivot, weighted, rescaled

    def __call__(self, sigma: Array) -> Array:
        """The density at sigma, not normalised, in the shape of sigma."""
        rate = self.c**2 / (sigma * (self.c**2 + sigma**2))
        if self.pivot is not None:
            rate = rate / (1.0 + (self.pivot / sigma) ** 3)
        if self.weighted:
            rate = rate * (sigma * SPREAD) ** 2 / (sigma**2 + SPREAD**2)
        return np.asarray(rate * sigma if self.rescaled else rate)


def gated_profile(case: Case, pivot: float | None = None) -> Profile:
    """The engine's profile of the case's Gaussian, gated if there is a pivot, over its grid."""
    sigma = np.geomspace(case.sigmas[-1], case.sigmas[0], LEVELS)
    risk = gaussian_mmse(sigma, float(case.toy.stds[0, 0]))
    return Profile(1, sigma, risk if pivot is None else risk * gate(sigma, pivot))


def pivots(case: Case) -> tuple[None, float]:
    """No gate, and a pivot inside the grid."""
    return None, float(np.sqrt(case.sigmas[0] * case.sigmas[-1]))


def _in_sigma(sigma: Array, axis: Coordinate, start: float, end: float, tilt: float) -> Array:
    """(6) for a density in u that is linear between start and end, per unit of sigma."""
    time = axis.time(sigma)
    share = (time - start) / (end - start)
    in_u = (1.0 + tilt * (2.0 * share - 1.0)) / abs(end - start)
    return np.asarray(in_u / np.abs(axis.dsigma_dtime(time)))


def pushforward(case: Case) -> Reading:
    """(6): pi(sigma) = pi_u(u(sigma)) |du / dsigma| has the mass of the interval of u, 1 in total.

    pi_u is linear in u; u runs through six coordinates of `theory.noise.processes`.
    """
    tilt = float(case.rng.uniform(-0.9, 0.9))
    low, high = float(case.sigmas[-1]), float(case.sigmas[0])
    readings = []
    axes: tuple[Coordinate, ...] = (VP(), Flow(), EDM(), SNR(), LogSNR(), Cosine())
    for axis in axes:
        start, end = float(axis.time(low)), float(axis.time(high))

        density = partial(_in_sigma, axis=axis, start=start, end=end, tilt=tilt)
        found = np.cumsum(masses(case.sigmas, density)[::-1])
        v = (axis.time(case.sigmas[-2::-1]) - start) / (end - start)
        readings.append(
            relative(np.append(found, found[-1]), np.append(v + tilt * (v**2 - v), 1.0))
        )
    return worst(readings)


def effective_weight(case: Case) -> Reading:
    """(7): two recipes with the same pi w have the same objective.

    The first is uniform in sigma^(1/7) with EDM's weight and is averaged in that variable. The
    second is uniform in log sigma with the compensating weight and is averaged in log sigma. The
    loss is the mmse. The first weight is the engine's, the second is written out.
    """
    low, high, c = float(case.sigmas[-1]), float(case.sigmas[0]), float(case.toy.stds[0, 0])

    ends = np.array([low, high]) ** (1.0 / 7.0)
    edges = np.linspace(ends[0], ends[1], 129)
    u = 0.5 * (edges[1:] + edges[:-1])[:, None] + 0.5 * np.diff(edges)[:, None] * NODES
    sigma = u.ravel() ** 7
    share = (0.5 * np.diff(edges)[:, None] * WEIGHTS).ravel() / (ends[1] - ends[0])
    over = x0_risks(sigma, np.ones(sigma.size), "edm", 1, SPREAD)[1]
    first = share @ (gaussian_mmse(sigma, c) / over)
    level, part = panels(low, high)
    pi_first = level ** (1.0 / 7.0 - 1.0) / 7.0 / (ends[1] - ends[0])
    pi_second = 1.0 / (level * np.log(high / low))
    second = pi_first * _edm_weight(level) / pi_second
    return relative(first, part @ (second * gaussian_mmse(level, c)) / np.log(high / low))


def normalised(case: Case) -> Reading:
    """(13): rho = r / int r integrates to 1, with the total from the engine, gated and ungated."""
    readings = []
    for pivot in pivots(case):
        total = gated_profile(case, pivot).entropy_from_sigma_min()[-1]
        sigma, weights = panels(float(case.sigmas[-1]), float(case.sigmas[0]))
        rate = gaussian_entropy_rate(sigma, float(case.toy.stds[0, 0]))
        rate = rate if pivot is None else rate * gate(sigma, pivot)
        readings.append(relative(weights @ (rate * sigma), total))
        readings.append(relative(masses(case.sigmas, Density(case, pivot)).sum(), total))
    return worst(readings)


def inverse_cdf(case: Case) -> Reading:
    """(14): sigma = F^-1(u) with uniform u has density rho: equal steps of u have equal mass."""
    readings = []
    for pivot in pivots(case):
        ends = float(case.sigmas[0]), float(case.sigmas[-1])
        levels = entropic_sigmas(STEPS, *ends, profile=gated_profile(case, pivot))
        found = masses(levels, Density(case, pivot))
        readings.append(relative(found, np.full(STEPS, found.sum() / STEPS)))
    return worst(readings)


def normalised_entropy(case: Case) -> Reading:
    """(15): F(sigma) is the normalised increase of H[x0 | x], by entropies from definitions.

    It is evaluated at levels where the engine's F, from the mmse on a grid, is 1/2 and 1.
    """
    low, high = case.sigma, WINDOW * case.sigma
    grid = np.geomspace(low, high, 16)
    risk = information.mmse(case.toy, grid)
    if risk.min() < 1e-280:
        return Reading(0.0, 0.0, "nothing left to lose")
    profile = Profile(1, grid, risk)
    middle = float(entropic_sigmas(2, high, low, profile=profile)[1])
    whole = entropy_gained(case.toy, low, high)
    return relative([2.0 * entropy_gained(case.toy, low, middle)], [whole])


def _edm_weight(sigma: Array) -> Array:
    """(52), written out."""
    return np.asarray((sigma**2 + SPREAD**2) / (sigma * SPREAD) ** 2)


def _engine_allocation(case: Case, pivot: float, weighted: bool) -> Callable[[Array], Array]:
    """Density rho / w of (16), not normalised, from the engine's rate, gate and loss weight."""
    c = float(case.toy.stds[0, 0])

    def density(sigma: Array) -> Array:
        found = gaussian_entropy_rate(sigma, c) * gate(sigma, pivot)
        if weighted:
            found = found * x0_risks(sigma, np.ones(sigma.size), "edm", 1, SPREAD)[1]
        return np.asarray(found)

    return density


def emphasis(case: Case) -> Reading:
    """(16): with pi = rho / w, pi w has the masses of rho; the engine draws that pi in log SNR.

    The cells have equal mass of rho by (14). pi comes from the engine, w from display (52) or is 1.
    """
    ends = float(case.sigmas[0]), float(case.sigmas[-1])
    pivot = pivots(case)[1]
    axis = LogSNR()
    time = axis.time(np.geomspace(ends[1], ends[0], LEVELS))
    sigma = axis.sigma(time)
    cells = entropic_sigmas(STEPS, *ends, profile=gated_profile(case, pivot))
    rho = masses(cells, Density(case, pivot))
    readings = []
    for weighted in (True, False):
        pi = _engine_allocation(case, pivot, weighted)

        def weighed(
            s: Array, pi: Callable[[Array], Array] = pi, weighted: bool = weighted
        ) -> Array:
            return np.asarray(pi(s) * (_edm_weight(s) if weighted else 1.0))

        felt = masses(cells, weighed)
        readings.append(relative(felt, rho))
        readings.append(relative(felt, np.full(STEPS, felt.sum() / STEPS)))
        rate = pi(sigma) * axis.dsigma_dtime(time)
        levels = rate_sigmas(STEPS, *ends, time=time, rate=rate, coordinate=axis)
        drawn = masses(levels, Density(case, pivot, weighted))
        readings.append(relative(drawn, np.full(STEPS, drawn.sum() / STEPS)))
    return worst(readings)


def tabulated_sampler(case: Case) -> Reading:
    """D.1: the law of inverse-CDF sampling on a log grid of K points is of second order in 1 / K.

    The cumulative mass is from the trapezoidal rule, and sigma is linear between grid points. The
    error is the largest one of the CDF for N(0, 1) on 0.002..80, K = 64 to 512.
    """
    ends, sizes = (0.002, 80.0), (64, 128, 256, 512)
    errors = []
    for count in sizes:
        grid = np.geomspace(*ends, count)
        rate = gaussian_entropy_rate(grid, 1.0) * grid
        mass = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]))])
        inner = (grid[:-1, None] + np.diff(grid)[:, None] * np.linspace(0.1, 0.9, 9)).ravel()
        law = np.interp(inner, grid, mass / mass[-1])
        told = [-0.5 * np.log1p(s**-2.0) for s in (inner, ends[0], ends[1])]
        exact = (told[0] - told[1]) / (told[2] - told[1])
        errors.append(float(np.abs(law - exact).max()))
    order = -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    return Reading(abs(order - 2.0), 0.01, f"order {order:.3f}, error {errors[0]:.2g} at K = 64")
