"""Paper B's channel by an independent route: posteriors, joint laws of two noise levels, steps.

The posteriors and joint laws do not use the suite's denoiser or its information curves, so that the
claims compare two routes. Mixtures are one-dimensional; SNR (gamma in the paper) = 1 / sigma^2 and
tau = sigma^2. A step of the reverse process goes from level a to b < a.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.claims.cases import Case
from benchmarks.measure.mmse_slope import posterior
from theory.checks import Array
from toys.mixture import Mixture

REACH = 9.0  # deviations kept on either side; the tails beyond have mass 2e-19
LONGEST = 2.0  # largest a / b of a step that is integrated in two dimensions
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
HALVINGS = 8
SETTLED = 1e-9  # relative change at the last halving; the remaining error is far smaller
Values = Callable[[Array], Array]
Pair = Callable[[Array, Array], Array]


def denoise(toy: Mixture, x: NDArray[Any], sigma: float) -> NDArray[Any]:
    """E[x0 | x], shape (n,), real or complex."""
    r, centres, _ = posterior(toy, x, sigma)
    return np.asarray((r * centres).sum(axis=1))


def slope(toy: Mixture, x: Array, sigma: float) -> Array:
    """Derivative of the denoiser at x, shape (n,), by a complex step: exact to rounding."""
    tiny = 1e-30
    return np.asarray(denoise(toy, x + 1j * tiny, sigma)).imag / tiny


def given(toy: Mixture, x: float, sigma: float, later: float) -> tuple[Mixture, float, Array]:
    """The law of x0 given x at sigma, and the channel by which X_later adds information.

    X_later = share y + (1 - share) x with y = x0 + extra eps, where x0 has the posterior law and
    1 / extra^2 = 1 / later^2 - 1 / sigma^2. So the later level is a Gaussian channel of that law.

    Returns:
        Posterior as a mixture, extra, and (share, 1 - share).
    """
    r, centres, own = posterior(toy, np.array([x]), sigma)
    kept = r[0] > 1e-280
    law = Mixture(r[0][kept], centres[0][kept].real, np.sqrt(own[kept]))
    share = (sigma - later) * (sigma + later) / sigma**2
    return law, float(later / np.sqrt(share)), np.array([share, (later / sigma) ** 2])


def joint(
    toy: Mixture, low: float, high: float, near: Values, far: Values, combine: Pair
) -> tuple[float, float]:
    """E f and E |f| of f = combine(near(x_low), far(x_high)), by the trapezoidal rule on one grid.

    x_low has the data's density at `low`, and x_high = x_low + hop eps. The spacing is halved until
    E f converges, which is geometric for analytic functions.
    """
    hop = float(np.sqrt((high - low) * (high + low)))
    std = np.hypot(toy.stds[:, 0], low)
    start = float((toy.means[:, 0] - REACH * std).min())
    length = float((toy.means[:, 0] + REACH * std).max()) - start
    h, last = 0.5 * min(float(std.min()), hop), np.nan
    for _ in range(HALVINGS):
        count = int(np.ceil(REACH * hop / h))
        x = start + h * np.arange(int(length / h) + 2)
        gap = (x[:, None] - toy.means[:, 0]) / std
        density = np.exp(-0.5 * gap**2) @ (toy.weights / std) * (h / np.sqrt(2 * np.pi))
        offsets = h * np.arange(-count, count + 1)
        side = offsets[:count]
        kernel = np.exp(-0.5 * (offsets / hop) ** 2) * (h / (hop * np.sqrt(2 * np.pi)))
        wide: Array = np.concatenate([x[0] + side, x, x[-1] - side[::-1]]).astype(np.float64)
        here, there = near(np.asarray(x, dtype=np.float64)), far(wide)
        table = combine(here[:, None], np.asarray(sliding_window_view(there, offsets.size)))
        total = float(density @ (table @ kernel))
        size = float(density @ (np.abs(table) @ kernel))
        if abs(total - last) <= SETTLED * size:
            return total, size
        h, last = 0.5 * h, total
    raise ValueError(f"sigma must be resolved by {HALVINGS} halvings, got {low:g} and {high:g}")


def squared(a: Array, b: Array) -> Array:
    """(a - b)^2, never expanded."""
    return np.asarray((a - b) ** 2)


def mismatch(case: Case, low: float, high: float, guess: Values | None = None) -> float:
    """E (m_low(X_low) - D_high(X_high))^2 over the joint law, D the exact denoiser or `guess`."""

    def exact(level: float) -> Values:
        return lambda x: np.asarray(denoise(case.toy, x, level)).real

    return joint(case.toy, low, high, exact(low), guess or exact(high), squared)[0]


def over_step(f: Callable[[float], float], a: float, b: float) -> float:
    """Integral of f(sigma) dsnr over the step from a down to b, by panels in log SNR."""
    length = 2.0 * np.log(a / b)
    pieces, total = int(np.ceil(length)), 0.0
    for piece in range(pieces):
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            snr = np.exp((piece + 0.5 + 0.5 * node) * length / pieces) / a**2
            total += 0.5 * weight * length / pieces * snr * f(float(snr**-0.5))
    return total


def one_step(case: Case) -> tuple[float, float]:
    """Levels a > b of the case's middle step, shortened to a / b <= LONGEST."""
    k = min(case.sigmas.size // 2, case.sigmas.size - 2)
    a, b = float(case.sigmas[k]), float(case.sigmas[k + 1])
    return a, max(b, a / LONGEST)


def errors(case: Case, sigmas: Array) -> Array:
    """E |m - D|^2 of the wrong denoiser at every level, by the suite's engine."""
    return np.array([case.wrong.error(case.toy, s) for s in sigmas.tolist()])
