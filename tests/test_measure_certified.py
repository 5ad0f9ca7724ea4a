"""Proven enclosures: oracles and engine inside, wrong numbers outside, tails bounded."""

import math
import sys

import numpy as np
import oracles
import pytest

from benchmarks.measure import certified as module
from benchmarks.measure import certified_cases
from benchmarks.measure.certified import Enclosure, certified
from benchmarks.measure.certified_cases import CASES, check_engine
from toys.information.information import curves
from toys.mixture import Mixture

pytest.importorskip("flint", reason="python-flint (extra certified) is missing")

BY_NAME = {case.name: case for case in CASES}
QUICK = ("two-points-0.6438", "two-points-mmse-5e-254", "narrow-and-rare", "three-mixed-0.6438")
LONG = ("six-mixed", "six-points-one-far", "point-and-far-density")  # a minute each in mpmath
RTOL = 1e-12  # what toys.information.information promises
TINY = 1e-290  # and where


def oracle(case):
    """The case's quantities in mpmath; 50 digits carried, about 22 good."""
    data = tuple(np.array(column) for column in (case.weights, case.means, case.stds))
    data = Mixture(*data).weights, data[1], data[2]
    want = {
        "mmse": oracles.mmse_mp(case.sigma, *data),
        "mutual_information": oracles.mutual_information_mp(case.sigma, *data),
    }
    if not any(case.stds):
        want["conditional_entropy"] = oracles.discrete_conditional_entropy_mp(case.sigma, *data)
    return want


def check_oracle(name):
    case = BY_NAME[name]
    got, want = certified(case.toy, case.sigma), oracle(case)
    want["entropy_rate"] = want["mmse"] / oracles.mp.mpf(case.sigma) ** 3
    assert got.keys() == want.keys()
    for quantity, value in want.items():
        assert got[quantity].contains(value), quantity


@pytest.mark.parametrize("name", QUICK)
def test_oracles_lie_inside(name):
    check_oracle(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in QUICK + LONG])
def test_more_oracles_lie_inside(name):
    check_oracle(name)


@pytest.mark.parametrize("name", BY_NAME)
def test_engine_is_as_good_as_it_says_and_enclosures_are_narrow(name):
    found = check_engine(name)
    for quantity, enclosure in found["enclosures"].items():
        value = found["engine"][quantity]
        if enclosure.high > TINY:
            assert enclosure.relative_width < 2e-15, quantity
            assert enclosure.relative_distance(value) < RTOL, quantity
        else:
            assert 0 <= value <= TINY
    if min(enclosure.high for enclosure in found["enclosures"].values()) > TINY:
        assert found["distance"] < RTOL
        assert found["width"] < 2e-15


@pytest.mark.parametrize("seed", range(12))
def test_engine_is_as_good_as_it_says_on_random_mixtures(seed):
    rng = np.random.default_rng(seed)
    k_max = rng.integers(2, 5)
    stds = rng.integers(0, 2, k_max) * 10.0 ** rng.uniform(-3, 1, k_max) * (seed % 3 > 0)
    toy = Mixture(10.0 ** rng.uniform(-6, 0, k_max), rng.normal(size=k_max), stds)
    sigma = 10.0 ** rng.uniform(-3, 3)
    found = curves(toy, sigma)
    for quantity, enclosure in certified(toy, sigma).items():
        value = getattr(found, quantity)[0]
        if enclosure.high > TINY:
            assert enclosure.relative_width < 2e-15, quantity
            assert enclosure.relative_distance(value) < RTOL, quantity


@pytest.mark.parametrize("quantity", ["mmse", "mutual_information"])
def test_an_engine_wrong_by_1e_11_is_told(quantity, monkeypatch):
    true = certified_cases.curves

    def wrong(toy, sigma):
        found = true(toy, sigma)
        object.__setattr__(found, quantity, getattr(found, quantity) * (1 + 1e-11))
        return found

    monkeypatch.setattr(certified_cases, "curves", wrong)
    for name in ("two-points-0.6438", "two-points-mmse-5e-254", "three-mixed-0.6438"):
        assert 0.9e-11 < check_engine(name)["distance"] < 1.2e-11


@pytest.mark.parametrize("factor", [1 - 1e-11, 1 - 1e-14, 1 + 1e-14, 1 + 1e-11])
def test_wrong_numbers_are_outside(factor):
    case = BY_NAME["three-mixed-0.6438"]
    for enclosure in certified(case.toy, case.sigma).values():
        value = factor * enclosure.low
        assert not enclosure.contains(value)
        assert enclosure.relative_distance(value) == pytest.approx(abs(factor - 1), rel=0.1)


@pytest.mark.parametrize("name", ["two-points-0.6438", "three-mixed-0.6438", "narrow-and-rare"])
def test_tails_cut_too_near_widen_the_enclosure_and_keep_the_truth_inside(name):
    case = BY_NAME[name]
    inner = certified(case.toy, case.sigma)
    for reach in (7.0, 4.0, 2.0, 1.0, 0.5):
        outer = certified(case.toy, case.sigma, reach=reach)
        for quantity, enclosure in outer.items():
            # T is the integral of a bound, so that enclosures of longer middles lie inside, but
            # for the 30 bits of a ball's radius.
            slack = 1e-8 * (enclosure.high - enclosure.low)
            assert enclosure.low <= inner[quantity].low + slack, (reach, quantity)
            assert enclosure.high >= inner[quantity].high - slack, (reach, quantity)
            assert enclosure.low <= enclosure.high
        inner = outer
    assert inner["mmse"].relative_width > 1e-7


def test_without_the_bound_of_the_tails_the_truth_would_be_outside():
    case = BY_NAME["two-points-0.6438"]
    want = oracle(case)
    got = certified(case.toy, case.sigma, reach=2.0)
    assert got["mmse"].low < 0.999 * want["mmse"] < want["mmse"] < got["mmse"].high
    entropy = got["conditional_entropy"]
    assert entropy.low < 0.999 * want["conditional_entropy"]
    assert want["conditional_entropy"] < entropy.high
    # The tail of the entropy lies on the other side of the information.
    assert got["mutual_information"].high > 1.001 * want["mutual_information"]


def test_variance_tail_is_the_integral_of_its_bound():
    parts = module._exact(Mixture([1, 2], [-0.3, 0.5], [0.2, 1.5]), 0.7)
    low, high = -1.3, 2.1
    centre = float(sum(q.w * q.m for q in parts))
    want = 0.0
    for q in parts:
        w, m, rho, v = (float(a) for a in (q.w, q.m, q.s2 / q.v, q.v))
        x = np.linspace(m - 12 * math.sqrt(v), m + 12 * math.sqrt(v), 2_000_001)
        f = np.exp(-0.5 * (x - m) ** 2 / v) / math.sqrt(2 * math.pi * v)
        outside = (x < low) | (x > high)
        want += w * np.sum(f * (m + rho * (x - m) - centre) ** 2 * outside) * (x[1] - x[0])
    assert float(module._variance_tail(parts, low, high)) == pytest.approx(want, rel=1e-5)


def test_one_component_is_a_closed_form():
    got = certified(Mixture([3], [1.7], [0.5]), 0.25)
    assert got.keys() == {"mmse", "mutual_information", "entropy_rate"}
    assert got["mmse"] == Enclosure(0.05, np.nextafter(0.05, 1)) or got["mmse"].contains(0.05)
    assert got["mutual_information"].contains(0.5 * math.log(5))
    assert got["entropy_rate"].relative_distance(3.2) < 1e-15
    nothing = certified(Mixture([3], [1.7], 0.0), 0.25)
    assert all(enclosure == Enclosure(0.0, 0.0) for enclosure in nothing.values())


def test_equal_components_count_once():
    twice = certified(Mixture([1, 1, 2], [0, 0, 1], 0.0), 0.3)
    assert twice == certified(Mixture([1, 1], [0, 1], 0.0), 0.3)
    assert certified(Mixture(np.ones(20), np.arange(20) % 2, 0.0), 0.3).keys() == twice.keys()


def test_scale_and_shift_by_powers_of_two_change_nothing_but_the_unit():
    case = BY_NAME["three-mixed-0.6438"]
    got = certified(Mixture(case.weights, 4 * np.array(case.means) + 8, 4 * np.array(case.stds)), 2)
    want = certified(case.toy, 0.5)
    assert got["mmse"].low == pytest.approx(16 * want["mmse"].low, rel=1e-15)
    for end in ("low", "high"):
        value = getattr(got["mutual_information"], end)
        assert want["mutual_information"].relative_distance(value) < 1e-15


def test_more_digits_stay_inside_and_fewer_stay_around():
    case = BY_NAME["three-mixed-0.6438"]
    few, usual, many = (certified(case.toy, case.sigma, digits) for digits in (5, 15, 40))
    for quantity, inner in many.items():
        assert few[quantity].low <= inner.low <= inner.high <= few[quantity].high
        assert few[quantity].relative_width < 1e-5
        assert usual[quantity].low <= inner.low <= inner.high <= usual[quantity].high
        assert inner.high <= math.nextafter(inner.low, math.inf)


def test_enclosure_measures_distance_from_its_ends():
    enclosure = Enclosure(3.0, 4.0)
    assert [enclosure.relative_distance(x) for x in (2.0, 3.0, 3.5, 4.0, 5.0)] == [
        0.25,
        0.0,
        0.0,
        0.0,
        0.25,
    ]
    assert enclosure.relative_distance(math.nan) == math.inf
    assert not enclosure.contains(math.nan)
    assert enclosure.relative_width == 0.25
    assert Enclosure(0.0, 0.0).relative_distance(1e-300) == math.inf
    assert Enclosure(0.0, 0.0).relative_width == 0.0


TWO = Mixture([1, 1], [0, 1], 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Mixture([1], [[0, 1]], 1.0), 1.0), "toy must have d = 1, got d = 2"),
        (
            (Mixture(np.ones(7), np.arange(7), 0.0), 1.0),
            "toy must have at most 6 components, got 7",
        ),
        ((TWO, 0.0), "sigma must lie in [1e-06, 1e+06], got 0.0"),
        ((TWO, math.nan), "sigma must lie in [1e-06, 1e+06], got nan"),
        ((TWO, "1"), "sigma must lie in [1e-06, 1e+06], got '1'"),
        ((TWO, 1.0, 0), "digits must be a whole number in [1, 100], got 0"),
        ((TWO, 1.0, 2.5), "digits must be a whole number in [1, 100], got 2.5"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        certified(*arguments)
    assert str(error.value) == message


def test_bad_reach_and_unknown_case_are_refused():
    with pytest.raises(ValueError, match=r"^reach must be positive and finite, got 0\.0$"):
        certified(TWO, 1.0, reach=0.0)
    with pytest.raises(ValueError, match=r"^name must be one of two-points-0\.3, .*, got 'no'$"):
        check_engine("no")


def test_missing_python_flint_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(ValueError, match=r"^python-flint must be installed .* extra certified$"):
        certified(TWO, 1.0)
