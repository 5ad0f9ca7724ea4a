"""Bounds of paper B (Aghapour, Bayraktar and Zhang) on KL(true reverse path || sampled path).

The sampler is stochastic DDIM (eta = 1), started from the true law at sigma[0]. Its pathwise KL
bounds the KL of the laws at the last level. The channel is x = x0 + sigma eps, snr = 1 / sigma^2,
and divergences are in nats. Grids are positive, strictly decreasing noise levels of shape
(n_steps + 1,); steps are counted from the high-noise end. The identities take the data as arrays,
the mmse and the conditional entropy H[x0 | x] (up to a constant) at the levels of the grid, since H
falls over a step by half the integral of the mmse over snr.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, monotone, positive, require, vector, whole, within


def discretisation_error(sigmas: ArrayLike, mmse: ArrayLike, entropy: ArrayLike) -> Array:
    """Discretisation error E_disc of each step (eqs. 3.4 and 4.1), shape (n_steps,), in nats.

    It is half the integral of mmse(snr_k) - mmse(snr) over the step in snr.

    Args:
        sigmas: Grid, shape (n_steps + 1,), positive, strictly decreasing, in data units.
        mmse: Values at the grid's levels, shape (n_steps + 1,), in squared data units.
        entropy: H[x0 | x] at the grid's levels, up to a constant, same shape, in nats.
    """
    snr = _snr(sigmas)
    left, h = _like(sigmas, "mmse", mmse)[:-1], _like(sigmas, "entropy", entropy, low=-np.inf)
    return np.asarray(0.5 * np.diff(snr) * left - (h[:-1] - h[1:]))


def approximation_error(sigmas: ArrayLike, denoiser_error: ArrayLike) -> Array:
    """Approximation error E_approx of each step (eq. 3.4), shape (n_steps,), in nats.

    Args:
        sigmas: Grid, shape (n_steps + 1,), positive, strictly decreasing, in data units.
        denoiser_error: E|m - D|^2 at the grid's levels, shape (n_steps + 1,), in squared data
            units, where m is the exact denoiser and x follows the true law. The last is not used.
    """
    return np.asarray(
        0.5 * np.diff(_snr(sigmas)) * _like(sigmas, "denoiser_error", denoiser_error)[:-1]
    )


def pathwise_kl(sigmas: ArrayLike, risk: ArrayLike, entropy: ArrayLike) -> Array:
    """E_disc + E_approx of each step from x0-prediction risks (eq. 5.1), shape (n_steps,), in nats.

    Args:
        sigmas: Grid, shape (n_steps + 1,), positive, strictly decreasing, in data units.
        risk: E|x0 - D|^2 at the grid's levels, shape (n_steps + 1,), in squared data units. The
            last is not used.
        entropy: H[x0 | x] at the grid's levels, up to a constant, same shape, in nats.
    """
    return discretisation_error(sigmas, risk, entropy)


def slope_bound(sigmas: ArrayLike, steepest: ArrayLike) -> float:
    """Bound of E_disc by the slope of the mmse (eq. 4.3), 1/4 sum (dsnr_k)^2 L_k, in nats.

    Args:
        sigmas: Grid, shape (n_steps + 1,), positive, strictly decreasing, in data units.
        steepest: Largest |dmmse / dsnr| on each step, L_k, shape (n_steps,).
    """
    steps = np.diff(_snr(sigmas))
    slopes = vector("steepest", steepest)
    if slopes.shape != steps.shape:
        raise ValueError(f"steepest must have shape {steps.shape}, got {slopes.shape}")
    require(slopes >= 0, "steepest", slopes, "be at least 0")
    return float(0.25 * steps**2 @ slopes)


def mmse_slope_bound(sigma: ArrayLike, renyi_half: float) -> Array:
    """Bound of |dmmse / dsnr| for data on countably many points (eqs. C.2, C.7), shape of sigma.

    The bound is 64 sigma^4 (h^2 + h + 1), where h is the Renyi entropy of order 1/2. Its constant
    is derived here, by integrating the paper's tail bound P(|X - X'| >= r) <=
    exp(h - snr r^2 / 8) / 2 from r^2 = 8 h / snr. With `renyi_half_bound` for h it is the paper's
    theorem 1 (eq. 4.4).

    Args:
        sigma: Noise levels, positive, of any shape, in data units.
        renyi_half: Renyi entropy h of order 1/2, in nats, at least 0.
    """
    s = floats("sigma", sigma)
    require(s > 0, "sigma", s, "be positive")
    return np.asarray(64.0 * _entropic_constant(renyi_half) * s**4)


def renyi_half_bound(entropy: float, nu: float) -> float:
    """Bound H + nu^2 / 4 of the Renyi entropy of order 1/2 (proposition 8), in nats.

    It holds for information contents -log p(X) that are sub-exponential (the paper's assumption
    2): E exp(l (-log p - H)) <= exp(nu^2 l^2 / 2) for |l| <= 1 / b, with b <= 2.

    Args:
        entropy: Shannon entropy H, in nats, at least 0.
        nu: Parameter nu of the assumption, at least 0.
    """
    return float(within("entropy", entropy, 0.0) + within("nu", nu, 0.0) ** 2 / 4.0)


def entropy_bound(sigmas: ArrayLike, renyi_half: float) -> float:
    """Bound of E_disc on any grid (eq. 4.5), 16 (h^2 + h + 1) sum (dsnr_k / snr_k)^2, in nats.

    Args:
        sigmas: Grid, shape (n_steps + 1,), positive, strictly decreasing, in data units.
        renyi_half: Renyi entropy h of order 1/2, in nats, at least 0.
    """
    snr = _snr(sigmas)
    return float(16.0 * _entropic_constant(renyi_half) * np.sum((np.diff(snr) / snr[:-1]) ** 2))


def geometric_bound(n_steps: int, ratio: float, renyi_half: float) -> float:
    """Bound of E_disc on the geometric grid (eq. 4.7), 16 (h^2 + h + 1) K (R^(1/K) - 1)^2, in nats.

    The geometric grid (eq. 4.6) minimises the bound of eq. 4.5. It is made by
    `theory.schedules.standard.log_snr_sigmas`.

    Args:
        n_steps: Number of steps K.
        ratio: R = (sigma_max / sigma_min)^2, above 1.
        renyi_half: Renyi entropy h of order 1/2, in nats.
    """
    steps = whole("n_steps", n_steps, 1)
    growth = np.expm1(_log_ratio(ratio) / steps)
    return float(16.0 * _entropic_constant(renyi_half) * steps * growth**2)


def geometric_approximation(ratio: float, noise_errors: ArrayLike) -> float:
    """E_approx on the geometric grid (eq. 4.8), in nats.

    It is (R^(1/K) - 1) / 2 times the sum of E|eps* - eps_hat|^2 over the K steps.

    Args:
        ratio: R = (sigma_max / sigma_min)^2, above 1.
        noise_errors: E|eps* - eps_hat|^2 at the first K levels of the grid, shape (K,).
    """
    errors = vector("noise_errors", noise_errors)
    require(errors >= 0, "noise_errors", errors, "be at least 0")
    return float(0.5 * np.expm1(_log_ratio(ratio) / errors.size) * errors.sum())


def geometric_kl_bound(
    n_steps: int, ratio: float, renyi_half: float, mean_noise_error: float
) -> float:
    """Bound of the KL on the geometric grid with K >= log R steps (eq. 4.9), in nats.

    The bound is 16 (e - 1)^2 (h^2 + h + 1) log^2(R) / K + (e - 1) / 2 log(R) mean
    E|eps* - eps_hat|^2. It follows from exp(x) - 1 <= (e - 1) x on [0, 1].

    Args:
        n_steps: Number of steps K, at least log R.
        ratio: R = (sigma_max / sigma_min)^2, above 1.
        renyi_half: Renyi entropy h of order 1/2, in nats.
        mean_noise_error: Mean of E|eps* - eps_hat|^2 over the first K levels.

    Raises:
        ValueError: K is below log R, or an argument is out of its range.
    """
    log_ratio = _log_ratio(ratio)
    steps = whole("n_steps", n_steps, 1)
    if steps < log_ratio:
        raise ValueError(f"n_steps must be at least log(ratio) = {log_ratio:.4g}, got {n_steps}")
    rate = np.e - 1.0
    error = float(within("mean_noise_error", mean_noise_error, 0.0))
    discretisation = 16.0 * rate**2 * _entropic_constant(renyi_half) * log_ratio**2 / steps
    return float(discretisation + 0.5 * rate * log_ratio * error)


def _entropic_constant(renyi_half: float) -> float:
    h = float(within("renyi_half", renyi_half, 0.0))
    return h * h + h + 1.0


def _log_ratio(ratio: float) -> float:
    if not positive("ratio", ratio) > 1.0:
        raise ValueError(f"ratio must be above 1, got {ratio:g}")
    return float(np.log(ratio))


def _snr(sigmas: ArrayLike) -> Array:
    """SNR at the levels of a grid."""
    levels = vector("sigmas", sigmas, 2)
    monotone("sigmas", levels, falling=True)
    require(levels > 0, "sigmas", levels, "be positive: a step to 0 has an infinite pathwise KL")
    return levels**-2.0


def _like(sigmas: ArrayLike, name: str, values: ArrayLike, low: float = 0.0) -> Array:
    """Values at the levels of a grid, each at least `low`."""
    out, shape = vector(name, values), np.shape(sigmas)
    if out.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {out.shape}")
    require(out >= low, name, out, f"be at least {low:g}")
    return out
