"""Divergences and distances by Monte Carlo, by paper A's protocol (appendix F.1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.measure.bins import bin_counts, bins_kl, distinct_points
from benchmarks.measure.divergences import check_terminal
from benchmarks.measure.measured import Measured, without
from theory.checks import Array
from theory.solvers.reducing import Solver
from toys import sampling
from toys.mixture import Mixture

KDE_STD = 1e-2  # paper A, appendix F.1
KDE_POINTS = 1000
START_SAMPLES = 2**16
METRICS = ("kl_data_model", "kl_start", "w1", "ks")
BIASED = "a kernel estimate of std {std:.3g}; its bias is not known and not in the error"


def measures(
    toy: Mixture,
    table: Solver,
    metrics: tuple[str, ...],
    start: str,
    paths: int,
    repeats: int = 1,
    seed: int = 0,
) -> dict[str, Measured]:
    """Metrics of a sampler from its paths, by name.

    Args:
        toy: The data, whose exact denoiser the sampler calls.
        table: The solver.
        metrics: Names in METRICS; any other has no value.
        start: Initial law, "noise" or "data".
        paths: Number of paths per repeat.
        repeats: Number of repeats; repeat r has the paths r paths .. (r + 1) paths - 1.
        seed: Seed of the paths, an integer in [0, 2**32).
    """
    check_terminal(toy, table.end)
    kls: list[Measured] = []
    distances: list[tuple[float, float]] = []
    needed = bool({"kl_data_model", "w1", "ks"} & set(metrics))
    for r in range(repeats if needed else 0):
        x = sampling.sample(toy, table, paths, seed, r * paths, start)
        if "kl_data_model" in metrics:
            kls.append(kernel_kl(toy, x, table.end, seed, r * KDE_POINTS))
        if toy.dim == 1 and {"w1", "ks"} & set(metrics):
            distances.append(sample_distances(toy, x, table.end))
    found = {}
    for name in metrics:
        if name == "kl_data_model":
            found[name] = summary(kls, paths)
        elif name == "kl_start":
            found[name] = sampled_start_kl(toy, table, start)
        elif name in ("w1", "ks") and toy.dim == 1:
            values = [pair[name == "ks"] for pair in distances]
            found[name] = _mean(values, paths)
        else:
            found[name] = without(
                f"{name} must have an exact law, got Monte Carlo in d = {toy.dim}",
                "Monte Carlo",
                paths=paths,
                repeats=repeats,
            )
    return found


def _mean(values: list[float], paths: int) -> Measured:
    """Mean over repeats, with its standard error if there are several."""
    n = len(values)
    sd = float(np.std(values, ddof=1)) if n > 1 else None
    error = None if sd is None else sd / n**0.5
    mean = float(np.mean(values))
    return Measured(mean, error, "standard", "Monte Carlo", None, None, paths, n, sd, mean, 0, None)


def summary(kls: list[Measured], paths: int) -> Measured:
    """Mean KL over repeats; no value if a repeat was infinite.

    Args:
        kls: KL of each repeat.
        paths: Number of paths per repeat.
    """
    values = [kl.value for kl in kls if kl.value is not None]
    empty = [int(kl.empty_bins or 0) for kl in kls if kl.value is None]
    n, first = len(kls), kls[0]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    error = first.error if n == 1 else None if sd is None else sd / float(len(values)) ** 0.5
    gaps = [kl.gap for kl in kls if kl.gap is not None]
    reason = f"{len(empty)} repeats with up to {max(empty)} empty bins" if empty else first.reason
    return Measured(
        None if empty or not values else float(np.mean(values)),
        0.0 if empty else error,
        "standard",
        first.route,
        reason,
        float(np.mean(gaps)) if gaps and not empty else None,
        paths,
        n,
        sd,
        float(np.mean(values)) if values else None,
        len(empty),
        max(empty, default=0),
    )


def kernel_kl(toy: Mixture, x: Array, sigma_end: float, seed: int, path: int = 0) -> Measured:
    """KL(data || sampler) from samples x (n, d), by paper A's protocol (appendix F.1).

    Points after a last level of 0: frequencies of bins around the points, with the bias of order
    1 / n as the gap. Otherwise a Gaussian kernel estimate of std 1e-2 (in d > 1 Scott's factor
    times the smallest component std) against KDE_POINTS data points, paths path, path + 1, ... of
    the seed. Its error is that of the mean over those points.
    """
    if sigma_end == 0 and toy.is_points:
        return _frequencies(toy, x)
    data, std = toy.sample(KDE_POINTS, seed, path, sigma_end), kde_std(toy, len(x), sigma_end)
    log_q = Mixture(np.ones(len(x)), x, 0.0).log_density(data, std)
    gaps = toy.log_density(data, sigma_end) - log_q
    error = float(gaps.std(ddof=1) / np.sqrt(gaps.size))
    reason = BIASED.format(std=std)
    return Measured(float(gaps.mean()), error, "standard", "kernel estimate", reason, empty_bins=0)


def _frequencies(toy: Mixture, x: Array) -> Measured:
    """KL of the weights of points from the frequencies of samples in their bins."""
    weights, counts = bin_counts(toy, x)
    n, empty = len(x), int((counts == 0).sum())
    if empty:
        reason = f"{empty} empty bins"
        return Measured(None, None, "standard", "bins", reason, empty_bins=empty)
    q = counts / n
    value = bins_kl(weights, np.log(q))
    error = float(np.sqrt(max(float(weights**2 @ (1.0 / q)) - 1.0, 0.0) / n))
    gap = float(weights @ ((1.0 - q) / q)) / (2.0 * n)
    return Measured(value, error, "standard", "bins", None, gap, empty_bins=0)


def kde_std(toy: Mixture, n: int, sigma_end: float) -> float:
    """Std of the kernel density estimate of `kernel_kl` from n samples, in data units."""
    if toy.dim == 1:
        return KDE_STD
    return float(n ** (-1.0 / (toy.dim + 4)) * toy.noisy_stds(sigma_end).min())


def sampled_start_kl(toy: Mixture, table: Solver, start: str) -> Measured:
    """KL of the true law at the first level from the solver's initial law, by Monte Carlo."""
    if start == "data":
        return Measured(0.0, 0.0, route="by definition")
    sigma, std = table.begin, float(table.start_std)
    x = toy.sample(START_SAMPLES, 0, 0, sigma)
    log_q = -0.5 * np.sum((x / std) ** 2, axis=1)
    log_q -= toy.dim * (np.log(std) + 0.5 * np.log(2 * np.pi))
    gaps = toy.log_density(x, sigma) - log_q
    error = float(gaps.std(ddof=1)) / float(START_SAMPLES) ** 0.5
    return Measured(
        float(gaps.mean()), error, "standard", "Monte Carlo", None, None, START_SAMPLES, 1
    )


def sample_distances(toy: Mixture, x: Array, sigma_end: float) -> tuple[float, float]:
    """Wasserstein-1 and Kolmogorov distance of samples (n, 1) and the 1-D data law."""
    x = np.sort(x[:, 0])
    std = toy.noisy_stds(sigma_end)[:, 0]
    grid = np.unique(np.concatenate([x, np.linspace(x[0] - 1, x[-1] + 1, 4096), toy.means[:, 0]]))
    gap = np.abs(_data_cdf(toy, sigma_end, std)(grid) - np.searchsorted(x, grid, "right") / x.size)
    return float(gap[:-1] @ np.diff(grid)), float(gap.max())


def _data_cdf(toy: Mixture, sigma_end: float, std: Array) -> Callable[[Array], Array]:
    """The distribution function of the data at the last level."""
    if sigma_end == 0 and toy.is_points:
        points, weights = distinct_points(toy)
        steps = np.concatenate([[0.0], np.cumsum(weights)])
        return lambda grid: steps[np.searchsorted(points[:, 0], grid, side="right")]
    from scipy.special import ndtr

    parts = list(zip(toy.weights, toy.means[:, 0], std, strict=True))
    return lambda grid: np.asarray(sum(w * ndtr((grid - m) / s) for w, m, s in parts))
