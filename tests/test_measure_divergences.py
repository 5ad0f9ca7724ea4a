"""Divergences from laws and samples: closed forms, each route against the other."""

import numpy as np
import pytest
from benchmarks.engine.experiments import Divergences, smoothed
from scipy import stats

from benchmarks.measure import bins, divergences, samples
from theory.gaussian import gaussian_kl_data_model, table_variances
from theory.schedules.standard import edm_sigmas, log_snr_sigmas
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from toys import sampling, zoo
from toys.mixture import Mixture

GAUSSIAN = zoo.toy("gaussian")
DISTANCES = {"tv": 1e-5, "w1": 1e-5}
TABLE = stochastic_ddim_table(edm_sigmas(5, 80.0, 0.002))


def model_std() -> float:
    return float(np.sqrt(table_variances(TABLE, 1.0)[-1]))


def test_start_kl_of_a_gaussian_is_closed() -> None:
    for sigma in (0.5, 80.0):
        want = float(gaussian_kl_data_model(1.0 + sigma**2, sigma**2))
        found = divergences.start_kl(GAUSSIAN, sigma, sigma)[0]
        assert found == pytest.approx(want, rel=1e-7, abs=1e-17)


def test_start_kl_of_points_agrees_with_a_dense_sum() -> None:
    toy, sigma = zoo.toy("two_points"), 1.5
    y = np.linspace(-30, 30, 400_001)
    p = 0.5 * (stats.norm.pdf(y, -1, sigma) + stats.norm.pdf(y, 1, sigma))
    want = np.trapezoid(p * (np.log(p) - stats.norm.logpdf(y, 0, sigma)), y)
    assert divergences.start_kl(toy, sigma, sigma)[0] == pytest.approx(want, rel=1e-9)


def test_distances_of_two_gaussians_are_closed() -> None:
    """TV of N(0, s^2), N(0, t^2) by their crossing; W1 = |s - t| sqrt(2 / pi)."""
    data, model = float(np.hypot(1.0, 0.002)), model_std()
    cross = data * model * np.sqrt(2 * np.log(data / model) / (data**2 - model**2))
    tv = 2 * abs(stats.norm.cdf(cross / data) - stats.norm.cdf(cross / model))
    found = divergences.measures(GAUSSIAN, TABLE, metrics=DISTANCES)
    assert found["tv"].value == pytest.approx(tv, rel=1e-6)
    assert found["w1"].value == pytest.approx(abs(data - model) * np.sqrt(2 / np.pi), rel=1e-6)


def test_distances_of_samples_come_near_the_exact_ones() -> None:
    toy = zoo.toy("gaussians15_overlap")
    exact = divergences.measures(toy, TABLE, metrics=DISTANCES)
    x = sampling.sample(toy, TABLE, 200_000, seed=0)
    found = samples.sample_distances(toy, x, 0.002)
    assert found["w1"] == pytest.approx(exact["w1"].value, abs=0.01)
    assert found["ks"] <= exact["tv"].value + 0.005  # a half line is one of the events TV looks at


def test_kernel_estimate_converges_to_the_smoothed_exact_kl() -> None:
    """Paper A's estimate is, up to noise, the KL to the sampler's law plus N(0, 1e-4)."""
    toy = zoo.toy("gaussians15_narrow")
    table = stochastic_ddim_table(log_snr_sigmas(16, 80.0, 0.002))
    target = divergences.exact_kl(toy, smoothed(table, 0.002, samples.KDE_STD))
    values = []
    for r in range(6):
        x = sampling.sample(toy, table, 200_000, seed=0, path=200_000 * r)
        values.append(samples.sample_kl(toy, x, 0.002, seed=0, path=1000 * r).value)
    stderr = np.std(values, ddof=1) / np.sqrt(6)
    assert abs(np.mean(values) - target.value) < 5 * stderr


def test_bins_count_every_sample_once() -> None:
    toy = Mixture([1, 2, 1, 1], [0.0, 1.0, 1.1, 1.0], 0)
    points, weights = bins.distinct_points(toy)
    np.testing.assert_allclose(points[:, 0], [0, 1, 1.1])
    np.testing.assert_allclose(weights, [0.2, 0.6, 0.2])
    assert bins.bin_half_width(points) == pytest.approx(0.049)
    states = np.array([[0.0], [0.048], [0.05], [1.04], [1.06], [5.0]])
    np.testing.assert_array_equal(bins.bin_counts(toy, states)[1], [2, 1, 1])


def test_bins_in_two_dimensions_are_balls() -> None:
    toy = Mixture([1, 1], [[0, 0], [1, 0]], 0)
    states = np.array([[0.3, 0.3], [0.4, 0.4], [1.0, 0.1]])
    np.testing.assert_array_equal(bins.bin_counts(toy, states)[1], [1, 1])


def test_empty_bins_make_the_kl_infinite_with_a_count() -> None:
    toy = zoo.toy("points15")
    found = samples.sample_kl(toy, np.zeros((100, 1)) + toy.means[0], 0.0, seed=0)
    assert found.value is None
    assert found.empty_bins == 14
    assert found.reason == "14 empty bins"


def test_a_single_point_is_always_hit() -> None:
    found = divergences.exact_kl(Mixture([1], [0.3], 0), ddim_table([80.0, 1.0, 0.0]))
    assert found.value == 0.0


def test_summary_reports_the_spread_and_never_hides_infinities() -> None:
    from benchmarks.engine.experiments import summary

    row = summary([1.0, 2.0, 3.0], [])
    assert row["kl_data_model"] == 2.0
    assert row["stderr"] == pytest.approx(1 / np.sqrt(3))
    assert summary([1.0], [])["stderr"] is None
    row = summary([1.0, 2.0], [4, 1, 2])
    assert row["kl_data_model"] is None
    assert (row["infinite_repeats"], row["empty_bins"]) == (3, 4)
    assert row["kl_finite_mean"] == 1.5


def test_terminal_zero_of_densities_is_the_law_of_the_denoised_state() -> None:
    """N(0, 1), two steps to 0: the final state is Gaussian with a known variance."""
    sigmas = (2.0, 0.5, 0.0)
    task = Divergences("gaussian", "edm", "x", sigmas, terminal="zero")
    want = gaussian_kl_data_model(1.0, float(table_variances(task.table, 1.0)[-1]))
    assert task.run()["kl_data_model"] == pytest.approx(float(want), rel=1e-9)
