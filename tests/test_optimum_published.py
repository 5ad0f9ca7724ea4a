"""Published optimisers: the common contract, and what each paper proves about its own levels."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from benchmarks.measure.exact import kl
from benchmarks.optimum.published import align_your_steps, dm_nonuniform
from benchmarks.optimum.published.align_your_steps import (
    align_your_steps_sigmas,
    klub_sigmas,
    search,
)
from benchmarks.optimum.published.dm_nonuniform import dm_nonuniform_sigmas, error_bound
from benchmarks.optimum.published.gits import cheapest_path, gits_sigmas, step_costs
from benchmarks.optimum.published.line import line_profile, slope, start_states, trajectories
from benchmarks.optimum.published.optimal_steps import distilled_path, optimal_steps_sigmas
from benchmarks.optimum.published.registry import LEFT_OUT, PUBLISHED
from benchmarks.optimum.published.score_optimal import score_optimal_sigmas
from benchmarks.optimum.published.sdm import local_errors, sdm_sigmas
from benchmarks.optimum.published.tangent_law import tangent_law_sigmas
from theory.checks import Array
from theory.levels import Span
from theory.schedules.las_levels import RiskCurve
from theory.schedules.standard import edm_sigmas, log_snr_sigmas
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from theory.solvers.multistep import dpmpp_3m_table
from toys.information.information import mmse
from toys.mixture import Mixture, normals
from toys.sampling import walk_states
from toys.zoo import toy

pytestmark = pytest.mark.slow

HIGH, LOW = 80.0, 0.002
PAIR = Mixture([0.3, 0.7], [-1.0, 0.6], [0.2, 0.35])


def gaussian(c: float) -> Mixture:
    return Mixture([1.0], [0.0], [c])


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(
    ("data", "n_steps", "solver"),
    [
        ("two_points", 1, "ddim"),
        ("gaussians5", 5, "stochastic_ddim"),
        ("gaussians5", 9, "dpmpp_2m"),
    ],
)
def test_every_method_returns_falling_levels_with_exact_ends(
    name: str, data: str, n_steps: int, solver: str
) -> None:
    sigmas = PUBLISHED[name](toy(data), n_steps, HIGH, LOW, solver=solver)
    assert sigmas.shape == (n_steps + 1,)
    assert sigmas[0] == HIGH
    assert sigmas[-1] == LOW
    assert np.all(np.diff(sigmas) < 0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_method_repeats_itself_on_another_range(name: str) -> None:
    first = PUBLISHED[name](PAIR, 6, 20.0, 0.01, solver="ddim")
    dm_nonuniform._optimal_logs.cache_clear()
    np.testing.assert_array_equal(first, PUBLISHED[name](PAIR, 6, 20.0, 0.01, solver="ddim"))
    assert first[[0, -1]].tolist() == [20.0, 0.01]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixture": toy("circle8")}, "mixture must have one coordinate, got d = 2"),
        ({"n_steps": 0}, "n_steps must be a whole number"),
        ({"sigma_min": 90.0}, "sigma_min must be below sigma_max 80, got 90"),
        ({"solver": "eurel"}, "eurel"),
    ],
)
def test_every_method_refuses_invalid_arguments(
    name: str, changes: dict[str, object], message: str
) -> None:
    given = {"mixture": PAIR, "n_steps": 4, "sigma_max": HIGH, "sigma_min": LOW, "solver": "ddim"}
    with pytest.raises(ValueError, match=message):
        PUBLISHED[name](**{**given, **changes})


def test_what_is_left_out_has_a_reason_and_no_function() -> None:
    assert not set(LEFT_OUT) & set(PUBLISHED)
    assert all(len(reason) > 40 for reason in LEFT_OUT.values())


def test_trajectories_keep_the_share_of_the_law_below_them() -> None:
    levels = edm_sigmas(20, HIGH, LOW)
    path = trajectories(PAIR, levels, start_states(HIGH, 101))
    scales = np.hypot(PAIR.stds[:, 0], levels[:, None])
    shares = norm.cdf((path[:, :, None] - PAIR.means[:, 0]) / scales[:, None]) @ PAIR.weights
    np.testing.assert_allclose(shares, shares[[0]].repeat(levels.size, axis=0), atol=1e-8)


# Align Your Steps.


def test_klub_of_an_exact_denoiser_follows_from_the_mmse() -> None:
    """Sabour et al. (2024), lemma 3.3, for a mixture in place of Gaussian data."""
    low, high, n = 0.3, 0.9, 400_000
    x = PAIR.sample(n, seed=1, sigma=low)
    later = x + np.sqrt(high**2 - low**2) * normals(n, 1, 2, 0, 0)
    squares = (PAIR.denoise(x, low) - PAIR.denoise(later, high)) ** 2
    want = float(mmse(PAIR, high) - mmse(PAIR, low))
    assert abs(squares.mean() - want) < 4.0 * squares.std() / np.sqrt(n)


@pytest.mark.parametrize("c", [0.3, 1.0])
@pytest.mark.parametrize("n_steps", [2, 7, 32])
def test_klub_optimum_of_gaussian_data_is_geometric_in_one_plus_the_snr(
    c: float, n_steps: int
) -> None:
    """Sabour et al. (2024), eq. 31: (1 + c^2 / t_i^2)^2 is the product of its neighbours."""
    sigmas = klub_sigmas(gaussian(c), n_steps, HIGH, LOW, solver="stochastic_ddim")
    ratio = np.geomspace(*(1.0 + (c / np.array([HIGH, LOW])) ** 2), n_steps + 1)
    np.testing.assert_allclose(sigmas[1:-1], c / np.sqrt(ratio[1:-1] - 1.0), rtol=1e-6)


def test_coordinate_search_ends_where_no_candidate_is_better() -> None:
    curve = RiskCurve(line_profile(PAIR, Span(8, HIGH, LOW)))
    logs = search(np.log(edm_sigmas(8, HIGH, LOW)), curve, np.arange(1, 8))

    def bound(logs: Array) -> float:
        snr = np.exp(-2.0 * logs)
        return float(mmse(PAIR, np.exp(logs[:-1])) @ np.diff(snr))

    least = bound(logs)
    for i in range(1, 8):
        for share in align_your_steps.REACH:
            moved = logs.copy()
            moved[i] += share * (logs[i - 1] - logs[i] if share > 0 else logs[i] - logs[i + 1])
            assert bound(moved) >= least * (1.0 - 1e-9)
    exact = klub_sigmas(PAIR, 8, HIGH, LOW, solver="stochastic_ddim")
    constant = quad(lambda u: 2.0 * mmse(PAIR, np.exp(u)) * np.exp(-2.0 * u), *np.log([LOW, HIGH]))
    excess = (least - constant[0]) / (bound(np.log(exact)) - constant[0])
    assert 1.0 - 1e-9 < excess < 1.02  # the candidates are a tenth of a step apart


def test_stages_of_align_your_steps_are_nested() -> None:
    ten, twenty, forty = (
        align_your_steps_sigmas(PAIR, n, HIGH, LOW, solver="stochastic_ddim") for n in (10, 20, 40)
    )
    np.testing.assert_allclose(ten, forty[::4], rtol=1e-12)
    np.testing.assert_allclose(twenty, forty[::2], rtol=1e-12)


def test_coordinate_search_returns_the_sweep_of_least_distance_and_stops_soon_after() -> None:
    curve = RiskCurve(line_profile(PAIR, Span(8, HIGH, LOW)))
    sweeps: list[Array] = []

    def distance(logs: Array) -> float:
        sweeps.append(logs.copy())
        return abs(len(sweeps) - 4.0)  # least at the third sweep; the first call is the start

    stopped = search(np.log(edm_sigmas(8, HIGH, LOW)), curve, np.arange(1, 8), distance)
    np.testing.assert_array_equal(stopped, sweeps[3])
    assert np.any(sweeps[4] != sweeps[3])
    assert len(sweeps) == 4 + align_your_steps.PATIENCE


def test_early_stop_of_align_your_steps_has_a_lower_kl_than_either_end() -> None:
    data = toy("gaussians5")

    def value(sigmas: Array) -> float:
        return kl(data, stochastic_ddim_table(sigmas)).value

    stopped, converged = (
        align_your_steps_sigmas(data, 10, HIGH, LOW, solver="stochastic_ddim", stop_early=early)
        for early in (True, False)
    )
    assert value(stopped) < value(edm_sigmas(10, HIGH, LOW))
    assert value(stopped) < value(converged)


# GITS.


@pytest.mark.parametrize("n_steps", [1, 2, 4, 7])
@pytest.mark.parametrize("coefficient", [0.4, 1.15, 3.0])
def test_cheapest_path_is_not_beaten_by_any_subset(n_steps: int, coefficient: float) -> None:
    m = 9
    costs = np.where(np.tri(m, dtype=bool), np.inf, np.random.default_rng(3).normal(size=(m, m)))

    def total(path: tuple[int, ...]) -> float:
        return sum(coefficient**k * costs[i, j] for k, (i, j) in enumerate(pairwise(path)))

    paths = [(0, *inner, m - 1) for inner in combinations(range(1, m - 1), n_steps - 1)]
    assert tuple(cheapest_path(costs, n_steps, coefficient)) == min(paths, key=total)


def test_cheapest_path_refuses_more_steps_than_levels() -> None:
    with pytest.raises(ValueError, match=r"n_steps must be in 1\.\.4, got 5"):
        cheapest_path(np.ones((5, 5)), 5)


@pytest.mark.parametrize("measure", ["l2", "dev"])
def test_costs_of_gits_are_those_of_its_definition(measure: str) -> None:
    levels = edm_sigmas(12, HIGH, LOW)
    path = trajectories(PAIR, levels, start_states(HIGH))
    costs = step_costs(PAIR, levels, measure)

    def deviation(x: Array) -> float:
        chord = path[-1] - path[0]
        along = (path[-1] - x) @ chord / (chord @ chord)
        return float(np.linalg.norm(path[-1] - x - along * chord) / np.sqrt(x.size))

    for i, j in ((0, 5), (3, 4), (6, 12)):
        end = path[i] + (levels[j] - levels[i]) * slope(PAIR, path[i], levels[i])
        off = np.linalg.norm(end - path[j]) / np.sqrt(end.size)
        want = off if measure == "l2" else deviation(end) - deviation(path[j])
        np.testing.assert_allclose(costs[i, j], want, rtol=1e-9, atol=1e-12)
    assert np.isinf(costs[np.tri(13, dtype=bool)]).all()


def test_gits_refuses_chords_of_straight_trajectories() -> None:
    with pytest.raises(ValueError, match="measure must be 'l2' where trajectories are straight"):
        gits_sigmas(gaussian(1.0), 4, HIGH, LOW, solver="ddim", measure="dev")


# Optimal stepsize distillation.


def student_error(levels: Array, teacher: Array) -> float:
    """Mean squared error of DDIM down these levels, by the suite's own sampler."""
    end = walk_states(PAIR, ddim_table(levels), teacher[0][:, None], seed=0)
    return float(np.mean((end[:, 0] - teacher[-1]) ** 2))


def test_distilled_path_of_two_steps_is_the_best_of_all() -> None:
    levels = edm_sigmas(16, HIGH, LOW)
    teacher = trajectories(PAIR, levels, start_states(HIGH, 64))
    errors = [student_error(levels[[0, i, 16]], teacher) for i in range(1, 16)]
    assert distilled_path(PAIR, levels, teacher, 2).tolist() == [0, 1 + np.argmin(errors), 16]


def plain_distillation(levels: Array, teacher: Array, n_steps: int, order: int) -> list[int]:
    """Algorithms 1 and 2 of Pei et al. (2025), one state and one target level at a time."""
    m = levels.size
    states = {0: (teacher[0], None, None, [0])}  # state, last output, its level, path
    for _ in range(n_steps):
        new: dict[int, tuple] = {}
        for j in range(1, m):
            best = np.inf
            for i, (x, before, place, path) in states.items():
                if i >= j:
                    continue
                d, b, h = PAIR.denoise(x, levels[i]), levels[j], np.log(levels[i] / levels[j])
                ends = [b / levels[i] * x + (1 - b / levels[i]) * d]
                if order == 2 and before is not None:
                    r = np.log(levels[place] / levels[i]) / h
                    ends.append(ends[0] + (1 - b / levels[i]) * (d - before) / (2 * r))
                for end in ends:
                    cost = np.mean((end - teacher[j]) ** 2)
                    if cost < best:
                        best, new[j] = cost, (end, d, i, [*path, j])
        states = new
    return states[m - 1][3]


@pytest.mark.parametrize("n_steps", [1, 3, 6, 14])
@pytest.mark.parametrize("order", [1, 2])
def test_distilled_path_is_that_of_the_plain_algorithm(n_steps: int, order: int) -> None:
    levels = edm_sigmas(14, HIGH, LOW)
    teacher = trajectories(PAIR, levels, start_states(HIGH, 32))
    want = plain_distillation(levels, teacher, n_steps, order)
    assert distilled_path(PAIR, levels, teacher, n_steps, order).tolist() == want


def test_student_ends_closer_to_the_teacher_than_on_edm_levels() -> None:
    sigmas = optimal_steps_sigmas(PAIR, 8, HIGH, LOW, solver="ddim")
    teacher = trajectories(PAIR, edm_sigmas(8, HIGH, LOW), start_states(HIGH))
    assert student_error(sigmas, teacher) < 0.3 * student_error(edm_sigmas(8, HIGH, LOW), teacher)


# DM-NonUniform.


def test_bound_of_first_order_is_least_for_levels_uniform_in_log_snr() -> None:
    sigmas = dm_nonuniform_sigmas(PAIR, 6, HIGH, LOW, solver="ddim")
    np.testing.assert_allclose(sigmas, log_snr_sigmas(6, HIGH, LOW), rtol=1e-5)


def test_weights_of_the_bound_are_those_of_dpm_solver_pp_3m() -> None:
    sigmas = edm_sigmas(9, HIGH, LOW)
    rows = np.arange(2, 7)
    weights = dm_nonuniform._step_weights(-np.log(sigmas), rows, 3)
    table = dpmpp_3m_table(sigmas, corrected=True)
    np.testing.assert_allclose(weights * sigmas[rows + 1, None], table.weights[rows], rtol=1e-9)


@pytest.mark.parametrize("n_steps", [5, 9])
def test_error_bound_is_the_sum_of_its_definition(n_steps: int) -> None:
    logs = -np.log(edm_sigmas(n_steps, HIGH, LOW))
    totals, want = np.zeros(n_steps), 0.0
    for s in range(n_steps):
        calls = range(s, s - min(3, s + 1, n_steps - s), -1)
        terms = {}
        for n in calls:
            others = [logs[j] for j in calls if j != n]

            def basis(u: float, n: int = n, others: list[float] = others) -> float:
                return float(np.exp(u) * np.prod([(u - o) / (logs[n] - o) for o in others]))

            terms[n] = quad(basis, logs[s], logs[s + 1])[0] * np.exp(-logs[n])
        if len(calls) == 1 or (s < 3 and n_steps <= 7):
            want += float(np.hypot.reduce(list(terms.values())))
        else:
            for n, term in terms.items():
                totals[n] += term
    np.testing.assert_allclose(error_bound(logs), want + np.abs(totals).sum(), rtol=1e-9)


@pytest.mark.parametrize(("solver", "order"), [("dpmpp_2m", 2), ("dpmpp_3m", 3)])
@pytest.mark.parametrize("n_steps", [4, 10])
def test_search_lowers_the_bound(solver: str, order: int, n_steps: int) -> None:
    logs = -np.log(dm_nonuniform_sigmas(PAIR, n_steps, HIGH, LOW, solver=solver))
    for other in (log_snr_sigmas, edm_sigmas):
        assert error_bound(logs, order) < error_bound(-np.log(other(n_steps, HIGH, LOW)), order)


# Score-optimal schedules.


@pytest.mark.parametrize("c", [0.05, 1.0])
def test_score_optimal_levels_of_gaussian_data_have_equal_lengths(c: float) -> None:
    """The length int sqrt(delta) dsigma is 2 (asinh(y) - y / sqrt(1 + y^2)) with y = sigma / c."""
    sigmas = score_optimal_sigmas(gaussian(c), 12, HIGH, LOW, solver="ddim")
    y = sigmas / c
    lengths = -np.diff(2.0 * (np.arcsinh(y) - y / np.hypot(1.0, y)))
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=2e-4)


def test_score_optimal_steps_of_a_mixture_have_equal_costs() -> None:
    """Theorem 3.1 of Williams et al. (2024), with the cost L written out as in section 2.3."""
    sigmas = score_optimal_sigmas(PAIR, 4, HIGH, LOW, solver="ddim")
    z = np.linspace(-8.0, 8.0, 161)
    lengths = []
    for high, low in pairwise(sigmas):
        fine = np.geomspace(high, low, 801)
        costs = []
        for s, t in pairwise(fine):
            x = PAIR.means + PAIR.noisy_stds(s) * z
            change = [PAIR.score(row, t) - PAIR.score(row, s) for row in x]
            mean = 0.1 * PAIR.weights @ (norm.pdf(z) * np.square(change)).sum(axis=1)
            costs.append(t**2 * mean)
        lengths.append(np.sqrt(costs).sum())
    np.testing.assert_allclose(lengths, np.mean(lengths), rtol=0.01)  # of first order in the step


# The tangent law and SDM.


def test_tangent_law_is_a_line_in_the_angle_of_the_data() -> None:
    sigmas = tangent_law_sigmas(PAIR, 7, HIGH, LOW, solver="ddim")
    angles = np.arctan(sigmas / np.sqrt(PAIR.variance))
    np.testing.assert_allclose(angles, np.linspace(angles[0], angles[-1], 8), rtol=1e-12)


def test_tangent_law_refuses_a_single_point() -> None:
    with pytest.raises(ValueError, match="mixture must have a positive variance, got 0"):
        tangent_law_sigmas(Mixture([1.0], [2.0], [0.0]), 4, HIGH, LOW, solver="ddim")


def test_tangent_law_is_the_best_grid_of_ddim_on_gaussian_data() -> None:
    data, rng = gaussian(0.7), np.random.default_rng(0)
    sigmas = tangent_law_sigmas(data, 5, HIGH, LOW, solver="ddim")
    least = kl(data, ddim_table(sigmas)).value
    for _ in range(20):
        moved = sigmas.copy()
        moved[1:-1] *= np.exp(0.05 * rng.normal(size=4))
        assert kl(data, ddim_table(moved)).value > least


def test_sdm_levels_of_gaussian_data_have_equal_lengths() -> None:
    """There x is proportional to sqrt(sigma^2 + c^2), with the slope's change c^2 / (...)^(3/2)."""
    c, q = 0.5, 0.25
    sigmas = sdm_sigmas(gaussian(c), 6, HIGH, LOW, solver="ddim", early=q)
    lengths = [
        quad(lambda s: (s**2 + c**2) ** -0.75 * s**-q, low, high)[0]
        for high, low in pairwise(sigmas)
    ]
    np.testing.assert_allclose(lengths, np.mean(lengths), rtol=0.01)  # 400 steps of first order


def test_local_errors_of_sdm_bound_those_of_euler_steps_to_leading_order() -> None:
    sigmas = edm_sigmas(400, HIGH, LOW)
    path = trajectories(PAIR, sigmas, start_states(HIGH))
    eta = local_errors(PAIR, sigmas)
    for i in (50, 200, 300):
        step = sigmas[i + 1] - sigmas[i]
        error = path[i] + step * slope(PAIR, path[i], sigmas[i]) - path[i + 1]
        np.testing.assert_allclose(eta[i], np.sqrt(np.mean(error**2)), rtol=0.05)
