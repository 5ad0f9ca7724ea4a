"""Loss-adaptive schedules: against brute force over all grids, and against closed forms."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle_las import brute_force
from theory.checks import Array, floats
from theory.gaussian import gaussian_mmse
from theory.profiles.isotonic import isotonic
from theory.profiles.profile import Profile
from theory.schedules import las_levels
from theory.schedules.las import (
    IDENTITY,
    Axis,
    Objective,
    Saturating,
    optimal_grid,
)
from theory.schedules.las_levels import (
    RiskCurve,
    las_sigmas,
    natural_lambda,
    objective_sigmas,
    polish,
)
from theory.schedules.registry import schedule


@dataclass(frozen=True)
class UserAxis:
    """An axis given as a function, with finite differences of fourth order as derivatives.

    Args:
        function: Maps SNRs of any shape to strictly increasing numbers of that shape.
    """

    function: Callable[[Array], Array]

    def phi(self, snr: Array) -> Array:
        """The axis; ValueError unless the function returns finite numbers of the shape of snr."""
        out = floats("axis", self.function(snr))
        if out.shape != snr.shape:
            raise ValueError(f"axis must keep the shape {snr.shape}, got {out.shape}")
        return out

    def derivatives(self, snr: Array) -> tuple[Array, Array]:
        """First and second derivative of phi in log snr, each of the shape of snr."""
        step = 2e-3
        low2, low, mid, high, high2 = (self.phi(snr * np.exp(step * k)) for k in range(-2, 3))
        first = (8.0 * (high - low) - (high2 - low2)) / (12.0 * step)
        second = (16.0 * (high + low) - (high2 + low2) - 30.0 * mid) / (12.0 * step**2)
        return first, second


ALL_AXES: dict[str, Axis] = {
    "identity": IDENTITY,
    "saturating": Saturating(0.3),
    "user": UserAxis(lambda snr: np.log1p(snr)),
}
PENALTIES = ((0.0, 2.0), (0.2, 2.0), (0.05, 1.0), (0.1, 0.5), (0.02, 3.0))


def gaussian_profile(c: float = 0.7, low: float = 0.05, high: float = 80.0) -> Profile:
    sigma = np.geomspace(low, high, 1000)
    return Profile(1, sigma, gaussian_mmse(sigma, c))


def random_problem(seed: int, *, falling: bool) -> tuple[np.ndarray, np.ndarray, int]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 15))
    snr = np.exp(np.sort(rng.uniform(-6.0, 6.0, n)))
    risk = rng.exponential(size=n) * np.exp(-0.5 * np.log(snr))
    if seed % 5 == 0:
        risk = np.round(risk)  # ties and zeros
    if falling:
        risk = np.sort(risk)[::-1].copy()
    return snr, risk, int(rng.integers(1, min(6, n - 1) + 1))


@pytest.mark.parametrize("axis", ALL_AXES)
@pytest.mark.parametrize(("mu", "power"), PENALTIES)
@pytest.mark.parametrize("falling", [True, False])
def test_equal_to_brute_force_over_all_grids(
    axis: str, mu: float, power: float, falling: bool
) -> None:
    goal = Objective(ALL_AXES[axis], mu, power)
    for seed in range(30):  # x 4 axes x 5 penalties x 2: 1200 problems
        snr, risk, n_steps = random_problem(seed, falling=falling)
        phi = goal.phi(snr)
        best, indices = brute_force(snr, risk, phi, n_steps, mu, power)
        found = optimal_grid(snr, risk, n_steps, goal)
        assert found.value == pytest.approx(best, rel=1e-12, abs=1e-300)
        assert goal(snr[found.indices], risk[found.indices]) == pytest.approx(
            best, rel=1e-12, abs=1e-300
        )
        assert found.indices[0] == 0
        assert found.indices[-1] == snr.size - 1
        assert (np.diff(found.indices) > 0).all()
        assert found.gap == 0
        if seed % 5:
            assert tuple(found.indices) == indices


@pytest.mark.parametrize(
    ("risk", "programme"), [("falling", "hull"), ("rising", "tree"), ("noisy", "tree")]
)
def test_quick_programmes_agree_with_the_papers_on_many_candidates(
    risk: str, programme: str
) -> None:
    x = np.linspace(-8.0, 9.0, 700)
    risks = 1.0 / (2.0 + np.exp(x))
    if risk == "rising":
        risks = risks[::-1].copy()
    if risk == "noisy":
        risks *= np.exp(np.random.default_rng(0).normal(size=x.size))
    for axis in ("identity", "saturating"):
        goal = Objective(ALL_AXES[axis])
        for n_steps in (1, 2, 7, 40, 699):
            found = optimal_grid(np.exp(x), risks, n_steps, goal)
            slow = optimal_grid(np.exp(x), risks, n_steps, goal, "quadratic")
            assert (found.programme, slow.programme) == (programme, "quadratic")
            assert found.value == pytest.approx(slow.value, rel=1e-13)


def test_parallel_lines_far_apart_are_told_apart() -> None:
    x = np.array([0.0, 2, 7, 13, 15, 20, 22, 43, 69, 85])
    risk = np.array([1.0, 1, 0, 1, 1, 0, 1, 1, 1, 1])
    for n_steps in range(2, 9):
        found = optimal_grid(10.0**x, risk, n_steps)
        slow = optimal_grid(10.0**x, risk, n_steps, method="quadratic")
        assert found.value == pytest.approx(slow.value, rel=1e-14)


def wavy_profile() -> Profile:
    """Risks that rise and fall."""
    sigma = np.geomspace(0.01, 50.0, 300)
    wave = 1.0 + 0.3 * np.sin(6.0 * np.log(sigma))
    return Profile(1, sigma, gaussian_mmse(sigma, 0.5) * wave)


@pytest.mark.filterwarnings("error")
def test_more_steps_never_cost_more_on_risks_that_are_not_monotone() -> None:
    profile, goal = wavy_profile(), Objective(Saturating(0.01))
    curve = RiskCurve(profile)
    costs = []
    for n_steps in (30, 500, 1000, 1001, 3000):
        x = -2.0 * np.log(objective_sigmas(n_steps, 50.0, 0.01, profile=profile, objective=goal))
        assert (np.diff(x) > 1e-7).all()
        costs.append(las_levels.value(x, curve, goal))
    assert (np.diff(costs) < 1e-4 * costs[0]).all()


@pytest.mark.filterwarnings("error")
def test_levels_that_would_coincide_stay_apart_and_hold_up_no_other() -> None:
    sigma = np.geomspace(0.01, 50.0, 60)
    rising = objective_sigmas(
        3, 50.0, 0.01, profile=Profile(1, sigma, 1 / sigma), objective=Objective()
    )
    assert (np.diff(np.log(rising)) < -1e-6).all()
    cliff = np.where(np.arange(60) > 57, 0.01, 1.0 + sigma)
    many = las_sigmas(50, 50.0, 0.01, profile=Profile(1, sigma, cliff))
    assert (np.diff(np.log(many)) < -1e-6).all()
    # Noise with deep dips: no level can move alone to gain a thousandth.
    for seed in range(8):
        rng = np.random.default_rng(seed)
        risk = gaussian_mmse(sigma, 0.5) * rng.gamma(0.5, 2.0, 60)
        profile, goal = Profile(1, sigma, risk, 0.1 * risk), Objective(Saturating(0.02))
        curve = RiskCurve(profile)
        x = -2.0 * np.log(objective_sigmas(12, 50.0, 0.01, profile=profile, objective=goal))
        best = las_levels.value(x, curve, goal)
        for k in range(1, 12):
            for share in (0.1, 0.5, 0.9, 0.99, 1.01, 1.1, 1.5, 1.9):
                moved = x.copy()
                moved[k] = x[k - 1] + share * (x[k] - x[k - 1])
                if moved[k] < x[k + 1]:
                    assert las_levels.value(moved, curve, goal) > best * (1 - 1e-3)


def test_natural_lambda_of_noise() -> None:
    sigma = np.geomspace(0.002, 80.0, 64)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        noise = 1.0 + 0.15 * rng.normal(size=64)
        risk = gaussian_mmse(sigma, 0.5) * noise
        found = natural_lambda(Profile(1, sigma, risk, 0.15 * risk), 10)
        assert 0.02 < found < 0.25  # 0.05 without noise
    gone = gaussian_mmse(sigma, 0.5)
    gone[3] = 0.0
    assert natural_lambda(Profile(1, sigma, gone), 10) == pytest.approx(0.05, rel=0.01)


def test_beam_and_window_is_never_better_and_says_by_how_much() -> None:
    for seed in range(40):
        snr, risk, n_steps = random_problem(seed, falling=True)
        goal = Objective(Saturating(0.1), 0.1)
        exact = optimal_grid(snr, risk, n_steps, goal)
        found = optimal_grid(snr, risk, n_steps, goal, "beam", beam=3, radius=1, everywhere=2)
        assert found.value >= exact.value * (1 - 1e-12)
        assert found.least == pytest.approx(exact.value, rel=1e-12)
        kept = goal(snr[found.indices], risk[found.indices])
        assert found.value == pytest.approx(kept, rel=1e-12)
        if exact.value > 0:
            assert found.gap == pytest.approx(max(found.value / exact.value - 1, 0), abs=1e-11)
        else:
            assert found.gap == (0.0 if found.value == 0 else np.inf)


def test_beam_without_limits_is_exact() -> None:
    x = np.linspace(-5.0, 6.0, 25)
    risk, goal = 1.0 / (1.0 + np.exp(x)), Objective(Saturating(0.05), 0.03)
    for n_steps in (2, 5, 9):
        wide = optimal_grid(np.exp(x), risk, n_steps, goal, "beam", beam=600, radius=25)
        assert wide.value == pytest.approx(
            optimal_grid(np.exp(x), risk, n_steps, goal).value, rel=1e-13
        )


def test_beam_beyond_what_is_affordable_is_bounded_by_the_first_order_optimum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("theory.schedules.las.MOST_NUMBERS", 10)
    x = np.linspace(-5.0, 6.0, 100)
    risk, goal = 1.0 / (1.0 + np.exp(x)), Objective(Saturating(0.05), 0.03)
    found = optimal_grid(np.exp(x), risk, 6, goal)
    plain = optimal_grid(np.exp(x), risk, 6, Objective(Saturating(0.05)))
    assert found.programme == "beam"
    assert found.least == plain.value
    assert found.gap > 0


def test_gaussian_optimum_is_geometric_in_snr_plus_one_over_c_squared() -> None:
    # docs/papers/b.md, Check values: c = 0.7, sigma 80 to 0.05, K = 6, identity axis.
    profile = gaussian_profile()
    sigmas = objective_sigmas(6, 80.0, 0.05, profile=profile, objective=Objective())
    value = Objective()(sigmas**-2.0, gaussian_mmse(sigmas, 0.7))
    assert round(value, 6) == 8.472939
    np.testing.assert_allclose(
        sigmas, [80, 0.589, 0.319, 0.194, 0.122, 0.078, 0.05], rtol=0, atol=6e-4
    )
    for n_steps in (2, 17, 200, 1500):
        sigmas = objective_sigmas(n_steps, 80.0, 0.05, profile=profile, objective=Objective())
        u = 0.7**-2.0 + sigmas**-2.0
        expected = np.geomspace(u[0], u[-1], n_steps + 1)
        np.testing.assert_allclose(u, expected, rtol=1e-7)


def test_paper_values_on_1500_candidates() -> None:
    sigma = np.geomspace(80.0, 0.05, 1500)
    found = optimal_grid(sigma**-2.0, gaussian_mmse(sigma, 0.7), 6)
    assert round(found.value, 5) == 8.47296
    geometric = np.geomspace(80.0, 0.05, 7)
    assert round(Objective()(geometric**-2.0, gaussian_mmse(geometric, 0.7)), 2) == 17.68


@pytest.mark.parametrize("axis", ["identity", "saturating", "user"])
@pytest.mark.parametrize(("mu", "power"), [(0.0, 2.0), (0.05, 2.0), (0.05, 3.0)])
def test_polished_levels_are_a_minimum(axis: str, mu: float, power: float) -> None:
    sigma = np.geomspace(0.05, 80.0, 300)
    mmse = gaussian_mmse(sigma, 0.2) + 0.5 * gaussian_mmse(sigma, 3.0)
    profile = Profile(1, sigma, mmse)
    goal = Objective(ALL_AXES[axis], mu, power)
    curve = RiskCurve(profile)
    sigmas = objective_sigmas(8, 80.0, 0.05, profile=profile, objective=goal)
    x = -2.0 * np.log(sigmas)
    best = goal(np.exp(x), curve.at(x)[0])
    rng = np.random.default_rng(0)
    for size in (1e-4, 1e-2, 0.3):
        for _ in range(50):
            moved = x.copy()
            moved[1:-1] += size * rng.normal(size=x.size - 2)
            moved = np.sort(np.clip(moved, x[0] + 1e-9, x[-1] - 1e-9))
            assert goal(np.exp(moved), curve.at(moved)[0]) >= best * (1 - 1e-13)
    candidates = np.linspace(x[0], x[-1], 1000)
    grid = optimal_grid(np.exp(candidates), curve.at(candidates)[0], 8, goal)
    assert best <= grid.value
    assert best == pytest.approx(grid.value, rel=1e-4)


@pytest.mark.parametrize("axis", ["identity", "saturating", "user"])
@pytest.mark.parametrize(("mu", "power"), [(0.0, 2.0), (0.3, 2.0), (0.3, 3.0)])
def test_newton_has_the_right_derivatives(axis: str, mu: float, power: float) -> None:
    curve = RiskCurve(gaussian_profile())
    goal = Objective(ALL_AXES[axis], mu, power)
    x = np.sort(np.random.default_rng(1).uniform(-4.0, 5.0, 9))
    gradient, bands = las_levels.derivatives(x, curve, goal)
    h = 1e-5
    for k in range(gradient.size):
        step = np.eye(9)[k + 1] * h
        change = las_levels.value(x + step, curve, goal) - las_levels.value(x - step, curve, goal)
        assert change / (2 * h) == pytest.approx(gradient[k], abs=1e-8 * np.abs(gradient).max())
        row = las_levels.derivatives(x + step, curve, goal)[0]
        row = (row - las_levels.derivatives(x - step, curve, goal)[0]) / (2 * h)
        for apart in range(3):
            if k + apart < gradient.size:
                entry = bands[2 - apart, k + apart]
                assert row[k + apart] == pytest.approx(entry, abs=1e-7 * np.abs(bands).max())


def test_polish_keeps_the_ends_and_never_gets_worse() -> None:
    curve, goal = RiskCurve(gaussian_profile()), Objective(Saturating(0.1))
    for seed in range(20):
        inner = np.sort(np.random.default_rng(seed).uniform(-8.7, 5.9, 7))
        x = np.concatenate([[-8.76], inner, [5.99]])
        new = polish(x, curve, goal)
        assert new[[0, -1]].tolist() == [-8.76, 5.99]
        assert (np.diff(new) > 0).all()
        assert las_levels.value(new, curve, goal) <= las_levels.value(x, curve, goal)


def test_many_steps_approach_the_limit_density() -> None:
    profile, goal = gaussian_profile(), Objective(Saturating(0.1))
    searched = objective_sigmas(1000, 80.0, 0.05, profile=profile, objective=goal)
    limit = objective_sigmas(2000, 80.0, 0.05, profile=profile, objective=goal)
    np.testing.assert_allclose(limit[::2], searched, rtol=2e-3)


def test_zero_terminal_is_one_step_fewer_and_then_zero() -> None:
    profile, goal = gaussian_profile(), Objective(Saturating(0.1))
    stop = objective_sigmas(5, 80.0, 0.05, profile=profile, objective=goal)
    zero = objective_sigmas(6, 80.0, 0.05, "zero", profile=profile, objective=goal)
    np.testing.assert_array_equal(zero, np.append(stop, 0.0))
    assert las_sigmas(1, 80.0, 0.05, "zero", profile=profile).tolist() == [80.0, 0.0]
    assert las_sigmas(1, 80.0, 0.05, profile=profile).tolist() == [80.0, 0.05]


def test_natural_lambda_is_2_over_n_of_the_finest_variance() -> None:
    sigma = np.geomspace(1e-3, 80.0, 400)
    profile = Profile(1, sigma, gaussian_mmse(sigma, 0.7))
    assert natural_lambda(profile, 2) == pytest.approx(0.49, rel=1e-3)
    assert natural_lambda(profile, 20) == pytest.approx(0.049, rel=1e-3)
    two_scales = gaussian_mmse(sigma, 0.05) + 0.05 * gaussian_mmse(sigma, 2.0)
    assert natural_lambda(Profile(1, sigma, two_scales), 2) == pytest.approx(0.05**2, rel=0.3)
    narrow = np.geomspace(1e-3, 1e-2, 20)
    kept = Profile(1, narrow, gaussian_mmse(narrow, 0.7))
    assert natural_lambda(kept, 2) == pytest.approx(4e-4)  # never at 0.8 of its peak: highest level


def test_default_objective_is_the_natural_one() -> None:
    profile = gaussian_profile()
    named = schedule("las", 7, profile=profile, sigma_max=80.0, sigma_min=0.05)
    goal = Objective(Saturating(natural_lambda(profile, 7)))
    np.testing.assert_array_equal(
        named, objective_sigmas(7, 80.0, 0.05, profile=profile, objective=goal)
    )


def test_risks_that_underflow_cost_nothing() -> None:
    sigma = np.geomspace(0.002, 10.0, 200)
    with np.errstate(under="ignore"):
        mmse = np.exp(-1.0 / sigma**2)  # like points: 0 below sigma 0.04
    sigmas = las_sigmas(6, 10.0, 0.002, profile=Profile(1, sigma, mmse))
    assert (np.diff(sigmas) < 0).all()
    assert sigmas[-2] > 0.1


def test_isotonic_risks_never_rise_and_keep_the_mean() -> None:
    risk = np.array([5.0, 6.0, 3.0, 2.0, 4.0, 1.0])
    out = isotonic(risk)
    np.testing.assert_allclose(out, [5.5, 5.5, 3.0, 3.0, 3.0, 1.0])
    np.testing.assert_allclose(isotonic([1.0, 2.0], [3.0, 1.0]), [1.25, 1.25])


@given(st.floats(1e-6, 1e3), st.floats(-12.0, 12.0))
def test_axes_rise_and_know_their_derivatives(lam: float, x: float) -> None:
    axis, h = Saturating(lam), 1e-4
    snr = np.exp(np.array([x - h, x, x + h]))
    if lam * snr[1] > 1e4:
        return  # flat in float64
    phi = axis.phi(snr)
    first, second = axis.derivatives(snr)
    scale = abs(first[1])
    assert first[1] > 0
    assert (phi[2] - phi[0]) / (2 * h) == pytest.approx(first[1], abs=1e-6 * scale + 1e-11)
    assert (first[2] - first[0]) / (2 * h) == pytest.approx(
        second[1], abs=1e-5 * (abs(second[1]) + scale)
    )


GOOD = ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 1.0, 2.0], GOOD[1], 2), "snr must rise strictly, got 1 after 1 at index 1"),
        (([0.0, 1.0, 2.0], GOOD[1], 2), "snr must be positive, got 0 at index 0"),
        ((GOOD[0], [1.0, -2.0, 3.0], 2), "risk must be at least 0, got -2 at index 1"),
        ((GOOD[0], [1.0, np.nan, 3.0], 2), "risk must be finite, got nan at index 1"),
        ((GOOD[0], [1.0, 2.0], 2), r"risk must have shape \(3,\), got \(2,\)"),
        ((*GOOD[:2], 3), "n_steps must be a whole number in 1..2, got 3"),
        ((*GOOD[:2], 0), "n_steps must be a whole number in 1..2, got 0"),
        (([1.0, 1e24, 1e25], GOOD[1], 2, Objective(UserAxis(np.tanh))), "axis must rise strictly"),
        ((*GOOD, Objective(UserAxis(lambda s: -s))), "axis must rise strictly, got -2 after -1"),
        ((*GOOD, Objective(UserAxis(lambda s: s[:1]))), "axis must keep the shape"),
        ((*GOOD, Objective(UserAxis(lambda s: s * np.nan))), "axis must be finite, got nan"),
        ((*GOOD, Objective(mu=0.1), "quadratic"), "mu must be 0 for the quadratic programme"),
        (([1, 2, 3], [1e308] * 3, 2), "risk, mu and power must leave J finite, got inf on every"),
        ((*GOOD, Objective(), "fast"), "method must be one of auto, quadratic, beam, got 'fast'"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimal_grid(*arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Saturating(-1.0), r"lambda must be in \[0, 1e\+100\), got -1"),
        (lambda: Objective(mu=-1.0), r"mu must be in \[0, 1e\+100\), got -1"),
        (lambda: Objective(power=0.0), "power must be positive, got 0"),
        (lambda: Objective(power=100.0), r"power must be in \[0, 100\), got 100"),
        (lambda: las_sigmas(3, 90.0, 0.05, profile=gaussian_profile()), "profile must cover"),
        (
            lambda: objective_sigmas(
                1001, 80.0, 0.05, profile=gaussian_profile(), objective=Objective(mu=1, power=1.5)
            ),
            "n_steps must be at most 1000 for a penalty of power below 2, got 1001",
        ),
        (
            lambda: las_sigmas(
                3, 80.0, 0.05, profile=Profile(1, np.geomspace(0.05, 80.0, 9), np.zeros(9))
            ),
            "profile must have positive risk at sigma 80, got 0",
        ),
    ],
)
def test_bad_options_are_one_clear_line(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
