"""Paper D, (1) to (5), (8), (10), (25): the channel, its SDEs and ODE, and losses of denoisers.

Data are one-dimensional. The test functions are a wave cos k (x - mean) and a bump
exp(-(x - c)^2 / 2 q^2). Their means under a mixture have closed forms, written out here for real
and complex sigma.
"""

from typing import Any

import numpy as np
from scipy.special import ndtr

from benchmarks.claims.cases import Case
from benchmarks.claims.channel import (
    label_information,
    noise_entropy,
    observed_entropy,
    posterior_risk,
)
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.claims.posterior import Posterior
from benchmarks.measure.expectation import expect
from theory.checks import Array
from toys.information import information
from toys.mixture import Mixture
from toys.reference import flow

TINY = 1e-30  # complex step
PATHS = 5
STEEPEST = 2.0  # largest ratio of the levels between which paths are followed


def balance(*terms: Array | float) -> Reading:
    """|sum of the terms|, which should be 0, over the largest |term|."""
    table = np.array(terms, dtype=np.float64)
    size, gap = float(np.abs(table).max()), float(abs(table.sum()))
    shown = f"{len(terms)} terms up to {size:.6g} add up to {gap:.3g}"
    return Reading(gap / size if size > 1e-290 else 0.0, 0.0, shown)


class Probe:
    """A wave and a bump as wide as the noisy data of a case, at level sigma.

    Attributes:
        k: Wave number.
        mean: Where the wave is highest.
        c: Centre of the bump, a noisy state.
        q: Width of the bump.
    """

    def __init__(self, case: Case, sigma: float) -> None:
        self.toy = case.toy
        self.q = float(np.sqrt(case.toy.variance + sigma**2))
        self.k = 0.5 / self.q
        self.mean = float(case.toy.mean[0])
        self.c = float(case.toy.sample_noisy(1, sigma, case.seed)[0, 0])

    def values(self, x: Array) -> Array:
        """Both functions, their slopes and their second derivatives at x (n,), shape (3, 2, n)."""
        phase = self.k * (x - self.mean)
        z = (x - self.c) / self.q
        bump = np.exp(-0.5 * z**2)
        return np.array(
            [
                [np.cos(phase), bump],
                [-self.k * np.sin(phase), -z / self.q * bump],
                [-(self.k**2) * np.cos(phase), (z**2 - 1.0) / self.q**2 * bump],
            ]
        )

    def after(self, x: Array, variance: float) -> Array:
        """E of both functions at x + N(0, variance), shape (2, n)."""
        wide = self.q**2 + variance
        wave = np.exp(-0.5 * self.k**2 * variance) * np.cos(self.k * (x - self.mean))
        bump = self.q / np.sqrt(wide) * np.exp(-0.5 * (x - self.c) ** 2 / wide)
        return np.array([wave, bump])

    def means(self, sigma: Any) -> Any:
        """E of both functions at x0 + sigma eps, from the components, shape (2,)."""
        w, m, v = self.toy.weights, self.toy.means[:, 0], self.toy.stds[:, 0] ** 2 + sigma**2
        wide = self.q**2 + v
        wave = w @ (np.cos(self.k * (m - self.mean)) * np.exp(-0.5 * self.k**2 * v))
        bump = w @ (self.q / np.sqrt(wide) * np.exp(-0.5 * (m - self.c) ** 2 / wide))
        return np.array([wave, bump])

    def rates(self, sigma: float) -> Array:
        """Derivatives of `means` in sigma, by a complex step, shape (2,)."""
        return np.asarray(np.imag(self.means(sigma + 1j * TINY)) / TINY)


def marginal(case: Case) -> Reading:
    """(1), (20): x0 + sigma eps has the law of the engine's density."""
    probe = Probe(case, case.sigma)
    found = expect(case.toy, case.sigma, lambda x: probe.values(x)[0])
    return relative(found, probe.means(case.sigma))


def bayes_rule(case: Case) -> Reading:
    """(21): p_sigma(x) = sum_k w_k p(x | k), and the posterior by Bayes' rule; any d."""
    x = case.states()
    toy, d = case.toy, case.toy.dim
    v = toy.stds**2 + case.sigma**2
    gaps = x[:, None] - toy.means
    logs = np.log(toy.weights) - 0.5 * np.log(2.0 * np.pi * v).sum(axis=1)
    logs = logs - 0.5 * (gaps**2 / v).sum(axis=2)
    found = toy.log_density(x, case.sigma)
    joint = np.log(toy.responsibilities(x, case.sigma) + 1e-300) + found[:, None]
    seen = logs - found[:, None] > -600.0
    # log p contains d log sigma, so that the scale is at least one unit per coordinate.
    scale = np.maximum(np.abs(logs), d)
    gap = np.where(seen, np.abs(joint - logs) / scale, 0.0)
    return Reading(float(gap.max()), 0.0, f"{int(seen.sum())} of {seen.size} weights compared")


def forward_sde(case: Case) -> Reading:
    """(2): dx = sqrt(2 sigma) dW takes p_a to p_b: it adds the variance int 2 s ds."""
    low, high = float(case.sigmas[-1]), float(case.sigmas[-2])
    nodes, weights = np.polynomial.legendre.leggauss(4)
    added = 0.5 * (high - low) * float(weights @ (low + high + (high - low) * nodes))
    probe = Probe(case, high)
    start = expect(case.toy, low, lambda x: probe.after(x, added))
    return relative(start, expect(case.toy, high, lambda x: probe.values(x)[0]))


def reverse_sde(case: Case) -> Reading:
    """(3) in weak form: -d/dsigma E phi = E[2 sigma score phi'] + sigma E phi'', engine's score."""
    s, probe = case.sigma, Probe(case, case.sigma)

    def terms(x: Array) -> Array:
        _, slope, second = probe.values(x)
        return np.concatenate([slope * case.toy.score(x, s), second])

    found = expect(case.toy, s, terms)
    rates = probe.rates(s)
    return worst([balance(rates[i], 2.0 * s * found[i], s * found[2 + i]) for i in range(2)])


def probability_flow(case: Case) -> Reading:
    """(4): paths of dx/dsigma = -sigma score keep their probability: F_a(x_a) = F_b(x_b)."""
    toy, low = case.toy, case.sigma
    x = toy.sample_noisy(PATHS, low, case.seed)
    paths = flow(toy, x, np.array([low, STEEPEST * low]))

    def cdf(states: Array, sigma: float) -> Array:
        z = (states - toy.means[:, 0]) / np.hypot(toy.stds[:, 0], sigma)
        return np.asarray(ndtr(z) @ toy.weights)

    ends = [cdf(states, s) for states, s in zip(paths, (low, STEEPEST * low), strict=True)]
    gap = float(np.abs(ends[0] - ends[1]).max())
    return Reading(gap, 0.0, f"of cumulative probabilities {np.round(ends[0], 6).tolist()}")


def flow_drift(case: Case) -> Reading:
    """(4) in weak form: d/dsigma E phi = -sigma E[score phi'], engine's score."""
    s, probe = case.sigma, Probe(case, case.sigma)
    found = expect(case.toy, s, lambda x: probe.values(x)[1] * case.toy.score(x, s))
    return relative(probe.rates(s), -s * found)


def objective_minimum(case: Case) -> Reading:
    """(5): sum over levels of pi w E|D - x0|^2 is least at the posterior mean.

    The competitors are the case's wrong denoiser, and the exact one times 1.01 and plus 0.01 sigma.
    """
    levels = case.sigmas[:2].tolist()
    emphasis = case.rng.dirichlet(np.ones(len(levels)))
    losses = np.zeros(4)
    for weight, s in zip(emphasis, levels, strict=True):

        def risks(x: Array, s: float = s) -> Array:
            p = Posterior(case.toy, x, s)
            rivals = (case.wrong.denoise(x, s)[:, None], 1.01 * p.mean, p.mean + 0.01 * s)
            return np.stack([p.second_moment(), *(p.second_moment(r) for r in rivals)])

        losses += weight * expect(case.toy, s, risks)
    return at_most(np.full(3, losses[0]), losses[1:])


def conditional_entropy(case: Case) -> Reading:
    """(8): H[x0 | x] = E[-log p(x0 | x)]; densities: h(x0) + h(x | x0) - h(x), term by term."""
    toy, s = information.merged(case.toy), case.sigma
    if toy.is_points:

        def surprise(x: Array) -> Array:
            return Posterior(toy, x, s).label_entropy()[None]

        return relative(information.conditional_entropy(toy, s), expect(toy, s, surprise))
    # h(x0) is the entropy of a mixture with smaller stds plus the noise removed from it.
    part = 0.5 * float(toy.stds.min())
    sharp = Mixture(toy.weights, toy.means, np.sqrt((toy.stds - part) * (toy.stds + part)))
    whole, seen = observed_entropy(sharp, part), observed_entropy(toy, s)
    found = float(information.conditional_entropy(toy, s))
    # Differential entropies may be 0, so that the scale is at least one nat.
    gap = abs(found + seen - whole - noise_entropy(s))
    value = gap / max(1.0, abs(found), abs(seen), abs(whole))
    return Reading(value, 0.0, f"H = {found:.12g}")


def mmse_bounds_every_risk(case: Case) -> Reading:
    """(10): mmse <= E|x0 - D|^2 for any D, here the wrong one; so online losses exceed it."""
    return at_most(information.mmse(case.toy, case.sigma), posterior_risk(case, case.sigma)[1])


def scaled_observation(case: Case) -> Reading:
    """(25): y = x / sigma is as informative: the engine's curves of x0 / sigma at noise level 1."""
    toy, s = case.toy, case.sigma
    found = information.curves(toy.scaled(0.0, 1.0 / s), 1.0)
    risk = expect(toy, s, lambda x: Posterior(toy, x, s).second_moment()[None])
    readings = [relative(found.mmse * s**2, risk)]
    readings.append(relative(found.mutual_information, label_information(toy, s)))
    return worst(readings)
