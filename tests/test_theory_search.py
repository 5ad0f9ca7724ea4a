"""The search for the least levels: known optima, places without a value, vanishing values."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from theory.levels import resampled
from theory.schedules.arctan import arctan_sigmas
from theory.schedules.search import descend, doubled
from theory.schedules.standard import edm_sigmas, log_snr_sigmas

Array = np.ndarray
Objective = Callable[[Array], tuple[float, Array]]


def squared_gaps(warp: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Objective:
    """Sum of squared differences of a function of log sigma; the least levels are uniform in it."""

    def objective(sigmas: Array) -> tuple[float, Array]:
        logs = np.log(sigmas[sigmas > 0])
        gaps = np.diff(warp(logs))
        gradient = np.zeros_like(sigmas)
        gradient[: logs.size - 1] -= 2.0 * gaps
        gradient[1 : logs.size] += 2.0 * gaps
        gradient[: logs.size] *= slope(logs)
        return float(gaps @ gaps), gradient

    return objective


def angle(c: float) -> Objective:
    """Squared differences of arctan(sigma / c)."""
    return squared_gaps(
        lambda x: np.arctan(np.exp(x) / c), lambda x: c * np.exp(x) / (c**2 + np.exp(2 * x))
    )


@pytest.mark.parametrize("c", [0.05, 0.5])
@pytest.mark.parametrize("n_steps", [2, 3, 8, 32])
@pytest.mark.parametrize("terminal", ["stop", "zero"])
def test_levels_of_a_known_optimum_are_found(c: float, n_steps: int, terminal: str) -> None:
    start = log_snr_sigmas(n_steps, 80.0, 0.002, terminal)
    found = descend(angle(c), start)
    best = arctan_sigmas(n_steps, 80.0, 0.002, terminal, c=c)
    np.testing.assert_allclose(found.sigmas, best, rtol=1e-5)  # squared, the value's excess
    assert found.value == pytest.approx(angle(c)(best)[0], rel=1e-10)
    np.testing.assert_array_equal(found.sigmas[[0, -1]], start[[0, -1]])
    assert terminal == "stop" or found.sigmas[-2] == start[-2]
    assert found.evaluations < 150


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.0, 0.4))
def test_places_without_a_value_do_not_derail_it(seed: int, share: float) -> None:
    """A share of all levels raises, is infinite, negative or no number; the search backs off."""
    rng = np.random.default_rng(seed)
    plain, calls = angle(0.5), 0
    failures = [np.inf, np.nan, -1e-17, 0.0]

    def failing(sigmas: Array) -> tuple[float, Array]:
        nonlocal calls
        calls += 1
        value, gradient = plain(sigmas)
        if calls > 1 and rng.random() < share:
            if rng.random() < 0.5:
                raise ValueError("levels must be others")
            return failures[rng.integers(4)], gradient
        return value, gradient

    start = log_snr_sigmas(6, 80.0, 0.002)
    found = descend(failing, start)
    assert found.evaluations == calls
    assert found.value == plain(found.sigmas)[0] <= plain(start)[0]
    if share == 0.0:
        np.testing.assert_allclose(found.sigmas, arctan_sigmas(6, 80.0, 0.002, c=0.5), rtol=1e-6)


def test_a_wall_is_followed_to_the_best_place_before_it() -> None:
    """Levels with a gap above a bound cannot be evaluated, and the optimum lies behind the wall."""
    plain = angle(0.5)

    def walled(sigmas: Array) -> tuple[float, Array]:
        if -np.diff(np.log(sigmas)).min() > 2.5:
            raise ValueError("levels must be closer")
        return plain(sigmas)

    found = descend(walled, log_snr_sigmas(8, 80.0, 0.002))
    assert found.value < 0.8 * plain(log_snr_sigmas(8, 80.0, 0.002))[0]


def test_a_value_that_vanishes_ends_the_search() -> None:
    """The square of a signed error: it is 0 on a whole surface, and log(value) has no minimum."""
    calls = 0

    def cancelling(sigmas: Array) -> tuple[float, Array]:
        nonlocal calls
        calls += 1
        logs = np.log(sigmas)
        error = logs[1] + 2.0 * logs[2] - 1.3
        return error**2, 2.0 * error * np.array([0.0, 1.0, 2.0, 0.0])

    used = []
    for vanished in (1e-3, 1e-9, 0.0):
        calls = 0
        found = descend(cancelling, np.array([80.0, 3.0, 0.3, 0.002]), vanished=vanished)
        assert 0.0 < found.value < max(vanished, 1e-25)
        used.append(calls)
    assert used == sorted(set(used))  # the last one goes down to rounding
    assert used[-1] < 250


def test_a_search_that_gains_nothing_ends() -> None:
    """Values with noise of 1e-6, of which no line search makes sense."""
    rng, plain, calls = np.random.default_rng(1), angle(0.5), 0

    def noisy(sigmas: Array) -> tuple[float, Array]:
        nonlocal calls
        calls += 1
        value, gradient = plain(sigmas)
        return value * (1.0 + 1e-6 * rng.normal()), gradient * (1.0 + 0.1 * rng.normal())

    found = descend(noisy, log_snr_sigmas(8, 80.0, 0.002))
    best = plain(arctan_sigmas(8, 80.0, 0.002, c=0.5))[0]
    assert found.value == pytest.approx(best, rel=1e-3)
    assert calls < 250


def test_levels_that_nearly_coincide_are_moved_apart() -> None:
    start = np.array([200.0, 127.9, np.nextafter(127.9, 0.0), 0.2, 0.002])
    assert np.log(start[1]) == np.log(start[2])
    found = descend(angle(0.5), start)
    assert found.value < 0.8 * angle(0.5)(start)[0]
    assert np.all(np.diff(found.sigmas) < 0)


def test_without_inner_levels_the_start_comes_back() -> None:
    for sigmas in ([80.0, 0.002], [80.0, 0.0], [80.0, 0.002, 0.0]):
        found = descend(lambda s: (1.0, np.zeros_like(s)), np.array(sigmas))
        np.testing.assert_array_equal(found.sigmas, sigmas)
        assert (found.value, found.evaluations) == (1.0, 1)


def test_a_coarser_criterion_takes_fewer_evaluations() -> None:
    start = log_snr_sigmas(16, 80.0, 0.002)
    fine, coarse = descend(angle(0.5), start), descend(angle(0.5), start, 1e-3)
    assert coarse.evaluations < 0.8 * fine.evaluations
    assert coarse.value < 1.001 * fine.value


def test_doubled_levels_contain_the_old_ones_and_are_the_monotone_cubic() -> None:
    sigmas = edm_sigmas(6, 80.0, 0.002)
    fine = doubled(sigmas, 12)
    np.testing.assert_allclose(fine[::2], sigmas, rtol=1e-13)
    curve = PchipInterpolator(np.arange(7) / 6, np.log(sigmas))
    np.testing.assert_allclose(fine, np.exp(curve(np.arange(13) / 12)), rtol=1e-13)
    zero = doubled(np.append(sigmas, 0.0), 12, "zero")
    assert zero.size == 13
    np.testing.assert_array_equal(zero[[0, -2, -1]], [80.0, 0.002, 0.0])
    np.testing.assert_allclose(zero[:-1], np.exp(curve(np.arange(12) / 11)), rtol=1e-13)
    np.testing.assert_allclose(doubled(sigmas[[0, -1]], 5), log_snr_sigmas(5, 80.0, 0.002))
    np.testing.assert_array_equal(doubled(np.array([80.0, 0.1, 0.0]), 1, "zero"), [80.0, 0.0])


@given(seed=st.integers(0, 2**32 - 1), n_steps=st.integers(1, 60), zero=st.booleans())
def test_doubled_levels_fall_and_keep_their_ends(seed: int, n_steps: int, zero: bool) -> None:
    rng = np.random.default_rng(seed)
    sigmas = 80.0 * np.exp(-np.cumsum(rng.exponential(1.0, rng.integers(2, 20)) + 1e-3))
    sigmas = np.append(sigmas, 0.0) if zero else sigmas
    fine = doubled(sigmas, n_steps, "zero" if zero else "stop")
    assert np.all(np.diff(fine) < 0)
    np.testing.assert_array_equal(fine[[0, -1]], sigmas[[0, -1]])
    assert fine.shape == resampled(sigmas, n_steps).shape == (n_steps + 1,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: descend(angle(1.0), np.array([1.0, 2.0])),
            "start must fall strictly, got 2 after 1 at index 1",
        ),
        (
            lambda: descend(angle(1.0), np.array([1.0, 0.5, -1.0])),
            "start must be positive, but for a last 0, got -1 at index 2",
        ),
        (
            lambda: descend(lambda s: (np.inf, s), np.array([2.0, 1.0])),
            "objective must be positive and finite at the start, got inf",
        ),
        (
            lambda: doubled(np.array([2.0, 1.0, 0.0]), 4),
            "sigmas must end above 0 for terminal 'stop', got 0",
        ),
        (
            lambda: doubled(np.array([2.0, 1.0]), 4, "zero"),
            "sigmas must end at 0 for terminal 'zero', got 1",
        ),
        (
            lambda: doubled(np.array([2.0, 0.0]), 4, "zero"),
            "sigmas must have two positive levels or more, got 1",
        ),
    ],
)
def test_errors_say_what_to_change(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message


def test_an_objective_that_fails_at_the_start_speaks_for_itself() -> None:
    def failing(sigmas: Array) -> tuple[float, Array]:
        raise ValueError("levels must be others")

    with pytest.raises(ValueError, match=r"^levels must be others$"):
        descend(failing, np.array([2.0, 1.5, 1.0]))
