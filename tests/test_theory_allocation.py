"""InfoNoise's gate and onset pivot against closed forms."""

import numpy as np
import pytest
from scipy.optimize import brentq

from theory.allocation import gate, onset_pivot
from theory.gaussian import gaussian_entropy_rate


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
    ],
)
def test_bad_input_is_one_clear_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
