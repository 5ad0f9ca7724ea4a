"""Errors of the same samples at every level: means, standard errors, and the bootstrap."""

import numpy as np
import pytest

from theory.profiles.level_errors import LevelErrors
from theory.profiles.loss_log import bootstrap_band
from theory.schedules.time_change import rescaled_sigmas

SIGMA = np.geomspace(0.01, 10.0, 20)


def gaussian_errors(n: int, seed: int, c: float = 0.5, dim: int = 3) -> LevelErrors:
    """Errors of the exact denoiser on N(0, c^2 I): x0 drawn once, fresh noise at every level."""
    rng = np.random.default_rng(seed)
    x0 = rng.normal(0.0, c, (n, 1, dim))
    x = x0 + SIGMA[:, None] * rng.normal(size=(n, SIGMA.size, dim))
    shrink = c**2 / (c**2 + SIGMA[:, None] ** 2)
    return LevelErrors(dim, SIGMA, ((x0 - shrink * x) ** 2).sum(axis=2))


def test_profile_is_the_mean_with_its_standard_error() -> None:
    errors = gaussian_errors(4000, 0)
    profile = errors.profile()
    exact = 3 * 0.25 * SIGMA**2 / (0.25 + SIGMA**2)
    # Five standard errors at 20 levels: one false alarm in 10^5.
    assert (np.abs(profile.mmse - exact) < 5 * profile.stderr).all()
    # Errors are c_sigma^2 times chi-squared of 3: spread sqrt(2 / 3) of the mean, to 5 %.
    np.testing.assert_allclose(profile.stderr, exact * np.sqrt(2 / 3 / 4000), rtol=0.08)


def test_a_replicate_keeps_the_levels_of_a_sample_together() -> None:
    """Rows are 1, 2, 4, ... at all levels: a replicate is one multiple of the first level."""
    rows = 2.0 ** np.arange(8)
    errors = LevelErrors(1, SIGMA, rows[:, None] * SIGMA)
    rng = np.random.default_rng(3)
    drawn = [errors.resampled(rng).mmse / SIGMA for _ in range(50)]
    for curve in drawn:
        np.testing.assert_allclose(curve, curve[0], rtol=1e-14)
    assert len({round(curve[0], 9) for curve in drawn}) > 40
    # The mean of replicates is the mean of the rows, their spread its standard error.
    many = np.array([errors.resampled(rng).mmse[0] / SIGMA[0] for _ in range(4000)])
    spread = rows.std() / np.sqrt(8)
    assert abs(many.mean() - rows.mean()) < 4 * spread / np.sqrt(4000)
    assert many.std() == pytest.approx(spread, rel=0.05)


def test_band_of_a_schedule_is_of_whole_samples() -> None:
    """Errors that differ only by a factor give the same levels, whatever is drawn."""
    rows = np.linspace(0.5, 2.0, 30)[:, None] * SIGMA**2 / (0.25 + SIGMA**2)
    errors = LevelErrors(1, SIGMA, rows)
    low, high = bootstrap_band(
        errors.resampled, lambda p: rescaled_sigmas(6, 10.0, 0.01, profile=p), 40, 1
    )
    np.testing.assert_allclose(low, high, rtol=1e-12)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (np.ones((5, 3)), r"errors must have shape \(n, 20\), got \(5, 3\)"),
        (np.ones((1, 20)), r"errors must have shape \(n, 20\), got \(1, 20\)"),
        (-np.ones((5, 20)), "errors must be at least 0, got -1"),
    ],
)
def test_bad_input_is_one_clear_line(errors, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LevelErrors(1, SIGMA, errors)
