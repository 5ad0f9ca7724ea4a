"""The mmse of a 1-D mixture at many noise levels, and its derivatives by the mixture.

The channel is x = x0 + sigma eps. With N_k = weights[k] N(x; means[k], stds[k]^2 + sigma^2),
p = sum_k N_k, D = E[x0 | x], u_k = E[x0 | x, k] - D and g_k = Var(x0 | x, k),

    mmse = E[(x0 - D)^2] = sum_k int N_k (g_k + u_k^2) dx.

D minimises E[(x0 - D)^2], so that the derivatives of the minimum are those with D held fixed (the
envelope theorem). With D' = Var(x0 | x) / sigma^2:

    d mmse / d log weights[k] = int N_k (g_k + u_k^2 - mmse) dx
    d mmse / d means[k]       = 2 int N_k (1 - D') u_k dx
    d mmse / d log stds[k]    = 2 int N_k (1 - D') (g_k + u_k (E[x0 | x, k] - means[k])) dx

All levels are computed together, on Gauss-Legendre panels. `toys.information` gives twelve digits,
but one level at a time, and no derivatives.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory.checks import Array
from toys import kernels

Ints = NDArray[np.int64]

MOST_RUNGS = 24  # on either side of a component
CLOSE = 0.8  # distance, in those of a ladder, at which a rung makes no panel


class Accuracy(NamedTuple):
    """How fine a quadrature is.

    Attributes:
        nodes: Number of Gauss-Legendre nodes per panel.
        digits: Nats below the mmse at which a component is left out of a panel.
        turn: Largest change of the log odds of two components over a panel, in nats.
    """

    nodes: int
    digits: float
    turn: float


FINE = Accuracy(20, 26.0, 20.0)  # relative error of the mmse below 1e-10
MEDIUM = Accuracy(10, 14.0, 36.0)  # below 1e-4
COARSE = Accuracy(6, 11.0, 36.0)  # below 3e-3


class Panels(NamedTuple):
    """Panels of a quadrature over x at every level, and the components that count on each.

    Attributes:
        level: Index of the noise level of every panel, shape (P,).
        middle: Middles, shape (P,), in data units.
        half: Half lengths, shape (P,), in data units.
        panel: Panel of every pair of a panel and a component, shape (A,), not falling.
        component: Component of every pair, shape (A,).
        sums: Sparse matrix (P, A) that sums over the pairs of a panel.
        work: Memory for values at the n nodes of the pairs, shape (4, A, n). New arrays of this
            size in every call would take twice the time, most of it in the operating system.
    """

    level: Ints
    middle: Array
    half: Array
    panel: Ints
    component: Ints
    sums: Any
    work: Array


def mmse_and_jacobian(
    weights: Array, means: Array, stds: Array, sigma: Array, panels: Panels | None = None
) -> tuple[Array, Array]:
    """The mmse at M levels, shape (M,), and its derivatives, shape (M, 3, K).

    The mmse is in squared data units. The derivatives are with respect to the log weights (which
    are normalised again), the means and the log stds, in this order.

    Args:
        weights: Weights, shape (K,), positive, of sum 1.
        means: Means, shape (K,), in data units.
        stds: Standard deviations, shape (K,), positive, in data units.
        sigma: Noise levels, shape (M,), positive, in data units.
        panels: Panels of this mixture, or of one that is close to it, at the same levels.
            Default: those of FINE, for a relative accuracy of 1e-9.
    """
    if panels is None:
        panels = mixture_panels(weights, means, stds, sigma, FINE)
    z, quad = _gauss(panels.work.shape[2])
    at, of = panels.panel, panels.component
    level = panels.level[at]
    noise, var = sigma[level] ** 2, stds[of] ** 2
    total = var + noise
    pull, own = noise / total, var * noise / total  # own is g_k
    gap, n_k, u, other = panels.work
    np.multiply(panels.half[at, None], z, out=gap)
    gap += (panels.middle[at] - means[of])[:, None]
    np.multiply(gap, gap, out=n_k)
    n_k *= (-0.5 / total)[:, None]
    n_k += np.log(weights[of] * panels.half[at] / np.sqrt(2.0 * np.pi * total))[:, None]
    np.exp(n_k, out=n_k)
    p = _summed(panels, n_k)
    # u_k by way of E[x0 | x, k] - x = -pull gap, which does not cancel at low noise.
    np.multiply(n_k, gap, out=u)
    centre = _summed(panels, u, -pull) / p
    np.multiply(gap, -pull[:, None], out=u)
    u -= centre.take(at, axis=0, out=other, mode="clip")
    moment = np.multiply(n_k, u, out=other)
    u *= moment  # N_k u_k^2
    out = np.empty((3, at.size))
    out[0] = own * (n_k @ quad) + u @ quad
    # 1 - D' is summed over components: D' is close to 1 at low noise.
    kept = _summed(panels, n_k, pull) - _summed(panels, u, 1.0 / noise)
    kept *= quad / p
    kept = kept.take(at, axis=0, out=u, mode="clip")
    out[1] = 2.0 * np.einsum("an,an->a", moment, kept)
    moment *= gap
    out[2] = own * np.einsum("an,an->a", n_k, kept)
    out[2] += var / total * np.einsum("an,an->a", moment, kept)
    out[2] *= 2.0
    m, k_max = sigma.size, means.size
    cells = level * k_max + of
    sums = np.empty((m, 3, k_max))
    for i, values in enumerate(out):
        sums[:, i] = np.bincount(cells, values, m * k_max).reshape(m, k_max)
    mmse = sums[:, 0].sum(axis=1)
    sums[:, 0] -= weights * mmse[:, None]
    return mmse, sums


def mixture_panels(
    weights: Array, means: Array, stds: Array, sigma: Array, accuracy: Accuracy
) -> Panels:
    """Panels on which the posterior of a mixture is resolved at every level.

    Every component has a ladder of rungs as far as it counts, which is where N_k times the squared
    range of the data is not negligible compared with the mmse. Its rungs are so close that the log
    odds of two equally wide components turn by at most accuracy.turn between two of them. A rung
    that is close to the last one, by its own ladder's measure, makes no panel.

    Args:
        weights: Weights, shape (K,), positive, of sum 1.
        means: Means, shape (K,), in data units.
        stds: Standard deviations, shape (K,), positive, in data units.
        sigma: Noise levels, shape (M,), positive, in data units.
        accuracy: How fine the panels are.
    """
    from scipy import sparse  # slow to import

    total = stds**2 + sigma[:, None] ** 2
    std = np.sqrt(total)
    # The mmse is at least what remains if the component is known.
    least = (stds**2 * sigma[:, None] ** 2 / total) @ weights
    size = float(np.ptp(means)) ** 2 + float(np.max(stds)) ** 2
    log_mass = np.log(weights) + (np.log(2.0 * size / least) + accuracy.digits)[:, None]
    reach = np.sqrt(2.0 * np.maximum(log_mass, 0.5) + 0.1)
    rungs = int(np.clip(np.ceil(2.0 * reach.max() ** 2 / accuracy.turn), 2, MOST_RUNGS))
    places = means[:, None] + (std * reach)[:, :, None] * np.linspace(-1.0, 1.0, 2 * rungs + 1)
    close = np.repeat((CLOSE * std * reach / rungs)[:, :, None], 2 * rungs + 1, axis=2)
    close[:, :, -1] = 0.0  # the last rung always cuts: beyond it a panel may be long
    level, left, right = _cut(places, close)
    middle, half = 0.5 * (left + right), 0.5 * (right - left)
    nearest = np.maximum(np.abs(middle[:, None] - means) - half[:, None], 0.0)
    width = np.minimum(half[:, None] / std[level], 1.0)  # of what a panel holds of a component
    counts = np.log(width) - 0.5 * nearest**2 / total[level] > -log_mass[level]
    seen = counts.any(axis=1)
    level, middle, half, counts = level[seen], middle[seen], half[seen], counts[seen]
    panel, component = np.nonzero(counts)
    ends = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
    entries = (np.ones(panel.size), np.arange(panel.size), ends)
    sums = sparse.csr_matrix(entries, shape=counts.shape[:1] + panel.shape)
    work = np.empty((4, panel.size, accuracy.nodes))
    return Panels(level, middle, half, panel, component, sums, work)


def _cut(places: Array, close: Array) -> tuple[Ints, Array, Array]:
    """Level, left and right end of the panels between rungs, shape (P,) each.

    Args:
        places: Rungs of every component at every level, shape (M, K, n).
        close: Distance from the last rung within which a rung makes no panel, shape (M, K, n).
    """
    m, count = places.shape[0], places.shape[1] * places.shape[2]
    places, close = places.reshape(m, count), close.reshape(m, count)
    begin = np.arange(m + 1) * count
    order = (np.argsort(places, axis=1) + begin[:m, None]).ravel()
    places, close = places.ravel()[order], close.ravel()[order]
    cuts = np.empty((3, places.size + m))
    # The kernel leaves out rungs within 0.4 of their scale.
    found = kernels.cut_cells(
        places[begin[:m]], places[begin[1:] - 1], begin, places, close / 0.4, cuts
    )
    level, left, right = cuts[:, :found]
    good = right > left
    return level[good].astype(np.int64), left[good], right[good]


def _summed(panels: Panels, values: Array, factors: Array | None = None) -> Array:
    """Sum over the components of each panel of factors (A,) times values (A, n), shape (P, n)."""
    panels.sums.data[:] = 1.0 if factors is None else factors
    return np.asarray(panels.sums @ values)


@lru_cache(8)
def _gauss(nodes: int) -> tuple[Array, Array]:
    """Nodes and weights of the Gauss-Legendre rule on [-1, 1]."""
    z, quad = np.polynomial.legendre.leggauss(nodes)
    return z, quad
