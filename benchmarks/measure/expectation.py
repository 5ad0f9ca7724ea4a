"""Expectations over x = x0 + sigma eps of a 1-D mixture, of functions of any sign.

The panels are those of the suite's information curves, which are fine near every component and
every crossing. They are bisected until each expectation converges relative to E |f|. The claims
write out the functions that they average, so the two sides of an identity are separate integrals.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from theory.checks import Array
from toys.information.channel import Channel
from toys.information.information import merged
from toys.information.quadrature import NODES, WEIGHTS, integrals
from toys.mixture import Mixture

RTOL = 1e-11
NOISE_NODES, NOISE_WEIGHTS = np.polynomial.legendre.leggauss(16)


def expect(toy: Mixture, sigma: float, f: Callable[[Array], Array], rtol: float = RTOL) -> Array:
    """E f(x), shape (Q,), to `rtol` of E |f(x)|.

    Args:
        toy: One-dimensional data.
        sigma: Noise level.
        f: Maps states (n,) to values (Q, n).
        rtol: Relative tolerance.
    """
    parts = Channel(merged(toy), sigma)
    anchor, left, right = parts.panels()
    cuts = np.unique(np.append(parts.centres[anchor] + left, parts.centres[anchor[-1]] + right[-1]))

    def weighted(x: Array) -> Array:
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(toy.log_density(x, sigma)) * f(x))

    half = 0.5 * np.diff(cuts)
    x = (0.5 * (cuts[1:] + cuts[:-1]))[:, None] + half[:, None] * NODES
    size = np.abs(weighted(x.ravel())).reshape(-1, *x.shape) @ WEIGHTS @ half
    # One tolerance for all Q functions would let a small one pass unresolved.
    scale = np.where(size > 0, size, 1.0)
    found = integrals(lambda y: weighted(y) / scale[:, None], cuts, rtol, 1e-13)[0]
    return np.asarray(found * scale)


def over_log_sigma(
    low: float, high: float, f: Callable[[float], Array], panels_per_octave: float = 3.0
) -> Array:
    """Integral of f over log sigma from low to high, shape (Q,), by Gauss-Legendre panels.

    f maps one level to values (Q,). Curves of mixtures are smooth in log sigma; three panels of
    16 nodes per octave resolve points 8 sigma apart.
    """
    count = max(1, int(np.ceil(panels_per_octave * np.log2(high / low))))
    edges = np.linspace(np.log(low), np.log(high), count + 1)
    total: Array | float = 0.0
    for a, b in pairwise(edges):
        for node, weight in zip(NOISE_NODES, NOISE_WEIGHTS, strict=True):
            level = float(np.exp(0.5 * (a + b) + 0.5 * (b - a) * node))
            total = total + 0.5 * (b - a) * weight * np.atleast_1d(f(level))
    return np.asarray(total)
