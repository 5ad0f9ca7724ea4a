"""Divergences between the data and a sampler: from the exact law, and from samples.

Data law: x0 + sigma_end eps, sigma_end = 0 after terminal "zero". Points with sigma_end = 0 are
compared by bins around them (half width 0.49 of the smallest gap), everything outside the bins
being one more outcome, of data probability 0. KL in nats, its direction in the name.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtr

from theory.checks import Array
from theory.solvers.reducing import Solver
from toys.information.quadrature import NODES, WEIGHTS, integrals, resolve
from toys.laws.law import Law, settle, settle_all
from toys.mixture import Mixture

BIN_SHARE = 0.49
KDE_STD = 1e-2  # paper A, appendix F.1
KDE_POINTS = 1000
KL_REACH = 10.0  # deviations of the data's components that the integrals cover
LADDER = np.array([0.0, 1.5, 3.0, 5.0, 7.0, KL_REACH])


@dataclass(frozen=True)
class Divergence:
    """KL(data || sampler) in nats; None with a reason where it is infinite."""

    kl_data_model: float | None
    error: float
    reason: str | None = None
    empty_bins: int | None = None

    def as_row(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


def exact_kl(toy: Mixture, table: Solver, start: str = "noise", rtol: float = 1e-8) -> Divergence:
    """KL(data || sampler) of a 1-D sampler from its exact law, with the engine's own error."""
    check_terminal(toy, table.end)
    if table.end == 0 and toy.is_points:
        return _exact_bins(toy, table, start, rtol)
    settled = settle(toy, table, partial(kl_to_law, toy, table.end), start, rtol)
    if not np.isfinite(settled.value):
        reason = "the sampler gives no mass to a range where the data have some"
        return Divergence(None, 0.0, reason)
    return Divergence(settled.value, settled.error)


def start_kl(toy: Mixture, sigma: float, start_std: float) -> float:
    """KL of x0 + sigma eps (1-D) from the start N(0, start_std^2), in nats."""

    def f(y: Array) -> Array:
        log_p = toy.log_density(y, sigma)
        log_q = -0.5 * (y / start_std) ** 2 - np.log(start_std) - 0.5 * np.log(2 * np.pi)
        # p log(p/q) - p + q >= 0 integrates to the KL and does not cancel where p is near q.
        return _excess(log_p, log_q)[None]

    std = float(np.hypot(toy.noisy_stds(sigma).max(), start_std))
    centre = float(toy.mean[0])
    far = KL_REACH * std + float(np.abs(toy.means - centre).max())
    cuts = np.unique(np.concatenate([data_cuts(toy, sigma), [centre - far, centre + far]]))
    return float(integrals(f, cuts, 1e-10, 1e-16)[0][0])


def exact_distances(
    toy: Mixture, table: Solver, start: str = "noise", rtol: float = 1e-5
) -> dict[str, float]:
    """Total variation and Wasserstein-1 distance of data and sampler (1-D), with their errors."""
    check_terminal(toy, table.end)
    if table.end == 0 and toy.is_points:
        tv = settle(toy, table, partial(_bins_tv, toy), start, rtol)
        return {"tv": tv.value, "tv_error": tv.error}
    tv, w1 = settle_all(toy, table, partial(_distances, toy, table.end), start, rtol)
    return {"tv": tv.value, "tv_error": tv.error, "w1": w1.value, "w1_error": w1.error}


def sample_kl(
    toy: Mixture, samples: Array, sigma_end: float, seed: int, path: int = 0
) -> Divergence:
    """KL(data || sampler) by paper A's protocol (appendix F.1), from samples (n, d).

    Points after terminal "zero": frequencies of the bins. Otherwise a Gaussian kernel estimate of
    std 1e-2 (in d > 1 Scott's factor times the smallest component std) against KDE_POINTS data
    points, paths path, path + 1, ... of the seed. Its error is the Monte Carlo error of the mean
    over those points; the bias of the kernel estimate is not in it.
    """
    check_terminal(toy, sigma_end)
    if sigma_end == 0 and toy.is_points:
        weights, counts = bin_counts(toy, samples)
        with np.errstate(divide="ignore"):
            return _bins_kl(weights, np.log(counts / len(samples)))
    data = toy.sample(KDE_POINTS, seed, path, sigma_end)
    estimate = Mixture(np.ones(len(samples)), samples, 0.0)
    log_q = estimate.log_density(data, kde_std(toy, len(samples), sigma_end))
    gaps = toy.log_density(data, sigma_end) - log_q
    return Divergence(float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(gaps.size)))


def kde_std(toy: Mixture, n: int, sigma_end: float) -> float:
    """Std of the kernel density estimate of `sample_kl`."""
    if toy.dim == 1:
        return KDE_STD
    return float(n ** (-1.0 / (toy.dim + 4)) * toy.noisy_stds(sigma_end).min())


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


def check_terminal(toy: Mixture, sigma_end: float) -> None:
    """Refuse mixtures of points and densities where no noise is left on the data."""
    if sigma_end == 0 and not toy.is_points and not toy.has_density:
        raise ValueError(
            "terminal must be 'stop' where some stds are 0 and some positive, got 'zero'; "
            "the data have neither bins nor a density"
        )


def data_cuts(toy: Mixture, sigma: float) -> Array:
    """Rising cuts of the data's range, close where the density of x0 + sigma eps is narrow."""
    std = toy.noisy_stds(sigma)[:, 0]
    steps = np.concatenate([-LADDER[:0:-1], LADDER])
    places = (toy.means[:, 0, None] + std[:, None] * steps).ravel()
    sizes = np.repeat(std, steps.size)
    order = np.argsort(places)
    kept = [float(places[order[0]])]
    for place, size in zip(places[order].tolist(), sizes[order].tolist(), strict=True):
        if place - kept[-1] > 0.5 * size:
            kept.append(place)
    return np.array([*kept, float(places[order[-1]])] if places.max() > kept[-1] else kept)


def kl_to_law(toy: Mixture, sigma_end: float, law: Law) -> float:
    """KL(data || law) over the data's range."""
    cuts = _covered_cuts(toy, sigma_end, law)
    if law.holes(float(cuts[0]), float(cuts[-1])):
        return float("inf")

    def f(y: Array) -> Array:
        log_p = toy.log_density(y, sigma_end)
        return np.asarray(np.exp(log_p) * (log_p - law.log_density(y)))[None]

    return float(integrals(f, cuts, 1e-10, 1e-15)[0][0])


def _covered_cuts(toy: Mixture, sigma_end: float, law: Law) -> Array:
    """The data's cuts and the law's folds, the law made ready there."""
    cuts = data_cuts(toy, sigma_end)
    law.cover(float(cuts[0]), float(cuts[-1]), float(toy.noisy_stds(sigma_end).min()))
    folds = law.folds
    inside = folds[(folds > cuts[0]) & (folds < cuts[-1])]
    return np.unique(np.concatenate([cuts, inside]))


def _distances(toy: Mixture, sigma_end: float, law: Law) -> tuple[float, float]:
    """Total variation and Wasserstein-1 distance of data and law."""
    cuts = _covered_cuts(toy, sigma_end, law)
    low, high = law.support
    wide = np.geomspace(1.0, 1.0 + max(high - cuts[-1], cuts[0] - low, 1e-9), 40) - 1.0
    cuts = np.unique(
        np.clip(
            np.concatenate([cuts[0] - wide, cuts, cuts[-1] + wide]),
            min(low, cuts[0]),
            max(high, cuts[-1]),
        )
    )

    def f(y: Array) -> Array:
        return np.exp([toy.log_density(y, sigma_end), law.log_density(y)])

    _, half, values, _ = resolve(f, cuts, 1e-8, 1e-10)
    gap = values[0] - values[1]
    behind = np.concatenate([[0.0], np.cumsum(gap @ WEIGHTS * half)[:-1]])
    gap_cdf = behind[:, None] + half[:, None] * (gap @ _ANTIDERIVATIVE)
    return 0.5 * _absolute_integral(gap, half), _absolute_integral(gap_cdf, half)


def _absolute_integral(values: Array, half: Array) -> float:
    """Integral of the absolute value of a function given at the nodes (P, 16) of panels (P,).

    Panels on which it changes sign are summed over the interpolating polynomial at many
    midpoints: Gauss quadrature does not see the kink.
    """
    crossing = (values.min(axis=1) < 0) & (values.max(axis=1) > 0)
    smooth = np.abs(values[~crossing]) @ WEIGHTS @ half[~crossing]
    fine = np.abs(values[crossing] @ _TO_COEFFICIENTS.T @ _MIDPOINTS).mean(axis=1)
    return float(smooth + 2.0 * fine @ half[crossing])


def _exact_bins(toy: Mixture, table: Solver, start: str, rtol: float) -> Divergence:
    """KL of the points' weights from the bins' probabilities."""
    weights = distinct_points(toy)[1]
    if weights.size == 1:
        return Divergence(0.0, 0.0, empty_bins=0)
    first = _bins_kl(weights, _bin_logs(toy, Law(toy, table, start, 1.0, 20.0)))
    if first.kl_data_model is None:
        return first

    def kl(law: Law) -> float:
        value = _bins_kl(weights, _bin_logs(toy, law)).kl_data_model
        return float("inf") if value is None else value

    settled = settle(toy, table, kl, start, rtol)
    return Divergence(settled.value, settled.error, empty_bins=0)


def _bins_tv(toy: Mixture, law: Law) -> float:
    """Total variation of the points' weights and the bins' probabilities with the outside."""
    weights, q = distinct_points(toy)[1], np.exp(_bin_logs(toy, law))
    return float(0.5 * (np.abs(weights - q).sum() + max(1.0 - q.sum(), 0.0)))


def _bin_logs(toy: Mixture, law: Law) -> Array:
    """Log probability of the bin of every distinct point, (K,)."""
    points = distinct_points(toy)[0][:, 0]
    half = bin_half_width(points[:, None])
    # A denoised state lies between the outer points, so only the inner edges can be reached.
    law.cover(points[0] + half, points[-1] - half, half)
    return law.log_bins(points - half, points + half)


def _bins_kl(weights: Array, log_q: Array) -> Divergence:
    """KL of weights from the log probabilities of bins, -inf for an empty one."""
    empty = int(np.isneginf(log_q).sum())
    if empty:
        return Divergence(None, 0.0, f"{empty} empty bins", empty)
    return Divergence(float(weights @ (np.log(weights) - log_q)), 0.0, empty_bins=0)


def _excess(log_p: Array, log_q: Array) -> Array:
    """P log(p/q) - p + q >= 0, without cancellation where p is near q."""
    t = log_p - log_q
    near = np.abs(t) < 1e-2
    small = np.where(near, t, 0.0)
    # q (t e^t - e^t + 1) by series; directly elsewhere.
    series = small**2 * (0.5 + small * (1 / 3 + small * (1 / 8 + small * (1 / 30 + small / 144))))
    with np.errstate(over="ignore", invalid="ignore"):
        direct = np.exp(log_p) * (t - 1.0) + np.exp(log_q)
    return np.where(near, np.exp(log_q) * series, direct)


# Values at the nodes -> integrals from -1 to each node, exact for polynomials of degree 15.
_VANDER = np.polynomial.legendre.legvander(NODES, NODES.size - 1)
_TO_COEFFICIENTS = (_VANDER * WEIGHTS[:, None] * (np.arange(NODES.size) + 0.5)).T
# Legendre coefficients -> values at 4096 midpoints.
_MIDPOINTS = np.polynomial.legendre.legvander(
    (np.arange(4096) + 0.5) / 2048 - 1.0, NODES.size - 1
).T
_ANTIDERIVATIVE = np.stack(
    [
        np.polynomial.legendre.legval(NODES, np.polynomial.legendre.legint(column, lbnd=-1))
        for column in _TO_COEFFICIENTS.T
    ]
)


def sample_distances(toy: Mixture, samples: Array, sigma_end: float) -> dict[str, float]:
    """Wasserstein-1 and Kolmogorov distance of samples (n, 1) and the 1-D data law."""
    x = np.sort(samples[:, 0])
    std = toy.noisy_stds(sigma_end)[:, 0]
    grid = np.unique(np.concatenate([x, np.linspace(x[0] - 1, x[-1] + 1, 4096), toy.means[:, 0]]))
    if sigma_end == 0 and toy.is_points:
        points, weights = distinct_points(toy)
        data = np.concatenate([[0.0], np.cumsum(weights)])[
            np.searchsorted(points[:, 0], grid, side="right")
        ]
    else:
        data = sum(
            w * ndtr((grid - m) / s)
            for w, m, s in zip(toy.weights, toy.means[:, 0], std, strict=True)
        )
    model = np.searchsorted(x, grid, side="right") / x.size
    gap = np.abs(data - model)
    return {"w1": float(gap[:-1] @ np.diff(grid)), "ks": float(gap.max())}
