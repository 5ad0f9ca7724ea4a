"""The slope of the mmse by an independent route, and moments that bound it (paper B).

The posterior is written out here without the suite's denoiser, so that claims about the slope
compare two routes.
One-dimensional mixtures; SNR (gamma in the paper) = 1 / sigma^2.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from benchmarks.measure.expectation import expect
from theory.bounds import discretisation_error
from theory.checks import Array
from toys.information import information
from toys.mixture import Mixture


def posterior(
    toy: Mixture, x: NDArray[Any], sigma: float
) -> tuple[NDArray[Any], NDArray[Any], Array]:
    """Responsibilities (n, K), components' posterior means (n, K), and their variances (K,).

    x may be complex, for derivatives by a complex step.
    """
    means, var = toy.means[:, 0], toy.stds[:, 0] ** 2
    total = var + sigma**2
    gap = x[:, None] - means
    logs = np.log(toy.weights) - 0.5 * np.log(total) - 0.5 * gap**2 / total
    r = np.exp(logs - logs.real.max(axis=1, keepdims=True))
    r = r / r.sum(axis=1, keepdims=True)
    return r, means + var / total * gap, var * sigma**2 / total


def variance(toy: Mixture, x: Array, sigma: float) -> Array:
    """Var(x0 | x), shape (n,), as a sum over pairs: no cancellation where one component wins."""
    r, centres, own = posterior(toy, x, sigma)
    gaps = np.abs(centres[:, :, None] - centres[:, None, :]) ** 2
    return np.asarray((r * own).sum(axis=1) + 0.5 * np.einsum("ni,nj,nij->n", r, r, gaps))


def entropies(toy: Mixture, sigmas: Array) -> tuple[Array, Array]:
    """The mmse and H[x0 | x] up to a constant, at each level, by the suite's engine."""
    found = information.curves(toy, sigmas)
    told, held = found.mutual_information, found.conditional_entropy
    # For points the smaller of the two is used: the other is near its limit H, and its changes
    # keep few digits.
    if toy.is_points and held is not None and told.max() > held.max():
        return found.mmse, held
    return found.mmse, -told


def disc(toy: Mixture, sigmas: Array) -> Array:
    """E_disc of every step, by the suite's engine."""
    return discretisation_error(sigmas, *entropies(toy, sigmas))


WIDEST = 2.0  # largest b for which l = 1/2 is among the exponents of (SE)
LEAST_EXPONENT = 1e-2  # below it the quotient that gives nu equals the variance to rounding


def probabilities(toy: Mixture) -> Array:
    """Weights of the distinct points, (K,)."""
    return information.merged(toy).weights


def content(p: Array) -> tuple[Array, float]:
    """Information contents minus their mean H, shape (K,), and H."""
    surprise = -np.log(p)
    mean = float(p @ surprise)
    return surprise - mean, mean


def smallest_nu(p: Array, b: float = WIDEST) -> float:
    """The smallest nu for which a finite law satisfies (SE) with this b, by scan and refinement."""
    excess, _ = content(p)
    if np.ptp(excess) < 1e-12:
        return 0.0

    def square(exponent: float) -> float:
        return 2.0 * float(np.log1p(p @ np.expm1(exponent * excess))) / exponent**2

    top = 1.0 / b
    side = np.linspace(LEAST_EXPONENT * top, top, 40)
    scan = np.concatenate([-side[::-1], side])
    values = [square(float(u)) for u in scan]
    best = int(np.argmax(values))
    low, high = scan[max(best - 1, 0)], scan[min(best + 1, scan.size - 1)]
    found = [float(p @ excess**2), max(values)]
    if low * high > 0:
        fine = minimize_scalar(lambda u: -square(u), bounds=(low, high), method="bounded")
        found.append(-float(fine.fun))
    return float(np.sqrt(max(found)))


def steepness(toy: Mixture, sigma: float) -> float:
    """|dmmse / dsnr| = E Var(x0 | x)^2 (C.2) of a 1-D mixture."""
    return float(expect(toy, sigma, lambda x: (variance(toy, x, sigma) ** 2)[None])[0])


def distinct_pairs(toy: Mixture) -> tuple[Mixture, Array]:
    """Points without repetition, and their distances (K, K)."""
    plain = information.merged(toy)
    return plain, np.abs(plain.means - plain.means.T)


def posterior_fourth(plain: Mixture, apart: Array, y: Array, sigma: float) -> Array:
    """E[|X - X'|^4 given y] of two independent draws from the posterior, shape (n,)."""
    r = np.asarray(posterior(plain, y, sigma)[0]).real
    return np.asarray(np.einsum("ni,nj,ij->n", r, r, apart**4))


def fourth_moment(toy: Mixture, sigma: float) -> float:
    """M4 = E |X - X'|^4 of 1-D points."""
    plain, apart = distinct_pairs(toy)
    return float(expect(plain, sigma, lambda y: posterior_fourth(plain, apart, y, sigma)[None])[0])
