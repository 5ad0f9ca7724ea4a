"""InfoNoise's gate, pivots and allocation against closed forms."""

import numpy as np
import pytest
from scipy.optimize import brentq

from benchmarks.claims.d_pivot import power_law_pivot
from theory.gaussian import gaussian_entropy_rate, gaussian_mmse
from theory.infonoise import allocation
from theory.profiles import pivots
from theory.profiles.pivots import (
    Pivot,
    allocate,
    choose_pivot,
    gate,
    onset_pivot,
    slope_pivot,
    smoothed,
)
from toys import zoo
from toys.information import information

EDGES = np.linspace(np.log(0.002), np.log(80.0), 65)
LEVELS = np.exp(0.5 * (EDGES[1:] + EDGES[:-1]))
STEP = EDGES[1] - EDGES[0]


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0, 4.5])
def test_gate_is_the_printed_quotient(power: float) -> None:
    """Equation (17): sigma^n / (sigma^n + c^n)."""
    sigma = np.geomspace(1e-4, 1e4, 41)
    expected = sigma**power / (sigma**power + 0.3**power)
    np.testing.assert_allclose(gate(sigma, 0.3, power), expected, rtol=1e-13)
    assert gate(0.3, 0.3, power) == 0.5


def test_gate_vanishes_as_a_power_and_tends_to_one() -> None:
    assert gate(1e-6, 1.0) == pytest.approx(1e-18, rel=1e-12)
    assert gate(1e150, 1e-200) == 1.0
    assert gate(1e-150, 1e200) == 0.0


@pytest.mark.parametrize(("c", "printed"), [(1.0, 0.6823), (0.5, 0.500)])
def test_onset_of_a_gaussian_is_where_its_rate_reaches_the_threshold(
    c: float, printed: float
) -> None:
    """Equation (18) on sigma_min = p = 0.002: the largest sigma with mmse >= sigma^3, nearly."""
    sigma = np.geomspace(0.002, 80.0, 40_001)
    rate = gaussian_entropy_rate(sigma, c)
    exact = brentq(lambda s: float(gaussian_entropy_rate(s, c)) - 0.002 * rate[0], 0.01, 10.0)
    found = onset_pivot(sigma, rate)
    assert found == pytest.approx(exact, rel=1e-7)
    assert found == pytest.approx(printed, rel=3e-4)


def test_pivot_is_the_last_crossing_not_the_first() -> None:
    sigma = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    rate = np.array([1e-4, 1.0, 1e-4, 1.0, 1e-4, 1e-5])
    found = onset_pivot(sigma, rate, onset=0.01)
    assert 4.0 < found < 5.0
    # Log-linear between the two levels around the crossing.
    share = np.log(0.01) / np.log(1e-4)
    assert found == pytest.approx(4.0 * (5.0 / 4.0) ** share, rel=1e-12)


def test_pivot_stops_at_the_last_level_before_an_underflow() -> None:
    assert onset_pivot([1.0, 2.0, 3.0], [1.0, 0.5, 0.0]) == 2.0


def broken(kink: int, low: float = -3.0, high: float = -1.0) -> np.ndarray:
    """A rate of two powers of sigma that meet at a level of the grid."""
    return np.where(
        np.arange(LEVELS.size) < kink,
        (LEVELS / LEVELS[kink]) ** low,
        (LEVELS / LEVELS[kink]) ** high,
    )


@pytest.mark.parametrize("kink", [12, 30, 50])
def test_slope_pivot_is_the_kink_of_two_power_laws(kink: int) -> None:
    """Appendix B.4: the end of the contiguous stretch of constant log-log slope."""
    assert slope_pivot(LEVELS, broken(kink), smoothing=0) == (LEVELS[kink], "slope")
    # Two passes spread a kink of 2 over neighbours as (1, 4, 6, 4, 1) / 16: 0.25 is passed at -1.
    assert slope_pivot(LEVELS, broken(kink)) == (LEVELS[kink - 1], "slope")


def test_slope_pivot_tolerates_the_slack_and_no_more() -> None:
    inside = slope_pivot(LEVELS, broken(30, high=-3.0 + 0.249), smoothing=0)
    assert inside.rule == "onset"  # a straight line, to the rule: no knee either
    assert slope_pivot(LEVELS, broken(30, high=-3.0 + 0.251), smoothing=0).rule == "slope"
    assert slope_pivot(LEVELS, broken(30), slack=2.1, smoothing=0).rule == "onset"


def test_slope_pivot_wants_a_run_not_one_outlier() -> None:
    rate = broken(40)
    rate[20] *= 1.1  # two slopes away, one either side
    assert slope_pivot(LEVELS, rate, smoothing=0) == (LEVELS[40], "slope")
    assert slope_pivot(LEVELS, rate, run=2, smoothing=0) == (LEVELS[19], "slope")


def test_slope_pivot_reads_only_bins_of_positive_mean() -> None:
    """A logarithm of 0 would be no slope; bins without one are passed over, wherever they lie."""
    rate = broken(40)
    rate[:12] = rate[25] = rate[60] = 0.0
    assert slope_pivot(LEVELS, rate, smoothing=0) == (LEVELS[40], "slope")
    assert slope_pivot(LEVELS, np.where(rate > 0, 5.0 * rate, 0.0), smoothing=0).c == LEVELS[40]


@pytest.mark.parametrize("name", ["two_points", "points15"])
@pytest.mark.parametrize("error", [0.01, 0.03])
def test_slope_pivot_agrees_with_its_twin_in_the_claims(name: str, error: float) -> None:
    rate = (information.mmse(zoo.toy(name), LEVELS) + error**2) / LEVELS**3
    found = slope_pivot(LEVELS, rate, smoothing=0)
    assert found == (power_law_pivot(LEVELS, rate), "slope")


def test_exact_points_have_no_power_law_and_get_the_knee() -> None:
    """Two points at +-1: the rate falls off exponentially, its knee is its peak, sigma = 0.644."""
    rate = information.mmse(zoo.toy("two_points"), LEVELS) / LEVELS**3
    for passes in (0, 2):
        found = slope_pivot(LEVELS, rate, smoothing=passes)
        assert found.rule == "knee"
        assert abs(np.log(found.c / 0.6440)) < STEP  # a level of the grid


def test_knee_is_the_point_of_greatest_curvature() -> None:
    """Log rate exp(-x) over x = log sigma bends most at x = log(2) / 2, and never runs straight."""
    found = slope_pivot(LEVELS, np.exp(1.0 / LEVELS), smoothing=0)
    assert found.rule == "knee"
    assert abs(np.log(found.c) - 0.5 * np.log(2.0)) < STEP


def test_slope_pivot_ends_at_the_onset_rule() -> None:
    straight = LEVELS**-3.0
    assert slope_pivot(LEVELS, straight) == (onset_pivot(LEVELS, straight), "onset")
    two = np.zeros_like(LEVELS)
    two[[3, 30]] = 1.0
    assert slope_pivot(LEVELS, two) == (LEVELS[30], "onset")


def test_slope_pivot_stands_the_noise_of_finite_stores() -> None:
    """Means of 2048 squared normals: relative error 0.03, the slopes' 0.27 before smoothing.

    The seed is one of 1000 tried, all of which stayed within one bin.
    """
    risk = information.mmse(zoo.toy("two_points"), LEVELS) + 1e-4
    noisy = risk * np.random.default_rng(0).chisquare(2048, LEVELS.size) / 2048
    clean = slope_pivot(LEVELS, risk / LEVELS**3)
    found = slope_pivot(LEVELS, noisy / LEVELS**3)
    assert (clean.rule, found.rule) == ("slope", "slope")
    assert abs(np.log(found.c / clean.c)) < 1.5 * STEP


def test_choice_of_a_pivot_says_which_rule_it_was() -> None:
    rate = broken(30)
    assert choose_pivot(LEVELS, rate, 0.2) == (0.2, "pinned")
    assert choose_pivot(LEVELS, rate, "onset") == (onset_pivot(LEVELS, rate), "onset")
    assert choose_pivot(LEVELS, rate, "slope") == slope_pivot(LEVELS, rate)
    high = np.ones_like(LEVELS)
    for rule in ("onset", "slope"):
        assert choose_pivot(LEVELS, high, rule) == (LEVELS[-1], "top")


def test_smoothing_keeps_lines_ends_and_weights() -> None:
    line = 3.0 - 2.0 * np.arange(9.0)
    np.testing.assert_allclose(smoothed(line, 5), line, rtol=1e-14)
    spike = np.eye(9)[4]
    np.testing.assert_array_equal(smoothed(spike, 2)[2:7], np.array([1, 4, 6, 4, 1]) / 16)
    np.testing.assert_array_equal(smoothed(spike, 0), spike)


@pytest.mark.parametrize("floor", [0.0, 1e-4, 0.01, 0.0156])
def test_allocation_is_the_gated_rate_over_the_weight_above_a_floor(floor: float) -> None:
    """Equations (12)-(17) for N(0, c^2), written out; the scale above the floor by bisection."""
    c, pivot = 0.7, 0.3
    weight = 1.0 / LEVELS**2 + 4.0
    found = allocate(LEVELS, gaussian_mmse(LEVELS, c), weight, pivot=pivot, floor=floor)
    gated = c**2 / (c**2 + LEVELS**2) * LEVELS**3 / (LEVELS**3 + pivot**3)
    np.testing.assert_allclose(found.gated, gated, rtol=1e-13)
    share = gated / weight

    def excess(scale: float) -> float:
        return float(np.maximum(scale * share, floor).sum()) - 1.0

    scale = brentq(excess, 0.0, 1.0 / share.max(), xtol=1e-300, rtol=1e-14)
    # 64 masses add up to 1 to 64 roundings; the flat end of the bisection loses as many.
    np.testing.assert_allclose(found.mass, np.maximum(scale * share, floor), rtol=1e-12)
    assert found.mass.sum() == pytest.approx(1.0, rel=1e-14)
    assert found.mass.min() >= floor
    assert found.pivot == (pivot, "pinned")


def test_allocation_module_still_offers_the_pivots() -> None:
    for name in ("gate", "onset_pivot", "slope_pivot", "GATE_POWER", "ONSET", "Pivot"):
        assert getattr(allocation, name) is getattr(pivots, name)
        assert name in allocation.__all__
    assert Pivot._fields == ("c", "rule")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gate(-1.0, 1.0), "sigma must be positive, got -1"),
        (lambda: gate(1.0, 0.0), "c must be positive, got 0"),
        (lambda: gate(1.0, 1.0, -2.0), "power must be positive, got -2"),
        (lambda: onset_pivot([1.0, 2.0], [1.0, 1.0]), "rate must fall below 0.002 of its maximum"),
        (lambda: onset_pivot([1.0, 2.0], [0.0, 0.0]), "rate must be positive somewhere"),
        (lambda: onset_pivot([2.0, 1.0], [1.0, 0.0]), "sigma must rise strictly"),
        (lambda: onset_pivot([1.0, 2.0], [1.0, 0.0], 2.0), r"onset must be in \(0, 1\], got 2"),
        (lambda: onset_pivot([1.0, 2.0], [1.0]), "rate must be a list of at least 2"),
        (
            lambda: onset_pivot([1.0, 2.0], [1.0, -1.0]),
            "rate must be at least 0, got -1 at index 1",
        ),
        (lambda: slope_pivot([1.0, 2.0], [1.0, 1.0]), "rate must fall below 0.002 of its maximum"),
        (lambda: slope_pivot([1.0, 2.0], [0.0, 0.0]), "rate must be positive somewhere"),
        (
            lambda: slope_pivot([1.0, 2.0], [1.0, 0.0], share=0.0),
            r"share must be in \(0, 1\], got 0",
        ),
        (lambda: slope_pivot([1.0, 2.0], [1.0, 0.0], slack=-1.0), "slack must be positive, got -1"),
        (
            lambda: slope_pivot([1.0, 2.0], [1.0, 0.0], run=0),
            "run must be a whole number at least 1",
        ),
        (
            lambda: choose_pivot(LEVELS, LEVELS, "knee"),
            "pivot must be one of onset, slope, got 'kn",
        ),
        (lambda: choose_pivot(LEVELS, LEVELS, 0.0), "pivot must be positive, got 0"),
        (
            lambda: allocate(LEVELS, LEVELS, pivot=1e300, power=1e3),
            "gated rate over weight must have a positive maximum, got 0",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
