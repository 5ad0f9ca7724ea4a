"""Paper D, appendix A.2: finite data sets, their weights, moments and stationary points.

A data set is N draws from the case's data with weights 1 / N. The engine's side is the `Mixture` of
those points, and the other side is written out from the displays at single states.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from benchmarks.claims.cases import Case
from benchmarks.claims.channel import norm_relative
from benchmarks.claims.ledger import Reading, sampled, worst
from benchmarks.claims.posterior import Posterior, score_slope
from theory.checks import Array
from toys.information import information
from toys.mixture import Mixture

SAMPLES = 4000


def data_set(case: Case) -> Mixture:
    """N = 2 to 8 draws of the case's data as equally likely points; draws may coincide."""
    count = 2 + case.seed % 7
    return Mixture(np.ones(count), case.toy.sample(count, case.seed), 0.0)


def observed(case: Case, data: Mixture, n: int = 40) -> Array:
    """Noisy states of a data set, shape (n, d)."""
    return data.sample_noisy(n, case.sigma, case.seed)


def logits(data: Mixture, x: Array, sigma: float) -> Array:
    """-|x - x_i|^2 / (2 sigma^2), shape (n, N), differences squared and not expanded."""
    return np.asarray(-0.5 * np.sum(((x[:, None] - data.means) / sigma) ** 2, axis=2))


def weights(data: Mixture, x: Array, sigma: float) -> Array:
    """(31), (54): softmax of `logits`, shape (n, N)."""
    logs = logits(data, x, sigma)
    return np.asarray(np.exp(logs - logsumexp(logs, axis=1, keepdims=True)))


def empirical_marginal(case: Case) -> Reading:
    """(29), (30): p(x) = 1/N sum_i N(x; x_i, sigma^2 I)."""
    data = data_set(case)
    x = observed(case, data)
    d = data.dim
    peak = -0.5 * d * np.log(2.0 * np.pi * case.sigma**2)
    left = logsumexp(logits(data, x, case.sigma) + peak, axis=1) - np.log(data.size)
    return norm_relative(left, data.log_density(x, case.sigma))


def posterior_weights(case: Case) -> Reading:
    """(31): w_i(x) is N(x; x_i, sigma^2 I), normalised."""
    data = data_set(case)
    x = observed(case, data)
    return norm_relative(weights(data, x, case.sigma), data.responsibilities(x, case.sigma))


def ideal_denoiser(case: Case) -> Reading:
    """(32): D(x) = sum_i w_i(x) x_i."""
    data = data_set(case)
    x = observed(case, data)
    return norm_relative(weights(data, x, case.sigma) @ data.means, data.denoise(x, case.sigma))


def posterior_covariance(case: Case) -> Reading:
    """(33): Cov = sum_i w_i x_i x_i^T - D D^T, in its trace and its Frobenius norm.

    It is computed as the sum over pairs of w_i w_j (x_i - x_j)(x_i - x_j)^T / 2, because the
    display cancels.
    """
    data = data_set(case)
    x = observed(case, data, 10)
    r = weights(data, x, case.sigma)
    gaps = data.means[:, None] - data.means
    pairs = 0.5 * np.einsum("ni,nj,ija,ijb->nab", r, r, gaps, gaps)
    trace = np.trace(pairs, axis1=1, axis2=2)
    norm = np.sqrt((pairs**2).sum(axis=(1, 2)))
    second = (r @ (data.means**2)).sum(axis=1)
    mean = ((r @ data.means) ** 2).sum(axis=1)
    return worst(
        [
            norm_relative(data.posterior_variance(x, case.sigma) + mean, second),
            norm_relative(data.posterior_variance(x, case.sigma), trace),
            norm_relative(data.posterior_frobenius(x, case.sigma), norm),
        ]
    )


def mmse_of_data_set(case: Case) -> Reading:
    """(34): mmse = E tr Cov(x0 | x): |x0 - D|^2 minus the engine's trace has mean 0, sampled.

    The level is drawn between 0.6 and 10 deviations; below, errors may be too rare for 4000 draws.
    """
    data = data_set(case)
    rng = case.rng
    spread = float(np.sqrt(data.variance / data.dim))
    if information.merged(data).size == 1:
        return Reading(0.0, 0.0, "not judged: all draws coincide")
    sigma = spread * 10.0 ** float(rng.uniform(-0.2, 1.0))
    x0 = data.means[rng.integers(data.size, size=SAMPLES)]
    x = x0 + sigma * rng.normal(size=x0.shape)
    miss = ((x0 - weights(data, x, sigma) @ data.means) ** 2).sum(axis=1)
    trace = data.posterior_variance(x, sigma)
    seen = trace.mean()
    if seen < 1e-2 * data.variance:  # errors so rare that 4000 draws may miss them
        return Reading(0.0, 0.0, f"not judged: mmse {seen:.3g} is too rare to sample")
    return sampled(miss - trace)


def log_density_up_to_constant(case: Case) -> Reading:
    """(35): log p = log sum_i exp(-|x - x_i|^2 / 2 sigma^2) + a constant independent of x."""
    data = data_set(case)
    x = observed(case, data)
    left = data.log_density(x, case.sigma) - data.log_density(x[:1], case.sigma)
    right = logsumexp(logits(data, x, case.sigma), axis=1)
    gap = np.abs(left - (right - right[0])).max()
    scale = max(1.0, float(np.abs(right).max()), float(np.abs(left).max()))
    return Reading(float(gap / scale), 0.0, f"over {len(x)} states")


def empirical_score(case: Case) -> Reading:
    """(36): score = (D(x) - x) / sigma^2."""
    data = data_set(case)
    x = observed(case, data)
    right = (weights(data, x, case.sigma) @ data.means - x) / case.sigma
    return norm_relative(case.sigma * data.score(x, case.sigma), right)


def _zeros(toy: Mixture, sigma: float) -> Array:
    """Zeros of the score of a 1-D mixture, from its components' scores, found by sign changes."""
    stds = np.hypot(toy.stds[:, 0], sigma)
    ladder = np.linspace(-6.03, 6.0, 97)  # avoids the means, where a root may be
    means = toy.means[:, 0]
    grid = np.unique((means[:, None] + stds[:, None] * ladder).ravel())
    grid = grid[(grid >= means.min() - stds.min()) & (grid <= means.max() + stds.min())]

    def score(x: float) -> float:
        return float(Posterior(toy, np.array([x]), sigma).score[0, 0].real)

    signs = np.sign(Posterior(toy, grid, sigma).score[:, 0].real)
    change = np.flatnonzero(signs[1:] * signs[:-1] < 0)
    return np.array([brentq(score, grid[i], grid[i + 1], xtol=1e-300, rtol=1e-15) for i in change])


def self_consistency(case: Case) -> Reading:
    """(37): x = D(x) where the score is 0, and only there; the distance is in data deviations."""
    toy, s = case.toy, case.sigma
    roots = _zeros(toy, s)
    if not roots.size:
        return Reading(float("inf"), 0.0, "no stationary point found")
    scale = float(np.sqrt(toy.variance + np.abs(roots).max() ** 2))
    # Near a double root x - D changes little with x, so that the residual is compared.
    gap = np.abs(toy.denoise(roots, s) - roots).max()
    return Reading(float(gap / scale), 0.0, f"{roots.size} stationary points")


def maxima_have_small_spread(case: Case) -> Reading:
    """(38) on random data: maximum of log p <=> Var / sigma^2 < 1; the share of errors.

    A root is a maximum if the engine's score changes from + to - there.
    """
    toy, s = case.toy, case.sigma
    roots = _zeros(toy, s)
    step = 1e-4 * s
    left, right = toy.score(roots - step, s), toy.score(roots + step, s)
    curvature = score_slope(toy, roots, s) * s**2
    clear = np.abs(curvature) > 1e-2  # nearer 0 the next term of the expansion matters
    is_maximum = (left > 0) & (right < 0)
    wrong = (is_maximum != (toy.posterior_variance(roots, s) < s**2)) & clear
    return Reading(float(wrong.mean()), 0.0, f"{int(clear.sum())} of {roots.size} points judged")


def degenerate_height(case: Case) -> float:
    """Log p(0) - log p(a / 2) of points at +-a, a = sigma, where the Hessian at 0 is exactly 0."""
    a = case.sigma
    toy = Mixture([1, 1], [-a, a], 0)
    found = Posterior(toy, np.array([0.0, 0.5 * a]), a).log_p
    return float(found[0] - found[1])


def degenerate_height_closed(case: Case) -> float:
    """`degenerate_height` in closed form: u^2 / 2 - log cosh u, u = x a / sigma^2 = 1/2."""
    u = 0.5 * case.sigma / case.sigma
    return float(0.5 * u**2 - np.log(np.cosh(u)))


def only_negative_hessians(case: Case) -> Reading:
    """A.2, printed "iff": a maximum whose Hessian is not negative definite refutes it.

    The excess is log p(0) - log p(a / 2) in nats, where the Hessian at 0 is not negative.
    """
    a = case.sigma
    toy = Mixture([1, 1], [-a, a], 0)
    hessian = float(score_slope(toy, np.zeros(1), a)[0]) * a**2
    height = degenerate_height(case)
    value = height if hessian >= -1e-12 else 0.0
    return Reading(value, 1e-15, f"sigma^2 Hessian {hessian:.3g}, {height:.6g} nats above a / 2")


def semidefinite_hessians(case: Case) -> Reading:
    """Corrected: negative definite suffices, and every maximum has a Hessian <= 0."""
    a = case.sigma
    critical = Mixture([1, 1], [-a, a], 0)
    hessian = float(score_slope(critical, np.zeros(1), a)[0]) * a**2
    return worst(
        [Reading(hessian, 0.0, f"sigma^2 Hessian {hessian:.3g}"), maxima_have_small_spread(case)]
    )


def same_window_further_out(case: Case) -> Reading:
    """Figure 2: d equal pixels at level sigma carry the information of one at sigma / sqrt(d).

    So the window moves by sqrt(d) if pixels are repeated. Single states of points are compared,
    d = 4.
    """
    d = 4
    toy = information.merged(case.toy)
    tall = Mixture(toy.weights, np.repeat(toy.means, d, axis=1), 0.0)
    x = tall.sample_noisy(20, case.sigma, case.seed)
    left = tall.responsibilities(x, case.sigma)
    mean = x.mean(axis=1)
    right = Posterior(toy, mean, case.sigma / np.sqrt(d)).r.real
    return norm_relative(left, right)
