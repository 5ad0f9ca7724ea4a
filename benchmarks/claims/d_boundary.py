"""Paper D, appendix B.1: entropy rates at low noise.

For densities mmse = D sigma^2 - sigma^4 J(x_sigma). J is the Fisher information E score^2, which
falls with noise, so that J(x0) bounds every remainder of the paper's limits. For points the log-log
slope of the rate is 2 E Var^2 / (sigma^2 mmse) - 3.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from benchmarks.claims.cases import Case
from benchmarks.claims.d_two_points import slope_of_rate
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.claims.posterior import Posterior
from benchmarks.measure.expectation import expect
from theory.checks import Array
from toys.information import information
from toys.mixture import Mixture

DENOISER_ERROR = 0.01  # residual error of a network, in standard deviations of the data


def fisher(toy: Mixture, sigma: float) -> float:
    """J(x0 + sigma eps) = E score^2, 1-D, from the components' scores."""

    def f(x: Array) -> Array:
        return np.asarray(Posterior(toy, x, sigma).score[:, 0].real ** 2)[None]

    return float(expect(toy, sigma, f)[0])


def data_fisher(toy: Mixture) -> float:
    """J(x0), computed by moving a part of the smallest component variance into the noise."""
    part = 0.5 * float(toy.stds.min())
    sharp = np.sqrt((toy.stds - part) * (toy.stds + part))
    return fisher(Mixture(toy.weights, toy.means, sharp), part)


def fisher_remainder(case: Case) -> Reading:
    """(48) with its remainder: sigma r = D - sigma^2 J(x_sigma), for any 1-D data."""
    s = case.sigma
    found = float(information.entropy_rate(case.toy, s)) * s
    return relative(found + s**2 * fisher(case.toy, s), 1.0)


def small_noise_rate(case: Case) -> Reading:
    """(48): r is D / sigma times a factor between 1 - sigma^2 J(x0) and 1."""
    s = case.sigma
    found = float(information.entropy_rate(case.toy, s)) * s
    upper, lower = at_most(found, 1.0), at_most(1.0, found + s**2 * data_fisher(case.toy))
    reading = worst([upper, lower])
    return Reading(
        reading.value, 0.0, f"sigma r / D = {found:.9g}, 1 - sigma r / D <= sigma^2 J(x0)"
    )


def small_noise_entropy(case: Case) -> Reading:
    """B.1: H ~ D log sigma + const: log(b/a) - (b^2 - a^2) J(x0) / 2 <= H_b - H_a <= log(b/a)."""
    toy, a = case.toy, case.sigma
    b = 2.0 * a
    told = information.mutual_information(toy, np.array([a, b]))
    gained = float(told[0] - told[1])
    rest = 0.5 * (b**2 - a**2) * data_fisher(toy)
    return worst([at_most(gained, np.log(2.0)), at_most(np.log(2.0), gained + rest)])


def small_noise_mmse(case: Case) -> Reading:
    """B.1: the mmse is D sigma^2 to leading order: mmse <= D sigma^2 <= mmse + sigma^4 J."""
    s = case.sigma
    risk = float(information.mmse(case.toy, s))
    return worst([at_most(risk, s**2), at_most(s**2, risk + s**4 * data_fisher(case.toy))])


def mass_concentrates(case: Case) -> Reading:
    """B.1: the share above any level b falls with sigma_min: <= rest / (log(b/a) - b^2 J/2).

    b is a tenth of the smallest component std, and a = sigma_min is 1 to 7 decades below b. rest is
    the entropy gained above b.
    """
    toy = case.toy
    b, top = 0.1 * float(toy.stds.min()), 100.0 * float(np.sqrt(toy.variance))
    lows = b * 10.0 ** -np.array([1.0, 4.0, 7.0])
    told = information.mutual_information(toy, np.concatenate([lows, [b, top]]))
    rest = float(told[3] - told[4])
    above = rest / (told[:3] - told[4])  # normalised mass above b
    floor = np.log(b / lows) - 0.5 * b**2 * data_fisher(toy)
    reading = at_most(above, rest / floor)
    falls = bool(np.all(np.diff(above) < 0))
    shown = ", ".join(f"{v:.3f}" for v in above)
    return Reading(reading.value if falls else 1.0, 0.0, f"mass above: {shown}")


def finest_gap(toy: Mixture) -> float:
    """Smallest distance of two points, 0 for a single one."""
    points = np.sort(information.merged(toy).means[:, 0])
    return float(np.diff(points).min()) if points.size > 1 else 0.0


def residual(toy: Mixture) -> float:
    """Square of the residual error, by which a network's loss exceeds the mmse."""
    return DENOISER_ERROR**2 * toy.variance


def rate_slope(toy: Mixture, sigma: float, excess: float = 0.0) -> float:
    """Slope d log r / d log sigma of r = (mmse + excess) / sigma^3, from posterior moments."""

    def f(x: Array) -> Array:
        spread = Posterior(toy, x, sigma).second_moment().real
        return np.stack([spread, spread**2])

    risk, square = expect(information.merged(toy), sigma, f)
    return float(2.0 * square / (sigma**2 * (risk + excess)) - 3.0)


def boundary_levels(toy: Mixture) -> tuple[float, float]:
    """An octave at low noise: 1/32 and 1/16 of the smallest gap."""
    gap = finest_gap(toy)
    return gap / 32.0, gap / 16.0


def exact_slopes(case: Case) -> Reading:
    """(49) needs losses of networks; the number given here is from exact slopes of points at +-1.

    It is the change of the slope over an octave at low noise, by closed form and by the engine.
    """
    toy = Mixture([1, 1], [-1, 1], 0)
    low, high = boundary_levels(toy)
    slopes = slope_of_rate(1.0, low), slope_of_rate(1.0, high)
    error = max(abs(rate_slope(toy, s) - v) for s, v in zip((low, high), slopes, strict=True))
    shown = f"exact two points: slope {slopes[0]:.4g} at gap / 32, {slopes[1]:.4g} at gap / 16"
    return Reading(slopes[0] - slopes[1], error, shown)


def residual_power_law(case: Case) -> Reading:
    """With a residual error of 0.01 deviations the slope, fitted over a decade, tends to -3.

    The decade ends where the exact mmse is a tenth of the squared error.
    """
    toy = information.merged(case.toy)
    if toy.size == 1:
        return Reading(0.0, 0.0, "one point: no entropy to lose")
    excess = residual(toy)

    def departure(log_s: float) -> float:
        log_risk = float(information.log_mmse(toy, float(np.exp(log_s))))
        return max(log_risk - float(np.log(0.1 * excess)), -100.0)

    # The mmse rises with noise, from almost 0 at gap / 40 to the variance.
    ends = np.log([finest_gap(toy) / 40.0, 10.0 * float(np.sqrt(toy.variance))])
    top = float(np.exp(brentq(departure, *ends.tolist(), xtol=0.01)))
    sigma = top * 10.0 ** -np.linspace(0.0, 1.0, 7)
    rate = (information.mmse(toy, sigma) + excess) / sigma**3
    slope = float(np.polyfit(np.log(sigma), np.log(rate), 1)[0])
    return Reading(abs(slope + 3.0), 1e-9, f"slope {slope:.4f} on {sigma[-1]:.2g}..{top:.2g}")


def entropy_is_bounded(case: Case) -> Reading:
    """B.1: for points 0 <= H[x0 | x] <= H[x0] at every level."""
    held = information.conditional_entropy(case.toy, case.sigma)
    return worst([at_most(0.0, held), at_most(held, information.entropy(case.toy))])


def weights_sharpen(case: Case) -> Reading:
    """A.2: the weights concentrate as the noise falls: E H(w) falls with it."""
    held = information.conditional_entropy(case.toy, case.sigmas)
    return at_most(held[1:], held[:-1])


def exponentially_small(case: Case) -> Reading:
    """Against (49): mmse <= sum_{i<j} sqrt(w_i w_j) g^2 exp(-g^2 / 8 sigma^2) / 2.

    g = |x_i - x_j|. Times the marginal, a product of two posterior weights is at most half the root
    of the product of their weighted densities, which integrates to a Hellinger affinity. The excess
    is in nats.
    """
    toy = information.merged(case.toy)
    if toy.size == 1:
        return Reading(0.0, 0.0, "one point: no entropy to lose")
    i, j = np.triu_indices(toy.size, 1)
    gap = np.abs(toy.means[i, 0] - toy.means[j, 0])
    logs = 0.5 * np.log(toy.weights[i] * toy.weights[j]) + 2.0 * np.log(gap) - np.log(2.0)
    top = float(logsumexp(logs - (gap / case.sigma) ** 2 / 8.0))
    found = float(information.log_mmse(toy, case.sigma))
    return Reading(found - top, 1e-11, f"log mmse {found:.6g} <= {top:.6g}")
