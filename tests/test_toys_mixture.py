"""Mixture: posteriors against plain formulas, mpmath in the tails, and messages for bad input."""

from collections.abc import Callable

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from strategies import random_mixture, seeds

from entropic.testing import levels, mixtures
from toys import kernels, zoo
from toys.mixture import Mixture


def covariances(toy: Mixture, x: np.ndarray, sigma: float) -> np.ndarray:
    """Posterior covariances (n, d, d), from the definition."""
    v = toy.stds**2 + sigma**2
    r = toy.responsibilities(x, sigma)
    m = toy.means + toy.stds**2 / v * (x[:, None] - toy.means)
    own = np.einsum("nk,kd,de->nde", r, toy.stds**2 * sigma**2 / v, np.eye(toy.dim))
    u = m - np.einsum("nk,nkd->nd", r, m)[:, None]
    return own + np.einsum("nk,nkd,nke->nde", r, u, u)


@given(toy=mixtures(), sigma=levels(0.01, 100.0), seed=seeds)
@settings(max_examples=40)
def test_denoise_is_the_posterior_mean(toy: Mixture, sigma: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(0.0, 2.0 + sigma, (300, toy.dim))
    want = oracles.denoise(x, sigma, toy.weights, toy.means, toy.stds)
    # Rounding of z**2 / 2 moves a responsibility by about 1e-16 z**2.
    z = np.abs(x).max() / sigma + 1
    np.testing.assert_allclose(toy.denoise(x, sigma), want, rtol=1e-12, atol=1e-15 * z**2 + 1e-14)


@given(toy=mixtures(), sigma=levels(0.1, 10.0), seed=seeds)
@settings(max_examples=30)
def test_score_is_the_slope_of_the_log_density(toy: Mixture, sigma: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(0.0, 2.0, (20, toy.dim))
    h = 1e-5 * sigma
    for j in range(toy.dim):
        step = h * np.eye(toy.dim)[j]
        slope = (toy.log_density(x + step, sigma) - toy.log_density(x - step, sigma)) / (2 * h)
        np.testing.assert_allclose(toy.score(x, sigma)[:, j], slope, rtol=1e-5, atol=1e-5 / sigma)


@given(toy=mixtures(), sigma=levels(0.01, 100.0), seed=seeds)
@settings(max_examples=30)
def test_tweedie_links_denoiser_and_score(toy: Mixture, sigma: float, seed: int) -> None:
    """Tweedie 1: E[x0 | x] = x + sigma^2 score."""
    x = np.random.default_rng(seed).normal(0.0, 2.0 + sigma, (100, toy.dim))
    left = toy.denoise(x, sigma)
    np.testing.assert_allclose(left, x + sigma**2 * toy.score(x, sigma), atol=1e-11 * (1 + sigma))


@given(toy=mixtures(), sigma=levels(0.01, 100.0), seed=seeds)
@settings(max_examples=30)
def test_trace_and_frobenius_norm_are_those_of_the_covariance(
    toy: Mixture, sigma: float, seed: int
) -> None:
    x = np.random.default_rng(seed).normal(0.0, 1.0 + sigma, (50, toy.dim))
    cov = covariances(toy, x, sigma)
    trace = np.trace(cov, axis1=1, axis2=2)
    norm = np.linalg.norm(cov, axis=(1, 2))
    np.testing.assert_allclose(toy.posterior_variance(x, sigma), trace, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(toy.posterior_frobenius(x, sigma), norm, rtol=1e-9, atol=1e-13)


def test_posterior_variance_of_two_points_is_a_hyperbolic_secant() -> None:
    """Paper D eq. (43): Var = sech^2(x / sigma^2) for points at -1 and 1."""
    toy, sigma = zoo.toy("two_points"), 0.5
    x = np.linspace(-8, 8, 81)
    want = 1.0 / np.cosh(x / sigma**2) ** 2
    np.testing.assert_allclose(toy.posterior_variance(x, sigma), want, rtol=1e-12)
    np.testing.assert_allclose(toy.denoise(x, sigma), np.tanh(x / sigma**2), atol=1e-15)


@pytest.mark.parametrize("sigma", [1e-8, 1e-3, 1.0, 1e3, 1e8])
@pytest.mark.parametrize("k", [1, 15, 300])
@pytest.mark.parametrize("d", [1, 3])
def test_nothing_overflows_however_far_the_state(sigma: float, k: int, d: int) -> None:
    rng = np.random.default_rng(k)
    toy = Mixture(
        rng.random(k) + 0.1,
        rng.normal(size=(k, d)),
        rng.random((k, d)) * (rng.random((k, 1)) < 0.5),
    )
    far = [0.0, 5e-324, 1e-300, 1.0, 1e8, 1e20, 1e100, 1e154, 1e200, 1.7e308]
    x = np.concatenate([np.full((1, d), s * v) for v in far for s in (-1, 1)])
    for got in (
        toy.denoise(x, sigma),
        toy.log_density(x, sigma),
        toy.score(x, sigma),
        toy.responsibilities(x, sigma),
    ):
        assert np.all(np.isfinite(got))


def test_a_hundred_thousand_components_are_summed_right() -> None:
    rng = np.random.default_rng(5)
    toy = Mixture(rng.random(100_000) + 0.01, rng.normal(size=100_000), 0.01 * rng.random(100_000))
    x = np.array([-3.0, 0.0, 0.5, 7.0])
    want = oracles.denoise(x, 0.05, toy.weights, toy.means[:, 0], toy.stds[:, 0])
    np.testing.assert_allclose(toy.denoise(x, 0.05), want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("x", "sigma"), [(40.0, 0.5), (-300.0, 0.1), (2.5, 0.003), (1e4, 1.0)])
def test_denoise_in_the_far_tail_equals_sixty_digits(x: float, sigma: float) -> None:
    weights, means, stds = [0.2, 0.5, 0.3], [-1.0, 0.2, 1.5], [0.1, 0.0, 0.3]
    want = float(oracles.denoise_mp(x, sigma, np.array(weights), np.array(means), np.array(stds)))
    got = Mixture(weights, means, stds).denoise([x], sigma)[0]
    # Only the rounding of z**2, with z = x / sigma, is lost.
    assert got == pytest.approx(want, rel=1e-15 + 1e-16 * (x / sigma) ** 2)


def test_density_without_noise_is_the_plain_sum() -> None:
    toy = random_mixture(3, kind="density")
    x = np.linspace(-3, 3, 50)
    z = (x[:, None] - toy.means[:, 0]) / toy.stds[:, 0]
    terms = np.exp(-0.5 * z**2) / (toy.stds[:, 0] * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(np.exp(toy.log_density(x)), terms @ toy.weights, rtol=1e-12)


def test_samples_have_the_weights_means_and_spread() -> None:
    """Every z-score below 4.5: one false alarm in a thousand seeds over the 24 numbers."""
    toy = Mixture(
        [1, 2, 5, 2], [[0, 0], [5, 0], [0, 5], [9, 9]], [[0, 0.1], [0.2, 0.2], [0, 0], [1, 2]]
    )
    n = 200_000
    x = toy.sample(n, seed=11)
    label = np.argmin(
        np.linalg.norm(x[:, None] - toy.means, axis=2) / (0.5 + toy.stds.sum(1)), axis=1
    )
    share = np.bincount(label, minlength=4) / n
    assert np.all(np.abs(share - toy.weights) < 4.5 * np.sqrt(toy.weights / n) + 1e-4)
    for k in range(3):  # the last overlaps none of these
        part = x[label == k]
        spread = toy.stds[k]
        assert np.all(
            np.abs(part.mean(0) - toy.means[k]) <= 4.5 * spread / np.sqrt(len(part)) + 1e-12
        )
        assert np.all(np.abs(part.std(0) - spread) <= 4.5 * spread / np.sqrt(2 * len(part)) + 1e-12)


def test_weights_of_any_scale_are_normalised() -> None:
    for scale in (1e-300, 1.0, 1e300):
        toy = Mixture(np.array([1, 3]) * scale, [0, 1], 0)
        np.testing.assert_allclose(toy.weights, [0.25, 0.75], rtol=1e-15)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_zoo_toys_are_what_the_papers_say(name: str) -> None:
    toy = zoo.toy(name)
    if name.startswith(("points15", "gaussians15", "gaussian", "two")):
        assert toy.variance == pytest.approx(1.0, rel=1e-14)
        assert abs(float(toy.mean[0])) < 1e-15
    else:
        assert set(toy.stds.ravel().tolist()) == {0.25}
        radius = np.linalg.norm(toy.means, axis=1)
        assert radius.max() == pytest.approx(4.0 if name == "circle8" else 3 * np.sqrt(2))
    again = Mixture(**{k: v for k, v in toy.to_dict().items() if k != "kind"})
    np.testing.assert_array_equal(again.means, toy.means)
    np.testing.assert_allclose(again.weights, toy.weights, rtol=1e-15)


def test_points15_are_the_stated_draws() -> None:
    draws = np.sort(np.random.default_rng(0).normal(size=15))
    want = (draws - draws.mean()) / draws.std()
    np.testing.assert_allclose(zoo.toy("points15").means[:, 0], want, rtol=1e-15)
    narrow = zoo.toy("gaussians15_narrow")
    np.testing.assert_allclose(narrow.means[:, 0], want * np.sqrt(1 - 0.02**2), rtol=1e-14)


NAN = float("nan")
TWO = Mixture([1, 1], [0, 1], 0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mixture([], [], []), "weights must have shape (K,) with K >= 1, got (0,)"),
        (lambda: Mixture([1, 0], [0, 1], 0), "weights must be positive, got 0 at index 1"),
        (lambda: Mixture([1, -2], [0, 1], 0), "weights must be positive, got -2 at index 1"),
        (lambda: Mixture([1, NAN], [0, 1], 0), "weights must be finite, got nan at index 1"),
        (lambda: Mixture([1e-320, 1e300], [0, 1], 0), "weights must lie within a factor 1e300"),
        (lambda: Mixture([1, 1], [0, np.inf], 0), "means must be finite, got inf at index 1"),
        (lambda: Mixture([1, 1], [0, 1e13], 0), "means must lie within 1e+12, got 1e+13"),
        (lambda: Mixture([1, 1], [0, 1, 2], 0), "means must have shape (2, d), got (3,)"),
        (
            lambda: Mixture([1, 1], [0, 1], [1, -1]),
            "stds must lie in [0, 1e+12], got -1 at index 1",
        ),
        (
            lambda: Mixture([1, 1], [0, 1], [1, 2, 3]),
            "stds must have shape (2,) or (2, 1), got (3,)",
        ),
        (lambda: Mixture([1, 1], [0, 1], ["a", 1]), "stds must be numbers, got"),
        (lambda: TWO.denoise([NAN], 1.0), "x must be finite, got nan at index 0"),
        (lambda: TWO.denoise([[1.0, 2.0]], 1.0), "x must have shape (n, 1), got (1, 2)"),
        (lambda: TWO.denoise([1.0], 0.0), "sigma must lie in [1e-12, 1e+12], got 0.0"),
        (lambda: TWO.denoise([1.0], NAN), "sigma must lie in [1e-12, 1e+12], got nan"),
        (
            lambda: Mixture([1], [0], 0).log_density([0.0]),
            "sigma must be positive where a std is 0",
        ),
        (lambda: TWO.sample(3, seed=-1), "seed must be a whole number in [0, 2**32), got -1"),
        (
            lambda: TWO.sample(3, seed=2**32),
            "seed must be a whole number in [0, 2**32), got 4294967296",
        ),
    ],
)
def test_bad_input_is_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        make()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_components_are_padded_without_effect() -> None:
    toy = Mixture([1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0.1, 0.2, 0, 0, 1])
    assert toy.packed.means.shape[0] % kernels.GROUP == 0
    x = np.linspace(-20, 20, 41)
    want = oracles.denoise(x, 0.3, toy.weights, toy.means[:, 0], toy.stds[:, 0])
    np.testing.assert_allclose(toy.denoise(x, 0.3), want, rtol=1e-11, atol=1e-12)
