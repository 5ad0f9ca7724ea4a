"""Spectral rescaled entropic time against closed forms of Gaussian data."""

import numpy as np
import pytest

from theory.gaussian import gaussian_mmse
from theory.spectral import spectral_rescaled_entropy

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
    """PAPERS.md 2.3: less than half a per cent apart at sigma_max = 80."""
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
