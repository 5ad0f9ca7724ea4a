"""Spectral rescaled entropic time against closed forms of Gaussian data."""

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid

from theory.gaussian import gaussian_mmse
from theory.profiles.profile import Profile
from theory.profiles.spectral import spectral_mmse, spectral_rescaled_entropy
from theory.schedules.arctan import arctan_sigmas
from theory.schedules.reweighted import spectral_sigmas

SIGMA = np.geomspace(1e-5, 80.0, 900)
C = np.array([0.1, 0.5, 2.0])
MMSE = np.stack([gaussian_mmse(SIGMA, c) for c in C])


def test_gaussian_frequencies_are_weighted_arctangents() -> None:
    amplitude = np.array([1.0, 0.0, 3.0])
    shares = [np.arctan(SIGMA / c) / np.arctan(SIGMA[-1] / c) for c in C]
    expected = (shares[0] + 3.0 * shares[2]) / 4.0
    np.testing.assert_allclose(
        spectral_rescaled_entropy(SIGMA, MMSE, amplitude), expected, rtol=1e-8, atol=1e-9
    )


def test_amplitudes_of_the_data_make_it_nearly_the_rescaled_entropy() -> None:
    """Less than half a per cent apart at sigma_max = 80; equal in the limit (docs/papers/a.md)."""
    found = spectral_rescaled_entropy(SIGMA, MMSE, C)
    rescaled = C @ np.arctan(SIGMA / C[:, None])
    gap = np.abs(found - rescaled / rescaled[-1])
    assert 1e-4 < gap.max() < 5e-3


def test_it_rises_to_one_and_scale_of_amplitudes_and_errors_drops_out() -> None:
    found = spectral_rescaled_entropy(SIGMA, MMSE, C)
    assert found[-1] == 1.0
    assert (np.diff(found) > 0).all()
    scaled = spectral_rescaled_entropy(SIGMA, MMSE * np.array([[2.0], [5.0], [1e-3]]), 7.0 * C)
    np.testing.assert_allclose(scaled, found, rtol=1e-12)


@pytest.mark.parametrize(
    ("sigma", "mmse", "amplitude", "message"),
    [
        (SIGMA[::-1], MMSE, C, "sigma must rise strictly"),
        (SIGMA, MMSE[:2], C, r"mmse must have shape \(3, 900\), got \(2, 900\)"),
        (SIGMA, -MMSE, C, "mmse must be at least 0"),
        (SIGMA, MMSE, -C, "amplitude must be at least 0"),
        (SIGMA, MMSE, 0 * C, "amplitude must be positive for some frequency, got 0 for all"),
        (SIGMA, MMSE * [[1.0], [0.0], [1.0]], C, "got 0 throughout at frequency 1"),
    ],
)
def test_bad_input_is_one_clear_line(sigma, mmse, amplitude, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spectral_rescaled_entropy(sigma, mmse, amplitude)


def test_one_curve_stands_for_all_frequencies() -> None:
    """Its trapezoid is R_spec without what lies below the grid; exact but for rounding."""
    amplitude = np.array([1.0, 0.0, 3.0])
    curve = spectral_mmse(SIGMA, MMSE, amplitude)
    shares = [cumulative_trapezoid(m / SIGMA, np.log(SIGMA), initial=0.0) for m in MMSE]
    expected = (shares[0] / shares[0][-1] + 3.0 * shares[2] / shares[2][-1]) / 4.0
    found = cumulative_trapezoid(curve / SIGMA, np.log(SIGMA), initial=0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    assert found[-1] == pytest.approx(1.0, rel=1e-12)


def test_spectral_levels_are_uniform_in_the_closed_form() -> None:
    """Trapezoid on 900 levels: 1e-4; one frequency alone is the arctan schedule."""
    amplitude = np.array([2.0, 1.0, 1.0])
    profile = Profile(1, SIGMA, MMSE[0], spectral={"rms": spectral_mmse(SIGMA, MMSE, amplitude)})
    levels = spectral_sigmas(9, 80.0, 0.01, profile=profile, amplitude="rms")
    full = [np.arctan(80.0 / c) for c in C]
    phi = sum(a * np.arctan(levels / c) / top for a, c, top in zip(amplitude, C, full, strict=True))
    np.testing.assert_allclose(np.diff(phi), np.diff(phi).mean(), rtol=2e-4)
    alone = Profile(1, SIGMA, MMSE[0], spectral={"mean": spectral_mmse(SIGMA, MMSE[1:2], [3.0])})
    for rule in ("spline", "trapezoid"):
        ours = spectral_sigmas(9, 80.0, 0.01, profile=alone, rule=rule)
        np.testing.assert_allclose(ours, arctan_sigmas(9, 80.0, 0.01, c=C[1]), rtol=2e-4)


@pytest.mark.parametrize("amplitude", ["mean", "rms"])
def test_a_profile_without_that_split_is_refused(amplitude: str) -> None:
    other = {"mean": "rms", "rms": "mean"}[amplitude]
    for spectral in ({}, {other: MMSE[0]}):
        profile = Profile(1, SIGMA, MMSE[0], spectral=spectral)
        with pytest.raises(ValueError, match="profile must have a split over frequencies"):
            spectral_sigmas(5, 1.0, 0.1, profile=profile, amplitude=amplitude)
