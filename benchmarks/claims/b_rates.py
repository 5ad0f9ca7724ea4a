"""Paper B, theorem 1 and its consequences: bounds of E_disc by entropy, geometric grids, dimension.

The constants are ours, from the paper's own proof: 64 sigma^4 (h^2 + h + 1) bounds |dmmse / dsnr|,
and a quarter of 64, 16, appears in the bounds of E_disc. h is the Renyi entropy of order 1/2, H
Shannon's, and R = (sigma_0 / sigma_K)^2. In the formulas (..) stands for h^2 + h + 1.
"""

from itertools import pairwise

import numpy as np
from scipy.optimize import minimize

from benchmarks.claims.b_channel import denoise, errors
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.measure.expectation import expect
from benchmarks.measure.mmse_slope import disc, probabilities, smallest_nu, steepness
from theory import bounds
from theory.checks import Array
from theory.schedules.standard import log_snr_sigmas
from toys.information import information
from toys.mixture import Mixture

DIMENSIONS = (1, 10, 100, 1000, 10_000)
SAMPLES = 4000
COMPETITORS = 20
ORDER_STEPS = (32, 64)
RATE = float(np.e - 1.0)


def _h(case: Case) -> float:
    return information.renyi_entropy(case.toy, 0.5)


def _shannon(case: Case) -> float:
    """H + nu^2 / 4, with the smallest nu for b = 2."""
    nu = smallest_nu(probabilities(case.toy))
    return bounds.renyi_half_bound(information.entropy(case.toy), nu)


def theorem(case: Case) -> Reading:
    """Theorem 1 (4.4): |dmmse / dsnr| <= 64 sigma^4 (h^2 + h + 1), h replaced by H + nu^2 / 4."""
    bound = bounds.mmse_slope_bound(case.sigma, _shannon(case))
    return at_most(steepness(case.toy, case.sigma), bound)


def theorem_in_space(case: Case) -> Reading:
    """Theorem 1 in d dimensions, the left side a Monte Carlo mean over states."""
    y = case.toy.sample_noisy(SAMPLES, case.sigma, case.seed)
    found = float(np.mean(case.toy.posterior_frobenius(y, case.sigma) ** 2))
    return at_most(found, bounds.mmse_slope_bound(case.sigma, _shannon(case)))


def any_grid(case: Case) -> Reading:
    """(4.5): E_disc <= 16 (..) sum (dsnr_k / snr_k)^2 on the case's own grid."""
    bound = bounds.entropy_bound(case.sigmas, _shannon(case))
    return at_most(disc(case.toy, case.sigmas).sum(), bound)


def chained_bound(case: Case) -> Reading:
    """(4.5) is (4.3) with theorem 1 at every step's left end, and equals its display."""
    h, snr = _shannon(case), case.sigmas**-2.0
    ours = bounds.entropy_bound(case.sigmas, h)
    steepest = bounds.mmse_slope_bound(case.sigmas[:-1], h)
    chained = bounds.slope_bound(case.sigmas, steepest)
    shown = sum(16.0 * (h * h + h + 1.0) * (b / a - 1.0) ** 2 for a, b in pairwise(snr.tolist()))
    return relative([ours, ours], [chained, shown])


def geometric_grid(case: Case) -> Array:
    """The log-SNR grid between the ends of the case's."""
    return log_snr_sigmas(case.sigmas.size - 1, float(case.sigmas[0]), float(case.sigmas[-1]))


def geometric_is_optimal(case: Case) -> Reading:
    """(4.6): no grid found with the same ends and number of steps has a smaller bound (4.5)."""
    grid, rng = geometric_grid(case), case.rng
    best = bounds.entropy_bound(grid, 1.0)
    if grid.size == 2:
        return Reading(0.0, 0.0, "one step")
    span = np.log(grid[0] / grid[-1])

    def bound(shares: Array) -> float:
        parts = np.exp(shares - shares.max())
        falls = np.concatenate([[0.0], np.cumsum(parts / parts.sum())[:-1], [1.0]])
        ratios = np.exp(2.0 * span * np.diff(falls)) - 1.0
        return float(48.0 * (ratios**2).sum())

    found = [bound(rng.normal(0.0, 0.3, grid.size - 1)) for _ in range(COMPETITORS)]
    start = rng.normal(0.0, 0.2, grid.size - 1)
    search = minimize(lambda v: np.log(bound(v)), start, method="BFGS", options={"maxiter": 60})
    found.append(float(np.exp(search.fun)))
    return at_most(best, min(found))


def log_snr_is_geometric(case: Case) -> Reading:
    """(4.6): snr_k = snr_0 R^(k / K) is the log-SNR grid."""
    n = case.sigmas.size - 1
    snr, ratio = case.sigmas[0] ** -2, (case.sigmas[0] / case.sigmas[-1]) ** 2
    return relative(geometric_grid(case) ** -2.0, snr * ratio ** (np.arange(n + 1) / n))


def geometric_rate(case: Case) -> Reading:
    """(4.7): E_disc <= 16 (..) K (R^(1/K) - 1)^2 on the geometric grid."""
    ratio = float((case.sigmas[0] / case.sigmas[-1]) ** 2)
    bound = bounds.geometric_bound(case.sigmas.size - 1, ratio, _shannon(case))
    return at_most(disc(case.toy, geometric_grid(case)).sum(), bound)


def many_steps(case: Case) -> Reading:
    """(4.7), second form: for K >= log R the bound is at most 16 (e - 1)^2 (..) log^2(R) / K."""
    ratio = float((case.sigmas[0] / case.sigmas[-1]) ** 2)
    h, least = _h(case), int(np.ceil(np.log(ratio)))
    steps = np.array([least, least + 1, 2 * least, 10 * least, 1000 * least])
    left = [bounds.geometric_bound(int(k), ratio, h) for k in steps]
    return at_most(left, 16.0 * RATE**2 * (h * h + h + 1.0) * np.log(ratio) ** 2 / steps)


def growth(case: Case) -> Reading:
    """A step of (4.9): R^(1/K) - 1 <= (e - 1) log(R) / K for K >= log R."""
    ratio = float((case.sigmas[0] / case.sigmas[-1]) ** 2)
    least = int(np.ceil(np.log(ratio)))
    steps = np.array([least, least + 1, 2 * least, 10 * least, 1000 * least])
    return at_most(np.expm1(np.log(ratio) / steps), RATE * np.log(ratio) / steps)


def rate_is_one(case: Case) -> Reading:
    """E_disc on the geometric grid falls as 1 / K: the slope between 32 and 64 steps."""
    ends = float(case.sigmas[0]), float(case.sigmas[-1])
    found = [disc(case.toy, log_snr_sigmas(k, *ends)).sum() for k in ORDER_STEPS]
    fitted = float(np.log(found[0] / found[1]) / np.log(ORDER_STEPS[1] / ORDER_STEPS[0]))
    return Reading(abs(fitted - 1.0), 0.0, f"order {fitted:.4f}")


def noise_errors(case: Case, sigmas: Array) -> Array:
    """E |eps* - eps_hat|^2 at all but the last level, eps = (x - D) / sigma, by own quadrature."""
    out = []
    for level in sigmas[:-1].tolist():

        def f(x: Array, s: float = level) -> Array:
            best = (x - denoise(case.toy, x, s).real) / s
            return np.asarray((best - (x - case.wrong.denoise(x, s)) / s) ** 2)[None]

        out.append(float(expect(case.toy, level, f)[0]))
    return np.array(out)


def approximation_on_geometric(case: Case) -> Reading:
    """Proposition 3 (4.8): E_approx = (R^(1/K) - 1) / 2 sum E |eps* - eps_hat|^2."""
    grid = geometric_grid(case)
    ratio = float((grid[0] / grid[-1]) ** 2)
    left = bounds.approximation_error(grid, errors(case, grid)).sum()
    return relative(left, bounds.geometric_approximation(ratio, noise_errors(case, grid)))


def both_errors(case: Case) -> Reading:
    """(4.9): E_disc + E_approx <= 16 (e-1)^2 (..) log^2 R / K + (e-1)/2 log R mean eps error."""
    top, low = float(case.sigmas[0]), float(case.sigmas[-1])
    ratio = (top / low) ** 2
    steps = int(np.ceil(np.log(ratio)))
    grid = log_snr_sigmas(steps, top, low)
    found = disc(case.toy, grid).sum()
    found += bounds.approximation_error(grid, errors(case, grid)).sum()
    mean = float(noise_errors(case, grid).mean())
    return at_most(found, bounds.geometric_kl_bound(steps, ratio, _shannon(case), mean))


def renyi_form(case: Case) -> Reading:
    """Remark 5: (4.7) with h, without Assumption 2."""
    ratio = float((case.sigmas[0] / case.sigmas[-1]) ** 2)
    bound = bounds.geometric_bound(case.sigmas.size - 1, ratio, _h(case))
    return at_most(disc(case.toy, geometric_grid(case)).sum(), bound)


def flattened(points: Array) -> Array:
    """The same K points in K coordinates, (K, K), with the same distances to rounding.

    Noise in the other directions carries no information about x0, so that d does not enter.
    """
    offsets: Array = points - points[0]
    if points.shape[1] <= len(points):
        return offsets
    flat: Array = np.transpose(np.asarray(np.linalg.qr(offsets.T, mode="r"), dtype=np.float64))
    return flat


def codebook(case: Case, d: int) -> Mixture:
    """A codebook with the weights of the case's points and entries from N(0, I) in d dimensions."""
    p = probabilities(case.toy)
    return Mixture(p, flattened(case.rng.normal(size=(p.size, d))), 0.0)


def dimension_free(case: Case) -> Reading:
    """Theorem 1 for codebooks with the same weights in 1 to 10^4 dimensions: one bound for all.

    The left side is snr^2 E tr Cov^2 by Monte Carlo, at SNRs near which the points become distinct.
    """
    h = _h(case)
    found = []
    for d in DIMENSIONS:
        toy = codebook(case, d)
        for share in (0.5, 1.0, 2.0):
            # Squared distances are about 2 d, and the points become distinct near snr d = 2 H.
            sigma = float(np.sqrt(share * d / (2.0 * h + 0.5)))
            y = toy.sample_noisy(SAMPLES, sigma, case.seed)
            found.append(float(np.mean(toy.posterior_frobenius(y, sigma) ** 2)) / sigma**4)
    reading = at_most(found, bounds.mmse_slope_bound(1.0, h))
    tops = np.array(found).reshape(len(DIMENSIONS), -1).max(axis=1)
    return reading._replace(
        detail=f"{', '.join(f'{v:.3g}' for v in tops)} <= {bounds.mmse_slope_bound(1.0, h):.3g}"
    )


def dimension_free_disc(case: Case) -> Reading:
    """(4.7) for the same codebooks, with E_disc by Monte Carlo on a grid at the points' scale."""
    h, readings = _h(case), []
    for d in DIMENSIONS:
        toy = codebook(case, d)
        scale = float(np.sqrt(d / (2.0 * h + 0.5)))
        grid = scale * np.geomspace(4.0, 0.25, 7)
        found = information.curves(toy, grid, samples=SAMPLES, seed=case.seed)
        assert found.conditional_entropy is not None  # points are discrete
        steps = bounds.discretisation_error(grid, found.mmse, found.conditional_entropy)
        readings.append(at_most(steps.sum(), bounds.geometric_bound(6, 256.0, h)))
    reading = worst(readings)
    shown = ", ".join(r.detail.split(" ")[0] for r in readings)
    return reading._replace(detail=f"{shown} <= {readings[0].detail.split(' ')[-1]}")
