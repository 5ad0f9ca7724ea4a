"""Bins around points, half width 0.49 of the smallest gap; everything outside is one more outcome.

Points without noise have no density. A sampler is compared with them by the probabilities of bins.
"""

import numpy as np

from theory.checks import Array
from toys.laws.transported import BIN_SHARE
from toys.mixture import Mixture


def distinct_points(toy: Mixture) -> tuple[Array, Array]:
    """Distinct points (K, d), in rising order for d = 1, and their weights (K,)."""
    points, label = np.unique(toy.means, axis=0, return_inverse=True)
    return points, np.bincount(label.ravel(), weights=toy.weights).astype(np.float64)


def bin_half_width(points: Array) -> float:
    """0.49 of the smallest distance of two points (n, d); infinite for a single one."""
    if len(points) == 1:
        return float("inf")
    if points.shape[1] == 1:
        return BIN_SHARE * float(np.diff(np.sort(points[:, 0])).min())
    gaps = np.linalg.norm(points[:, None] - points, axis=2)
    return BIN_SHARE * float(gaps[~np.eye(len(points), dtype=bool)].min())


def bin_counts(toy: Mixture, samples: Array) -> tuple[Array, Array]:
    """Weights of the distinct points and the number of samples in the bin of each, (K,) both."""
    points, weights = distinct_points(toy)
    half = bin_half_width(points)
    counts = np.zeros(len(points))
    if toy.dim == 1:
        order = np.sort(samples[:, 0])
        edges = np.searchsorted(order, [points[:, 0] - half, points[:, 0] + half])
        return weights, (edges[1] - edges[0]).astype(float)
    for k, point in enumerate(points):
        counts[k] = np.sum(np.linalg.norm(samples - point, axis=1) <= half)
    return weights, counts


def bins_kl(weights: Array, log_q: Array) -> float:
    """KL of weights (K,) from log probabilities (K,), in nats; infinite if one of those is -inf."""
    return float(weights @ (np.log(weights) - log_q))
