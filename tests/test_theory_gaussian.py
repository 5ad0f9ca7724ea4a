"""Gaussian data: information identities, exact laws through tables, and the optimal DDIM grid."""

from collections.abc import Iterator

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from theory import gaussian
from theory.schedules.arctan import arctan_sigmas
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
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
    ],
)
def test_errors_say_what_to_change(call: object, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message
