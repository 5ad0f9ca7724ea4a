"""Loss logs: how rows become risks, and how wide the bands are."""

import numpy as np
import pytest

from theory.gaussian import gaussian_mmse
from theory.profiles.loss_log import LossLog, bootstrap_band, scattered
from theory.profiles.profile import Profile
from theory.profiles.risks import profile_from_losses
from theory.schedules.las import Objective, Saturating
from theory.schedules.las_levels import objective_sigmas

LEVELS = np.geomspace(0.01, 50.0, 20)
GOAL = Objective(Saturating(0.02))


def noisy(rng: np.random.Generator, sigma: np.ndarray, shape: float = 2.0) -> np.ndarray:
    """Risks of N(0, 0.25) with gamma noise of relative spread shape^(-1/2)."""
    return gaussian_mmse(sigma, 0.5) * rng.gamma(shape, 1.0 / shape, sigma.size)


def test_repeated_levels_are_averaged_as_from_losses_does() -> None:
    rng = np.random.default_rng(0)
    sigma = np.repeat(LEVELS, 5)
    risk, samples = noisy(rng, sigma), rng.integers(1, 9, sigma.size)
    order = rng.permutation(sigma.size)
    log = LossLog(sigma[order], risk[order], samples[order])
    found, expected = log.profile(), profile_from_losses(sigma, risk, "x0", 1, samples=samples)
    assert (log.levels, log.groups, log.binned) == (20, 20, False)
    assert log.samples == samples.sum()
    assert log.fewest_samples == samples.reshape(20, 5).sum(axis=1).min()
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=1e-14)
    np.testing.assert_allclose(found.mmse, expected.mmse, rtol=1e-13)
    assert found.stderr is not None
    assert expected.stderr is not None
    np.testing.assert_allclose(found.stderr, expected.stderr, rtol=1e-12)


def test_one_row_a_level_has_no_errors_and_no_band() -> None:
    log = LossLog(LEVELS, gaussian_mmse(LEVELS, 0.5))
    assert log.profile().stderr is None
    with pytest.raises(ValueError, match="losses must repeat some level for a band"):
        log.resampled(np.random.default_rng(0))


def test_single_rows_borrow_the_spread_of_the_others() -> None:
    rng = np.random.default_rng(1)
    sigma = np.concatenate([np.repeat(LEVELS[:-1], 400), LEVELS[-1:]])
    log = LossLog(sigma, noisy(rng, sigma))
    profile = log.profile()
    assert profile.stderr is not None
    assert profile.stderr[-1] / profile.mmse[-1] == pytest.approx(0.5**0.5, rel=0.05)
    drawn = [log.resampled(rng).mmse[-1] / profile.mmse[-1] for _ in range(2000)]
    assert np.std(drawn) == pytest.approx(0.5**0.5, rel=0.15)


@pytest.mark.parametrize("bins", [16, 64])
def test_many_levels_are_binned_between_the_ends_of_the_log(bins: int) -> None:
    rng = np.random.default_rng(2)
    sigma = np.exp(rng.uniform(np.log(0.01), np.log(50.0), 40_000))
    log = LossLog(sigma, noisy(rng, sigma), bins=bins)
    profile = log.profile()
    assert log.binned
    assert log.groups == bins
    assert log.levels == log.samples == 40_000
    assert profile.sigma[[0, -1]].tolist() == [sigma.min(), sigma.max()]
    assert profile.sigma.size == bins + 2
    gap = profile.mmse / gaussian_mmse(profile.sigma, 0.5) - 1.0
    assert profile.stderr is not None
    noise = profile.stderr / profile.mmse
    assert (np.abs(gap) < 4.5 * noise + 0.02 * np.log(50.0 / 0.01) / bins).all()
    assert noise.max() < 0.1


def test_bins_with_few_samples_join_a_neighbour() -> None:
    dense = np.geomspace(0.1, 1.0, 300)
    sigma = np.concatenate([dense, [5.0, 20.0, 21.0]])  # three rows far out
    log = LossLog(sigma, gaussian_mmse(sigma, 0.5), bins=30)
    assert log.fewest_samples >= 8
    assert log.profile().sigma[-1] == 21.0
    heavy = LossLog(sigma, gaussian_mmse(sigma, 0.5), np.append(np.ones(300), [9, 9, 9]), bins=30)
    assert heavy.groups > log.groups
    with pytest.raises(ValueError, match="losses must fill at least 4 bins of 8 samples, got"):
        LossLog(np.linspace(1.0, 2.0, 20), np.ones(20), bins=10)


def test_wide_bins_have_no_bias() -> None:
    rng = np.random.default_rng(0)
    sigma = np.concatenate([np.exp(rng.normal(-1.2, 0.6, 20_000)), [30.0, 60.0, 80.0]])
    profile = LossLog(sigma, gaussian_mmse(sigma, 0.5)).profile()
    np.testing.assert_allclose(profile.mmse, gaussian_mmse(profile.sigma, 0.5), rtol=0.08)


def test_pooling_weighs_by_samples() -> None:
    samples = np.array([1.0, 3.0, 1.0, 1.0, 1.0])
    log = LossLog([1.0, 2.0, 3.0, 4.0, 5.0], [4.0, 2.0, 5.0, 6.0, 7.0], samples)
    np.testing.assert_allclose(log.profile(monotone=True).mmse, [2.5, 2.5, 5.0, 6.0, 7.0])


def test_drawing_again_weighs_by_samples_and_has_the_right_spread() -> None:
    sigma = np.repeat(LEVELS, 3)
    risk = gaussian_mmse(sigma, 0.5) * np.tile([1.0, 1.0, 4.0], 20)
    samples = np.tile([1.0, 1.0, 1000.0], 20)
    rng = np.random.default_rng(0)
    heavy = LossLog(sigma, risk, samples)
    drawn = np.array([heavy.resampled(rng).mmse for _ in range(300)]) / gaussian_mmse(LEVELS, 0.5)
    # 19 of 27 draws hold the heavy row, and are then near 4.
    assert np.mean(drawn > 3.5) == pytest.approx(19 / 27, abs=0.03)
    even = np.repeat(LEVELS, 4)
    rough = noisy(rng, even, 20.0)
    log = LossLog(even, rough)
    stderr = log.profile().stderr
    assert stderr is not None
    drawn = np.array([log.resampled(rng).mmse for _ in range(1500)])
    np.testing.assert_allclose(drawn.std(axis=0), stderr, rtol=0.1)


def test_band_is_the_middle_share_of_the_replicates() -> None:
    risk = gaussian_mmse(LEVELS, 0.5)
    profile = Profile(1, LEVELS, risk, 0.1 * risk)

    def make(p: Profile) -> np.ndarray:
        return objective_sigmas(4, 50.0, 0.01, profile=p, objective=GOAL)

    low, high = bootstrap_band(lambda r: scattered(profile, r), make, 40, seed=1, level=0.8)
    rng = np.random.default_rng(1)
    drawn = np.array([make(scattered(profile, rng)) for _ in range(40)])
    np.testing.assert_allclose(low, np.quantile(drawn, 0.1, axis=0), rtol=1e-12)
    np.testing.assert_allclose(high, np.quantile(drawn, 0.9, axis=0), rtol=1e-12)


def test_isotonic_risks_are_an_option_and_counted() -> None:
    risk = gaussian_mmse(LEVELS, 0.5)
    risk[[5, 11]] *= 3.0
    log = LossLog(LEVELS, risk)
    assert log.rising() == 2
    assert (np.diff(log.profile().mmse) < 0).sum() == 2
    assert (np.diff(log.profile(monotone=True).mmse) >= 0).all()


def test_a_noisy_log_gives_nearly_the_exact_schedule_inside_its_band() -> None:
    rng = np.random.default_rng(3)
    fine = np.geomspace(0.01, 50.0, 400)
    exact = objective_sigmas(
        6, 50.0, 0.01, profile=Profile(1, fine, gaussian_mmse(fine, 0.5)), objective=GOAL
    )
    inside = trials = 0
    for _ in range(12):
        sigma = np.repeat(np.geomspace(0.01, 50.0, 40), 300)
        log = LossLog(sigma, noisy(rng, sigma))

        def make(profile: Profile) -> np.ndarray:
            return objective_sigmas(6, 50.0, 0.01, profile=profile, objective=GOAL)

        found = make(log.profile(monotone=True))
        true = [GOAL(s**-2.0, gaussian_mmse(s, 0.5)) for s in (found, exact)]
        assert true[1] <= true[0] < 1.04 * true[1]
        low, high = bootstrap_band(
            lambda r, log=log: log.resampled(r, monotone=True), make, 60, seed=4
        )
        assert (low <= high).all()
        assert low[0] == high[0] == pytest.approx(50.0)
        inside += int(np.sum((low <= exact) & (exact <= high))) - 2
        trials += 5
    assert inside >= 0.6 * trials  # 90 % but for the bias of picking dips; 40 levels are coarse


def test_bands_of_a_profile_with_standard_errors() -> None:
    risk = gaussian_mmse(LEVELS, 0.5)
    profile = Profile(1, LEVELS, risk, 0.1 * risk)
    rng = np.random.default_rng(0)
    drawn = np.array([scattered(profile, rng).mmse for _ in range(4000)]) / risk
    np.testing.assert_allclose(drawn.mean(axis=0), 1.0, atol=0.01)
    np.testing.assert_allclose(drawn.std(axis=0), 0.1, rtol=0.1)
    low, high = bootstrap_band(
        lambda r: scattered(profile, r),
        lambda p: objective_sigmas(5, 50.0, 0.01, profile=p, objective=GOAL),
        50,
        seed=0,
    )
    again, _ = bootstrap_band(
        lambda r: scattered(profile, r),
        lambda p: objective_sigmas(5, 50.0, 0.01, profile=p, objective=GOAL),
        50,
        seed=0,
    )
    np.testing.assert_array_equal(low, again)
    assert (low[1:-1] < high[1:-1]).all()
    with pytest.raises(ValueError, match="profile must have standard errors for a band"):
        scattered(Profile(1, LEVELS, risk), rng)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3], [1, 1, 1]), "sigma must be a list of at least 4"),
        (([1, 2, 3, 0], [1, 1, 1, 1]), "sigma must be positive, got 0 at index 3"),
        (([1, 1, 2, 2, 3, 3], np.ones(6)), "losses must hold at least 4 distinct levels, got 3"),
        (([1, 2, 3, 4], [1, 1, 1]), r"risk must have shape \(4,\), got \(3,\)"),
        (([1, 2, 3, 4], [1, 1, -1, 1]), "risk must be at least 0, got -1 at index 2"),
        (([1, 2, 3, 4], [1, 1, 1, 1], [1, 1, 0, 1]), "samples must be at least 1, got 0"),
        (([1, 2, 3, 4], [1, 1, 1, 1], None, 1, 3), "bins must be a whole number at least 4"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossLog(*arguments)
