"""Paper D, appendix A.3: points at -a and a, their bifurcation, and the informative noise levels.

a is the case's sigma times 1/10 to 10. With phi the density of N(0, sigma^2), the product of the
marginal and sech^2(a x / sigma^2) is exp(-a^2 / 2 sigma^2) phi sech. The mmse is a single integral
of it, without cancellation at any level.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from benchmarks.claims.cases import Case
from benchmarks.claims.channel import norm_relative
from benchmarks.claims.ledger import Reading, relative, worst
from benchmarks.claims.posterior import score_slope
from theory.checks import Array
from toys.information import information
from toys.mixture import Mixture

# Peaks of dH/dsigma and dH/dlog sigma over a, roots of the closed forms below.
PEAKS = (0.643802913, 0.814238672)


def pair(case: Case) -> tuple[float, Mixture]:
    """The a of the case and the two points."""
    a = case.sigma * 10.0 ** float(case.rng.uniform(-1.0, 1.0))
    return a, Mixture([1, 1], [-a, a], 0)


def states(case: Case, a: float) -> Array:
    """Noisy states and states with moderate log odds, shape (n,)."""
    near = 0.5 * case.sigma**2 / a * np.linspace(-30.0, 30.0, 21)
    return np.concatenate([pair(case)[1].sample_noisy(20, case.sigma, case.seed)[:, 0], near])


def marginal(case: Case) -> Reading:
    """(39), (40): p(x) = (N(x; a, sigma^2) + N(x; -a, sigma^2)) / 2, compared at every state."""
    a, toy = pair(case)
    x, s = states(case, a), case.sigma
    peak = -np.log(2.0 * s) - 0.5 * np.log(2.0 * np.pi)
    logs = peak + np.logaddexp(-0.5 * ((x - a) / s) ** 2, -0.5 * ((x + a) / s) ** 2)
    scale = np.maximum(1.0, np.abs(logs))
    gap = np.abs(toy.log_density(x, s) - logs) / scale
    return Reading(float(gap.max()), 0.0, "of log p")


def weight(case: Case) -> Reading:
    """(41): the posterior weight of +a is 1 / (1 + exp(-2 a x / sigma^2))."""
    a, toy = pair(case)
    x = states(case, a)
    odds = expit(2.0 * a * x / case.sigma**2)
    return norm_relative(toy.responsibilities(x, case.sigma)[:, 1], odds)


def denoiser(case: Case) -> Reading:
    """(42): D(x) = a tanh(a x / sigma^2)."""
    a, toy = pair(case)
    x = states(case, a)
    return norm_relative(toy.denoise(x, case.sigma), a * np.tanh(a * x / case.sigma**2))


def variance(case: Case) -> Reading:
    """(43): Var = a^2 - D^2 = a^2 sech^2(a x / sigma^2), and the mmse is its mean."""
    a, toy = pair(case)
    x, s = states(case, a), case.sigma
    u = a * x / s**2
    found = toy.posterior_variance(x, s)
    with np.errstate(under="ignore"):
        bell = 4.0 * a**2 * np.exp(-2.0 * np.abs(u)) / (1.0 + np.exp(-2.0 * np.abs(u))) ** 2
    return worst(
        [
            norm_relative(found + toy.denoise(x, s) ** 2, np.full(x.size, a**2)),
            norm_relative(found, bell),
            relative(information.mmse(toy, s), moments(a, s)[0]),
        ]
    )


def score(case: Case) -> Reading:
    """(44): score = (a tanh(a x / sigma^2) - x) / sigma^2."""
    a, toy = pair(case)
    x, s = states(case, a), case.sigma
    return norm_relative(toy.score(x, s) * s, (a * np.tanh(a * x / s**2) - x) / s)


def bifurcation(case: Case) -> Reading:
    """(45), (46): x = D(x) has a solution x > 0 if and only if sigma < a; the share of errors.

    The engine's denoiser is tested at the case's a, at a = sigma, and 1 % to either side.
    """
    s, wrong = case.sigma, 0
    for a in (pair(case)[0], s, 1.01 * s, 0.99 * s):
        x = a * np.geomspace(1e-3, 1.5, 200)
        above = Mixture([1, 1], [-a, a], 0).denoise(x, s) > x
        wrong += int(np.sum(above[1:] != above[:-1]) != (1 if s < a else 0))
    return Reading(wrong / 4.0, 0.0, f"{wrong} of 4 separations in error")


def curvature_at_origin(case: Case) -> Reading:
    """(47): d^2 log p / dx^2 (0) = (a^2 / sigma^2 - 1) / sigma^2, with 1 / sigma^2 added.

    The left side comes from the engine's variance and (38), and from a complex step.
    """
    a, toy = pair(case)
    s = case.sigma
    slope = float(score_slope(toy, np.zeros(1), s)[0]) * s**2
    spread = float(toy.posterior_variance(np.zeros(1), s)[0]) / s**2
    return relative([slope + 1.0, spread], [(a / s) ** 2, (a / s) ** 2])


def modes(case: Case) -> Reading:
    """(47): p_sigma has one mode for sigma > a and two below; share of errors, engine's score."""
    s, wrong = case.sigma, 0
    for a in (pair(case)[0], 1.01 * s, 0.99 * s):
        half = a * np.geomspace(1e-3, 3.0, 200)
        signs = Mixture([1, 1], [-a, a], 0).score(np.concatenate([-half[::-1], half]), s) > 0
        found = int(np.sum(signs[:-1] & ~signs[1:]))
        wrong += int(found != (2 if s < a else 1))
    return Reading(wrong / 3.0, 0.0, f"{wrong} of 3 separations in error")


def moments(a: float, sigma: float) -> tuple[float, float]:
    """The mmse and E Var^2 of points at +-a, by the trapezoidal rule on analytic integrands."""
    b = a / sigma
    h = min(0.05, 0.1 / b)
    z = h * np.arange(-int(12.0 / h), int(12.0 / h) + 1)
    with np.errstate(under="ignore"):
        bell = np.exp(-0.5 * (z**2 + b**2)) * (h / np.sqrt(2.0 * np.pi))
        sech = 2.0 * np.exp(-np.abs(b * z)) / (1.0 + np.exp(-2.0 * np.abs(b * z)))
    return float(a**2 * bell @ sech), float(a**4 * bell @ sech**3)


def slope_of_rate(a: float, sigma: float) -> float:
    """Slope d log(mmse / sigma^3) / d log sigma = 2 E Var^2 / (sigma^2 mmse) - 3."""
    risk, square = moments(a, sigma)
    return 2.0 * square / (sigma**2 * risk) - 3.0


def window_peaks(case: Case) -> Reading:
    """Peaks of dH/dsigma and dH/dlog sigma at 0.643803 a and 0.814239 a: closed form and engine.

    The case is not used: a = 1, because both peaks scale with a.
    """
    roots = window_roots()
    found = engine_roots(Mixture([1, 1], [-1, 1], 0))
    shown = f"{roots[0]:.9f} a and {roots[1]:.9f} a"
    return Reading(worst([relative(roots, found), relative(roots, PEAKS)]).value, 1e-9, shown)


def window_roots() -> tuple[float, float]:
    """Both peaks in units of a, by the closed form."""
    first = brentq(lambda s: slope_of_rate(1.0, s), 0.3, 1.5, xtol=1e-13)
    second = brentq(lambda s: slope_of_rate(1.0, s) + 1.0, 0.3, 1.5, xtol=1e-13)
    return float(first), float(second)


def engine_roots(toy: Mixture) -> tuple[float, float]:
    """Both peaks from the engine: stationary points of Chebyshev fits of log mmse - p log sigma."""
    found = []
    for power, low, high in ((3.0, 0.55, 0.75), (2.0, 0.70, 0.95)):
        x = np.cos(np.pi * (np.arange(24) + 0.5) / 24)
        middle, half = 0.5 * np.log(low * high), 0.5 * np.log(high / low)
        u = middle + half * x
        logs = information.log_mmse(toy, np.exp(u)) - power * u
        fit = np.polynomial.Chebyshev.fit(u, logs, 23).deriv()
        level = brentq(fit, middle - 0.9 * half, middle + 0.9 * half, xtol=1e-14)
        found.append(float(np.exp(level)))
    return found[0], found[1]


def sharpest_drop_is_near(case: Case) -> Reading:
    """Section 1: the range in which the field splits contains the sharpest drop of uncertainty.

    The range [a / 2, 2 a] around sigma_c = a must contain both peaks and at least half of the log 2
    nats. The excess is one half minus the share of the nats.
    """
    a, toy = pair(case)
    held = information.conditional_entropy(toy, np.array([0.5 * a, 2.0 * a]))
    share = float((held[1] - held[0]) / np.log(2.0))
    inside = all(0.5 <= peak <= 2.0 for peak in window_roots())
    return Reading(0.5 - share if inside else 1.0, 1e-9, f"{share:.1%} of the entropy")
