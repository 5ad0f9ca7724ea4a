"""Profiles: entropies against closed forms and quadrature, losses of every prediction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from theory.gaussian import (
    gaussian_conditional_entropy,
    gaussian_entropy_rate,
    gaussian_mmse,
    gaussian_rescaled_entropy,
)
from theory.profiles.curves import LogCurve
from theory.profiles.profile import Profile
from theory.profiles.risks import profile_from_losses

Array = np.ndarray


def two_point_mmse(sigma: Array, a: float = 1.0) -> Array:
    """Mmse of two points at -a and a, by a dense sum over the Gaussian, with spectral accuracy."""
    z = np.linspace(-12.0, 12.0, 4001)
    weight = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    y = a * (a + sigma[:, None] * z) / sigma[:, None] ** 2
    decay = np.exp(-2.0 * np.abs(y))
    return a**2 * np.sum(weight * 4.0 * decay / (1.0 + decay) ** 2, axis=1)


def gaussian_profile(m: int = 1000, c: float = 0.7, dim: int = 3, low: float = 1e-3) -> Profile:
    sigma = np.geomspace(low, 1e3, m)
    return Profile(dim, sigma, gaussian_mmse(sigma, c, dim))


def test_entropies_of_a_gaussian_are_the_closed_forms() -> None:
    profile = gaussian_profile()
    exact = gaussian_conditional_entropy(profile.sigma, 0.7, 3)
    np.testing.assert_allclose(
        profile.entropy_from_sigma_min(), exact - exact[0], rtol=1e-9, atol=1e-12
    )  # spline: spacing^4 times the fourth derivative of log mmse, 4e-10
    np.testing.assert_allclose(
        profile.entropy_rate(), gaussian_entropy_rate(profile.sigma, 0.7, 3), rtol=1e-14
    )
    # The power law below the grid is off by about 3.5 (sigma_0 / c)^2 of 3 sigma_0.
    np.testing.assert_allclose(
        profile.rescaled_entropy(),
        gaussian_rescaled_entropy(profile.sigma, 0.7, 3),
        rtol=1e-9,
        atol=3e-3 * 4 * (1e-3 / 0.7) ** 2,
    )


@pytest.mark.parametrize(("rule", "order"), [("spline", 4), ("trapezoid", 2), ("left", 1)])
def test_rules_converge_in_their_order_and_know_their_error(rule: str, order: int) -> None:
    errors, estimates = [], []
    for m in (101, 201):
        profile = gaussian_profile(m, low=1e-2)
        exact = gaussian_conditional_entropy(profile.sigma, 0.7, 3)
        miss = profile.entropy_from_sigma_min(rule) - (exact - exact[0])
        errors.append(np.abs(miss).max())
        estimates.append(profile.entropy_error(rule))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)
    assert np.all(np.array(errors) < np.array(estimates) * 1.1)
    assert np.all(np.array(estimates) < np.array(errors) * 2.2**order)


def test_left_rule_is_algorithm_2() -> None:
    """Stancevic et al., algorithm 2: R_0 = 0, R_{i+1} = R_i + mmse_i / s_i^2 (s_{i+1} - s_i)."""
    profile = Profile(1, [1.0, 2.0, 4.0, 5.0], [0.5, 0.8, 1.6, 1.7])
    by_hand = [0.0, 0.5, 0.5 + 0.2 * 2, 0.9 + 0.1]
    np.testing.assert_allclose(profile.rescaled_entropy("left", include_below=False), by_hand)
    by_hand = [0.0, 0.5, 0.5 + 0.1 * 2, 0.7 + 0.025]
    np.testing.assert_allclose(profile.entropy_from_sigma_min("left"), by_hand)


def test_trapezoid_rule_is_linear_in_log_sigma() -> None:
    profile = Profile(1, [1.0, 2.0, 4.0, 5.0], [0.5, 0.8, 1.6, 1.7])
    steps = np.log([2.0, 2.0, 1.25]) * [0.35, 0.15, 0.5 * (0.1 + 1.7 / 25)]
    np.testing.assert_allclose(profile.entropy_from_sigma_min("trapezoid")[1:], np.cumsum(steps))


def test_two_points_hold_log_two_and_peak_where_published() -> None:
    """H rises to ln 2; dH/dsigma peaks near 0.6440 (height 0.6678), dH/dlog sigma near 0.8146.

    The exact places are 0.643803 and 0.814239 (docs/papers/a.md, Common ground).
    """
    sigma = np.geomspace(0.005, 200.0, 400)
    profile = Profile(1, sigma, two_point_mmse(sigma))
    assert (profile.mmse == 0).sum() > 50  # the underflow at low noise is part of the test
    tail = 0.5 / sigma[-1] ** 2  # mmse = 1 - O(sigma^-2) above the grid
    assert profile.entropy_from_sigma_min()[-1] + tail == pytest.approx(np.log(2), abs=2e-8)
    assert profile.entropy_error() < 1e-6
    assert profile.rescaled_below() == 0.0  # truly underflowed
    fine = np.linspace(0.6, 0.9, 30001)
    rate = profile.mmse_at(fine) / fine**3
    assert fine[np.argmax(rate)] == pytest.approx(0.643803, abs=2e-5)
    assert fine[np.argmax(rate * fine)] == pytest.approx(0.814239, abs=2e-5)
    assert fine[np.argmax(rate)] == pytest.approx(0.6440, abs=5e-4)
    assert fine[np.argmax(rate * fine)] == pytest.approx(0.8146, abs=5e-4)
    assert rate.max() == pytest.approx(0.6678, abs=5e-5)


def test_mmse_at_is_the_spline_and_zero_in_the_underflow() -> None:
    sigma = np.geomspace(0.005, 20.0, 300)
    profile = Profile(1, sigma, two_point_mmse(sigma))
    between = np.geomspace(0.3, 19.0, 50)
    np.testing.assert_allclose(profile.mmse_at(between), two_point_mmse(between), rtol=1e-6)
    assert profile.mmse_at(0.006 * np.ones(1)) == 0.0


@pytest.mark.parametrize("power", [1.2, 1.6, 2.0, 5.0])
def test_rescaled_below_integrates_a_power_law(power: float) -> None:
    sigma = np.geomspace(1e-2, 10.0, 60)
    profile = Profile(1, sigma, 3.0 * sigma**power)
    exact = quad(lambda s: 3.0 * s ** (power - 2.0), 0.0, 1e-2, epsabs=0, epsrel=1e-9)[0]
    assert profile.rescaled_below() == pytest.approx(exact, rel=1e-6)
    whole = 3.0 * sigma ** (power - 1.0) / (power - 1.0)
    np.testing.assert_allclose(profile.rescaled_entropy(), whole, rtol=1e-6)


def test_rescaled_error_covers_the_extrapolation() -> None:
    for low in (0.3, 0.1, 0.01):
        profile = gaussian_profile(500, 0.7, 1, low)
        miss = profile.rescaled_below() - gaussian_rescaled_entropy(low, 0.7)
        assert abs(miss) < profile.rescaled_error() < 3 * abs(miss) + 1e-9
        assert profile.rescaled_error(include_below=False) < 1e-6


def test_rescaled_below_refuses_a_divergent_integral() -> None:
    sigma = np.geomspace(1e-2, 10.0, 60)
    profile = Profile(1, sigma, sigma)
    with pytest.raises(ValueError, match=r"mmse must fall faster than sigma\^1.05 .* slope 1 from"):
        profile.rescaled_entropy()
    np.testing.assert_allclose(
        profile.rescaled_entropy(include_below=False), np.log(sigma / 0.01), atol=1e-12
    )


def test_a_steep_noisy_curve_does_not_overshoot() -> None:
    """A cubic spline through these swings over 1e9; the monotone cubic takes over."""
    log_y = np.array([-300.0, -290.0, -20.0, -25.0, -0.1, 0.0, -0.1, -0.2])
    curve = LogCurve(np.arange(8.0), log_y)
    fine = np.linspace(0.0, 7.0, 7001)
    assert curve.spline(fine).max() <= 1e-12
    exact = quad(lambda x: np.exp(curve.spline(x)), 2.5, 7.0, points=range(3, 7))[0]
    assert curve.total == pytest.approx(exact, rel=1e-7)


@given(seed=st.integers(0, 2**32 - 1))
def test_quantile_inverts_integral(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.uniform(0.05, 1.0, rng.integers(2, 30)))
    curve = LogCurve(x, np.cumsum(rng.normal(0.0, rng.uniform(0.1, 8.0), x.size)))
    fraction = np.sort(rng.uniform(0.0, 1.0, 50))
    at = curve.quantile(fraction)
    assert np.all(np.diff(at) >= 0)
    np.testing.assert_allclose(curve.integral(at) / curve.total, fraction, atol=2e-13)


def test_a_zero_between_positive_values_is_bridged() -> None:
    sigma = np.geomspace(0.01, 100.0, 400)
    mmse = gaussian_mmse(sigma, 1.0)
    holed = mmse.copy()
    holed[150] = 0.0
    whole = Profile(1, sigma, mmse).entropy_from_sigma_min()
    np.testing.assert_allclose(Profile(1, sigma, holed).entropy_from_sigma_min(), whole, atol=1e-6)


def test_a_profile_without_any_mmse_has_no_entropy() -> None:
    profile = Profile(1, [1.0, 2.0, 3.0, 4.0], np.zeros(4))
    assert not profile.entropy_from_sigma_min().any()
    assert not profile.rescaled_entropy().any()
    assert not profile.mmse_at([1.5]).any()


def test_profiles_are_read_only_copies() -> None:
    sigma = np.array([1.0, 2.0, 3.0, 4.0])
    profile = Profile(1, sigma, np.ones(4), np.ones(4))
    sigma[0] = 9.0
    assert profile.sigma[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        profile.mmse[0] = 2.0


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "edm"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_losses_of_every_prediction_give_the_mmse(prediction: str, reduction: str) -> None:
    """Simulate x0, the VP state, and the loss of the target as its paper defines it."""
    rng, c, n, dim, sigma_data = np.random.default_rng(7), 1.3, 4000, 5, 0.8
    sigma = np.array([0.05, 0.3, 1.0, 4.0, 30.0])
    losses, risks = [], []
    for level in sigma:
        x0, eps = c * rng.normal(size=(n, dim)), rng.normal(size=(n, dim))
        alpha = 1 / np.sqrt(1 + level**2)
        beta = level * alpha
        x_vp = alpha * x0 + beta * eps
        denoised = c**2 / (c**2 + level**2) * x_vp / alpha
        eps_hat = (x_vp - alpha * denoised) / beta
        error = {
            "eps": eps - eps_hat,
            "x0": x0 - denoised,
            "v": (alpha * eps - beta * x0) - (alpha * eps_hat - beta * denoised),
            "edm": np.sqrt(level**2 + sigma_data**2) / (level * sigma_data) * (x0 - denoised),
        }[prediction]
        losses.append(np.mean(error**2) * (dim if reduction == "sum" else 1))
        risks.append(np.mean((x0 - denoised) ** 2) * dim)
    profile = profile_from_losses(sigma, losses, prediction, dim, sigma_data, reduction=reduction)
    np.testing.assert_allclose(profile.mmse, risks, rtol=1e-10)
    assert profile.stderr is None
    # 20,000 squares: relative standard error 1 %, five of them.
    np.testing.assert_allclose(profile.mmse, gaussian_mmse(sigma, c, dim), rtol=0.05)


def test_repeated_levels_are_sorted_averaged_and_given_a_standard_error() -> None:
    sigma = [2.0, 1.0, 3.0, 1.0, 2.0, 3.0, 4.0, 4.0, 1.0]
    loss = [5.0, 1.0, 6.0, 2.0, 7.0, 6.0, 8.0, 9.0, 6.0]
    profile = profile_from_losses(sigma, loss, "x0", 1)
    np.testing.assert_array_equal(profile.sigma, [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(profile.mmse, [3.0, 6.0, 6.0, 8.5])
    assert profile.stderr is not None
    np.testing.assert_allclose(profile.stderr, [np.sqrt(7.0 / 3.0), 1.0, 0.0, 0.5])
    assert profile_from_losses([*sigma, 5.0], [*loss, 9.0], "x0", 1).stderr is None


GRID = [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Profile(0, GRID, GRID), "dim must be a whole number at least 1, got 0"),
        (lambda: Profile(True, GRID, GRID), "dim must be a whole number at least 1, got True"),
        (
            lambda: Profile(1, GRID[:3], GRID[:3]),
            "sigma must be a list of at least 4, got shape (3,)",
        ),
        (
            lambda: Profile(1, [1.0, 2.0, 2.0, 4.0], GRID),
            "sigma must rise strictly, got 2 after 2 at index 2; "
            "sort the rows and average repeated levels",
        ),
        (lambda: Profile(1, [0.0, 1, 2, 3], GRID), "sigma must be positive, got 0 at index 0"),
        (lambda: Profile(1, GRID, [1, 2, 3]), "mmse must have shape (4,), got (3,)"),
        (lambda: Profile(1, GRID, [1, -2, 3, 4]), "mmse must be at least 0, got -2 at index 1"),
        (lambda: Profile(1, GRID, [1, 2, np.inf, 4]), "mmse must be finite, got inf at index 2"),
        (lambda: Profile(1, GRID, GRID, [1.0]), "stderr must have shape (4,), got (1,)"),
        (
            lambda: Profile(1, GRID, [1, 2, 3, 0]),
            "mmse must be positive at the highest sigma when it is below, got 0 at index 3",
        ),
        (
            lambda: gaussian_profile().mmse_at([1.0, 2e3]),
            "sigma must be in 0.001..1000, the grid of the profile, got 2000 at index 1",
        ),
        (
            lambda: gaussian_profile().rescaled_entropy("trapeze"),
            "rule must be one of spline, trapezoid, left, got 'trapeze'; did you mean 'trapezoid'?",
        ),
        (
            lambda: profile_from_losses(GRID, GRID, "epss", 1),
            "prediction must be one of eps, x0, v, flow, edm, got 'epss'; did you mean 'eps'?",
        ),
        (
            lambda: profile_from_losses(GRID, GRID, "eps", 1, reduction="max"),
            "reduction must be one of sum, mean, got 'max'",
        ),
        (lambda: profile_from_losses(GRID, [1.0], "eps", 1), "loss must have shape (4,), got (1,)"),
        (
            lambda: profile_from_losses(GRID, [1, 2, 3, -4], "eps", 1),
            "loss must be at least 0, got -4 at index 3",
        ),
        (
            lambda: profile_from_losses([0, 1, 2, 3], GRID, "eps", 1),
            "sigma must be positive, got 0 at index 0",
        ),
        (
            lambda: profile_from_losses(GRID, GRID, "edm", 1, -0.5),
            "sigma_data must be positive, got -0.5",
        ),
    ],
)
def test_errors_say_what_to_change(call: object, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message
