"""Exact divergences of samplers on products of Gaussians, with gradients by the table's entries.

The data are independent coordinates N(0, c_j^2), of which the share w_j has the scale c_j. The
exact denoiser D = c^2 / (c^2 + sigma^2) x of a coordinate is linear, and so is every sampler that
is a table. Weights and divergences are per coordinate, divergences in nats.
"""

import numpy as np

from theory.checks import Array, one_of
from theory.solvers.derivative import TableGradient
from theory.solvers.table import SolverTable

STARTS = ("noise", "data")


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def gaussian_sum_kl(
    table: SolverTable, weights: Array, scales: Array, start: str = "noise"
) -> tuple[float, TableGradient]:
    """KL(data || sampler) at the end of a table for a product of Gaussians, and its gradient.

    The exact denoiser D = c^2 / (c^2 + sigma^2) x is linear, and so is the sampler. Let b_r be the
    derivative of the last state with respect to x_r, from a recursion backwards through the rows.
    The last variance is then V = b_0^2 var(x_0) + sum_r (b_{r+1} noise[r])^2. Its derivative with
    respect to the share that x_{r-h} has in x_{r+1} is 2 b_{r+1} cov(x_{r-h}, last state), where
    the covariances come from a recursion forwards. The divergence of a coordinate is
    (v / V - 1 - log(v / V)) / 2 with v = c^2 + end^2.

    Args:
        table: Any table. Its law is compared with the data at table.end; if that is 0, the output
            of the last call is compared with the data themselves.
        weights: Shares of the coordinates, shape (J,).
        scales: Standard deviations of the coordinates, shape (J,), positive, in data units.
        start: "noise" for initial states of standard deviation start_std, "data" for the law of the
            data at the first level, whose derivative is not part of the gradient.

    Returns:
        The divergence per coordinate, in nats, and its derivatives with respect to the entries. A
        variance out of the range of float64 gives an infinite divergence.
    """
    shrink = (scales / np.hypot(scales, table.sigma[:, None])) ** 2  # (rows, J)
    gains = _gains(table, shrink)
    is_data = one_of("start", start, STARTS) == "data"
    first = scales**2 + table.begin**2 if is_data else np.full(scales.size, table.start_std**2)
    back = _backwards(gains)
    variance = back[0] ** 2 * first + ((back[1:] * table.noise[:, None]) ** 2).sum(axis=0)
    excess = (scales**2 + table.end**2 - variance) / variance  # v / V - 1
    kl = float(weights @ _half_excess(excess))
    slope = -0.5 * weights * excess / variance  # of the divergence in V
    covariance = _forwards(gains, back[0] * first, back[1:] * table.noise[:, None] ** 2)
    to_sigma, to_keep, to_weights = _by_shares(table, shrink, 2.0 * slope * back[1:], covariance)
    to_noise = 2.0 * table.noise * (back[1:] ** 2 @ slope)
    return kl if kl < np.inf else np.inf, TableGradient(to_sigma, to_keep, to_weights, to_noise)


def _by_shares(
    table: SolverTable, shrink: Array, pull: Array, covariance: Array
) -> tuple[Array, Array, Array]:
    """Derivatives with respect to sigma, keep and weights, through the shares of states in states.

    Args:
        table: The table.
        shrink: The denoiser's factor c^2 / (c^2 + sigma^2), shape (rows, J).
        pull: Derivatives with respect to a share of x_{r-h} in x_{r+1}, for a unit covariance of
            x_{r-h} with the last state, shape (rows, J).
        covariance: Covariances of all states with the last one, shape (rows + 1, J).
    """
    rows, (keeps, outputs) = table.nfe, (table.keep.shape[1], table.weights.shape[1])
    to_keep, to_weights = np.zeros_like(table.keep), np.zeros_like(table.weights)
    to_shrink = np.zeros_like(shrink)
    for h in range(min(max(keeps, outputs), rows)):
        by_share = pull[h:] * covariance[: rows - h]
        if h < keeps:
            to_keep[h:, h] = by_share.sum(axis=1)
        if h < outputs:
            to_weights[h:, h] = (by_share * shrink[: rows - h]).sum(axis=1)
            to_shrink[: rows - h] += by_share * table.weights[h:, h, None]
    by_level = -2.0 * shrink * (1.0 - shrink) / table.sigma[:, None]
    return (to_shrink * by_level).sum(axis=1), to_keep, to_weights


def _gains(table: SolverTable, shrink: Array) -> list[Array]:
    """Shares of x_{r-h} in x_{r+1}, one array (rows, J) for each h; 0 before the start."""
    out = []
    for h in range(max(table.keep.shape[1], table.weights.shape[1])):
        gain = np.zeros_like(shrink)
        if h < table.keep.shape[1]:
            gain += table.keep[:, h, None]
        if h < min(table.weights.shape[1], table.nfe):
            gain[h:] += table.weights[h:, h, None] * shrink[: table.nfe - h]
        out.append(gain)
    return out


def _backwards(gains: list[Array]) -> Array:
    """Derivatives of the last state with respect to every state, shape (rows + 1, J)."""
    rows, count = gains[0].shape
    out = np.zeros((rows + 1, count))
    out[rows] = 1.0
    for r in range(rows - 1, -1, -1):
        for h in range(min(len(gains), rows - r)):
            out[r] += out[r + h + 1] * gains[h][r + h]
    return out


def _forwards(gains: list[Array], first: Array, added: Array) -> Array:
    """Covariances of every state with the last one, shape (rows + 1, J).

    Args:
        gains: Shares of earlier states in every state.
        first: Covariance of the initial state, shape (J,).
        added: Covariance that each row adds by its noise, shape (rows, J).
    """
    out = np.concatenate([first[None], added])
    for r in range(len(added)):
        for h in range(min(len(gains), r + 1)):
            out[r + 1] += gains[h][r] * out[r - h]
    return out


def _half_excess(x: Array) -> Array:
    """(x - log(1 + x)) / 2 without cancellation at small x, shape of x."""
    near = np.abs(x) < 1e-3
    u = np.where(near, x, 0.0)
    series = u**2 * (0.25 - u * (1 / 6 - u * (0.125 - u * (0.1 - u / 12))))
    return np.where(near, series, 0.5 * (x - np.log1p(x)))
