"""The optimal levels for data of many coordinates, from their profile alone.

A product of independent Gaussians N(0, c_j^2) has the mmse sum_j c_j^2 sigma^2 / (c_j^2 + sigma^2),
and every sampler of a table turns it into another product of Gaussians, with an exact divergence.
The profile of the data is fitted by such a product, and its divergence is then minimised. All
numbers are per coordinate: weights are shares of the d coordinates, and divergences are in nats per
coordinate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from theory.checks import Array
from theory.levels import Span
from theory.profiles.profile import Profile
from theory.schedules.law import LEAST_RATIO, law_sigmas
from theory.schedules.search import descend, doubled
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.derivative import Make, levels_gradient
from theory.solvers.gaussian_kl import gaussian_sum_kl

SCALES = 120
NEEDLESS = 0.5  # growth of chi^2 up to which the lowest scales are left out
BEYOND = 3.0  # factor by which the scales of a fit reach beyond the levels of the profile
LEAST_ERROR = 1e-3  # relative; the fit itself is not more accurate


@dataclass(frozen=True, eq=False)
class GaussianSum:
    """A product of Gaussians with the profile of the data.

    Args:
        weights: Shares of the coordinates, shape (J,), positive, with a sum of at most 1. The rest
            of the coordinates have scales too small to be seen.
        scales: Standard deviations c_j of the coordinates, shape (J,), increasing, in data units.
        misfit: Relative root mean square distance of the mmse from that of the data, in excess of
            the standard errors.
        misfit_error: Standard error of the misfit, or None if the profile has no standard errors.
    """

    weights: Array
    scales: Array
    misfit: float
    misfit_error: float | None

    def mmse_per_dim(self, sigma: Array) -> Array:
        """The mmse per coordinate, sum_j w_j c_j^2 sigma^2 / (c_j^2 + sigma^2), shape (m,)."""
        return _curves(sigma, self.scales) @ self.weights


def _curves(sigma: Array, scales: Array) -> Array:
    """The mmse of each scale, shape (m, J)."""
    s = sigma[:, None]
    return np.asarray((s * (scales / np.hypot(scales, s))) ** 2)


def fit_gaussian_sum(profile: Profile) -> GaussianSum:
    """The product of Gaussians whose mmse is nearest to that of a profile.

    It is a non-negative least-squares fit of mmse / d over 120 scales, spaced evenly in the log
    from a third of the lowest level to three times the highest, in units of the standard errors of
    the profile, or else of the mmse itself. The weights sum to at most 1: they are shares of the
    coordinates, of which those with much smaller scales cannot be seen. Noise where the mmse is
    close to d sigma^2 looks like a few coordinates of small scales, which cost many steps. The
    lowest scale is therefore raised as long as chi^2 grows by less than 1/2.

    Args:
        profile: The mmse over noise levels.

    Raises:
        ValueError: The mmse is positive at fewer than four levels.
    """
    seen = profile.mmse / profile.dim >= LEAST_RATIO * profile.sigma**2
    if np.count_nonzero(seen) < 4:
        raise ValueError(f"profile must have a positive mmse at four levels, got {seen.sum()}")
    sigma, mmse, stderr = profile.sigma[seen], profile.mmse[seen], profile.stderr
    errors = np.zeros_like(mmse) if stderr is None else stderr[seen] / mmse
    known, unit = bool(errors.any()), np.maximum(errors, LEAST_ERROR)
    scales = np.geomspace(sigma[0] / BEYOND, sigma[-1] * BEYOND, SCALES)
    relative = _curves(sigma, scales) / (mmse / profile.dim)[:, None]
    weights = _sparing_weights(relative / unit[:, None], 1.0 / unit, known)
    used = weights > 0.0
    misfit = _misfit(relative @ weights - 1.0, errors, known)
    return GaussianSum(weights[used], scales[used], *misfit)


def _sparing_weights(matrix: Array, aim: Array, known: bool) -> Array:
    """Weights of least squares, at least 0 and of sum at most 1, without needless low scales.

    Args:
        matrix: Curves of the scales, lowest scale first, in units of the errors, shape (m, J).
        aim: The curve to fit, in the same units, shape (m,).
        known: Whether the errors are known; otherwise the residuals give their size.
    """
    from scipy.optimize import nnls

    m, count = matrix.shape
    # In the last row the weights and that of scale 0, whose curve is 0, have the sum 1.
    bound = 1e3 * float(aim.max()) * np.sqrt(m)
    full = np.zeros((m + 1, count + 1))
    full[:m, :count], full[m] = matrix, bound
    target = np.append(aim, bound)

    def solve(lowest: int) -> tuple[Array, float]:
        found, distance = nnls(full[:, lowest:], target, maxiter=100 * count)
        return np.append(np.zeros(lowest), found[:-1]), float(distance**2)

    weights, least = solve(0)
    unit = least / max(m - np.count_nonzero(weights), 1)
    limit = least + NEEDLESS * (min(unit, 1.0) if known else unit)
    low, high = 0, count - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if solve(middle)[1] <= limit else (low, middle - 1)
    return solve(low)[0]


def _misfit(excess: Array, errors: Array, known: bool) -> tuple[float, float | None]:
    """Root mean square of relative residuals less that of their errors, and its standard error."""
    squares = excess**2 - errors**2
    misfit = float(np.sqrt(max(float(squares.mean()), 0.0)))
    if not known:
        return misfit, None
    # The variance of (a + e z)^2 is 4 a^2 e^2 + 2 e^4 for a residual a, an error e and normal z.
    spread = 4.0 * np.maximum(squares, 0.0) * errors**2 + 2.0 * errors**4
    error = float(np.sqrt(spread.sum())) / excess.size
    return misfit, error / max(2.0 * misfit, float(np.sqrt(error)))


@dataclass(frozen=True, eq=False)
class GaussianSumOptimum:
    """The best levels for a product of Gaussians, of all searches.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing.
        value: KL(data || sampler) per coordinate there, in nats.
        values: The value that the search from every start has reached, by the name of the start;
            infinite where the search could not begin.
        evaluations: Number of evaluations of the divergence in all searches.
    """

    sigmas: Array
    value: float
    values: dict[str, float]
    evaluations: int


def gaussian_sum_optimum(
    fit: GaussianSum, make: Make, starts: Mapping[str, Array], start: str = "noise"
) -> GaussianSumOptimum:
    """The levels of least divergence for a product of Gaussians, by searches from several starts.

    Args:
        fit: The product of Gaussians.
        make: Builds the table of the solver from levels; start_std and the options are bound. It
            should be one function object, whose structure is then examined once.
        starts: First levels by name, one or more, each of shape (n_steps + 1,); see
            `gaussian_sum_starts`.
        start: Initial law of the sampler, "noise" or "data"; see `gaussian_sum_kl`.

    Raises:
        ValueError: The divergence is finite and positive at no start.
    """

    def objective(sigmas: Array) -> tuple[float, Array]:
        kl, gradient = gaussian_sum_kl(make(sigmas), fit.weights, fit.scales, start)
        return kl, levels_gradient(make, sigmas, gradient)

    minima, values, failure = [], {}, ""
    for name, levels in starts.items():
        try:
            minima.append(descend(objective, levels))
            values[name] = minima[-1].value
        except ValueError as error:
            values[name], failure = np.inf, str(error)
    if not minima:
        raise ValueError(failure or "starts must hold levels to start from, got none")
    best = min(minima, key=lambda minimum: minimum.value)
    return GaussianSumOptimum(best.sigmas, best.value, values, sum(m.evaluations for m in minima))


def gaussian_sum_starts(
    fit: GaussianSum, make: Make, span: Span, start: str = "noise"
) -> dict[str, Array]:
    """Levels to start `gaussian_sum_optimum` from, by name.

    They are the law of the fit, levels uniform in log SNR, and the optimum of half as many steps
    with as many levels again between its own, if that has a level to move.

    Args:
        fit: The product of Gaussians.
        make: Builds the table of the solver from levels.
        span: Number of steps and range of the levels.
        start: Initial law of the sampler, "noise" or "data".
    """
    ends = span.sigma_max, span.sigma_min, span.terminal
    grid = np.geomspace(span.sigma_min, span.sigma_max, 400)
    uniform = log_snr_sigmas(span.n_steps, *ends)
    form = "stochastic" if make(uniform).noise.any() else "deterministic"
    own = Profile(1, grid, fit.mmse_per_dim(grid))
    law = law_sigmas(span.n_steps, *ends, profile=own, form=form)
    starts = {"law": law, "log_snr": uniform}
    half = Span(max(span.n_steps // 2, 1), *ends)
    if half.fractions.size:
        fewer = gaussian_sum_optimum(fit, make, gaussian_sum_starts(fit, make, half, start), start)
        starts["half"] = doubled(fewer.sigmas, span.n_steps, span.terminal)
    return starts
