"""Squared errors and amplitudes per channel and frequency (paper A final, algorithm 3).

Samples are (C, H, W) or (C, L). The transform is the orthonormal real-input Fourier transform over
all axes but the channels. A frequency stored for itself and its conjugate counts twice, so that
squared moduli times `multiplicity` add up to the squared error. Vectors (d,) have no frequencies.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks.data import Data
from theory.checks import Array

MOST_IMAGES = 10_000  # the paper's number of images for the amplitudes


def has_spectrum(shape: tuple[int, ...]) -> bool:
    """Whether samples of this shape have frequencies."""
    return len(shape) >= 2


def spectrum(x: Tensor) -> Tensor:
    """Transform of samples (B, C, ...), complex, with half of the last axis stored."""
    out: Tensor = torch.fft.rfftn(x.to(torch.float64), dim=tuple(range(2, x.ndim)), norm="ortho")
    return out


def multiplicity(shape: tuple[int, ...]) -> Array:
    """Number of frequencies that each entry of the transform represents, shape (C, ...)."""
    length = shape[-1]
    last = np.full(length // 2 + 1, 2.0)
    last[0] = 1.0
    if length % 2 == 0:
        last[-1] = 1.0
    return np.ascontiguousarray(np.broadcast_to(last, (*shape[:-1], last.size)))


def radius(shape: tuple[int, ...]) -> Array:
    """Distance of each frequency from 0, in cycles per sample, shape as `multiplicity`."""
    axes = [np.fft.fftfreq(n) * n for n in shape[1:-1]] + [np.fft.rfftfreq(shape[-1]) * shape[-1]]
    square = sum(f**2 for f in np.meshgrid(*axes, indexing="ij"))
    return np.ascontiguousarray(np.broadcast_to(np.sqrt(square), (shape[0], *square.shape)))


def amplitudes(
    data: Data,
    encode: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str = "cpu",
    batch: int = 256,
) -> dict[str, Array]:
    """Two definitions of a frequency's amplitude: the mean and the root mean square modulus.

    They are taken over the first 10 000 samples, encoded if there is an encoder. The zero frequency
    includes the mean, since the paper makes no exception for it.
    """
    n = min(len(data), MOST_IMAGES)
    first, second = torch.zeros(1), torch.zeros(1)
    for i in range(0, n, batch):
        x0 = data.take(slice(i, min(i + batch, n)))
        modulus = spectrum(x0 if encode is None else encode(x0.to(device)).cpu()).abs()
        first = first + modulus.sum(dim=0)
        second = second + (modulus**2).sum(dim=0)
    mean, square = (total.numpy() / n for total in (first, second))
    return {"mean": mean, "rms": np.sqrt(square)}


def radial_mean(values: Array, shape: tuple[int, ...], channel: int) -> tuple[Array, Array]:
    """Mean of `values` (shape as `multiplicity`) over rings of one cycle: radii, means."""
    ring = np.rint(radius(shape)[channel]).astype(int).ravel()
    weight = multiplicity(shape)[channel].ravel()
    keep = ring <= max(shape[1:]) // 2  # larger rings have corners only
    total = np.bincount(ring[keep], weight[keep])
    mean = np.bincount(ring[keep], (weight * values[channel].ravel())[keep]) / total
    return np.arange(total.size, dtype=np.float64), mean


def entries(shape: tuple[int, ...]) -> int:
    """Number of entries in the transform of a sample."""
    return math.prod(shape[:-1]) * (shape[-1] // 2 + 1)
