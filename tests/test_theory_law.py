"""The law: closed forms on Gaussian data, distance from the optimum, noise, ends, words."""

from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad

from theory.gaussian import gaussian_kl_data_model, gaussian_mmse, table_variances
from theory.gaussian_optimum import gaussian_optimal_sigmas
from theory.profiles.profile import Profile
from theory.schedules.arctan import arctan_sigmas
from theory.schedules.law import (
    LAW_WARNING,
    POINTS_WARNING,
    law_sigmas,
    law_warnings,
    log_odds,
)
from theory.solvers.ddim import stochastic_ddim_table
from toys.information.information import mmse
from toys.zoo import toy

Array = np.ndarray
GRID = np.geomspace(0.002, 80.0, 400)


def gaussian(c: float, sigma: Array = GRID, dim: int = 1, noise: float = 0.0, seed: int = 0,
             *, known: bool = False) -> Profile:  # fmt: skip
    """Profile of N(0, c^2 I), with relative white noise that is known or not."""
    exact = gaussian_mmse(sigma, c, dim)
    draws = np.random.default_rng(seed).normal(size=sigma.size)
    return Profile(dim, sigma, exact * np.exp(noise * draws), noise * exact if known else None)


def excess(sigmas: Array, c: float) -> float:
    """KL of stochastic DDIM on N(0, c^2) over that of the optimal levels."""

    def kl(levels: Array) -> float:
        table = stochastic_ddim_table(levels, 80.0)
        return gaussian_kl_data_model(c**2 + table.end**2, table_variances(table, c)[-1])

    return kl(sigmas) / kl(gaussian_optimal_sigmas(sigmas.size - 1, 80.0, 0.002, c=c))


@pytest.mark.parametrize("terminal", ["stop", "zero"])
@pytest.mark.parametrize("c", [1e-4, 0.01, 0.5, 30.0])
def test_the_deterministic_form_of_a_gaussian_is_the_arctan_grid(c: float, terminal: str) -> None:
    """sqrt(R (1 - R)) = c sigma / (c^2 + sigma^2), the derivative of arctan(sigma / c)."""
    for n_steps in (2, 16, 200):
        ours = law_sigmas(n_steps, 80.0, 0.002, terminal, profile=gaussian(c, dim=7),
                          form="deterministic")  # fmt: skip
        np.testing.assert_allclose(
            ours, arctan_sigmas(n_steps, 80.0, 0.002, terminal, c=c), rtol=1e-8
        )  # the spline: spacing^4


@pytest.mark.parametrize(("terminal", "steps"), [("stop", 6), ("zero", 7)])
def test_the_stochastic_form_has_equal_shares_of_its_density(terminal: str, steps: int) -> None:
    """R (1 - R)^(1/2 + 1/N) of a Gaussian by quadrature; N counts the steps down to sigma_min."""
    c, count = 0.4, 6
    sigmas = law_sigmas(steps, 80.0, 0.002, terminal, profile=gaussian(c))[: count + 1]

    def density(x: float) -> float:
        ratio = c**2 / (c**2 + np.exp(2 * x))
        return float(ratio * (1 - ratio) ** (0.5 + 1 / count))

    logs = np.log(sigmas)
    shares = [
        quad(density, low, high, epsabs=0)[0] for low, high in zip(logs[1:], logs, strict=False)
    ]
    np.testing.assert_allclose(shares, np.mean(shares), rtol=1e-7)


@pytest.mark.parametrize("n_steps", [4, 8, 16, 32])
def test_the_law_is_near_the_optimum_of_gaussian_data(n_steps: int) -> None:
    """OPTIMUM.md, section 4: 1.04 to 1.07 times the least divergence."""
    for c in (0.01, 0.5, 5.0):
        assert 1.0 <= excess(law_sigmas(n_steps, 80.0, 0.002, profile=gaussian(c)), c) < 1.075


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_noise_of_the_profile_costs_little(noise: float, known: bool) -> None:
    """R exceeds 1 at about half of the low levels, where 1 - R is noise alone."""
    for seed in range(5):
        noisy = gaussian(0.5, GRID[::3], noise=noise, seed=seed, known=known)
        assert (noisy.mmse > noisy.sigma**2).sum() > 10
        assert excess(law_sigmas(8, 80.0, 0.002, profile=noisy), 0.5) < 1.25


def test_odds_keep_their_digits_where_r_is_rounded_to_one() -> None:
    """(1 - R) / R is (sigma / c)^2, also where 1 - R has no digits left in float64."""
    wide = np.geomspace(1e-9, 1e3, 600)
    for c in (1e-3, 1.0):
        logs, odds = log_odds(gaussian(c, wide))
        np.testing.assert_array_equal(logs, np.log(wide))
        np.testing.assert_allclose(odds, 2 * (logs - np.log(c)), atol=2e-3)
        np.testing.assert_allclose(odds[300:], 2 * (logs - np.log(c))[300:], atol=1e-9)


def test_the_odds_of_an_exact_profile_are_its_own() -> None:
    """On a mixture neither step of the repair changes anything."""
    curve = mmse(toy("gaussians15_overlap"), GRID)
    logs, odds = log_odds(Profile(1, GRID, curve))
    with mp.workdps(30):
        exact = [
            float(mp.log(mp.mpf(s) ** 2 / mp.mpf(m) - 1)) for s, m in zip(GRID, curve, strict=True)
        ]
    clear = np.array(exact) > np.log(1e-7)
    assert clear.sum() > 300
    np.testing.assert_allclose(odds[clear], np.array(exact)[clear], atol=1e-6)
    assert np.all(np.diff(odds - 2 * logs) <= 1e-12)


def test_points_have_no_levels_where_the_mmse_vanishes() -> None:
    sigma = np.geomspace(1e-3, 100.0, 300)
    curve = 0.5 * np.exp(-1.0 / (8 * sigma**2)) / (1 + 0.5 / sigma**2)
    for form in ("stochastic", "deterministic"):
        sigmas = law_sigmas(30, 80.0, 0.001, profile=Profile(1, sigma, curve), form=form)
        assert sigmas[-1] == 0.001
        assert sigmas[-2] > 0.05


def test_the_unit_of_the_data_does_not_matter() -> None:
    base = law_sigmas(9, 80.0, 0.002, profile=gaussian(0.5))
    for unit in (1e-40, 1e40):
        scaled = Profile(1, GRID * unit, gaussian(0.5).mmse * unit**2)
        ours = law_sigmas(9, 80.0 * unit, 0.002 * unit, profile=scaled)
        np.testing.assert_allclose(ours / unit, base, rtol=1e-9)


def test_data_of_many_coordinates_are_warned_about() -> None:
    assert law_warnings(gaussian(0.5)) == []
    assert law_warnings(gaussian(0.5, dim=64)) == [LAW_WARNING.format(dim=64)]
    assert "has 64" in law_warnings(gaussian(0.5, dim=64))[0]


def test_points_are_warned_about() -> None:
    """At the lowest noise R is near 1 for a density, however narrow, and near 0 for points."""
    points = Profile(1, GRID, mmse(toy("points15"), GRID))
    assert law_warnings(points) == [POINTS_WARNING.format(share=points.mmse[0] / GRID[0] ** 2)]
    narrow = Profile(1, GRID, mmse(toy("gaussians15_narrow"), GRID))
    assert law_warnings(narrow) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: law_sigmas(3, 80.0, 0.002, profile=gaussian(1.0), form="stochstic"),
            "form must be one of stochastic, deterministic, got 'stochstic'; "
            "did you mean 'stochastic'?",
        ),
        (
            lambda: law_sigmas(3, 80.0, 1e-4, profile=gaussian(1.0)),
            "profile must cover sigma 0.0001..80, got 0.002..80; "
            "extend it, or narrow sigma_min..sigma_max",
        ),
        (
            lambda: law_sigmas(3, 4.0, 1.0, profile=Profile(1, [1, 2, 3, 4], np.zeros(4))),
            "profile must have a positive mmse at two levels, got 0",
        ),
        (
            lambda: law_sigmas(3, 4.0, 1.0, profile=Profile(2, [1, 2, 3, 4], [2, 8, 18, 33])),
            "profile must have an mmse clearly below d sigma^2 at some level, got 1 d sigma^2 at "
            "the least",
        ),
        (
            lambda: law_sigmas(3, 2.0, 1.0, profile=Profile(1, [1, 2, 3, 4], [0, 0, 0.1, 0.1])),
            "profile must have positive mmse between sigma 1 and 2, got 0; raise sigma_min",
        ),
    ],
)
def test_errors_say_what_to_change(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message
