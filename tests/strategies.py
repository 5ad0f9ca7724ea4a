"""Random mixtures and tables shared by the tests."""

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from theory.solvers.table import SolverTable
from toys.mixture import Mixture

seeds = st.integers(0, 2**32 - 1)


def random_mixture(seed: int, *, d: int = 1, kind: str = "any", k_max: int = 8) -> Mixture:
    """A mixture of 1 to k_max components of spread about 1; kind: points, density or any."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, k_max + 1))
    stds = 10.0 ** rng.uniform(-2.0, 0.0, (k, d))
    if kind == "points":
        stds[:] = 0.0
    elif kind == "any":
        stds[rng.random(k) < 0.3] = 0.0
    return Mixture(rng.dirichlet(np.full(k, 2.0)) + 1e-3, rng.normal(0.0, 1.0, (k, d)), stds)


def random_sigmas(seed: int, n_steps: int, *, zero: bool = False) -> np.ndarray:
    """Falling levels, uneven, from a few tens to about 0.01, then 0 if asked for."""
    rng = np.random.default_rng(seed)
    inner = np.sort(rng.uniform(0.0, 1.0, n_steps + 1))[::-1]
    sigmas = 10.0 ** (-2.0 + 3.5 * (inner - inner[-1]) / np.ptp(inner))
    if zero:
        sigmas[-1] = 0.0
    return sigmas


def heun_table(sigmas: np.ndarray) -> SolverTable:
    """Heun's rule as a table, two rows per step, written out by hand."""
    rows = []
    for a, b in pairwise(sigmas):
        if b == 0:
            rows.append((a, [0.0, 0.0], [1.0, 0.0]))
            continue
        rows.append((a, [b / a, 0.0], [1 - b / a, 0.0]))
        rows.append((b, [1.0, 0.0], [(a - b) / (2 * b), -(a - b) / (2 * b)]))
    sigma, keep, weights = (np.array(c) for c in zip(*rows, strict=True))
    noise = np.zeros(len(rows))
    return SolverTable(
        sigma, keep, weights, noise, float(sigmas[0]), float(sigmas[-1]), 2, len(sigmas) - 1
    )


def churned_table(sigmas: np.ndarray, churn: float = 0.3) -> SolverTable:
    """Euler steps, each followed by a little noise: no history, noise in most rows, 0 in some."""
    rows = []
    for i, (a, b) in enumerate(pairwise(sigmas)):
        low = b * (1 - churn) if i % 2 == 0 else b
        rows.append((a, [low / a], [1 - low / a], np.sqrt(b**2 - low**2)))
    sigma, keep, weights, noise = (np.array(c) for c in zip(*rows, strict=True))
    return SolverTable(
        sigma, keep, weights, noise, float(sigmas[0]), float(sigmas[-1]), 1, len(sigmas) - 1
    )
