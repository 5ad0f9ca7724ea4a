"""Divergences from laws and samples: closed forms, each route against the other."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from benchmarks.engine.setting import Setting
from benchmarks.measure import bins, divergences, samples
from benchmarks.measure.measured import Measured, without
from theory.gaussian import gaussian_kl_data_model, table_variances
from theory.schedules.standard import edm_sigmas, log_snr_sigmas
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from theory.solvers.registry import make_table
from toys import sampling, zoo
from toys.laws.build import laws_of
from toys.laws.law import Law
from toys.laws.passes import Functional, Passes, settle
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
    w1, ks = samples.sample_distances(toy, x, 0.002)
    assert w1 == pytest.approx(exact["w1"].value, abs=0.01)
    assert ks <= exact["tv"].value + 0.005  # a half line is one of the events TV looks at


@pytest.mark.slow
def test_kernel_estimate_converges_to_the_smoothed_exact_kl() -> None:
    """Paper A's estimate is, up to noise, the KL to the sampler's law plus N(0, 1e-4)."""
    toy = zoo.toy("gaussians15_narrow")
    table = stochastic_ddim_table(log_snr_sigmas(16, 80.0, 0.002))
    wanted = {"kl_data_model": 1e-8}
    target = divergences.measures(toy, table, metrics=wanted, blur=samples.KDE_STD)
    values = []
    for r in range(6):
        x = sampling.sample(toy, table, 200_000, seed=0, path=200_000 * r)
        values.append(samples.kernel_kl(toy, x, 0.002, seed=0, path=1000 * r).value)
    stderr = np.std(values, ddof=1) / np.sqrt(6)
    assert abs(np.mean(values) - target["kl_data_model"].value) < 5 * stderr


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
    found = samples.kernel_kl(toy, np.zeros((100, 1)) + toy.means[0], 0.0, seed=0)
    assert found.value is None
    assert found.empty_bins == 14
    assert found.reason == "14 empty bins"


def test_a_single_point_is_always_hit() -> None:
    found = divergences.exact_kl(Mixture([1], [0.3], 0), ddim_table([80.0, 1.0, 0.0]))
    assert found.value == 0.0


def test_summary_reports_the_spread_and_never_hides_infinities() -> None:
    def kls(*values: float) -> list[Measured]:
        return [Measured(value, 0.1, "standard", empty_bins=0) for value in values]

    def empty(*counts: int) -> list[Measured]:
        return [without(f"{n} empty bins", "bins", empty_bins=n) for n in counts]

    found = samples.summary(kls(1.0, 2.0, 3.0), 10)
    assert (found.value, found.sd, found.infinite_repeats) == (2.0, 1.0, 0)
    assert found.error == pytest.approx(1 / np.sqrt(3))
    assert (found.error_kind, found.paths, found.repeats) == ("standard", 10, 3)
    alone = samples.summary(kls(1.0), 10)
    assert (alone.sd, alone.error) == (None, 0.1)  # the error of the one estimate
    found = samples.summary([*kls(1.0, 2.0), *empty(4, 1, 2)], 10)
    assert found.value is None
    assert found.is_infinite
    assert (found.infinite_repeats, found.empty_bins) == (3, 4)
    assert found.finite_mean == 1.5
    assert found.reason == "3 repeats with up to 4 empty bins"


def test_terminal_zero_of_densities_is_the_law_of_the_denoised_state() -> None:
    """N(0, 1), two steps to 0: the final state is Gaussian with a known variance."""
    sigmas = (2.0, 0.5, 0.0)
    setting = Setting("gaussian", "x", 2, terminal="zero", sigmas=sigmas)
    table = setting.table(setting.levels())
    want = gaussian_kl_data_model(1.0, float(table_variances(table, 1.0)[-1]))  # type: ignore[arg-type]
    [row] = setting.run()
    assert row["value"] == pytest.approx(float(want), rel=1e-9)


def test_all_metrics_together_are_those_alone() -> None:
    toy = zoo.toy("gaussians15_overlap")
    for table in (TABLE, ddim_table(edm_sigmas(5, 80.0, 0.002))):
        found = divergences.measures(toy, table)
        assert list(found) == list(divergences.METRICS)
        data = divergences.exact_kl(toy, table, "data")
        for name, wanted, alone in (
            ("kl_data_model", divergences.exact_kl(toy, table).value, found["kl_data_model"]),
            ("kl_discretisation", data.value, found["kl_discretisation"]),
            ("tv", divergences.measures(toy, table, metrics={"tv": 1e-9})["tv"].value, found["tv"]),
            ("w1", divergences.measures(toy, table, metrics={"w1": 1e-9})["w1"].value, found["w1"]),
        ):
            assert abs(alone.value - wanted) <= 2 * alone.error, name
        assert found["kl_start"].value == divergences.start_kl(toy, 80.0, 80.0)[0]
        assert found["kl_data_model"].value != found["kl_discretisation"].value


def test_from_the_true_law_there_is_no_share_of_the_start() -> None:
    found = divergences.measures("gaussians5", TABLE, "data")
    assert found["kl_start"] == Measured(0.0, 0.0, route="quadrature")
    assert found["kl_discretisation"] == found["kl_data_model"]


def test_one_settling_computes_every_law_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass computes the laws of both starts in one call, whatever the metrics."""
    calls = []

    def counted(*args: object) -> list[Law]:
        calls.append((args[3], args[4]))
        return laws_of(*args)

    monkeypatch.setattr("toys.laws.passes.laws_of", counted)
    divergences.measures("gaussians15_overlap", TABLE)
    passes = [(["noise", "data"], 1.25**i) for i in range(len(calls))]
    assert calls == passes
    assert 2 <= len(calls) <= 3


@pytest.mark.slow
def test_a_functional_that_has_settled_is_not_read_again() -> None:
    read = {"early": 0, "late": 0, "never": 0, "broken": 0}

    def reading(name: str, values: list[float]) -> Functional:
        def read_one(_: Law) -> float:
            read[name] += 1
            if name == "broken":
                raise ValueError("rtol must be within reach")
            return values[min(read[name], len(values)) - 1]

        return Functional(read_one, 1e-8)

    given = {
        "early": reading("early", [1.0, 1.0]),
        "late": reading("late", [3.0, 2.0, 1.5, 1.5]),
        "never": reading("never", [float(i % 2) for i in range(99)]),
        "broken": reading("broken", []),
    }
    found = settle(Passes(GAUSSIAN, TABLE, 1e-8), given)
    assert read == {"early": 2, "late": 4, "never": 8, "broken": 1}
    assert (found["early"].value, found["late"].value) == (1.0, 1.5)
    assert found["early"].error == pytest.approx(2e-12)
    assert found["never"].value is None
    assert found["never"].reason.startswith("the exact law must settle to 1e-08 relative, got 0 at")
    assert found["broken"].reason == "rtol must be within reach"


def test_one_law_out_of_reach_leaves_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far apart components make the true law at a low first level much wider than the noise."""
    monkeypatch.setattr("toys.laws.panels.MAX_NODES", 10_000)
    toy = Mixture([1, 1], [-3000.0, 3000.0], 0.01)
    wanted = {start: Functional(lambda law: 1.0, 1e-8, start) for start in ("noise", "data")}
    found = settle(Passes(toy, stochastic_ddim_table([1.0, 0.5]), 1e-8), wanted)
    assert found["noise"].value == 1.0
    assert found["data"].value is None
    assert "must need at most 10000 nodes" in found["data"].reason
    metrics = {"kl_discretisation": 1e-8}
    lost = divergences.measures(toy, stochastic_ddim_table([1.0, 0.5]), metrics=metrics)
    with pytest.raises(ValueError, match="must need at most 10000 nodes"):
        lost["kl_discretisation"].known()


def test_points_after_a_last_level_of_zero_are_binned() -> None:
    table = stochastic_ddim_table(log_snr_sigmas(8, 80.0, 0.002, "zero"))
    found = divergences.measures("points15", table)
    assert found["kl_data_model"].empty_bins == 0
    assert 0 < found["tv"].value < 1
    # Pinsker's inequality; the bins lump all outside into one outcome.
    assert found["tv"].value <= np.sqrt(0.5 * found["kl_data_model"].value)
    assert found["w1"].value is None
    assert found["w1"].reason == "points without noise are compared by bins"
    single = divergences.measures(Mixture([1], [0.3], 0), ddim_table([80.0, 1.0, 0.0]))
    assert single["tv"].value == 0.0


def test_an_infinite_kl_is_told_from_an_unknown_one() -> None:
    table = make_table("evodiff", log_snr_sigmas(8, 80.0, 0.002))
    found = divergences.measures("gaussians15_overlap", table, metrics={"kl_data_model": 1e-8})
    infinite = found["kl_data_model"]
    assert (infinite.value, infinite.error, infinite.is_infinite) == (None, 0.0, True)
    assert infinite.known() is infinite


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: divergences.measures("gaussian", TABLE, "noize"), "start must be one of noise"),
        (lambda: divergences.measures("gaussian", TABLE, metrics={"kl": 1e-8}), "metrics must be"),
        (lambda: divergences.measures("gaussian", TABLE, metrics={"tv": 0.0}), "rtol must be at"),
        (lambda: divergences.measures("circle8", TABLE), "toy must have d = 1"),
        (lambda: divergences.measures("gaussian", 3), "table must be a SolverTable"),
    ],
)
def test_wrong_arguments_are_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("std", "steps", "low", "high"),
    [
        (1.0, 4, 0.002, 80.0),
        (0.01, 1, 0.002, 80.0),
        (1000.0, 2, 0.002, 80.0),
        (1.0, 1, 1e-8, 1e10),  # a sampler 1e-8 as wide as the data
        (1.0, 4, 1e-6, 1e8),
    ],
)
def test_distances_of_a_gaussian_are_the_closed_form(
    std: float, steps: int, low: float, high: float
) -> None:
    """DDIM on N(0, std^2) is linear, so that the sampler's law is a Gaussian."""
    sigmas = log_snr_sigmas(steps, high, low)
    wide, own = float(np.hypot(std, low)), high
    for s, t in pairwise(sigmas.tolist()):
        own *= t / s + (1 - t / s) * std**2 / (std**2 + s**2)
    found = divergences.measures(
        Mixture([1], [0], std), ddim_table(sigmas), metrics={"tv": 1e-5, "w1": 1e-5}
    )
    a, b = min(wide, own), max(wide, own)
    x = np.sqrt(2 * np.log(b / a) / (1 / a**2 - 1 / b**2))
    tv = 2 * abs(float(stats.norm.cdf(x / a) - stats.norm.cdf(x / b)))
    w1 = abs(wide - own) * np.sqrt(2 / np.pi)
    for name, want in (("tv", tv), ("w1", w1)):
        value, error = found[name].value, found[name].error
        assert value is not None
        assert error is not None
        assert abs(value - want) <= error + 1e-14 * want
        assert value == pytest.approx(want, rel=1e-8)
