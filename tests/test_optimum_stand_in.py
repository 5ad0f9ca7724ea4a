"""Stand-in mixtures: derivatives of the mmse, levels and noise of a profile, posterior, fits."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from benchmarks.optimum import stand_in
from benchmarks.optimum.mmse_jacobian import (
    COARSE,
    FINE,
    MEDIUM,
    Accuracy,
    mixture_panels,
    mmse_and_jacobian,
)
from benchmarks.optimum.stand_in import distance, fit_stand_ins
from benchmarks.optimum.stand_in_levels import FAINT, LEVELS, Levels, ProfileGrid, white_noise
from benchmarks.optimum.stand_in_posterior import (
    FAMILIES,
    HETEROGENEOUS,
    RANDOM,
    STAGES,
    Posterior,
    Stage,
    arrays_of,
    targets_of,
    theta_of,
)
from entropic.testing import mixtures
from theory.gaussian import gaussian_mmse
from theory.profiles.profile import Profile
from toys.information import information
from toys.mixture import Mixture

THREE = Mixture([1.0, 2.0, 1.0], [-1.2, 0.1, 0.7], 0.1)
LOW = np.geomspace(0.003, 10.0, 25)


def arrays(toy: Mixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return toy.weights, toy.means[:, 0], toy.stds[:, 0]


def exact_profile(toy: Mixture, points: int = 200, low: float = 0.002) -> Profile:
    sigma = np.geomspace(low, 80.0, points)
    return Profile(1, sigma, information.mmse(toy, sigma))


def noisy(profile: Profile, share: float, *, known: bool = False, seed: int = 1) -> Profile:
    rng = np.random.default_rng(seed)
    mmse = profile.mmse * (1.0 + share * rng.standard_normal(profile.mmse.size))
    return Profile(1, profile.sigma, mmse, share * profile.mmse if known else None)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes half a second: up to four components, few changes."""
    monkeypatch.setattr(stand_in, "COMPONENTS", 4)
    monkeypatch.setattr(stand_in, "CHANGES", 24)
    monkeypatch.setattr(stand_in, "KEPT", (10, 6, 4))


# Mmse and derivatives


@given(toy=mixtures(dim=1, kind="densities"))
@settings(max_examples=30)
def test_mmse_has_ten_digits(toy: Mixture) -> None:
    """Two quadratures; rounding and the fine panels leave less than 1e-11."""
    toy = information.merged(toy)
    got, _ = mmse_and_jacobian(*arrays(toy), LOW)
    np.testing.assert_allclose(got, information.mmse(toy, LOW), rtol=1e-10)


@pytest.mark.parametrize(("accuracy", "rtol"), [(FINE, 1e-11), (MEDIUM, 1e-4), (COARSE, 3e-3)])
@pytest.mark.parametrize("seed", range(4))
def test_accuracies_are_those_stated(accuracy: Accuracy, rtol: float, seed: int) -> None:
    """Checked beyond these on 60 mixtures: largest errors 3e-12, 4e-5 and 3e-3."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 16))
    toy = Mixture(
        rng.dirichlet(np.full(k, 2.0)), np.sort(rng.normal(size=k)), 10 ** rng.uniform(-2, -0.2, k)
    )
    panels = mixture_panels(*arrays(toy), LOW, accuracy)
    got, _ = mmse_and_jacobian(*arrays(toy), LOW, panels)
    np.testing.assert_allclose(got, information.mmse(toy, LOW), rtol=rtol)


def test_very_narrow_components_keep_their_digits() -> None:
    toy = Mixture([1.0, 2.0, 1.5], [-1.0, 0.2, 1.0], 1e-5)
    sigma = np.array([0.002, 0.05, 0.1, 0.2, 1.0, 30.0])
    want = information.mmse(toy, sigma)
    assert want[1] / sigma[1] ** 2 < 1e-4  # the points are all but known there
    np.testing.assert_allclose(mmse_and_jacobian(*arrays(toy), sigma)[0], want, rtol=1e-9)


def moved(toy: Mixture, which: int, k: int, step: float) -> Mixture:
    log_w, means, log_s = np.log(toy.weights), toy.means[:, 0].copy(), np.log(toy.stds[:, 0])
    (log_w, means, log_s)[which][k] += step
    return Mixture(np.exp(log_w), means, np.exp(log_s))


@pytest.mark.parametrize(
    "toy",
    [THREE, Mixture([1.0, 3.0, 2.0, 2.0], [-1.0, 0.0, 0.02, 1.0], [0.3, 1.0, 0.02, 0.05])],
    ids=["lattice", "scales"],
)
def test_derivatives_are_those_of_the_exact_mmse(toy: Mixture) -> None:
    """Richardson's rule of order 6 on `toys.information`: error about (h / std)^6, 1e-10."""
    sigma = np.array([0.01, 0.05, 0.2, 0.6, 3.0])
    mmse, jacobian = mmse_and_jacobian(*arrays(toy), sigma)
    for which in range(3):
        for k in range(toy.size):
            h = 0.01 * (toy.stds[k, 0] if which == 1 else 1.0)
            central = [
                (
                    information.mmse(moved(toy, which, k, c * h), sigma)
                    - information.mmse(moved(toy, which, k, -c * h), sigma)
                )
                / (2 * c * h)
                for c in (0.5, 1.0, 2.0)
            ]
            want = (64.0 * central[0] - 20.0 * central[1] + central[2]) / 45.0
            scale = mmse / (toy.stds[k, 0] if which == 1 else 1.0)
            assert np.all(np.abs(jacobian[:, which, k] - want) < 1e-8 * scale), (which, k)


def test_one_gaussian_is_the_closed_form() -> None:
    """Mmse = c^2 s^2 / (c^2 + s^2), and its derivative by log c is 2 mmse s^2 / (c^2 + s^2)."""
    mmse, jacobian = mmse_and_jacobian(np.ones(1), np.array([0.3]), np.array([0.7]), LOW)
    want = gaussian_mmse(LOW, 0.7)
    np.testing.assert_allclose(mmse, want, rtol=1e-11)
    np.testing.assert_allclose(jacobian[:, 2, 0], 2 * want * LOW**2 / (0.49 + LOW**2), rtol=1e-10)
    assert np.all(np.abs(jacobian[:, :2, 0]) < 1e-11 * want[:, None])


@given(toy=mixtures(dim=1, kind="densities"))
@settings(max_examples=20)
def test_a_shift_of_all_means_or_a_factor_of_all_weights_changes_nothing(toy: Mixture) -> None:
    toy = information.merged(toy)
    mmse, jacobian = mmse_and_jacobian(*arrays(toy), LOW)
    assert np.all(np.abs(jacobian[:, :2].sum(axis=2)) < 1e-9 * np.maximum(mmse, mmse**0.5)[:, None])


def test_panels_of_a_close_mixture_serve() -> None:
    """Means moved by half a noisy std."""
    close = Mixture(THREE.weights, THREE.means[:, 0] + [0.05, 0.0, -0.05], THREE.stds[:, 0])
    panels = mixture_panels(*arrays(THREE), LOW, MEDIUM)
    got, _ = mmse_and_jacobian(*arrays(close), LOW, panels)
    np.testing.assert_allclose(got, information.mmse(close, LOW), rtol=1e-3)


# Levels and noise


def test_white_noise_is_measured_beside_bends() -> None:
    profile = exact_profile(THREE)
    x, ratio = np.log(profile.sigma), profile.mmse / profile.sigma**2
    y = np.log(ratio + FAINT)
    assert white_noise(x, y, ratio) < 1e-5
    noise = np.random.default_rng(0).standard_normal(x.size)
    # The median of about 200 correlated estimates: a standard error of about 15 %.
    assert white_noise(x, y + 0.01 * noise, ratio) == pytest.approx(0.01, rel=0.4)
    assert white_noise(x[:4], y[:4], ratio[:4]) == 0.0


def test_an_exact_profile_is_thinned_out_and_ends_where_it_says_nothing() -> None:
    profile = exact_profile(THREE, 400)
    grid = ProfileGrid(profile)
    assert grid.is_exact
    assert grid.scale == pytest.approx(THREE.variance**0.5, rel=1e-3)
    levels = grid.levels()
    assert LEVELS - 6 <= levels.sigma.size <= LEVELS
    assert 8.0 < levels.sigma[-1] <= 10.0
    assert np.exp(levels.target[0]) - FAINT == pytest.approx(0.999, abs=2e-4)
    assert not levels.noise.any()
    want = information.mmse(THREE, levels.sigma * grid.scale) / (levels.sigma * grid.scale) ** 2
    np.testing.assert_allclose(np.exp(levels.target) - FAINT, want, rtol=1e-9)


def test_points_have_levels_down_to_the_lowest() -> None:
    grid = ProfileGrid(exact_profile(Mixture([1.0, 1.0], [-1.0, 1.0], 0.0)))
    assert grid.sigma[0] == pytest.approx(0.002, rel=1e-2)
    assert grid.levels().target[0] == pytest.approx(np.log(FAINT))


@pytest.mark.parametrize("known", [True, False])
def test_noise_is_averaged_over_windows(known: bool) -> None:
    """46 errors in units of their standard errors: their root mean square is 1 to about 10 %."""
    profile = exact_profile(THREE, 400)
    grid = ProfileGrid(noisy(profile, 0.01, known=known))
    truth = targets_of(theta_of(THREE, grid.scale), grid.sigma, FINE)
    levels = grid.levels(truth)
    assert not grid.is_exact
    want = targets_of(theta_of(THREE, grid.scale), levels.sigma, FINE)
    errors = (levels.target - want) / levels.noise
    assert np.median(levels.noise) < 0.5 * 0.01
    # Noise that is not known is estimated to about 20 %.
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(1.0, abs=0.5)


def test_correlated_errors_do_not_average_out() -> None:
    profile = exact_profile(THREE, 400)
    shifted = Profile(1, profile.sigma, 1.02 * profile.mmse, 0.02 * profile.mmse)
    grid = ProfileGrid(shifted)
    levels = grid.levels(targets_of(theta_of(THREE, grid.scale), grid.sigma, MEDIUM))
    assert np.median(levels.noise) == pytest.approx(0.02, rel=0.05)


def test_an_underflow_between_larger_values_is_left_out() -> None:
    profile = exact_profile(THREE, 60)
    mmse = profile.mmse.copy()
    mmse[30] = 0.0
    whole, holed = ProfileGrid(profile), ProfileGrid(Profile(1, profile.sigma, mmse))
    assert holed.sigma.size == whole.sigma.size - 1
    assert holed.target.min() == whole.target.min()


def test_a_coarse_exact_profile_is_not_taken_for_a_noisy_one() -> None:
    assert ProfileGrid(exact_profile(THREE, 20)).is_exact


# Posterior


@pytest.mark.parametrize("size", [1, 2, 5])
def test_jacobian_is_the_derivative_of_the_residuals(size: int) -> None:
    levels = ProfileGrid(exact_profile(THREE)).levels()
    rng = np.random.default_rng(size)
    theta = rng.normal(-0.5, 0.5, 3 * size - 1)
    posterior = Posterior(levels, RANDOM, size, Stage(1e-2, FINE, 1))
    got = posterior.jacobian(theta)
    for i in range(theta.size):
        h = 1e-3 * np.eye(theta.size)[i]

        def slope(c: float, h: np.ndarray = h) -> np.ndarray:
            return (posterior.residuals(theta + c * h) - posterior.residuals(theta - c * h)) / (
                2e-3 * c
            )

        want = (4.0 * slope(0.5) - slope(1.0)) / 3.0
        np.testing.assert_allclose(got[:, i], want, rtol=1e-6, atol=1e-6 * np.abs(want).max())


def test_score_is_minus_the_log_evidence_of_a_gaussian() -> None:
    """One component: the integral over log std by quadrature, that over the log weight is 1."""
    sigma = np.geomspace(0.05, 5.0, 12)
    target = np.log(gaussian_mmse(sigma, 1.0) / sigma**2 + FAINT)
    levels = Levels(sigma, target, np.zeros(sigma.size))
    posterior = Posterior(levels, RANDOM, 1, Stage(0.05, FINE, 1))

    def density(log_std: float) -> float:
        rows = posterior.residuals(np.array([0.0, log_std]))
        return float(np.exp(-0.5 * rows @ rows))

    integral = quad(density, -0.3, 0.3, epsrel=1e-6)[0]
    evidence = integral / (2.0 * np.sqrt(2.0 * np.pi))  # 2 is the spread of the prior of log std
    # The likelihood is narrow: its maximum is that of the posterior, and nearly Gaussian.
    assert posterior.score(np.zeros(2)) == pytest.approx(-np.log(evidence), abs=5e-3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_parameters_give_the_mixture_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 16))
    toy = Mixture(rng.dirichlet(np.full(k, 2.0)), rng.normal(size=k), rng.uniform(0.01, 1.0, k))
    order = np.argsort(toy.means[:, 0])
    weights, means, stds = arrays_of(theta_of(toy, 2.0))
    np.testing.assert_allclose(weights, toy.weights[order], rtol=1e-12)
    np.testing.assert_allclose(2.0 * stds, toy.stds[order, 0], rtol=1e-12)
    np.testing.assert_allclose(2.0 * means, (toy.means[order] - toy.mean)[:, 0], atol=1e-12)


@pytest.mark.parametrize("size", [2, 9])
def test_prior_of_averages_does_not_depend_on_the_number_of_components(size: int) -> None:
    """Twice its spread of 2 from the centre, the average log std or log gap costs 2 nats."""
    levels = Levels(LOW, np.zeros(LOW.size), np.zeros(LOW.size))
    posterior = Posterior(levels, RANDOM, size, STAGES[0])
    centre = np.repeat([0.0, np.log(3.5 / size), np.log(0.2)], [size, size - 1, size])
    for part in (slice(size, 2 * size - 1), slice(2 * size - 1, 3 * size - 1)):
        far = centre.copy()
        far[part] += 4.0
        assert posterior.prior_cost(far) - posterior.prior_cost(centre) == pytest.approx(2.0)


@pytest.mark.parametrize("is_lattice", [True, False])
def test_starts_have_the_variance_of_the_data(is_lattice: bool) -> None:
    levels = ProfileGrid(exact_profile(THREE, 60)).levels()
    for size in (1, 2, 9):
        rng = np.random.default_rng(size)
        weights, means, stds = arrays_of(
            stand_in._start(levels, HETEROGENEOUS, size, is_lattice, rng)
        )
        assert weights @ (means**2 + stds**2) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("size", [1, 2, 5, 15])
def test_a_change_makes_a_valid_mixture(kind: int, size: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        new = stand_in._changed(rng.normal(size=3 * size - 1), kind, rng)
        assert new.size % 3 == 2
        assert 1 <= (new.size + 1) // 3 <= 15
        weights, means, stds = arrays_of(new)
        assert np.all(weights > 0)
        assert np.all(np.diff(means) > 0)
        assert np.all(stds > 0)


def test_changes_are_the_four_that_are_named() -> None:
    """Gaps 1, 2, 1.5 and weights 1 to 4: every outcome of every change, and no other."""
    theta = theta_of(Mixture([1, 2, 3, 4], [0.0, 1.0, 3.0, 4.5], 0.1), 1.0)
    gaps: list[set[tuple[float, ...]]] = [set(), set(), set(), set()]
    weights: list[set[tuple[float, ...]]] = [set(), set(), set(), set()]
    for kind in range(4):
        for seed in range(60):
            new = stand_in._changed(theta, kind, np.random.default_rng(seed))
            k = (new.size + 1) // 3
            gaps[kind].add(tuple(np.round(np.exp(new[k : 2 * k - 1]), 9).tolist()))
            weights[kind].add(tuple(np.round(arrays_of(new)[0], 9).tolist()))
    assert gaps[0] == {(2.0, 1.0, 1.5), (1.5, 2.0, 1.0), (1.0, 1.5, 2.0)}
    assert gaps[1] == {(2.0, 1.5), (3.0, 1.5), (1.0, 3.5), (1.0, 2.0)}
    runs = ("2134", "3214", "4321", "1324", "1432", "1243")
    assert weights[2] == {tuple(int(c) / 10 for c in run) for run in runs}
    halves = ((5, 5, 20, 30, 40), (10, 10, 10, 30, 40), (10, 20, 15, 15, 40), (10, 20, 30, 20, 20))
    assert weights[3] == {tuple(h / 100 for h in half) for half in halves}
    # The halves stand one std apart.
    assert (0.1, 1.0, 2.0, 1.5) in gaps[3]
    assert (1.0, 2.0, 0.1, 1.5) in gaps[3]


# Fits


def profile_gap(toy: Mixture, other: Mixture) -> float:
    """Largest relative difference of two profiles."""
    sigma = np.geomspace(0.002, 80.0, 100)
    return float(np.abs(information.mmse(toy, sigma) / information.mmse(other, sigma) - 1.0).max())


@pytest.mark.usefixtures("small")
def test_a_mixture_is_found_from_its_profile() -> None:
    found = fit_stand_ins(exact_profile(THREE.scaled(3.0, 20.0), low=0.04))
    truth = THREE.scaled(float(THREE.mean[0]), 20.0)
    assert found[0].misfit < 2e-5
    assert found[0].misfit_error is None
    assert abs(float(found[0].mixture.mean[0])) < 1e-9
    assert distance(found[0].mixture, truth) < 1e-3 * 20.0
    assert [f.score for f in found] == sorted(f.score for f in found)
    assert found[-1].score <= found[0].score + 4.0


@pytest.mark.usefixtures("small")
def test_a_gaussian_is_found_as_one_component() -> None:
    found = fit_stand_ins(exact_profile(Mixture([1.0], [0.4], 0.7)))
    assert found[0].mixture.size == 1
    assert found[0].mixture.stds[0, 0] == pytest.approx(0.7, rel=1e-5)


@pytest.mark.usefixtures("small")
def test_points_are_found_as_narrow_components() -> None:
    truth = Mixture([1.0, 2.0], [-1.0, 0.5], 0.0)
    found = fit_stand_ins(exact_profile(truth))[0].mixture
    assert found.stds.max() < 1e-4
    np.testing.assert_allclose(np.sort(found.weights), [1 / 3, 2 / 3], rtol=1e-2)
    assert np.ptp(found.means) == pytest.approx(1.5, rel=1e-3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("known", [True, False])
def test_a_noisy_profile_is_fitted_to_its_noise(known: bool) -> None:
    """The misfit is the noise of 1 %, within four standard errors, and the fit is closer."""
    found = fit_stand_ins(noisy(exact_profile(THREE, 400), 0.01, known=known))
    assert found[0].misfit_error is not None
    assert abs(found[0].misfit - 0.01) < 4.0 * found[0].misfit_error + 5e-4
    # 0.01 / sqrt(2 n) for n normal errors, of which R < FAINT takes some away.
    n = ProfileGrid(exact_profile(THREE, 400)).sigma.size
    assert 0.7 < found[0].misfit_error / (0.01 / np.sqrt(2 * n)) < 1.5
    assert profile_gap(found[0].mixture, THREE) < 0.01


@pytest.mark.usefixtures("small")
def test_a_profile_of_few_levels_is_fitted() -> None:
    found = fit_stand_ins(exact_profile(THREE, 12))
    assert found[0].misfit < 1e-3


def test_starts_are_refined_in_half_a_second() -> None:
    near = Mixture([1.1, 2.0, 1.0], [-1.25, 0.1, 0.72], [0.09, 0.11, 0.1])
    profile = noisy(exact_profile(THREE), 1e-3, known=True)
    fit_stand_ins(profile, starts=[near])  # compiles kernels and imports SciPy
    begin = time.process_time()
    found = fit_stand_ins(profile, starts=[near, near.scaled(1.0, -1.0)])
    assert time.process_time() - begin < 0.5
    assert len(found) == 1  # mirror images are one stand-in
    assert distance(found[0].mixture, THREE.scaled(float(THREE.mean[0]), 1.0)) < 5e-3


@pytest.mark.usefixtures("small")
def test_a_fit_is_a_function_of_its_seed() -> None:
    profile = exact_profile(THREE, 40)
    one, two = fit_stand_ins(profile, seed=3), fit_stand_ins(profile, seed=3)
    assert [f.mixture.to_dict() for f in one] == [f.mixture.to_dict() for f in two]


def test_distance_is_that_of_wasserstein_up_to_a_mirror_image() -> None:
    one = Mixture([1.0, 3.0], [-1.5, 0.5], 0.1)
    assert distance(one, one.scaled(0.0, -1.0)) < 1e-12
    # Two pairs of points at +-1 and +-1.2: every quarter of the mass moves by 0.2.
    pair = Mixture([1.0, 1.0], [-1.0, 1.0], 1e-3), Mixture([1.0, 1.0], [-1.2, 1.2], 1e-3)
    assert distance(*pair) == pytest.approx(0.2, rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_random_mixtures_of_every_family_are_fitted(family: object) -> None:
    """The misfit is below that of the last stage, 2e-4, unless the search fails."""
    rng = np.random.default_rng(FAMILIES.index(family))
    spread = 1.0 if family is HETEROGENEOUS else 0.2
    toy = Mixture(
        rng.dirichlet(np.full(7, 3.0)),
        rng.normal(size=7),
        0.15 * np.exp(spread * rng.normal(size=7)),
    )
    found = fit_stand_ins(exact_profile(toy))
    assert found[0].misfit < STAGES[-1].noise
    assert profile_gap(found[0].mixture, toy) < 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fit_stand_ins(Profile(2, [1, 2, 3, 4], [1, 1, 1, 1])),
            "dim must be 1 for a stand-in, got 2",
        ),
        (
            lambda: fit_stand_ins(Profile(1, [1, 2, 3, 4], [0, 0, 0, 0])),
            "mmse must exceed 0.003 sigma^2 somewhere for schedule 'optimal', got 0 sigma^2; "
            "extend the profile downwards",
        ),
        (
            lambda: fit_stand_ins(Profile(1, [1, 2, 3, 4], [1, 4, 9, 15.999])),
            "mmse must be below 0.999 sigma^2 somewhere for schedule 'optimal', got 1 sigma^2; "
            "extend the profile upwards",
        ),
        (
            lambda: fit_stand_ins(exact_profile(THREE, 10), keep=0),
            "keep must be a whole number at least 1, got 0",
        ),
        (
            lambda: fit_stand_ins(exact_profile(THREE, 10), seed=-1),
            "seed must be a whole number in [0, 2**32), got -1",
        ),
        (
            lambda: fit_stand_ins(exact_profile(THREE, 10), starts=[Mixture([1], [[0, 0]], 1)]),
            "starts must be mixtures of dim 1, got 2",
        ),
    ],
)
def test_errors_say_what_to_change(call: object, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message
