"""Paper B, appendix C: the slope of the mmse, the posterior's covariance, and fourth moments.

X' is a second draw from the posterior given the same Y = x0 + sigma eps; K(x' | x) is its law
given X = x, so that p(x) K(x' | x) = E[r(x | Y) r(x' | Y)] for points, r the posterior.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from benchmarks.claims.b_channel import denoise, slope
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.measure.expectation import expect, over_log_sigma
from benchmarks.measure.mmse_slope import (
    disc,
    distinct_pairs,
    entropies,
    fourth_moment,
    posterior,
    posterior_fourth,
    steepness,
)
from theory.bounds import mmse_slope_bound, slope_bound
from theory.checks import Array
from toys.information import information
from toys.information.channel import Channel
from toys.information.quadrature import Ints, log_integrals
from toys.mixture import Mixture

SHORT = 1.25  # ratio of the levels between which a slope is integrated: one panel of 16 nodes
BRACKETED = 7  # levels of a step that bracket the steepest slope
RTOL = 1e-10  # tolerance of the joint law of X and X'
SINGLE = Reading(0.0, 0.0, "one point")


def mmse_slope(case: Case) -> Reading:
    """(C.2), integrated: mmse(a) = mmse(b) + int E Var^2 dsnr from a down to b."""
    a, b = case.sigma, case.sigma / SHORT
    mmse = information.mmse(case.toy, np.array([a, b]))
    fall = over_log_sigma(b, a, lambda s: np.array([2.0 * s**-2.0 * steepness(case.toy, s)]))
    return relative(mmse[1] + fall[0], mmse[0])


def jacobian_energy(case: Case) -> Reading:
    """(C.3), integrated: V(a^2) = V(b^2) + int E |grad m|^2 dtau, V the mmse at variance tau."""

    def energy(s: float) -> Array:
        found = expect(case.toy, s, lambda x: (slope(case.toy, x, s) ** 2)[None])
        return np.asarray(2.0 * s**2 * found)

    a, b = case.sigma, case.sigma / SHORT
    mmse = information.mmse(case.toy, np.array([a, b]))
    return relative(mmse[1] + over_log_sigma(b, a, energy)[0], mmse[0])


def jacobian(case: Case) -> Reading:
    """(C.4) in d dimensions: trace and Frobenius norm of Cov / sigma^2 and of the Jacobian of m.

    The Jacobian comes from complex steps of the denoiser written out here, one per coordinate.
    """
    toy, sigma, tiny = case.toy, case.sigma, 1e-30
    x = case.states(20)
    columns = []
    for j in range(toy.dim):
        moved = x.astype(np.complex128)
        moved[:, j] += 1j * tiny
        columns.append(_denoise(toy, moved, sigma).imag / tiny)
    grad = np.stack(columns, axis=2)
    trace = np.einsum("njj->n", grad)
    size = np.sqrt((grad**2).sum(axis=(1, 2)))
    found = toy.posterior_variance(x, sigma), toy.posterior_frobenius(x, sigma)
    left, right = np.stack([trace, size]) * sigma**2, np.stack(found)
    seen = np.maximum(left, right) > 1e-140  # below, the squares in the norms underflow
    return relative(np.where(seen, left, 0.0), np.where(seen, right, 0.0))


def _denoise(toy: Mixture, x: NDArray[Any], sigma: float) -> NDArray[Any]:
    """E[x0 | x] at complex states (n, d), as offsets from the likeliest component's mean."""
    total = toy.stds**2 + sigma**2
    gap = x[:, None] - toy.means
    logs = np.log(toy.weights) - 0.5 * (np.log(total) + gap**2 / total).sum(axis=2)
    top = logs.real.argmax(axis=1)
    r = np.exp(logs - logs.real.max(axis=1, keepdims=True))
    r = r / r.sum(axis=1, keepdims=True)
    centres = toy.means + toy.stds**2 / total * gap
    first = centres[np.arange(len(x)), top]
    # Without the offsets the slopes of the responsibilities would cancel where one is near 1.
    return np.asarray(first + (r[:, :, None] * (centres - first[:, None])).sum(axis=1))


def falls(case: Case) -> Reading:
    """The mmse never rises with SNR."""
    mmse = information.mmse(case.toy, case.sigmas)
    return at_most(mmse[1:], mmse[:-1])


def bayes(case: Case) -> Reading:
    """(C.1): p(x0) N(y; x0, sigma^2 I) over its sum, for points, in logs."""
    toy, y = case.toy, case.states()
    points, label = np.unique(toy.means, axis=0, return_inverse=True)
    weights = np.bincount(label.ravel(), weights=toy.weights)
    squares = ((y[:, None] - points) ** 2).sum(axis=2)
    logs = np.log(weights) - 0.5 * squares / case.sigma**2
    top = logs.max(axis=1, keepdims=True)
    right = np.exp(logs - top - np.log(np.exp(logs - top).sum(axis=1, keepdims=True)))
    left = Mixture(weights, points, 0.0).responsibilities(y, case.sigma)
    # The exponents of both are rounded; below 1e-200 the rounding alone exceeds 1e-9.
    return relative(np.where(right > 1e-200, left, 0.0), np.where(right > 1e-200, right, 0.0))


def steepest(toy: Mixture, a: float, b: float) -> float:
    """L, the largest |dmmse / dsnr| between a and b, by bracketing and golden-section search."""
    logs = np.linspace(np.log(b), np.log(a), BRACKETED)
    values = [steepness(toy, float(np.exp(u))) for u in logs]
    best = int(np.argmax(values))
    low, high = logs[max(best - 1, 0)], logs[min(best + 1, BRACKETED - 1)]
    top, share = values[best], 0.5 * (np.sqrt(5.0) - 1.0)
    for _ in range(4):
        left, right = high - share * (high - low), low + share * (high - low)
        f, g = steepness(toy, float(np.exp(left))), steepness(toy, float(np.exp(right)))
        low, high, top = (low, right, max(top, f)) if f > g else (left, high, max(top, g))
    return top


def area_gap(case: Case) -> Reading:
    """(4.2): mmse(snr_k) - mmse(snr) <= (snr - snr_k) L_k, at the end of a step."""
    a, b = _short(case)
    mmse = information.mmse(case.toy, np.array([a, b]))
    return at_most(mmse[0], mmse[1] + (b**-2 - a**-2) * steepest(case.toy, a, b))


def slope_bounds_disc(case: Case) -> Reading:
    """(4.3) on one step: E_disc <= (dsnr)^2 L / 4."""
    grid = np.array(_short(case))
    bound = slope_bound(grid, [steepest(case.toy, *grid.tolist())])
    mmse, entropy = entropies(case.toy, grid)
    fall = entropy[0] - entropy[1]
    reading = at_most(0.5 * np.diff(grid**-2.0)[0] * mmse[0], bound + fall)
    return reading._replace(detail=f"{disc(case.toy, grid)[0]:.6g} <= {bound:.6g}")


def _short(case: Case) -> tuple[float, float]:
    """The case's middle step, shortened to a / b <= 4."""
    k = min(case.sigmas.size // 2, case.sigmas.size - 2)
    a, b = float(case.sigmas[k]), float(case.sigmas[k + 1])
    return a, max(b, 0.25 * a)


def lemma(case: Case) -> Reading:
    """Lemma 1, all its steps, for the points with their weights and three anchors."""
    v, w = case.toy.means, case.toy.weights
    mean = w @ v
    cov = np.einsum("k,ki,kj->ij", w, v - mean, v - mean)
    readings = []
    for a in (mean, v[0], mean + case.rng.normal(size=v.shape[1])):
        square = ((v - a) ** 2).sum(axis=1)
        chain = [np.trace(cov @ cov), np.trace(cov) ** 2, (w @ square) ** 2, w @ square**2]
        readings.append(at_most(chain[:-1], chain[1:]))
    return worst(readings)


def anchored(case: Case) -> Reading:
    """(C.5) at given states: tr Cov^2 <= E[|X - x'|^4 | Y], for every point x' as the anchor."""
    y, (plain, apart) = case.states(), distinct_pairs(case.toy)
    r = np.asarray(posterior(plain, y[:, 0], case.sigma)[0]).real
    return at_most(case.toy.posterior_frobenius(y, case.sigma)[:, None] ** 2, r @ apart**4)


def tonelli(case: Case) -> Reading:
    """(C.6): E over Y of the posterior's mean of |X - X'|^4 = sum_x p(x) E over Y given x."""
    plain, apart = distinct_pairs(case.toy)
    inner = expect(
        plain, case.sigma, lambda y: posterior_fourth(plain, apart, y, case.sigma)[None]
    )[0]
    outer = 0.0
    for k in range(plain.size):
        # The law of Y given x_k: its density over the density that `expect` uses.
        def f(y: Array, k: int = k) -> Array:
            r = np.asarray(posterior(plain, y, case.sigma)[0]).real
            return np.asarray((r[:, k] / plain.weights[k]) * (r @ apart[k] ** 4))[None]

        outer += plain.weights[k] * float(expect(plain, case.sigma, f)[0])
    return relative(inner, outer)


def covariance_by_fourth(case: Case, share: float = 1.0) -> Reading:
    """Proposition 6: |dmmse / dsnr| <= share M4."""
    return at_most(steepness(case.toy, case.sigma), share * fourth_moment(case.toy, case.sigma))


def covariance_by_fourth_in_space(case: Case) -> Reading:
    """Proposition 6 at given states in d dimensions, and with our factor 8 before tr Cov^2."""
    y = case.states()
    plain = information.merged(case.toy)
    apart = ((plain.means[:, None] - plain.means) ** 2).sum(axis=2)
    r = plain.responsibilities(y, case.sigma)
    right = np.einsum("ni,nj,ij->n", r, r, apart**2)
    return at_most(8.0 * plain.posterior_frobenius(y, case.sigma) ** 2, right)


def _kernel(toy: Mixture, sigma: float) -> tuple[Mixture, Array, Array]:
    """Points, distances, and log P(X = x, X' = x'), (K, K), by quadrature in logs."""
    plain, apart = distinct_pairs(toy)
    parts = Channel(plain, sigma)
    i, j = np.triu_indices(plain.size)

    def log_f(anchor: Ints, offset: Array) -> Array:
        gap = (parts.centres[anchor][:, None] + offset)[..., None] - parts.mean
        logs = parts.log_w - 0.5 * (gap / sigma) ** 2  # (P, n, K), up to a constant
        pairs = np.moveaxis(logs[..., i] + logs[..., j], -1, 0)
        return np.asarray(pairs - logsumexp(logs, axis=-1))

    both = np.empty((plain.size, plain.size))
    both[i, j] = log_integrals(log_f, *parts.panels(), RTOL)[0]
    both[i, j] -= np.log(sigma) + 0.5 * np.log(2.0 * np.pi)
    both[j, i] = both[i, j]
    return plain, apart, both


def kernel_bound(case: Case) -> Reading:
    """K(x' | x) <= sqrt(p(x') / p(x)) exp(-snr |x - x'|^2 / 8) / 2 for x != x', as a ratio."""
    plain, apart, both = _kernel(case.toy, case.sigma)
    half = 0.5 * np.log(plain.weights)
    bound = half[:, None] + half - 0.125 * (apart / case.sigma) ** 2 - np.log(2.0)
    off = ~np.eye(plain.size, dtype=bool)
    return at_most(np.exp((both - bound)[off]), 1.0) if off.any() else SINGLE


def tail_bound(case: Case) -> Reading:
    """(C.8): P(|X - X'| >= r) <= exp(h - snr r^2 / 8) / 2 for every distance r > 0 that occurs."""
    plain, apart, both = _kernel(case.toy, case.sigma)
    h = information.renyi_entropy(plain, 0.5)
    radii = np.unique(apart[apart > 0])
    logs = [logsumexp(both[apart >= r]) - h + 0.125 * (r / case.sigma) ** 2 for r in radii]
    return at_most(np.exp(logs), 0.5) if radii.size else SINGLE


def tail_integral(case: Case) -> Reading:
    """(C.9): r0^4 + int 4 r^3 exp(h - snr r^2 / 8) / 2 dr from r0 is 64 sigma^4 (h^2 + h + 1)."""
    h, sigma = information.renyi_entropy(case.toy, 0.5), case.sigma
    nodes, weights = np.polynomial.legendre.leggauss(60)
    r0 = np.sqrt(8.0 * h) * sigma
    ends = np.sqrt(r0**2 + 8.0 * sigma**2 * np.array([0.0, 1.0, 4.0, 12.0, 40.0]))
    tail = 0.0
    for low, high in pairwise(ends.tolist()):
        r = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        f = 2.0 * r**3 * np.exp(h - 0.125 * (r / sigma) ** 2)
        tail += 0.5 * (high - low) * float(weights @ f)
    return relative(r0**4 + tail, mmse_slope_bound(sigma, h))


def split_at_radius(case: Case) -> Reading:
    """M4 <= r0^4 + int 4 r^3 P(|X - X'| >= r) dr from r0, and the integral by (C.8).

    The integral over the exact tail is E max(|X - X'|^4 - r0^4, 0).
    """
    plain, apart, both = _kernel(case.toy, case.sigma)
    h = information.renyi_entropy(plain, 0.5)
    r0 = np.sqrt(8.0 * h) * case.sigma
    moments = np.exp(both) * apart**4
    tail = float(np.sum(np.exp(both) * np.maximum(apart**4 - r0**4, 0.0)))
    bounds = [r0**4 + tail, 64.0 * case.sigma**4 * (h + 1.0)]
    return at_most([float(moments.sum()), tail], bounds)


def fourth_by_entropy(case: Case) -> Reading:
    """Proposition 7 (C.7) with our constant: M4 <= 64 sigma^4 (h^2 + h + 1)."""
    h = information.renyi_entropy(case.toy, 0.5)
    return at_most(fourth_moment(case.toy, case.sigma), mmse_slope_bound(case.sigma, h))


def mean_is_linear(case: Case) -> Reading:
    """The denoiser of points is sum x p(x | y), from the posterior written out here."""
    y = case.states()
    low = float(case.toy.means.min()) - 1.0
    return relative(
        denoise(case.toy, y[:, 0], case.sigma).real - low,
        case.toy.denoise(y, case.sigma)[:, 0] - low,
    )
