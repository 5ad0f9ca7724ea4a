"""Gaussian data: information identities, exact laws through tables, and the optimal DDIM grid."""

from collections.abc import Iterator

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from theory import gaussian
from theory.gaussian_optimum import gaussian_optimal_sigmas
from theory.schedules.arctan import arctan_sigmas
from theory.schedules.search import descend
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from theory.solvers.derivative import levels_gradient
from theory.solvers.gaussian_kl import gaussian_sum_kl
from theory.solvers.table import SolverTable

SIGMAS = np.geomspace(1e-8, 1e8, 17)
Array = np.ndarray


@pytest.fixture(autouse=True, scope="module")
def sixty_digits() -> Iterator[None]:
    with mp.workdps(60):
        yield


@pytest.mark.parametrize("c", [1e-8, 0.3, 1e8])
def test_closed_forms_hold_to_every_digit(c: float) -> None:
    """docs/papers/a.md, Common ground: evaluated with 50 digits from sigma = 1e-8 to 1e8."""
    exact = {
        gaussian.gaussian_mmse: lambda s, w: w**2 * s**2 / (w**2 + s**2),
        gaussian.gaussian_entropy_rate: lambda s, w: w**2 / (s * (w**2 + s**2)),
        gaussian.gaussian_mutual_information: lambda s, w: mp.log(1 + w**2 / s**2) / 2,
        gaussian.gaussian_rescaled_entropy: lambda s, w: w * mp.atan(s / w),
    }
    for function, formula in exact.items():
        values = [3 * float(formula(mp.mpf(s), mp.mpf(c))) for s in SIGMAS]
        np.testing.assert_allclose(function(SIGMAS, c, 3), values, rtol=5e-15)
    entropy = [
        float(1.5 * mp.log(2 * mp.pi * mp.e * mp.mpf(c) ** 2 * s**2 / (mp.mpf(c) ** 2 + s**2)))
        for s in map(mp.mpf, SIGMAS)
    ]
    ours = gaussian.gaussian_conditional_entropy(SIGMAS, c, 3)
    np.testing.assert_allclose(ours, entropy, rtol=1e-14, atol=1e-14)


def test_information_and_conditional_entropy_add_up() -> None:
    data_entropy = 2 * 0.5 * np.log(2 * np.pi * np.e * 0.09)
    total = gaussian.gaussian_conditional_entropy(SIGMAS, 0.3, 2)
    total += gaussian.gaussian_mutual_information(SIGMAS, 0.3, 2)
    np.testing.assert_allclose(total, data_entropy, rtol=1e-12)


def test_rescaled_entropy_is_the_integral_of_sigma_times_the_rate() -> None:
    """docs/papers/a.md, Common ground: the integral of s dH is D c arctan(sigma / c)."""
    integral = quad(lambda s: s * gaussian.gaussian_entropy_rate(s, 0.7, 2), 1e-12, 3.0)[0]
    assert gaussian.gaussian_rescaled_entropy(3.0, 0.7, 2) == pytest.approx(integral, rel=1e-10)


@pytest.mark.parametrize("n_steps", [5, 10, 20])
def test_arctan_ddim_variance_is_the_cosine_law_and_no_grid_beats_it(n_steps: int) -> None:
    """The variance is (c^2 + sigma_min^2) cos^(2N)(delta), and every perturbed grid is worse."""
    c, high, low = 0.7, 80.0, 0.02
    start = float(np.hypot(c, high))
    grid = arctan_sigmas(n_steps, high, low, c=c)
    law = gaussian.arctan_ddim_variance(n_steps, high, low, c)
    by_hand = (np.arctan(high / c) - np.arctan(low / c)) / n_steps
    assert law == pytest.approx((c**2 + low**2) * np.cos(by_hand) ** (2 * n_steps), rel=1e-12)
    best = gaussian.table_variances(ddim_table(grid, start), c)[-1]
    assert best == pytest.approx(law, rel=1e-12)
    kl = gaussian.gaussian_kl_data_model(c**2 + low**2, best, 3)
    assert gaussian.arctan_ddim_kl_data_model(n_steps, high, low, c, 3) == pytest.approx(
        kl, rel=1e-10
    )
    rng = np.random.default_rng(n_steps)
    for scale in np.geomspace(1e-4, 0.3, 200):
        moved = grid.copy()
        moved[1:-1] *= np.exp(scale * rng.normal(size=n_steps - 1))
        moved = np.sort(np.clip(moved, low * 1.001, high * 0.999))[::-1]
        moved[[0, -1]] = high, low
        if np.all(np.diff(moved) < 0):
            assert gaussian.table_variances(ddim_table(moved, start), c)[-1] < best


def test_arctan_ddim_kl_keeps_its_digits_at_many_steps() -> None:
    n, high, low, c = 10**6, 80.0, 0.002, 0.5
    delta = (mp.atan(mp.mpf(high) / c) - mp.atan(mp.mpf(low) / c)) / n
    r = mp.cos(delta) ** (2 * n)
    exact = float((1 / r - 1 + mp.log(r)) / 2)
    assert exact < 1e-11
    ours = gaussian.arctan_ddim_kl_data_model(n, high, low, c)
    assert ours == pytest.approx(exact, rel=1e-11, abs=0)


def test_fine_ddim_reaches_the_data_law() -> None:
    """Stochastic and deterministic DDIM converge to c^2 + sigma_min^2 at order one in 1 / N."""
    for make in (ddim_table, stochastic_ddim_table):
        errors = []
        for n_steps in (500, 1000):
            sigmas = log_snr_sigmas(n_steps, 80.0, 0.02)
            table = make(sigmas, float(np.hypot(0.7, 80.0)))
            errors.append(abs(gaussian.table_variances(table, 0.7)[-1] - (0.49 + 0.0004)))
        assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.05)


def kl_of(sigmas: Array, c: float, start: str, solver: str = "stochastic_ddim") -> float:
    """KL(data || sampler) on N(0, c^2), from the variances of the table."""
    make = {"stochastic_ddim": stochastic_ddim_table, "ddim": ddim_table}[solver]
    table = make(sigmas, 80.0 if start == "noise" else float(np.hypot(80.0, c)))
    variance = gaussian.table_variances(table, c)[-1]
    return gaussian.gaussian_kl_data_model(c**2 + table.end**2, variance)


def exact_optimum(n_steps: int, high: float, low: float, c: float) -> Array:
    """Levels whose ratios r of sigma^2 / (sigma^2 + c^2) obey r = (1 + r'^2) / 2."""

    def ratios(last: mp.mpf) -> list[mp.mpf]:
        found = [mp.exp(-last)]
        for _ in range(n_steps - 1):
            found.append((1 + found[-1] ** 2) / 2)
        return found[::-1]

    top, bottom = (mp.mpf(s) ** 2 / (mp.mpf(s) ** 2 + mp.mpf(c) ** 2) for s in (high, low))
    least, most = mp.log(top / bottom) / n_steps, mp.log(top / bottom)
    for _ in range(220):
        middle = (least + most) / 2
        is_low = -sum(mp.log(r) for r in ratios(middle)) < mp.log(top / bottom)
        least, most = (middle, most) if is_low else (least, middle)
    shares = [top]
    for r in ratios(least):
        shares.append(shares[-1] * r)
    return np.array([float(c * mp.sqrt(u / (1 - u))) for u in shares])


@pytest.mark.parametrize("c", [1e-8, 1e-4, 0.5, 1e4, 1e8])
def test_optimal_levels_hold_to_every_digit(c: float) -> None:
    for n_steps, high, low in ((2, 80.0, 0.002), (7, 80.0, 0.002), (5, 1e8, 1e-8), (3, 1.01, 1.0)):
        ours = gaussian_optimal_sigmas(n_steps, high, low, c=c)
        np.testing.assert_allclose(ours, exact_optimum(n_steps, high, low, c), rtol=2e-15)


def test_optimal_levels_of_four_steps_are_those_of_the_notes() -> None:
    """OPTIMUM.md, section 3: y = sigma / sqrt(sigma^2 + c^2) is 1, .834, .659, .466, 0."""
    sigmas = gaussian_optimal_sigmas(4, 1e9, 1e-9, c=1.0)
    squares = np.array([1.0, 89 / 128, 445 / 1024, 445 / 2048, 0.0])  # by r = 0, 1/2, 5/8, 89/128
    np.testing.assert_allclose((sigmas / np.hypot(sigmas, 1.0)) ** 2, squares, atol=1e-15)


@pytest.mark.parametrize("solver", ["stochastic_ddim", "ddim"])
@pytest.mark.parametrize("start", ["noise", "data"])
@pytest.mark.parametrize("terminal", ["stop", "zero"])
def test_optimal_levels_are_those_of_a_search(solver: str, start: str, terminal: str) -> None:
    """The search knows the tables only, and starts from levels far from the optimum."""
    make = {"stochastic_ddim": stochastic_ddim_table, "ddim": ddim_table}[solver]
    c = 0.4

    def build(sigmas: Array) -> SolverTable:
        return make(sigmas, 80.0)

    def objective(sigmas: Array) -> tuple[float, Array]:
        kl, gradient = gaussian_sum_kl(build(sigmas), np.ones(1), np.array([c]), start)
        return kl, levels_gradient(build, sigmas, gradient)

    for n_steps in (2, 3, 8, 24):
        best = gaussian_optimal_sigmas(n_steps, 80.0, 0.002, terminal, c=c, solver=solver)
        found = descend(objective, log_snr_sigmas(n_steps, 80.0, 0.002, terminal))
        np.testing.assert_allclose(found.sigmas, best, rtol=1e-6)
        assert kl_of(best, c, start, solver) == pytest.approx(found.value, rel=1e-11)


@pytest.mark.parametrize("start", ["noise", "data"])
def test_the_divergence_at_the_optimum_is_a_closed_form(start: str) -> None:
    """The deficit is B^2 (e_0 + S / c^2) with S = u_0 (1 - r_1^2) - 2 u_N (1 - r_N)."""
    c, high, low = 0.4, 80.0, 0.02
    top, bottom = high**2 + c**2, low**2 + c**2
    for n_steps in (2, 5, 40):
        sigmas = gaussian_optimal_sigmas(n_steps, high, low, c=c)
        u = sigmas**2 / (sigmas**2 + c**2)
        least = u[0] * (1 - (u[1] / u[0]) ** 2) - 2 * u[-1] * (1 - u[-1] / u[-2])
        assert least == pytest.approx(np.sum((u[:-1] - u[1:]) ** 2 / u[:-1]), rel=1e-12)
        missing = (c / top) ** 2 if start == "noise" else 0.0  # e_0 of a start without c^2
        variance = bottom - bottom**2 * (missing + least / c**2)
        kl = gaussian.gaussian_kl_data_model(bottom, variance)
        assert kl_of(sigmas, c, start) == pytest.approx(kl, rel=1e-9)


def test_optimal_levels_come_fast_and_with_exact_ends() -> None:
    for n_steps in (1, 2, 1000, 30000):
        sigmas = gaussian_optimal_sigmas(n_steps, 80.0, 0.002, c=0.5)
        assert sigmas.shape == (n_steps + 1,)
        np.testing.assert_array_equal(sigmas[[0, -1]], [80.0, 0.002])
    y = sigmas / np.hypot(sigmas, 0.5)  # many steps: uniform in y, with a correction of 1 / N
    np.testing.assert_allclose(np.diff(y)[100:-100], np.diff(y)[15000], rtol=0.02)
    zero = gaussian_optimal_sigmas(9, 80.0, 0.002, "zero", c=0.5)
    stop = gaussian_optimal_sigmas(8, 80.0, 0.002, c=0.5)
    np.testing.assert_array_equal(zero, [*stop, 0.0])


def random_table(seed: int, *, noisy: bool) -> SolverTable:
    """Rows with history in states and outputs, noise and levels that go up and down."""
    rng = np.random.default_rng(seed)
    rows, reach = rng.integers(1, 9), rng.integers(1, 5, 2)
    back = np.arange(rows)[:, None]
    keep, weights = (rng.normal(size=(rows, h)) * (np.arange(h) <= back) for h in reach)
    noise = rng.uniform(0.0, 1.0, rows) * noisy
    sigma = np.exp(rng.normal(size=rows))
    return SolverTable(sigma, keep, weights, noise, rng.uniform(0.5, 3.0), 0.0, 1, 1)


@given(seed=st.integers(0, 2**32 - 1), noisy=st.booleans())
def test_table_variances_are_those_of_the_unrolled_chain(seed: int, noisy: bool) -> None:
    """Every state as a vector over (start, z_0, z_1, ...): the definition, without shortcuts."""
    table, c = random_table(seed, noisy=noisy), 0.8
    rows = table.nfe
    states = [np.eye(rows + 1)[0] * table.start_std]
    outputs: list[Array] = []
    for r in range(rows):
        outputs.append(c**2 / (c**2 + table.sigma[r] ** 2) * states[r])
        new = np.eye(rows + 1)[r + 1] * table.noise[r]
        for h in range(min(table.keep.shape[1], r + 1)):
            new = new + table.keep[r, h] * states[r - h]
        for h in range(min(table.weights.shape[1], r + 1)):
            new = new + table.weights[r, h] * outputs[r - h]
        states.append(new)
    exact = [state @ state for state in states]
    ours = gaussian.table_variances(table, c)
    np.testing.assert_allclose(ours, exact, rtol=1e-11, atol=1e-12 * max(exact))


@pytest.mark.parametrize("log_ratio", [-700, -3, -0.3, -1e-3, -1e-7, 1e-12, 1e-7, 1e-2, 1, 300])
def test_kl_of_gaussians_is_stable_near_equality(log_ratio: float) -> None:
    data, model = 2.0, 2.0 * np.exp(log_ratio)
    ratio = mp.mpf(data) / mp.mpf(model)
    exact = float(5 * (ratio - 1 - mp.log(ratio)) / 2)
    ours = gaussian.gaussian_kl_data_model(data, model, 5)
    assert ours == pytest.approx(exact, rel=1e-14, abs=0)


def test_kl_of_gaussians_has_a_direction() -> None:
    by_quadrature = quad(
        lambda x: np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        * (-(x**2) / 2 + x**2 / 18 + np.log(3.0)), -12, 12,
    )[0]  # fmt: skip
    assert gaussian.gaussian_kl_data_model(1.0, 9.0) == pytest.approx(by_quadrature, rel=1e-10)
    assert gaussian.gaussian_kl_data_model(9.0, 1.0) == pytest.approx(4 - np.log(3), rel=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian.gaussian_mmse([1.0, 0.0], 1), "sigma must be positive, got 0 at index 1"),
        (lambda: gaussian.gaussian_mmse(1.0, -1), "c must be positive, got -1"),
        (
            lambda: gaussian.gaussian_entropy_rate(1.0, 1, 0),
            "dim must be a whole number at least 1, got 0",
        ),
        (lambda: gaussian.table_variances(ddim_table([2, 1]), 0), "c must be positive, got 0"),
        (
            lambda: gaussian.gaussian_kl_data_model(1.0, 0.0),
            "model_variance must be positive, got 0",
        ),
        (
            lambda: gaussian.arctan_ddim_variance(3, 1.0, 2.0, 1.0),
            "sigma_min must be below sigma_max 1, got 2",
        ),
        (
            lambda: gaussian_optimal_sigmas(3, 2.0, 1.0, c=1.0, solver="heun"),
            "solver must be one of stochastic_ddim, ddim, got 'heun'",
        ),
        (
            lambda: gaussian_optimal_sigmas(3, 2.0, 1.0, c=0.0),
            "c must be positive, got 0",
        ),
    ],
)
def test_errors_say_what_to_change(call: object, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message
