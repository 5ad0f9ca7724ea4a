"""Slow, obvious twins of the Loss-Adaptive Schedule (LAS) and of its bound: expected values.

Nothing here imports the project. Equation numbers are those of the LAS paper (Aghapour, Bayraktar
and Zhang, paper B). The data are a mixture of K Gaussians in one dimension, `Mixture` = (weights
(K,), means (K,), stds (K,)); a std of 0 is a point. `tau` = sigma^2 is the time of the forward
process X_tau = X_0 + B_tau, snr = 1 / tau (gamma in the paper). The grid `sigmas`, shape
(n_steps + 1,), falls strictly; step k runs from sigmas[k] to sigmas[k + 1]. With m the denoiser
of `truth`, the imperfect one is

    mhat_sigma(x) = scale * (denoiser of `model` at (x, sigma)) + tilt * x
"""

from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mixture = tuple[Array, Array, Array]

REACH = 9.0  # standard deviations kept on either side: a tail of 2e-19
SEEN = 2 * REACH  # components further apart than this many stds never compete where there is mass
NODES = 8  # Gauss-Legendre nodes in every stretch of log snr of length 1 at most
DIGITS = 14.0  # of the first spatial grid, if `strip` is right; the second has twice as many
DOUBLINGS = 3

# --------------------------------------------------------------------------------------------------
# The schedule: every grid of candidates
# --------------------------------------------------------------------------------------------------


def brute_force(
    snr: Array, risk: Array, phi: Array, n_steps: int, mu: float = 0.0, power: float = 2.0
) -> tuple[float, tuple[int, ...]]:
    """Least objective over all grids of indices 0 = i_0 < ... < i_K = N - 1, and that grid.

    J = sum_k risk[i_k] (phi[i_{k+1}] - phi[i_k]) + mu sum_k |D_{k+1} - D_k|^power with the steps
    D_k = log(snr[i_{k+1}] / snr[i_k]), (6.1); the second sum has K - 1 terms.

    Args:
        snr: Candidates, shape (N,), positive and rising.
        risk: x0-prediction risk there, shape (N,).
        phi: Regularised SNR there, shape (N,), rising.
        n_steps: K, from 1 to N - 1.
        mu: Strength of the smoothness penalty.
        power: Its exponent.
    """
    last = snr.size - 1
    if not 1 <= n_steps <= last:
        raise ValueError(f"n_steps must be from 1 to {last}, got {n_steps}")
    inner = np.array(list(combinations(range(1, last), n_steps - 1)), dtype=np.intp)
    grids = np.pad(inner, ((0, 0), (1, 1)), constant_values=((0, 0), (0, last)))  # (grids, K + 1)
    cost = (risk[grids[:, :-1]] * np.diff(phi[grids], axis=1)).sum(axis=1)
    bends = np.diff(np.log(snr)[grids], n=2, axis=1)  # (grids, K - 1)
    cost += mu * (np.abs(bends) ** power).sum(axis=1)
    best = int(cost.argmin())
    return float(cost[best]), tuple(int(i) for i in grids[best])


# --------------------------------------------------------------------------------------------------
# The bound: mismatch of the paths' drifts
# --------------------------------------------------------------------------------------------------


def log_joint(x: Array, tau: float | Array, mixture: Mixture) -> Array:
    """Log of weight times density of every component at X_tau = x, shape (K, *x.shape)."""
    weights, means, stds = (np.expand_dims(a, tuple(range(1, x.ndim + 1))) for a in mixture)
    v = stds**2 + tau
    return np.asarray(np.log(weights) - 0.5 * np.log(2 * np.pi * v) - 0.5 * (x - means) ** 2 / v)


def denoise(x: Array, tau: float | Array, mixture: Mixture) -> Array:
    """E[X_0 | X_tau = x], the shape of x."""
    _, means, stds = (np.expand_dims(a, tuple(range(1, x.ndim + 1))) for a in mixture)
    logits = log_joint(x, tau, mixture)
    r = np.exp(logits - logits.max(axis=0))
    component = means + stds**2 / (stds**2 + tau) * (x - means)
    return np.asarray((r * component).sum(axis=0) / r.sum(axis=0))


def strip(tau: float, mixture: Mixture, seen: float) -> float:
    """Half-width of the strip about the real line where the denoiser at tau is analytic.

    Components of variance v, `gap` apart, give a sigmoid of slope gap / v, whose poles lie
    pi v / gap off the line. The steepest pair counts, if its sigmoid can be seen at all. This is
    only a first guess for the spacing of a trapezoidal rule, which `path_mismatch` refines.
    """
    _, means, stds = mixture
    v = float(stds.min()) ** 2 + tau
    return float(np.pi * np.sqrt(v) / max(1.0, min(np.ptp(means) / np.sqrt(v), seen)))


def mean_square(
    tau: float,
    tau_k: float,
    truth: Mixture,
    model: Mixture,
    scale: float,
    tilt: float,
    digits: float,
) -> float:
    """E (m_tau(X_tau) - mhat_{tau_k}(X_{tau_k}))^2 for tau < tau_k, over the joint law.

    Forward Markov: X_tau has the truth's density at tau, X_{tau_k} = X_tau + N(0, tau_k - tau).
    The trapezoidal rule with spacing h in both errs by exp(-2 pi width / h) for an integrand
    that is analytic to `width` off the line, and by exp(-2 pi^2 std^2 / h^2) for a Gaussian.
    Both points are nodes of one grid, so that each denoiser is called once per node.
    """
    _, means, stds = truth
    v = stds**2 + tau
    hop = np.sqrt(tau_k - tau)  # std of X_{tau_k} given X_tau
    width_k = min(strip(tau_k, model, np.inf), strip(tau_k, truth, SEEN))
    rate = 2 * np.pi / (digits * np.log(10))
    gauss = np.pi * np.sqrt(2 / (digits * np.log(10)))
    h_hop = min(rate * width_k, gauss * hop)
    h = min(rate * min(strip(tau, truth, SEEN), width_k), gauss * np.sqrt(v.min()), h_hop)
    stride = int(h_hop / h)
    n_hop = int(np.ceil(REACH * hop / (stride * h)))
    offsets = stride * np.arange(-n_hop, n_hop + 1)
    low, high = (means - REACH * np.sqrt(v)).min(), (means + REACH * np.sqrt(v)).max()
    x = low + h * np.arange(int(np.ceil((high - low) / h)) + 1)
    density = np.exp(log_joint(x, tau, truth)).sum(axis=0)
    (rows,) = np.nonzero(density > 1e-17 * density.max())
    x_k = low + h * np.arange(offsets[0], x.size + offsets[-1])
    guess = scale * denoise(x_k, tau_k, model) + tilt * x_k
    exact = denoise(x[rows], tau, truth)
    step = h * offsets / hop
    kernel = np.exp(-0.5 * step**2) * (stride * h) / (hop * np.sqrt(2 * np.pi))
    square = (exact[:, None] - guess[rows[:, None] + (offsets - offsets[0])]) ** 2
    return float(h * (density[rows] @ (square @ kernel)))


def path_mismatch(
    truth: Mixture, model: Mixture, scale: float, tilt: float, sigmas: Array, rtol: float
) -> float:
    """Right side of (3.2) in nats, by quadrature over the joint law of a step's two points.

    1/2 sum_k int E (m_{T-s}(Y_s) - mhat_{T-s_k}(Y_{s_k}))^2 / (T - s)^2 ds; the measure is
    d snr = snr d log snr. Gauss-Legendre in log snr over pieces of a step, trapezoidal rules in
    space. The squares are never expanded, no martingale is used. All rules converge
    geometrically: twice the nodes square the error.

    Args:
        truth: Law of the data.
        model: Law whose denoiser, scaled and tilted, is mhat.
        scale: Factor of that denoiser.
        tilt: Factor of the noisy state itself.
        sigmas: Grid, shape (n_steps + 1,), falling.
        rtol: The last doubling of all the nodes moves the value by less than this fraction.

    Raises:
        RuntimeError: After DOUBLINGS doublings the value still moves.
    """
    last = np.nan
    for doubling in range(DOUBLINGS + 1):
        nodes, weights = np.polynomial.legendre.leggauss(NODES * 2**doubling)
        total = 0.0
        for sigma_k, sigma_next in pairwise(sigmas):
            length = 2 * np.log(sigma_k / sigma_next)
            pieces = int(np.ceil(length))
            for piece in range(pieces):
                for node, weight in zip(nodes, weights, strict=True):
                    snr = np.exp((piece + 0.5 + 0.5 * node) * length / pieces) / sigma_k**2
                    square = mean_square(
                        1 / snr, sigma_k**2, truth, model, scale, tilt, DIGITS * 2**doubling
                    )
                    total += 0.5 * weight * 0.5 * length / pieces * snr * square
        if abs(total - last) <= rtol * abs(total):
            return float(total)
        last = total
    raise RuntimeError(f"path mismatch must converge to rtol={rtol:g}, got {total} after {last}")


def path_mismatch_sampled(
    truth: Mixture,
    model: Mixture,
    scale: float,
    tilt: float,
    sigmas: Array,
    paths: int,
    seed: int,
) -> tuple[float, float]:
    """Monte Carlo twin of `path_mismatch`: mean and standard error over independent paths.

    A path is drawn forwards, from the data up. It visits every level of the grid and one more
    in every step, whose SNR is uniform there: its square is weighted by the step's length in SNR.
    """
    rng = np.random.default_rng(seed)
    weights, means, stds = truth
    component = rng.choice(weights.size, size=paths, p=weights)
    x = rng.normal(means[component], stds[component])
    x += sigmas[-1] * rng.standard_normal(paths)
    total = np.zeros(paths)
    for sigma_next, sigma_k in pairwise(sigmas[::-1]):
        tau = 1 / rng.uniform(sigma_k**-2, sigma_next**-2, paths)
        x += np.sqrt(tau - sigma_next**2) * rng.standard_normal(paths)
        exact = denoise(x, tau, truth)
        x += np.sqrt(sigma_k**2 - tau) * rng.standard_normal(paths)
        guess = scale * denoise(x, sigma_k**2, model) + tilt * x
        total += 0.5 * (sigma_next**-2 - sigma_k**-2) * (exact - guess) ** 2
    return float(total.mean()), float(total.std(ddof=1) / np.sqrt(paths))
