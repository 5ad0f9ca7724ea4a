"""Identities of the Gaussian channel that papers A and D share, each a measure of one case.

One side comes from the suite's engine (toys/, theory/). The other comes from `posterior`, which is
written out from the displays, or from an integral over the noise level. Expectations on both sides
use the panels and densities of the engine, which `score_from_kernel` and certified values check.
"""

import numpy as np
from scipy.special import xlogy

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import UNDERFLOW, Reading, relative
from benchmarks.claims.posterior import Posterior, score_slope
from benchmarks.measure.expectation import expect, over_log_sigma
from theory.checks import Array
from theory.noise.processes import SNR, LogSNR
from theory.profiles.profile import Profile
from theory.profiles.risks import x0_risks
from toys.information import information
from toys.mixture import Mixture

# Ratio of the two levels of an integrated identity: 16 nodes resolve the integral to rounding even
# where the mmse of points is near 1e-290 and changes by exp(30) between the levels.
WINDOW = 1.02
STATE_WINDOW = 1.1  # the same ratio for densities at fixed states, which change far less
WIDE = 1.4  # the same ratio for integrals by a Profile of 64 levels


def norm_relative(left: Array, right: Array) -> Reading:
    """|left - right| / max(|left|, |right|) of whole arrays, in the Euclidean norm.

    A single entry that happens to be near 0 has no relative accuracy.
    """
    scale = max(float(np.linalg.norm(left)), float(np.linalg.norm(right)))
    gap = float(np.linalg.norm(np.asarray(left) - right))
    shown = f"|left| = {np.linalg.norm(left):.9g}, |left - right| = {gap:.2g}"
    if not np.isfinite(gap):
        return Reading(float("inf"), 0.0, shown)
    return Reading(gap / scale if scale > UNDERFLOW else 0.0, 0.0, shown)


def observed_entropy(toy: Mixture, sigma: float) -> float:
    """h(x0 + sigma eps) in nats, 1-D, from the definition -E log p."""
    return float(expect(toy, sigma, lambda x: -Posterior(toy, x, sigma).log_p[None])[0])


def posterior_entropy(toy: Mixture, sigma: float) -> float:
    """E H(component | x) in nats, 1-D; H[x0 | x] of points."""
    return float(expect(toy, sigma, lambda x: Posterior(toy, x, sigma).label_entropy()[None])[0])


def noise_entropy(sigma: float) -> float:
    """h(x | x0) = log(2 pi e sigma^2) / 2 in nats, 1-D."""
    return float(0.5 * np.log(2.0 * np.pi * np.e) + np.log(sigma))


def entropy_gained(toy: Mixture, low: float, high: float) -> float:
    """H[x0 | x_high] - H[x0 | x_low] in nats, 1-D, by the definition that cancels least."""
    merged = information.merged(toy)
    if merged.is_points:
        at_low, at_high = posterior_entropy(merged, low), posterior_entropy(merged, high)
        if at_high < 0.5 * information.entropy(merged):
            return at_high - at_low
    return label_information(merged, low) - label_information(merged, high)


def label_information(toy: Mixture, sigma: float) -> float:
    """I(x0; x) in nats, 1-D: E KL(component's posterior || weights) plus the information within."""

    def gain(x: Array) -> Array:
        r = Posterior(toy, x, sigma).r
        # r log(r / w) - r + w >= 0 has the same sum and does not cancel where r is near w.
        share = r / toy.weights
        t = (r - toy.weights) / toy.weights
        direct = xlogy(share, share) - t
        near = np.abs(t) < 1e-2
        s = np.where(near, t, 0.0)
        series = s**2 * (0.5 - s * (1 / 6 - s * (1 / 12 - s * (1 / 20 - s * (1 / 30 - s / 42)))))
        return np.asarray((toy.weights * np.where(near, series, direct)).sum(axis=1)[None])

    within = float(toy.weights @ (0.5 * np.log1p((toy.stds[:, 0] / sigma) ** 2)))
    return float(expect(toy, sigma, gain)[0]) + within


def posterior_risk(case: Case, sigma: float) -> Array:
    """E|x0 - m|^2, E|x0 - D|^2, E|m - D|^2, shape (3,), 1-D; m is exact, D the wrong denoiser."""

    def f(x: Array) -> Array:
        p = Posterior(case.toy, x, sigma)
        wrong = case.wrong.denoise(x, sigma)[:, None]
        gap = (p.mean - wrong)[:, 0]
        return np.stack([p.second_moment(), p.second_moment(wrong), gap**2])

    return expect(case.toy, sigma, f)


# The measures of the claims.


def score_from_kernel(case: Case) -> Reading:
    """A (4), D (36): the score is E[grad log p(x | x0) | x] = (E[x0 | x] - x) / sigma^2."""
    x = case.states()
    left = x + case.sigma**2 * case.toy.score(x, case.sigma)
    return norm_relative(left, Posterior(case.toy, x, case.sigma).mean)


def denoiser_is_posterior_mean(case: Case) -> Reading:
    """D (22), (32): the engine's denoiser is the posterior mean of the definition."""
    x = case.states()
    return norm_relative(case.toy.denoise(x, case.sigma), Posterior(case.toy, x, case.sigma).mean)


def covariance_from_hessian(case: Case) -> Reading:
    """A (27), (34), D (38): Cov / sigma^2 - sigma^2 Hess log p = I, in the trace."""
    x, sigma = case.states(), case.sigma
    slope = score_slope(case.toy, x, sigma)
    trace = slope if slope.ndim == 1 else np.trace(slope, axis1=1, axis2=2)
    left = case.toy.posterior_variance(x, sigma) / sigma**2 - sigma**2 * trace
    return norm_relative(left, np.full(len(x), float(case.toy.dim)))


def squared_error_is_posterior_variance(case: Case) -> Reading:
    """A (12), (26), D (10), (24), (34): E|x0 - E[x0|x]|^2 = E tr Cov, 1-D."""
    s = case.sigma
    risk = expect(case.toy, s, lambda x: Posterior(case.toy, x, s).second_moment()[None])
    return relative(risk, information.mmse(case.toy, s))


def orthogonality(case: Case) -> Reading:
    """D (23): E|x0 - D|^2 = mmse + E|m - D|^2 for any D, 1-D."""
    risk = float(posterior_risk(case, case.sigma)[1])
    whole = information.mmse(case.toy, case.sigma) + case.wrong.error(case.toy, case.sigma)
    return relative(risk, whole)


def information_is_entropy_lost(case: Case) -> Reading:
    """A (7), D (9): I[x0; x] = H[x0] - H[x0 | x], or h(x) - h(x | x0) where a std is positive."""
    toy, s = case.toy, case.sigma
    found = float(information.mutual_information(toy, s))
    if toy.is_points:
        return relative(
            found + posterior_entropy(information.merged(toy), s), information.entropy(toy)
        )
    return relative(found + noise_entropy(s), observed_entropy(toy, s))


def entropy_integral(case: Case) -> Reading:
    """A (13), D (11), (27), integrated: H[x0|x_b] - H[x0|x_a] = int mmse / sigma^3 dsigma."""
    low, high = case.sigma, WINDOW * case.sigma
    rate = over_log_sigma(low, high, lambda s: information.mmse(case.toy, s) / s**2)
    return relative(entropy_gained(case.toy, low, high), rate)


def snr_integral(case: Case) -> Reading:
    """D (26): I(snr_a) - I(snr_b) = half the integral of mmse over snr."""
    low, high = case.sigma, WINDOW * case.sigma
    snr = SNR()
    a, b = float(snr.time(high)), float(snr.time(low))
    nodes, weights = np.polynomial.legendre.leggauss(16)
    levels = snr.sigma(0.5 * (a + b) + 0.5 * (b - a) * nodes)
    integral = 0.5 * 0.5 * (b - a) * weights @ information.mmse(case.toy, levels)
    return relative(entropy_gained(case.toy, low, high), integral)


def log_snr_integral(case: Case) -> Reading:
    """D (28): dH = -mmse / (2 sigma^2) dlambda, lambda the log SNR, integrated."""
    low, high = case.sigma, WINDOW * case.sigma
    coordinate = LogSNR()
    a, b = float(coordinate.time(high)), float(coordinate.time(low))
    nodes, weights = np.polynomial.legendre.leggauss(16)
    levels = coordinate.sigma(0.5 * (a + b) + 0.5 * (b - a) * nodes)
    integral = 0.5 * (b - a) * weights @ (information.mmse(case.toy, levels) / (2.0 * levels**2))
    return relative(entropy_gained(case.toy, low, high), integral)


def entropy_of_profile(case: Case) -> Reading:
    """A final (14): H(t) - H(t_0) by the suite's Profile, against posterior entropies."""
    low, high = case.sigma, WIDE * case.sigma
    levels = np.geomspace(low, high, 64)
    profile = Profile(1, levels, information.mmse(case.toy, levels))
    return relative(entropy_gained(case.toy, low, high), profile.entropy_from_sigma_min()[-1])


def rate_from_losses(case: Case, parametrisation: str) -> Reading:
    """A (31), (32): the entropy rate from a network's loss, here that of the exact denoiser.

    The loss is the squared error of the network's prediction, computed from the posterior.
    """
    s, spread = case.sigma, 0.5
    risk = float(expect(case.toy, s, lambda x: Posterior(case.toy, x, s).second_moment()[None])[0])
    alpha = 1.0 / np.sqrt(1.0 + s**2)
    weight = {
        "eps": 1.0 / s**2,  # eps = (x - x0) / sigma
        "x0": 1.0,
        "v": (alpha / s + alpha * s) ** 2,  # v = alpha eps - alpha sigma x0, eps = (x - x0) / sigma
        "edm": (s**2 + spread**2) / (s * spread) ** 2,
    }[parametrisation]
    levels, risks = x0_risks([s], [weight * risk], parametrisation, 1, spread)
    return relative(risks / levels**3, information.entropy_rate(case.toy, s))
