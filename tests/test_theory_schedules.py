"""Schedules: exact ends, strict fall, uniformity in what they claim, Theorem 5.2, words."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.gaussian import gaussian_mmse
from theory.noise.ddpm import DDPM, Cosine
from theory.noise.processes import EDM, SNR, VP, Coordinate, Flow, LogSNR
from theory.profiles.profile import Profile
from theory.schedules.arctan import arctan_sigmas, fit_arctan_c
from theory.schedules.registry import REGISTRY, SCHEDULES, draws_on_profile, schedule, schedules
from theory.schedules.standard import cosine_sigmas, edm_sigmas, log_snr_sigmas, time_sigmas
from theory.schedules.time_change import (
    entropic_sigmas,
    rate_sigmas,
    rescaled_sigmas,
    time_change_sigmas,
)

Array = np.ndarray
WIDTHS = np.array([0.05, 0.4, 2.0])  # data with independent Gaussian coordinates


def mmse(sigma: Array) -> Array:
    return sum(gaussian_mmse(sigma, c) for c in WIDTHS)


def entropy(sigma: Array) -> Array:
    return np.log(WIDTHS * sigma[:, None] / np.hypot(WIDTHS, sigma[:, None])).sum(axis=1)


def rescaled(sigma: Array) -> Array:
    return (WIDTHS * np.arctan(sigma[:, None] / WIDTHS)).sum(axis=1)


def profile(m: int = 3000, low: float = 1e-3, high: float = 200.0) -> Profile:
    sigma = np.geomspace(low, high, m)
    return Profile(3, sigma, mmse(sigma), spectral={"mean": mmse(sigma)})


WIDE_SIGMA = np.geomspace(9e-9, 2e8, 800)
WIDE_MMSE = gaussian_mmse(WIDE_SIGMA, 0.5)
WIDE = Profile(1, WIDE_SIGMA, WIDE_MMSE, spectral={"mean": WIDE_MMSE})


@dataclass(frozen=True)
class Warp:
    """A smooth random time change of log sigma, known by its inverse only on demand."""

    seed: int

    def _waves(self) -> tuple[Array, Array, Array]:
        rng = np.random.default_rng(self.seed)
        return rng.uniform(0.3, 2.0, 4), rng.uniform(0.0, 6.3, 4), rng.uniform(0.0, 0.2, 4)

    def _of(self, x: Array) -> tuple[Array, Array]:
        k, phase, size = self._waves()
        angle = k * x[..., None] + phase
        time = x + (size / k * np.sin(angle)).sum(axis=-1)
        return time, 1 + (size * np.cos(angle)).sum(axis=-1)  # slope at least 0.2

    def time(self, sigma: Array) -> Array:  # noqa: D102
        return np.exp(-self._of(np.log(np.asarray(sigma)))[0] / 7)

    def sigma(self, time: Array) -> Array:  # noqa: D102
        aim = -7 * np.log(np.asarray(time))
        x = aim.copy()
        low, high = aim - 3, aim + 3
        for _ in range(200):
            value, slope = self._of(x)
            low, high = np.where(value < aim, x, low), np.where(value < aim, high, x)
            new = x - (value - aim) / slope
            x = np.where((new > low) & (new < high), new, (low + high) / 2)
        return np.exp(x)

    def dsigma_dtime(self, time: Array) -> Array:  # noqa: D102
        sigma = self.sigma(time)
        return -7 * sigma / (np.asarray(time) * self._of(np.log(sigma))[1])


@pytest.mark.parametrize("power", [3, 2], ids=["entropic", "rescaled"])
@pytest.mark.parametrize(
    "coordinate",
    [VP(), VP(0.5, 5.0), EDM(), LogSNR(), SNR(), Flow(), Cosine(), Warp(1), Warp(2), Warp(3)],
    ids=repr,
)
def test_theorem_5_2_no_time_matters(coordinate: Coordinate, power: int) -> None:
    """Stancevic et al., theorem 5.2: the (rescaled) entropic grid does not depend on the time.

    Each rate is integrated in its own time on 3000 points; all grids equal the closed form.
    """
    ends, phi = (150.0, 0.0106), {3: entropy, 2: rescaled}[power]
    sigma = np.geomspace(0.0105, 151.0, 3000)
    time = coordinate.time(sigma)
    rate = coordinate.dsigma_dtime(time) * mmse(sigma) / sigma**power
    sigmas = rate_sigmas(48, *ends, time=time, rate=rate, coordinate=coordinate)
    make = {3: entropic_sigmas, 2: rescaled_sigmas}[power]
    np.testing.assert_allclose(sigmas, make(48, *ends, profile=profile()), rtol=1e-9)
    steps = -np.diff(phi(sigmas))
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-9)


def test_rate_may_be_negative_or_unsigned_where_time_falls() -> None:
    time = LogSNR().time(profile().sigma)
    rate = 0.5 * profile().mmse / profile().sigma ** 2
    sigmas = entropic_sigmas(9, 80.0, 0.002, profile=profile())
    for sign in (1, -1):
        for order in (slice(None), slice(None, None, -1)):
            got = rate_sigmas(9, 80.0, 0.002, time=time[order], rate=sign * rate[order],
                              coordinate=LogSNR())  # fmt: skip
            np.testing.assert_allclose(got, sigmas, rtol=1e-10)


def made(
    name: str,
    n_steps: int,
    high: float,
    low: float,
    terminal: str = "stop",
    given: Profile | None = None,
    **options: float,
) -> Array:
    """A schedule by name; those that need a data scale have 0.5."""
    scale = {"c": 0.5} if "scale" in REGISTRY.needs(name) else {}
    return schedule(name, n_steps, "edm", given, terminal, low, high, **{**scale, **options})


@pytest.mark.parametrize("terminal", ["stop", "zero"])
@pytest.mark.parametrize("name", list(SCHEDULES))
@given(
    n_steps=st.integers(1, 3000),
    log_low=st.floats(np.log(1e-8), np.log(1e7)),
    log_ratio=st.floats(np.log(1.01), np.log(1e16)),
)
def test_every_schedule_falls_strictly_between_exact_ends(
    name: str, terminal: str, n_steps: int, log_low: float, log_ratio: float
) -> None:
    low, high = np.exp(log_low), min(np.exp(log_low + log_ratio), 1e8)
    if name == "las":
        high = min(high, 1e10 * low)  # beyond, no regularised axis rises everywhere in float64
    sigmas = made(name, n_steps, high, low, terminal, WIDE)
    assert sigmas.shape == (n_steps + 1,)
    assert sigmas.dtype == np.float64
    assert sigmas[0] == high
    assert np.all(np.diff(sigmas) < 0)
    if terminal == "stop":
        assert sigmas[-1] == low
    else:
        assert sigmas[-1] == 0
        assert n_steps == 1 or sigmas[-2] == low


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_zero_puts_a_zero_below_one_step_less(name: str) -> None:
    """EDM's convention: N levels down to sigma_min, then 0; N = 1 is [sigma_max, 0]."""
    stop = made(name, 7, 80.0, 0.02, "stop", profile())
    zero = made(name, 8, 80.0, 0.02, "zero", profile())
    np.testing.assert_array_equal(zero, [*stop, 0.0])
    one = made(name, 1, 80.0, 0.02, "zero", profile())
    np.testing.assert_array_equal(one, [80.0, 0.0])


def test_edm_sigmas_are_the_published_grid() -> None:
    """Karras et al. 2022, eq. 5, N = 18: first and last levels as their sampler prints them."""
    i = np.arange(18)
    by_hand = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    sigmas = edm_sigmas(18, 80.0, 0.002, "zero")
    np.testing.assert_allclose(sigmas, [*by_hand, 0.0], rtol=1e-13)
    np.testing.assert_allclose(sigmas[[1, 16]], [57.586, 0.0075280], rtol=2e-5)
    np.testing.assert_allclose(edm_sigmas(4, 9.0, 1.0, rho=1.0), [9, 7, 5, 3, 1], rtol=1e-15)


@pytest.mark.parametrize("coordinate", [VP(), EDM(), LogSNR(), Flow(), Cosine(), DDPM()], ids=repr)
def test_time_sigmas_are_uniform_in_their_time(coordinate: Coordinate) -> None:
    times = coordinate.time(time_sigmas(20, 80.0, 0.02, coordinate=coordinate))
    np.testing.assert_allclose(np.diff(times), np.diff(times).mean(), rtol=1e-10)


def test_named_schedules_are_what_their_names_say() -> None:
    def equal(name: str, other: Array) -> None:
        np.testing.assert_allclose(made(name, 12, 80.0, 0.02), other, rtol=1e-13)

    equal("vp_linear", time_sigmas(12, 80.0, 0.02, coordinate=VP()))
    equal("edm_linear", np.linspace(80.0, 0.02, 13))
    equal("edm", edm_sigmas(12, 80.0, 0.02))
    equal("log_snr", np.geomspace(80.0, 0.02, 13))
    equal("cosine", time_sigmas(12, 80.0, 0.02, coordinate=Cosine(0.008)))
    fast = made("vp_linear", 12, 80.0, 0.02, beta_min=0.5, beta_max=9.0)
    np.testing.assert_array_equal(fast, time_sigmas(12, 80.0, 0.02, coordinate=VP(0.5, 9.0)))
    equal_arctan = made("arctan", 12, 80.0, 0.02, c=0.3)
    np.testing.assert_array_equal(equal_arctan, arctan_sigmas(12, 80.0, 0.02, c=0.3))
    np.testing.assert_allclose(
        made("rescaled", 12, 80.0, 0.02, given=profile()),
        rescaled_sigmas(12, 80.0, 0.02, profile=profile()),
    )


def test_cosine_without_offset_is_arctan_of_one() -> None:
    """Without offset sigma is tan(angle), and levels are uniform in the angle."""
    ours = cosine_sigmas(33, 80.0, 0.002, offset=0.0)
    np.testing.assert_allclose(ours, arctan_sigmas(33, 80.0, 0.002, c=1.0), rtol=1e-12)


def test_arctan_keeps_its_digits_far_from_c() -> None:
    """Against mpmath, where the angles are near 0, and where they are all within 1e-8 of pi / 2."""
    with mp.workdps(60):
        top, bottom = mp.atan(mp.mpf(10) ** 16), mp.atan(mp.mpf(10) ** -16 * 1e9)
        exact = [float(mp.tan(top + (bottom - top) * j / 1000) * 1e-8) for j in (1, 400, 999)]
    sigmas = arctan_sigmas(1000, 1e8, 1e-15, c=1e-8)
    np.testing.assert_allclose(sigmas[[1, 400, 999]], exact, rtol=1e-13)
    with mp.workdps(60):
        top, bottom = mp.atan(mp.mpf(10) ** 8), mp.atan(mp.mpf(10) ** 8 / 2)
        exact = [float(mp.tan(top + (bottom - top) * j / 4)) for j in range(5)]
    np.testing.assert_allclose(arctan_sigmas(4, 1e8, 5e7, c=1.0), exact, rtol=1e-14)


@pytest.mark.parametrize("c", [0.01, 0.5, 1.0, 30.0])
def test_rescaled_of_a_gaussian_is_arctan(c: float) -> None:
    """Stancevic et al.: uniform rescaled entropy is eq. 6 for Gaussian data."""
    sigma = np.geomspace(0.002, 80.0, 2000)
    gaussian = Profile(4, sigma, gaussian_mmse(sigma, c, 4))
    np.testing.assert_allclose(
        rescaled_sigmas(16, 80.0, 0.002, profile=gaussian),
        arctan_sigmas(16, 80.0, 0.002, c=c),
        rtol=1e-9,  # spline of log mmse: spacing^4
    )


@pytest.mark.parametrize("c", [1e-5, 0.01, 0.5, 30.0, 3e3])
@pytest.mark.parametrize("m", [4, 20, 500])
def test_fit_arctan_c_gives_a_gaussian_its_own_c(c: float, m: int) -> None:
    sigma = np.geomspace(0.002, 80.0, m)  # c = 1e-5 shows as (c / sigma)^2 < 3e-5 only
    for dim in (1, 3072):
        fitted = fit_arctan_c(Profile(dim, sigma, gaussian_mmse(sigma, c, dim)))
        assert fitted == pytest.approx(c, rel=1e-11 if 0.002 < c < 80 else 1e-4)
    both = gaussian_mmse(sigma, c, 7)  # seven of 3072 dimensions alive: the same c
    assert fit_arctan_c(Profile(3072, sigma, both)) == pytest.approx(fitted, rel=1e-6)


def test_arctan_without_c_is_fitted() -> None:
    fitted = schedule("arctan", 9, "edm", profile())
    c = fit_arctan_c(profile())
    assert WIDTHS.min() < c < WIDTHS.max()
    np.testing.assert_array_equal(fitted, arctan_sigmas(9, 80.0, 0.002, c=c))


@pytest.mark.parametrize("make", [rescaled_sigmas, entropic_sigmas])
def test_rules_agree_as_the_grid_grows_finer(make) -> None:
    """Trapezoid of order 2 in the spacing, left sum of order 1; both start far from the spline."""
    gaps = {}
    for rule in ("trapezoid", "left"):
        for m in (128, 256, 512):
            levels = make(16, 80.0, 0.002, profile=profile(m, 0.002, 80.0), rule=rule)
            exact = make(16, 80.0, 0.002, profile=profile(4000, 0.002, 80.0))
            gaps[rule, m] = np.abs(levels / exact - 1.0).max()
    assert 3.5 < gaps["trapezoid", 128] / gaps["trapezoid", 256] < 4.5
    assert 1.8 < gaps["left", 256] / gaps["left", 512] < 2.2
    assert gaps["trapezoid", 128] < 0.01 < gaps["left", 128]


def test_left_rule_is_the_papers_algorithms_to_the_letter() -> None:
    """Stancevic et al.: algorithm 2's left Riemann sum, algorithm 1's linear interpolation."""
    grid = profile(128, 0.002, 80.0)
    total = [0.0]
    for i in range(127):
        step = grid.sigma[i + 1] - grid.sigma[i]
        total.append(total[-1] + step * grid.mmse[i] / grid.sigma[i] ** 2)
    aims = [j / 9 * total[-1] for j in range(10)]
    by_hand = np.interp(aims, total, grid.sigma)
    ours = rescaled_sigmas(10, 80.0, 0.002, "zero", profile=grid, rule="left")
    np.testing.assert_allclose(ours, [*by_hand[::-1], 0.0], rtol=1e-12)


def test_entropic_of_points_leaves_the_underflow_alone() -> None:
    """The rate of a point set is exactly 0 at the low end; only the last level goes there."""
    sigma = np.geomspace(1e-3, 100.0, 300)
    points = Profile(1, sigma, 0.5 * np.exp(-1.0 / (8 * sigma**2)) / (1 + 0.5 / sigma**2))
    assert (points.mmse == 0).sum() > 50
    for make in (entropic_sigmas, rescaled_sigmas):
        sigmas = make(1000, 80.0, 0.001, profile=points)
        assert np.all(np.diff(sigmas) < 0)
        assert sigmas[-1] == 0.001
        assert sigmas[-2] > 0.1
    rate = points.mmse / sigma**3
    same = rate_sigmas(1000, 80.0, 0.001, time=sigma, rate=rate, coordinate=EDM())
    np.testing.assert_allclose(same, entropic_sigmas(1000, 80.0, 0.001, profile=points), rtol=1e-5)


def test_a_million_steps_fall_strictly() -> None:
    for make in (entropic_sigmas, rescaled_sigmas):
        sigmas = make(10**6, 80.0, 0.002, profile=profile())
        assert sigmas.size == 10**6 + 1
    steps = -np.diff(rescaled(sigmas[::1000]))
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-9)


@pytest.mark.parametrize("interpolation", ["linear", "pchip"])
def test_time_change_is_uniform_in_phi(interpolation: str) -> None:
    sigma = np.geomspace(1e-3, 100.0, 20001)
    sigmas = time_change_sigmas(
        25, 80.0, 0.002, "zero", sigma=sigma, phi=rescaled(sigma), interpolation=interpolation
    )
    steps = -np.diff(rescaled(sigmas[:-1]))
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-6)  # spacing^2, spacing^3


def test_linear_time_change_is_algorithm_1_by_hand() -> None:
    """Stancevic et al., algorithm 1: tau uniform in phi, sigma interpolated linearly at tau."""
    sigmas = time_change_sigmas(
        5, 8.0, 1.0, "zero", sigma=[1.0, 2.0, 4.0, 8.0], phi=[0.0, 3.0, 3.0, 4.0],
        interpolation="linear",
    )  # fmt: skip
    np.testing.assert_allclose(sigmas[[0, 2, 3, 4, 5]], [8.0, 5 / 3, 4 / 3, 1.0, 0.0])
    assert 2.0 <= sigmas[1] <= 4.0  # phi is flat there: any level is right


@given(seed=st.integers(0, 2**32 - 1), n_steps=st.integers(1, 200))
def test_time_change_of_any_rising_table_falls(seed: int, n_steps: int) -> None:
    rng = np.random.default_rng(seed)
    m = rng.integers(2, 20)
    sigma = np.exp(np.cumsum(rng.uniform(0.1, 2.0, m)) - 5.0)
    phi = np.cumsum(rng.exponential(1.0, m) ** 6 * rng.integers(0, 2, m) + (np.arange(m) == m - 1))
    low, high = sigma[0], sigma[-1]
    for interpolation in ("linear", "pchip"):
        sigmas = time_change_sigmas(n_steps, high, low, sigma=sigma, phi=phi,
                                    interpolation=interpolation)  # fmt: skip
        assert np.all(np.diff(sigmas) < 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_snr_sigmas(0, 80, 1), "n_steps must be a whole number in 1..1000000, got 0"),
        (lambda: edm_sigmas(2.0, 80, 1), "n_steps must be a whole number in 1..1000000, got 2.0"),
        (
            lambda: edm_sigmas(10**6 + 1, 80, 1),
            "n_steps must be a whole number in 1..1000000, got 1000001",
        ),
        (lambda: edm_sigmas(2, 80, 0), "sigma_min must be positive, got 0"),
        (lambda: edm_sigmas(2, 1.0, 1.0), "sigma_min must be below sigma_max 1, got 1"),
        (lambda: edm_sigmas(2, np.inf, 1.0), "sigma_max must be finite, got inf"),
        (
            lambda: edm_sigmas(2, 80, 1, "stpo"),
            "terminal must be one of stop, zero, got 'stpo'; did you mean 'stop'?",
        ),
        (lambda: edm_sigmas(2, 80, 1, rho=-7), "rho must be positive, got -7"),
        (lambda: arctan_sigmas(2, 80, 1, c=0), "c must be positive, got 0"),
        (
            lambda: edm_sigmas(10, 1.0 + 4e-16, 1.0),
            "n_steps must leave the levels distinct, got 10: levels 0 and 1 coincide in float64 "
            "at 1.0000000000000004; take fewer steps or a wider span",
        ),
        (
            lambda: schedule("entropy", 3),
            "schedule must be one of vp_linear, edm_linear, edm, log_snr, cosine, arctan, "
            "entropic, rescaled, spectral, infogrid, las, law, got 'entropy'; "
            "did you mean 'entropic'?",
        ),
        (
            lambda: schedule("rescaled", 3),
            "profile must be given for schedule 'rescaled', got None",
        ),
        (
            lambda: schedule("arctan", 3),
            "c must be given for schedule 'arctan', or a profile, got None",
        ),
        (
            lambda: entropic_sigmas(3, 80, 1e-4, profile=profile()),
            "profile must cover sigma 0.0001..80, got 0.001..200; "
            "extend it, or narrow sigma_min..sigma_max",
        ),
        (
            lambda: entropic_sigmas(3, 3.0, 2.0, profile=Profile(1, [1, 2, 3, 4], np.zeros(4))),
            "profile must have positive mmse between sigma 2 and 3, got 0; raise sigma_min",
        ),
        (
            lambda: fit_arctan_c(Profile(1, [1, 2, 3, 4], np.zeros(4))),
            "profile must have a positive mmse, got 0 throughout; give c",
        ),
        (
            lambda: fit_arctan_c(Profile(1, [1, 2, 3, 4], np.ones(4) * [1, 8, 27, 64])),
            "profile must show the peak of mmse / sigma, got none in sigma 1..4; give c",
        ),
        (
            lambda: rate_sigmas(3, 4, 1, time=[1, 2, 2, 4], rate=np.ones(4), coordinate=EDM()),
            "time must rise strictly, got 2 after 2 at index 2",
        ),
        (
            lambda: rate_sigmas(3, 4, 1, time=[1, 2, 3, 4], rate=[1, -1, 1, 1], coordinate=EDM()),
            "rate must keep one sign, got -1 at index 1",
        ),
        (
            lambda: rate_sigmas(3, 4, 1, time=[1, 2, 3, 4], rate=[0, 1, 0, 1], coordinate=EDM()),
            "rate must be 0 only towards an end, got 0 at index 1",
        ),
        (
            lambda: rate_sigmas(3, 5, 1, time=[1, 2, 3, 4], rate=np.ones(4), coordinate=EDM()),
            "time must cover sigma 1..5, got 1..4; extend it, or narrow sigma_min..sigma_max",
        ),
        (
            lambda: time_change_sigmas(3, 4, 1, sigma=[1, 2, 4], phi=[1, 3, 2]),
            "phi must never fall, got 2 at index 2",
        ),
        (
            lambda: time_change_sigmas(3, 4, 1, sigma=[1, 2, 4], phi=[1, 1, 1]),
            "phi must rise between sigma_min and sigma_max, got 1 at both",
        ),
        (
            lambda: time_change_sigmas(3, 4, 1, sigma=[1, 4], phi=[1, 2], interpolation="cubic"),
            "interpolation must be one of pchip, linear, got 'cubic'",
        ),
        (
            lambda: time_sigmas(3, 80.0, 0.001, coordinate=DDPM()),
            "sigma must be in 0.0100005..157.407, the range of the indices, got 0.001",
        ),
    ],
)
def test_errors_say_what_to_change(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message


def test_every_schedule_refuses_an_option_that_it_does_not_have() -> None:
    for name in SCHEDULES:
        with pytest.raises(ValueError, match=rf"nonsense must be left out for schedule '{name}'"):
            schedule(name, 4, "edm", profile(), nonsense=1.0)
    with pytest.raises(ValueError, match=r"which takes rho, got 3.0$"):
        schedule("edm", 4, c=3.0)
    with pytest.raises(ValueError, match=r"which takes rho, got 5; did you mean 'rho'\?"):
        schedule("edm", 4, roh=5)
    with pytest.raises(ValueError, match="rule must be left out for schedule 'edm'"):
        schedule("edm", 4, rule="nonsense")


def test_needs_are_declared_by_the_arguments_without_default() -> None:
    needs = {name: REGISTRY.needs(name) for name in SCHEDULES}
    profiles = {"entropic", "rescaled", "spectral", "infogrid", "las", "law"}
    assert {name for name, need in needs.items() if "profile" in need} == profiles
    assert {name for name, need in needs.items() if "scale" in need} == {"arctan"}
    for name in SCHEDULES:
        assert draws_on_profile(name) == bool(needs[name])
        assert ("needs a" in schedules()[name]) == bool(needs[name])
    assert not draws_on_profile("arctan", {"c": 0.5})


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("EDM", "edm"),
        ("Log-SNR", "log_snr"),
        ("log snr", "log_snr"),
        ("karras", "edm"),
        ("Karras", "edm"),
        ("exponential", "log_snr"),
        ("InfoGrid", "infogrid"),
        ("LAS", "las"),
    ],
)
def test_names_in_common_use_are_accepted_where_they_are_exact(written: str, name: str) -> None:
    assert REGISTRY.name(written) == name
    np.testing.assert_array_equal(
        schedule(written, 5, "edm", profile()), schedule(name, 5, "edm", profile())
    )


@pytest.mark.parametrize(
    ("written", "near"), [("ddpm", "vp_linear"), ("Scaled Linear", "vp_linear"), ("ays", "arctan")]
)
def test_names_of_something_near_are_suggested(written: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        schedule(written, 5)


def test_names_with_options_are_parsed() -> None:
    assert REGISTRY.parse("Karras:rho=5") == ("edm", {"rho": 5})
    assert REGISTRY.parse("las:lambda=0,mu=0.5") == ("las", {"lambda_": 0, "mu": 0.5})
    assert REGISTRY.parse("edm") == ("edm", {})
    with pytest.raises(ValueError, match="rho must be left out for schedule 'log_snr'"):
        REGISTRY.parse("log_snr:rho=5")
    with pytest.raises(ValueError, match="option must be NAME=VALUE, got 'mu'"):
        REGISTRY.parse("las:lambda=0,mu,power=3,x=")
    with pytest.raises(ValueError, match="option must be NAME=VALUE, got 'rho'"):
        REGISTRY.parse("edm:rho")
    with pytest.raises(ValueError, match="option must be given once, got rho twice"):
        REGISTRY.parse("edm:rho=5,rho=6")


def test_a_schedule_of_ones_own_is_called_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grids_of_mine.py").write_text(
        "import numpy as np\n"
        "def halving(n_steps, sigma_max, sigma_min, terminal='stop', *, slope: float = 1.0):\n"
        "    'Levels of mine.'\n"
        "    u = np.linspace(0.0, 1.0, n_steps + 1) ** slope\n"
        "    return sigma_max ** (1 - u) * sigma_min ** u\n"
        "def short(n_steps, sigma_max, sigma_min, terminal='stop'):\n"
        "    return [sigma_max, sigma_min]\n"
        "VALUE = 3\n"
        "def broken(n_steps, sigma_max, sigma_min, terminal='stop'):\n"
        "    return {}['x']\n"
    )
    (tmp_path / "faulty_grids.py").write_text("nothing + 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    found = schedule("grids_of_mine:halving", 5)
    np.testing.assert_allclose(found, np.geomspace(80.0, 0.002, 6), rtol=1e-12)
    assert schedule("grids_of_mine:halving", 5, slope=2.0)[1] > found[1]
    for call, message in (
        (lambda: schedule("grids_of_mine:halving", 5, rho=2), "which takes slope, got 2"),
        (lambda: schedule("grids_of_mine:short", 5), "must have 6 entries for 5 steps, got 2"),
        (lambda: schedule("grids_of_mine:halving", 5, terminal="zero"), "must end at 0, got 0.002"),
        (lambda: schedule("grids_of_mine:none", 5), "schedule must name a function to import"),
        (lambda: schedule("no_such_module:none", 5), "No module named 'no_such_module'"),
        (lambda: schedule("grids_of_mine:VALUE", 5), "which is of type int"),
        (lambda: schedule("grids_of_mine:broken", 5), "broken must run, got KeyError: 'x'"),
        (lambda: schedule("faulty_grids:f", 5), "got 'faulty_grids:f': NameError: name 'nothing'"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
