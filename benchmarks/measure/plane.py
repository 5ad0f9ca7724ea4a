"""KL divergences and sliced distance of a sampler of a two-dimensional mixture, from its samples.

The laws are compared at the last level, terminal policy "stop".
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from theory.checks import Array
from toys.mixture import Mixture

PARTS = 4  # groups in which samples are counted, for biases and standard errors
BLUR = 0.1  # std of the noise added to both laws before they are compared, data units
PIXEL = BLUR / 4.0
HALF = 480  # pixels from the middle of the picture to its edge
FAR = 16.0  # stds at which the blur is cut; pixels further from every sample get density `tiny`
DIRECTIONS, CDF_POINTS = 16, 2**15
SLICED = 2**19  # samples for the sliced distance


def pixels(toy: Mixture, x: Array) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Mask of the states (n, 2) inside the picture, and the flat pixel index of each of those."""
    at = np.floor((x - toy.mean) / PIXEL).astype(np.int64) + HALF
    inside = np.all((at >= 0) & (at < 2 * HALF), axis=1)
    return inside, at[inside, 0] * (2 * HALF) + at[inside, 1]


def picture_of(toy: Mixture, sigma: float) -> Array:
    """Log density of x0 + sigma eps at the centres of the pixels, flattened."""
    axis = (np.arange(-HALF, HALF) + 0.5) * PIXEL
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return toy.log_density(points + toy.mean, sigma)


def blurred_kls(toy: Mixture, sigma: float, counts: Array, outside: int) -> dict[str, Any]:
    """Both KLs of the blurred laws, corrected for their bias of order 1 / n, and standard errors.

    Args:
        toy: The data.
        sigma: The last level.
        counts: Samples in each pixel, shape (PARTS, pixels).
        outside: Number of samples outside the picture. If it is positive, KL(data || model) is
            that of the samples inside, and KL(model || data) is None.
    """
    log_p = picture_of(toy, float(np.hypot(sigma, BLUR)))
    whole = kls(log_p, counts.sum(axis=0))
    parts = np.array([kls(log_p, part) for part in counts])
    forward, backward = whole - (parts.mean(axis=0) - whole) / (PARTS - 1)
    stderr = parts.std(axis=0, ddof=1) / PARTS**0.5
    reason = f"{outside} samples lie outside of the picture" if outside else None
    return {
        "kl_data_model": float(forward),
        "kl_data_model_stderr": float(stderr[0]),
        "kl_model_data": None if outside else float(backward),
        "kl_model_data_stderr": None if outside else float(stderr[1]),
        "kl_reason": reason,
        "blur": BLUR,
    }


def kls(log_p: Array, counts: Array) -> Array:
    """KL(data || model) and KL(model || data) of one picture of counts."""
    # Counting into pixels already adds the variance of a uniform law on a pixel.
    width = (BLUR**2 - PIXEL**2 / 12.0) ** 0.5 / PIXEL
    picture = counts.reshape(2 * HALF, 2 * HALF) / counts.sum()
    q = gaussian_filter(picture, width, mode="constant", truncate=FAR).ravel()
    log_p, p = log_p + 2.0 * np.log(PIXEL), np.exp(log_p) * PIXEL**2
    log_q = np.log(np.maximum(q, np.finfo(float).tiny))
    forward = p @ (log_p - log_q)
    backward = np.where(q > 0, q * (log_q - log_p), 0.0).sum()
    return np.array([forward, backward])


def sliced(toy: Mixture, sigma: float, x: Array) -> float:
    """Sliced Wasserstein-2 distance of samples (n, 2) and x0 + sigma eps, in data units."""
    total = 0.0
    middles = (np.arange(len(x)) + 0.5) / len(x)
    for k in range(DIRECTIONS):
        angle = np.pi * (k + 0.5) / DIRECTIONS
        direction = np.array([np.cos(angle), np.sin(angle)])
        means = toy.means @ direction
        stds = np.sqrt(toy.noisy_stds(sigma) ** 2 @ direction**2)
        far = 9.0 * float(stds.max())
        grid = np.linspace(means.min() - far, means.max() + far, CDF_POINTS)
        cdf = ndtr((grid[:, None] - means) / stds) @ toy.weights
        data = np.interp(middles, cdf, grid)
        total += float(np.mean((np.sort(x @ direction) - data) ** 2))
    return float((total / DIRECTIONS) ** 0.5)
