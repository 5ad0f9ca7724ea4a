"""Products of Gaussians: the fit of a profile, exact divergences and gradients, the optimum."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.gaussian import gaussian_kl_data_model, gaussian_mmse, table_variances
from theory.gaussian_optimum import gaussian_optimal_sigmas
from theory.levels import Span
from theory.profiles.profile import Profile
from theory.schedules.gaussian_sum import (
    GaussianSum,
    fit_gaussian_sum,
    gaussian_sum_optimum,
    gaussian_sum_starts,
)
from theory.schedules.standard import edm_sigmas, log_snr_sigmas
from theory.solvers.derivative import TableGradient
from theory.solvers.gaussian_kl import gaussian_sum_kl
from theory.solvers.registry import SOLVERS, shape_table
from theory.solvers.table import SolverTable

Array = np.ndarray
GRID = np.geomspace(0.002, 80.0, 128)
ITERATIONS = ("re_multi", "re_multi_2025", "evodiff")  # whose weights depend on the state
TABLES = [name for name in SOLVERS if name not in ITERATIONS]
WEIGHTS, SCALES = np.array([0.2, 0.5, 0.3]), np.array([0.05, 0.4, 2.0])


def spectrum(kind: str, d: int = 64) -> Array:
    """Standard deviations of d coordinates with a mean square of 1/4."""
    c = 1.0 / np.arange(1.0, d + 1) if kind == "1/f" else np.where(np.arange(d) < d // 8, 1.0, 0.03)
    return 0.5 * c / np.sqrt(np.mean(c**2))


def profile(c: Array, noise: float = 0.0, seed: int = 0, *, known: bool = True) -> Profile:
    """The profile of a product of Gaussians, with relative white noise."""
    mmse = np.sum([gaussian_mmse(GRID, scale) for scale in c], axis=0)
    draws = np.random.default_rng(seed).normal(size=GRID.size)
    stderr = noise * mmse if known and noise else None
    return Profile(c.size, GRID, mmse * (1.0 + noise * draws), stderr)


def kl_of(c: Array, table: SolverTable) -> float:
    """KL(data || sampler) per coordinate, from the variances of the table."""
    variances = [(s**2 + table.end**2, table_variances(table, s)[-1]) for s in c]
    return float(np.mean([gaussian_kl_data_model(*pair) for pair in variances]))


def random_table(seed: int, *, noisy: bool, end: float) -> SolverTable:
    """Rows with history in states and outputs; seven or fewer, so that nothing explodes."""
    rng = np.random.default_rng(seed)
    rows, reach = int(rng.integers(1, 8)), rng.integers(1, 5, 2)
    back = np.arange(rows)[:, None]
    keep, weights = (rng.normal(size=(rows, h)) * (np.arange(h) <= back) for h in reach)
    keep[:, 0] += 1.0
    noise = rng.uniform(0.1, 1.0, rows) * noisy
    sigma = np.exp(rng.normal(size=rows))
    return SolverTable(sigma, keep, weights, noise, rng.uniform(0.5, 3.0), end, 1, 1)


def directional(table: SolverTable, start: str, seed: int) -> tuple[float, float]:
    """Derivative of the divergence along a random direction of the entries: ours, differences."""
    rng = np.random.default_rng(seed)
    gradient = gaussian_sum_kl(table, WEIGHTS, SCALES, start)[1]
    moves = {}
    for field in ("sigma", "keep", "weights", "noise"):
        values = getattr(table, field)
        moves[field] = values * rng.normal(size=values.shape)  # what is 0 stays 0
    ours = sum(float((getattr(gradient, field) * move).sum()) for field, move in moves.items())

    def kl(share: float) -> float:
        moved = {field: getattr(table, field) + share * move for field, move in moves.items()}
        return gaussian_sum_kl(replace(table, **moved), WEIGHTS, SCALES, start)[0]

    h, stencil = 1e-3, ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
    return ours, sum(w * (kl(k * h) - kl(-k * h)) / h for k, w in stencil)


@pytest.mark.parametrize("start", ["noise", "data"])
@given(seed=st.integers(0, 2**32 - 1), noisy=st.booleans(), end=st.sampled_from([0.0, 0.3]))
def test_the_divergence_of_any_table_is_exact(
    start: str, seed: int, noisy: bool, end: float
) -> None:
    """Against the covariances of `table_variances`, one scale at a time."""
    table = random_table(seed, noisy=noisy, end=end)
    ours = gaussian_sum_kl(table, WEIGHTS, SCALES, start)[0]
    exact = 0.0
    for weight, c in zip(WEIGHTS, SCALES, strict=True):
        first = np.hypot(c, table.sigma[0]) if start == "data" else table.start_std
        variance = table_variances(replace(table, start_std=float(first)), c)[-1]
        exact += weight * gaussian_kl_data_model(c**2 + end**2, variance)
    assert ours == pytest.approx(exact, rel=1e-7)  # deterministic tables may come near variance 0


@pytest.mark.parametrize("start", ["noise", "data"])
@pytest.mark.parametrize("seed", range(12))
def test_the_gradient_of_any_table_is_the_slope(start: str, seed: int) -> None:
    table = random_table(seed, noisy=True, end=0.3)
    ours, slope = directional(table, start, seed)
    assert ours == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("zero", [False, True], ids=["stop", "zero"])
@pytest.mark.parametrize("name", TABLES)
def test_every_solver_has_its_divergence_and_gradient(name: str, zero: bool) -> None:
    sigmas = edm_sigmas(9, 80.0, 0.02, "zero" if zero else "stop")
    table = shape_table(name, sigmas, 80.0)
    assert isinstance(table, SolverTable)
    for start in ("noise", "data"):
        ours, slope = directional(table, start, 5)
        assert ours == pytest.approx(slope, rel=1e-7)
    kl = gaussian_sum_kl(table, np.full(3, 1 / 3), SCALES)[0]
    assert kl == pytest.approx(kl_of(SCALES, table), rel=1e-10)


def test_small_divergences_and_tiny_scales_keep_their_digits() -> None:
    """With (c / sigma)^2 = 1e-16 the sampler of DDIM is exact to the last digit but for D at 0."""
    sigmas = log_snr_sigmas(200, 80.0, 0.002)
    for c in (1e-10, 1e-3):
        kl = gaussian_sum_kl(SOLVERS["dpmpp_2m"](sigmas, 80.0), np.ones(1), np.array([c]))[0]
        exact = kl_of(np.array([c]), SOLVERS["dpmpp_2m"](sigmas, 80.0))
        assert 0.0 <= kl < 1e-7
        assert kl == pytest.approx(exact, rel=1e-6, abs=1e-28)
    table = SOLVERS["ddim"](np.append(sigmas, 0.0), 80.0)
    kl, gradient = gaussian_sum_kl(table, np.ones(1), np.array([1e-6]))
    # D has the variance c^4 / sigma_min^2: a ratio of (sigma_min / c)^2 = 4e6.
    assert kl == pytest.approx(0.5 * (4e6 - 1 - np.log(4e6)), rel=1e-5)
    assert all(np.isfinite(getattr(gradient, f)).all() for f in TableGradient.__annotations__)


def test_a_sampler_that_diverges_has_an_infinite_divergence() -> None:
    keep = np.full((8, 1), 1e60)
    table = SolverTable(np.ones(8), keep, np.zeros((8, 1)), np.zeros(8), 1.0, 1.0, 1, 8)
    assert gaussian_sum_kl(table, WEIGHTS, SCALES)[0] == np.inf


@pytest.mark.parametrize("c", [0.003, 0.4, 30.0])
def test_a_gaussian_is_fitted_by_its_neighbours(c: float) -> None:
    """Of scales 10 % apart the nearest take all the weight, and the mmse is right to 1e-3."""
    fit = fit_gaussian_sum(profile(np.full(5, c)))
    assert fit.misfit < 1e-3
    assert fit.misfit_error is None
    near = np.abs(np.log(fit.scales / c)) < 0.11
    assert fit.weights[near].sum() > 0.98
    assert 0.99 < fit.weights.sum() <= 1.0 + 1e-6
    np.testing.assert_allclose(fit.mmse_per_dim(GRID), gaussian_mmse(GRID, c), rtol=3e-3)


@pytest.mark.parametrize("kind", ["1/f", "two"])
def test_the_fit_of_a_spectrum_has_its_shares(kind: str) -> None:
    c = spectrum(kind)
    fit = fit_gaussian_sum(profile(c))
    assert fit.misfit < 1e-3
    for level in (0.1, 0.3, 1.0):
        share = fit.weights[fit.scales > level].sum()
        assert (c > 1.25 * level).mean() - 0.02 <= share <= (c > 0.8 * level).mean() + 0.02
    assert fit.weights @ fit.scales**2 == pytest.approx(0.25, rel=1e-3)


def test_coordinates_far_below_the_lowest_level_are_left_out() -> None:
    c = np.append(np.full(3, 0.5), 1e-7)
    fit = fit_gaussian_sum(profile(c))
    assert fit.weights.sum() == pytest.approx(0.75, rel=1e-3)


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_noise_makes_no_scales_below_those_of_the_data(known: bool) -> None:
    """White noise of 2 % where mmse = d sigma^2 looks like a share of tiny scales."""
    shares = []
    for seed in range(20):
        fit = fit_gaussian_sum(profile(np.full(4, 0.5), 0.02, seed, known=known))
        shares.append(fit.weights[fit.scales < 0.1].sum())
    assert np.mean(np.array(shares) > 0.0) < 0.2  # a third without the rule for low scales
    assert max(shares) < 0.02


def test_small_scales_of_a_few_coordinates_are_not_lost_in_noise() -> None:
    for seed in range(5):
        fit = fit_gaussian_sum(profile(np.append(np.full(18, 0.5), [0.01, 0.01]), 0.02, seed))
        assert fit.weights[fit.scales < 0.1].sum() == pytest.approx(0.1, abs=0.04)


def test_the_misfit_leaves_out_the_noise() -> None:
    """A product has none beyond its errors; points, which are no product, have a large one."""
    fit = fit_gaussian_sum(profile(spectrum("1/f"), 0.02, 3))
    assert fit.misfit_error is not None
    assert fit.misfit < 2 * fit.misfit_error < 0.03
    mmse = GRID**2 * 0.5 * (1.0 - np.tanh(8.0 * (1.0 - GRID))) + 1e-9
    points = Profile(1, GRID, np.minimum(mmse, 1.0), 0.02 * np.minimum(mmse, 1.0))
    found = fit_gaussian_sum(points)
    assert found.misfit > 10 * found.misfit_error


@pytest.mark.parametrize("terminal", ["stop", "zero"])
@pytest.mark.parametrize("solver", ["stochastic_ddim", "ddim"])
def test_the_optimum_for_one_scale_is_the_closed_form(solver: str, terminal: str) -> None:
    make = partial(SOLVERS[solver], start_std=80.0)
    one = GaussianSum(np.ones(1), np.array([0.4]), 0.0, None)
    span = Span(8, 80.0, 0.002, terminal)
    found = gaussian_sum_optimum(one, make, gaussian_sum_starts(one, make, span))
    best = gaussian_optimal_sigmas(8, 80.0, 0.002, terminal, c=0.4, solver=solver)
    np.testing.assert_allclose(found.sigmas, best, rtol=1e-6)
    assert set(found.values) == {"law", "log_snr", "half"}
    assert found.value == min(found.values.values())
    assert max(found.values.values()) == pytest.approx(found.value, rel=1e-8)


@pytest.mark.parametrize("solver", ["stochastic_ddim", "ddim", "heun"])
@pytest.mark.parametrize("kind", ["1/f", "two"])
def test_levels_from_the_profile_are_as_good_as_those_from_the_data(kind: str, solver: str) -> None:
    """Within 1.01 of the optimum from an exact profile, and 1.05 in the median from a noisy one."""
    c, make, span = spectrum(kind), partial(SOLVERS[solver], start_std=80.0), Span(8, 80.0, 0.002)
    truth = GaussianSum(np.full(c.size, 1 / c.size), c, 0.0, None)
    best = gaussian_sum_optimum(truth, make, gaussian_sum_starts(truth, make, span))
    fit = fit_gaussian_sum(profile(c))
    found = gaussian_sum_optimum(fit, make, gaussian_sum_starts(fit, make, span))
    assert kl_of(c, make(found.sigmas)) < 1.01 * best.value
    costs = []
    for seed in range(5):
        noisy = fit_gaussian_sum(profile(c, 0.02, seed))
        found = gaussian_sum_optimum(noisy, make, {"near": best.sigmas})
        costs.append(kl_of(c, make(found.sigmas)) / best.value)
    assert np.median(costs) < 1.05


def test_errors_of_second_order_all_but_cancel() -> None:
    """DPM-Solver++(2M) at eight steps: a small share of what the published schedules give."""
    c, make = spectrum("two"), partial(SOLVERS["dpmpp_2m"], start_std=80.0)
    published = min(kl_of(c, make(f(8, 80.0, 0.002))) for f in (edm_sigmas, log_snr_sigmas))
    for noise, share in ((0.0, 1 / 20), (0.02, 1 / 10)):
        fit = fit_gaussian_sum(profile(c, noise))
        found = gaussian_sum_optimum(fit, make, {"log_snr": log_snr_sigmas(8, 80.0, 0.002)})
        assert kl_of(c, make(found.sigmas)) < share * published


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fit_gaussian_sum(Profile(1, [1, 2, 3, 4], [0, 1, 1, 1])),
            "profile must have a positive mmse at four levels, got 3",
        ),
        (
            lambda: gaussian_sum_kl(SOLVERS["ddim"]([2, 1]), WEIGHTS, SCALES, "law"),
            "start must be one of noise, data, got 'law'",
        ),
        (
            lambda: gaussian_sum_optimum(GaussianSum(WEIGHTS, SCALES, 0.0, None), print, {}),
            "starts must hold levels to start from, got none",
        ),
        (
            lambda: gaussian_sum_optimum(
                GaussianSum(WEIGHTS, SCALES, 0.0, None), SOLVERS["ddim"], {"up": np.array([1, 2])}
            ),
            "start must fall strictly, got 2 after 1 at index 1",
        ),
    ],
)
def test_errors_say_what_to_change(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message
