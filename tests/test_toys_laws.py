"""The exact law: closed forms, the independent oracle, Monte Carlo, folds, and its own error."""

from dataclasses import replace

import numpy as np
import oracles
import pytest
from scipy import stats
from strategies import churned_table, heun_table, random_mixture, random_sigmas

from benchmarks.measure import bins, divergences
from theory.gaussian import arctan_ddim_kl_data_model, gaussian_kl_data_model, table_variances
from theory.noise.processes import EDM
from theory.schedules.arctan import arctan_sigmas
from theory.schedules.standard import edm_sigmas, log_snr_sigmas, time_sigmas
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from theory.solvers.table import SolverTable
from toys import sampling, zoo
from toys.information.quadrature import integrals
from toys.laws import panels
from toys.laws.build import law_of, laws_of, maps
from toys.laws.densities import GaussianSums
from toys.laws.law import Law
from toys.laws.transported import FIRST_REACH
from toys.mixture import Mixture


@pytest.mark.parametrize("case", oracles.LAW_CASES, ids=lambda c: c.name)
def test_kl_agrees_with_the_dense_oracle(case: oracles.LawCase) -> None:
    """1e-7 relative or 1e-12 absolute; test_oracles.py recomputes the oracle's numbers."""
    toy = Mixture(case.weights, case.means, case.stds)
    table = stochastic_ddim_table(case.sigmas, case.start_std, case.eta)
    found = divergences.exact_kl(toy, table, case.start)
    want = oracles.LAW_KL[case.name]
    assert found.value == pytest.approx(want, rel=1e-7, abs=1e-12)
    assert abs(found.value - want) <= found.error + 1e-10 * want


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5, 10, 20, 64])
@pytest.mark.parametrize("c", [0.3, 1.0, 4.0])
def test_ddim_on_the_arctan_grid_has_the_closed_form(n_steps: int, c: float) -> None:
    """docs/papers/a.md, equation (6): KL = (1/r - 1 + ln r) / 2, r = cos^{2N} delta, to 1e-10."""
    sigmas = arctan_sigmas(n_steps, 80.0, 0.002, c=c)
    found = divergences.exact_kl(Mixture([1], [0], c), ddim_table(sigmas), "data", 1e-11)
    want = arctan_ddim_kl_data_model(n_steps, 80.0, 0.002, c)
    assert found.value == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("make", [stochastic_ddim_table, ddim_table, churned_table, heun_table])
@pytest.mark.parametrize("start", ["noise", "data"])
def test_gaussian_data_give_the_gaussian_recursion(make: object, start: str) -> None:
    sigmas = edm_sigmas(6, 80.0, 0.01)
    table: SolverTable = make(sigmas)  # type: ignore[operator]
    if start == "data":
        std = float(np.hypot(0.8, 80.0))
        other = replace(table, start_std=std)
    else:
        other = table
    want = gaussian_kl_data_model(0.8**2 + 0.01**2, float(table_variances(other, 0.8)[-1]))
    found = divergences.exact_kl(Mixture([1], [0], 0.8), table, start)
    assert found.value == pytest.approx(float(want), rel=1e-10, abs=1e-13)


REFINED = [
    ("gaussians15_narrow", stochastic_ddim_table(log_snr_sigmas(4, 80.0, 0.002))),
    ("gaussians15_overlap", stochastic_ddim_table(time_sigmas(4, 80.0, 0.002, coordinate=EDM()))),
    ("gaussians15_overlap", stochastic_ddim_table(edm_sigmas(12, 80.0, 0.002), eta=0.5)),
    ("gaussians15_narrow", ddim_table(edm_sigmas(5, 80.0, 0.002))),
    ("gaussians15_overlap", heun_table(log_snr_sigmas(4, 80.0, 0.002))),
    ("gaussians15_narrow", churned_table(edm_sigmas(6, 80.0, 0.002))),
]


@pytest.mark.parametrize(("name", "table"), REFINED)
def test_doubling_resolution_and_domain_stays_within_the_error(
    name: str, table: SolverTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = zoo.toy(name)
    found = divergences.exact_kl(toy, table)
    monkeypatch.setattr(panels, "PANEL_WIDTHS", panels.PANEL_WIDTHS / 2)
    monkeypatch.setattr("toys.laws.passes.FIRST_REACH", FIRST_REACH * 2)
    monkeypatch.setattr("toys.laws.transported.FIRST_REACH", FIRST_REACH * 2)
    again = divergences.exact_kl(toy, table)
    assert abs(again.value - found.value) <= found.error


def test_components_of_unlike_width_are_resolved() -> None:
    """Widths 0.005 and 1 side by side; as the narrow weight vanishes, the broad law is left."""
    broad = divergences.exact_kl(
        Mixture([1], [0], 1), stochastic_ddim_table(edm_sigmas(8, 80.0, 0.002))
    )
    mixed = Mixture([1, 1e-9], [0, 0.3], [1, 0.005])
    found = divergences.exact_kl(mixed, stochastic_ddim_table(edm_sigmas(8, 80.0, 0.002)))
    assert found.value == pytest.approx(broad.value, abs=1e-7)


@pytest.mark.parametrize("n_steps", [4, 8])
def test_folded_maps_agree_with_a_histogram(n_steps: int) -> None:
    """Heun folds the line: 15 components of std 0.05. Largest of 100 z-scores below 4.5 (1e-3)."""
    base = zoo.toy("points15").means[:, 0]
    toy = Mixture(np.ones(15), base * np.sqrt(1 - 0.05**2), 0.05)
    table = heun_table(log_snr_sigmas(n_steps, 80.0, 0.002))
    law = law_of(toy, table, "noise", 1.0, 20.0)
    assert law.folds(-3.0, 3.0).size >= 4
    edges = np.linspace(-2.5, 2.5, 101)
    p = np.exp(law.log_mass(edges[:-1], edges[1:]))
    n = 1_000_000
    counts = np.histogram(sampling.sample(toy, table, n, seed=1)[:, 0], edges)[0]
    busy = n * p >= 25
    z = (counts - n * p)[busy] / np.sqrt(n * (p * (1 - p))[busy])
    assert np.abs(z).max() < 4.5
    # The density, singular at the folds, integrates to the same bins.
    cuts = np.unique(np.concatenate([np.linspace(0.4, 0.6, 20), law.folds(0.4, 0.6)]))
    mass = integrals(lambda y: np.exp(law.log_density(y))[None], cuts, 1e-5, 1e-7)[0][0]
    want = float(np.exp(law.log_mass(cuts[:1], cuts[-1:]))[0])
    assert mass == pytest.approx(want, rel=1e-4)


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    """A transported law follows its map as far as a question needs, in any order."""
    toy = zoo.toy("two_points")
    table = heun_table(log_snr_sigmas(5, 80.0, 0.002))
    near, far = np.array([-1.001, 0.3, 1.3]), np.array([-30.0, 0.9, 30.0])
    one, other = (law_of(toy, table, "noise", 1.0, 20.0) for _ in range(2))
    first = one.log_density(near), one.log_density(far), one.folds(-1.0, 1.0)
    second = other.log_density(far), other.holes(-1.0, 1.0), other.log_density(near)
    np.testing.assert_array_equal(first[0], second[2])
    np.testing.assert_array_equal(first[1], second[0])
    np.testing.assert_array_equal(first[2], other.folds(-1.0, 1.0))
    assert np.isfinite(first[1]).all()


def test_a_narrow_fold_is_in_the_range_of_the_law() -> None:
    """Heun's map of two points reaches 1.319 between two of 513 even probes; 7 sigma below 6e-7."""
    toy, table = zoo.toy("two_points"), heun_table(log_snr_sigmas(5, 80.0, 0.002))
    low, high = law_of(toy, table, "noise", 1.0, 20.0).support
    x = sampling.sample(toy, table, 1_000_000, seed=5)[:, 0]
    assert low <= x.min() < -1.2
    assert 1.2 < x.max() <= high
    found = divergences.measures(toy, table, metrics={"tv": 1e-5})["tv"]
    fine = divergences.measures(toy, table, metrics={"tv": 1e-8})["tv"]
    assert abs(found.value - fine.value) <= found.error + fine.error


def test_laws_of_two_starts_are_those_of_each() -> None:
    for name, table in (
        ("gaussians15_overlap", stochastic_ddim_table(log_snr_sigmas(4, 80.0, 0.002))),
        ("gaussians15_overlap", ddim_table(log_snr_sigmas(4, 80.0, 0.002))),
        ("gaussians5", stochastic_ddim_table(log_snr_sigmas(3, 0.1, 0.02))),  # domains unlike
    ):
        toy, y = zoo.toy(name), np.linspace(-2.0, 2.0, 41)
        starts = ["noise", "data"]
        both = laws_of(toy, table, maps(toy, table), starts, 1.5, 20.0)
        for start, law in zip(starts, both, strict=True):
            alone = law_of(toy, table, start, 1.5, 20.0)
            np.testing.assert_allclose(law.log_density(y), alone.log_density(y), 1e-10, 1e-10)
            np.testing.assert_allclose(law.moments(), alone.moments(), 1e-8, 1e-10)


@pytest.mark.parametrize("spread", [0.1, 30.0])
def test_intervals_of_a_sum_are_those_of_its_terms(spread: float) -> None:
    """Near, far and whole-line intervals, against the sum over every term."""
    rng = np.random.default_rng(0)
    mean, mass = rng.normal(0.0, 5.0, (40, 16)), rng.normal(-8.0, spread, (40, 16))
    sums = GaussianSums(mean, mass, 0.1)
    low = np.array([-np.inf, -3.0, 0.0, 0.001, 40.0, -70.0, 2.0])
    high = np.array([np.inf, 3.0, 0.5, 0.002, 41.0, -60.0, np.inf])
    for a, b, found in zip(low, high, sums.log_mass(low, high), strict=True):
        near, far = np.sort(np.abs([(a - mean), (b - mean)]), axis=0) / 0.1
        log_near, log_far = stats.norm.logsf(near), stats.norm.logsf(far)
        with np.errstate(invalid="ignore"):  # both ends infinite
            tail = log_near + np.log1p(-np.exp(log_far - log_near))
        middle = np.log1p(-np.exp(log_near) - np.exp(log_far))
        logs = np.where((mean > a) & (mean < b), middle, tail)
        terms = (mass + logs).ravel()
        want = terms.max() + np.log(np.exp(terms - terms.max()).sum())
        assert found == pytest.approx(want, rel=1e-11, abs=1e-11), (a, b)


def random_case(i: int) -> tuple[Mixture, SolverTable, float]:
    """Case i of 200: points or densities, eta 0, 0.5 or 1, both terminals."""
    rng = np.random.default_rng(1000 + i)
    points, eta = i % 2 == 0, (0.0, 0.5, 1.0)[i % 3]
    toy = random_mixture(i, kind="points" if points else "density", k_max=6)
    zero = bool(rng.random() < 0.5)
    sigmas = random_sigmas(i, int(rng.integers(1, 9)), zero=zero and points)
    table = stochastic_ddim_table(sigmas, float(sigmas[0]), eta)
    return toy, table, float(sigmas[-1])


def chi_squared(toy: Mixture, law: Law, x: np.ndarray, sigma_end: float) -> float:
    """P-value of the samples' bin counts, bins of fewer than 25 expected pooled; 1 for one bin."""
    edges = np.quantile(x, np.linspace(0.0, 1.0, 22))[1:-1]
    edges = np.unique(edges + 1e-9 * np.arange(edges.size))
    if toy.is_points and sigma_end == 0:
        found = np.unique(toy.means[:, 0])
        half = bins.bin_half_width(found[:, None])
        edges = np.unique(np.concatenate([found - half, found + half]))[1:-1]
    cdf = law.cdf(edges)
    expected = x.size * np.diff(np.concatenate([[0.0], cdf, [1.0]]))
    counts = np.diff(np.concatenate([[0], np.searchsorted(np.sort(x), edges), [x.size]]))
    rare = expected < 25
    observed = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    if wanted[-1] < 25:
        observed[0] += observed[-1]
        wanted[0] += wanted[-1]
        observed, wanted = observed[:-1], wanted[:-1]
    if observed.size < 2:
        return 1.0
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


def test_monte_carlo_agrees_with_the_law_over_200_random_cases() -> None:
    """Bins (chi-squared), mean and mean square (z); family-wise false alarms at most 1 %.

    600 tests at level 1e-2 / 600 each (Bonferroni).
    """
    level, n, p_values = 1e-2 / 600, 20_000, []
    for i in range(200):
        toy, table, sigma_end = random_case(i)
        x = sampling.sample(toy, table, n, seed=i, threads=1)[:, 0]
        law = law_of(toy, table, "noise", 1.0, 20.0)
        if toy.is_points and sigma_end == 0 and np.unique(toy.means).size == 1:
            assert np.all(np.abs(x - toy.means[0, 0]) < 1e-12)
            continue
        p_values.append((i, chi_squared(toy, law, x, sigma_end)))
        for values, want in zip((x, x**2), law.moments(), strict=True):
            if values.std() < 1e-12:  # all paths on one point: the others weigh next to nothing
                assert abs(values.mean() - want) < 10 / n * np.abs(toy.means).max() ** 2 + 1e-9
                continue
            z = (values.mean() - want) / (values.std() / np.sqrt(n))
            p_values.append((i, float(2 * stats.norm.sf(abs(z)))))
    assert len(p_values) > 500
    smallest = min(p_values, key=lambda v: v[1])
    assert smallest[1] > level, smallest
    # Valid p-values are uniform: this would detect tests that can never fail.
    assert stats.kstest([p for _, p in p_values if p < 1.0], "uniform").pvalue > 1e-4


def test_points_with_terminal_zero_are_compared_by_bins() -> None:
    toy, sigmas = zoo.toy("points15"), log_snr_sigmas(8, 80.0, 0.002, "zero")
    table = stochastic_ddim_table(sigmas)
    found = divergences.exact_kl(toy, table)
    n = 400_000
    weights, counts = bins.bin_counts(toy, sampling.sample(toy, table, n, seed=0))
    mc = float(weights @ (np.log(weights) - np.log(counts / n)))
    slope = weights**2 / (counts / n)  # delta method
    error = np.sqrt((slope.sum() - 1.0) / n)
    assert abs(mc - found.value) < 4 * error
    assert found.empty_bins == 0


def test_one_step_to_zero_leaves_an_astronomic_but_finite_kl() -> None:
    toy = zoo.toy("two_points")
    found = divergences.exact_kl(toy, stochastic_ddim_table([80.0, 0.0]))
    # Each bin's edge 1 - 0.98 is reached at x = -80^2 artanh(0.02): symmetric, so both are equal.
    edge = 80.0**2 * np.arctanh(1 - 2 * 0.49)
    q = stats.norm.sf(edge / 80.0)
    assert found.value == pytest.approx(-np.log(2 * q), rel=1e-9)


def test_history_across_noise_is_refused_with_the_reason() -> None:
    table = SolverTable(
        np.array([2.0, 1.0]),
        np.array([[0.5, 0.0], [0.5, 0.0]]),
        np.array([[0.5, 0.0], [0.6, -0.1]]),
        np.array([0.1, 0.1]),
        2.0,
        0.5,
        1,
        2,
    )
    with pytest.raises(ValueError, match="row 1 using row 0 although row 0 adds noise"):
        divergences.exact_kl(zoo.toy("gaussian"), table)


def test_what_does_not_settle_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toys.laws.passes.MAX_PASSES", 2)
    monkeypatch.setattr("toys.laws.passes.FIRST_REACH", 3.0)
    table = stochastic_ddim_table(time_sigmas(1, 80.0, 0.002, coordinate=EDM()))
    with pytest.raises(
        ValueError,
        match=r"must settle to 1e-08 relative, got .* at reach 3, .* at reach 6; use Monte",
    ):
        divergences.exact_kl(zoo.toy("gaussians15_narrow"), table)


def test_more_than_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="toy must have d = 1 for an exact law, got d = 2"):
        divergences.exact_kl(zoo.toy("circle8"), stochastic_ddim_table([80.0, 0.1]))


def test_the_ddim_law_is_the_same_in_vp_coordinates() -> None:
    """A VP step on x_vp = alpha x, written in alpha and sigma_vp, maps to the same points."""
    toy, sigmas = zoo.toy("gaussians15_overlap"), log_snr_sigmas(6, 150.0, 0.01)
    table = ddim_table(sigmas, start_std=float(np.hypot(1.0, 150.0)))
    x = sampling.start_states(toy, table, 2000, seed=0)
    ve = sampling.walk_states(toy, table, x, seed=0)
    alpha = 1.0 / np.sqrt(1.0 + sigmas**2)
    noise = sigmas * alpha
    vp = x * alpha[0]  # N(0, 1) at the start
    for i in range(sigmas.size - 1):
        x0 = toy.denoise(vp / alpha[i], float(sigmas[i]))
        eps = (vp - alpha[i] * x0) / noise[i]
        vp = alpha[i + 1] * x0 + noise[i + 1] * eps
    np.testing.assert_allclose(vp / alpha[-1], ve, rtol=1e-11, atol=1e-12)
