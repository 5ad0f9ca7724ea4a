"""Noises: what they draw follows their densities, and their weights are the stated ones."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid
from scipy.stats import kstest

from benchmarks.training.noise import NOISES, TrainingNoise, loss_weight, make_noise

N = 20_000
P_VALUE = 1e-4  # false alarms of a correct sampler: one in ten thousand seeds
GRID = np.geomspace(1e-5, 1e4, 400_001)  # steps of 5e-5 in log sigma
SIGMA_DATA = 0.7


def made(name: str, weighting: str = "edm", **options: Any) -> TrainingNoise:
    weighting = "min_snr" if name == "min_snr" else weighting
    return make_noise(name, weighting, SIGMA_DATA, 4, options)


def taught(weighting: str, **options: Any) -> TrainingNoise:
    """InfoNoise after the exact losses of N(0, 0.3^2 I) in four dimensions."""
    settings = {"warmup": 0, "refresh": 1, "bins": 32, "least": 1, "floor": 0.0} | options
    noise = made("infonoise", weighting, **settings)
    sigma = np.geomspace(0.002, 80.0, 4096)
    noise.record(sigma, 4.0 * (0.3 * sigma) ** 2 / (0.09 + sigma**2))
    return noise


def every() -> list[Any]:
    cases = [pytest.param(made(name), id=name) for name in NOISES]
    cases.append(pytest.param(made("edm", mean=0.3, std=0.5), id="edm with options"))
    cases.append(pytest.param(made("log_uniform", sigma_min=0.1, sigma_max=2.0), id="narrow"))
    cases.append(pytest.param(taught("one"), id="infonoise after losses"))
    return cases


@pytest.mark.parametrize("noise", every())
def test_draws_follow_the_density(noise: TrainingNoise) -> None:
    """Kolmogorov-Smirnov against the density's integral, whose error, 1e-4, is far below N^-1/2."""
    mass = cumulative_trapezoid(noise.density(GRID) * GRID, np.log(GRID), initial=0.0)
    assert mass[-1] == pytest.approx(1.0, abs=1e-3)

    def cdf(sigma: np.ndarray) -> np.ndarray:
        return np.interp(np.log(sigma), np.log(GRID), mass / mass[-1])

    drawn = noise.sample(N, np.random.default_rng(1))
    assert drawn.shape == (N,)
    assert kstest(drawn, cdf).pvalue > P_VALUE


@pytest.mark.parametrize("name", NOISES)
def test_draws_are_a_function_of_the_generator_alone(name: str) -> None:
    a, b = (made(name).sample(10, np.random.default_rng(2)) for _ in range(2))
    assert np.array_equal(a, b)


def test_weights_are_the_stated_functions() -> None:
    sigma = np.array([0.01, 0.2, 1.0, 30.0])
    edm = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
    np.testing.assert_allclose(loss_weight("edm", SIGMA_DATA)(sigma), edm, rtol=1e-14)
    assert np.array_equal(loss_weight("one", SIGMA_DATA)(sigma), np.ones(4))
    assert np.array_equal(loss_weight("min_snr", SIGMA_DATA)(sigma), [5.0, 5.0, 1.0, 1.0 / 900.0])
    for name in NOISES:
        weighting = "min_snr" if name == "min_snr" else "one"
        expected = loss_weight(weighting, SIGMA_DATA)(sigma)
        assert np.array_equal(made(name, "one").weight(sigma), expected)
        if name != "min_snr":
            np.testing.assert_allclose(made(name, "edm").weight(sigma), edm, rtol=1e-14)


def test_the_emphasis_of_infonoise_does_not_depend_on_the_weight() -> None:
    """Raya et al. (2026), eq. (16): pi w is proportional to the gated rate, bin by bin."""
    plain, weighted = taught("one"), taught("edm")
    edges = np.linspace(np.log(0.002), np.log(80.0), 33)
    levels = np.exp(0.5 * (edges[1:] + edges[:-1]))
    ratio = weighted.density(levels) * weighted.weight(levels) / plain.density(levels)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)


@pytest.mark.parametrize("name", NOISES)
def test_a_state_is_taken_over(name: str) -> None:
    options = {"warmup": 0, "refresh": 2, "bins": 8, "least": 1} if name == "infonoise" else {}
    first, second = made(name, **options), made(name, **options)
    rng = np.random.default_rng(3)
    for _ in range(5):
        sigma = first.sample(64, rng)
        first.record(sigma, sigma**2 / (1.0 + sigma**2))
    second.load_state_dict(first.state_dict())
    a, b = (noise.sample(50, np.random.default_rng(4)) for noise in (first, second))
    assert np.array_equal(a, b)
    with pytest.raises(ValueError, match="state must"):
        second.load_state_dict({"something": 1})


@pytest.mark.parametrize(
    ("name", "weighting", "options", "words"),
    [
        ("edn", "edm", {}, "noise must be one of .*, got 'edn'; did you mean 'edm'?"),
        ("edm", "edn", {}, "weighting must be one of edm, one, min_snr, got 'edn'"),
        ("min_snr", "edm", {}, "weighting must be min_snr with noise min_snr, got 'edm'"),
        ("edm", "edm", {"sigma_min": 1}, "options of noise edm must be among mean, std, got"),
        ("edm", "edm", {"std": 0.0}, "std must be positive, got 0"),
        ("edm", "edm", {"loss_weight": 1}, "options of noise edm must be among"),
        ("log_uniform", "edm", {"sigma_min": 90.0}, "sigma_max must exceed sigma_min, got 80"),
        ("infonoise", "edm", {"ranks": 2}, "options of noise infonoise must be among"),
        ("infonoise", "edm", {"bins": 0}, "bins must be a whole number"),
    ],
)
def test_unknown_noises_and_options_are_refused(
    name: str, weighting: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make_noise(name, weighting, SIGMA_DATA, 4, options)
