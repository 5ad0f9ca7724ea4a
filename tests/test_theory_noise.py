"""Coordinates of the noise level: against mpmath at 60 digits, against each other, and in words."""

from collections.abc import Iterator

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.noise.ddpm import DDPM, Cosine
from theory.noise.processes import EDM, PROCESSES, SNR, VP, Coordinate, Flow, LogSNR, named_process


@pytest.fixture(autouse=True, scope="module")
def sixty_digits() -> Iterator[None]:
    with mp.workdps(60):
        yield


def cosine_sigma(t: mp.mpf, offset: float) -> mp.mpf:
    s, quarter = mp.mpf(offset), mp.pi / 2
    alpha_bar = (mp.cos((t + s) / (1 + s) * quarter) / mp.cos(s / (1 + s) * quarter)) ** 2
    return mp.sqrt((1 - alpha_bar) / alpha_bar)


# Each coordinate with sigma(time) as the papers print it, in mpmath.
ORACLES = [
    (VP(), lambda t: mp.sqrt(mp.expm1(mp.mpf(0.1) * t + mp.mpf(19.9) * t**2 / 2))),
    (VP(0.5, 0.5), lambda t: mp.sqrt(mp.expm1(mp.mpf(0.5) * t))),
    (EDM(), lambda t: t),
    (SNR(), lambda t: 1 / mp.sqrt(t)),
    (LogSNR(), lambda t: mp.exp(-t / 2)),
    (Flow(), lambda t: t / (1 - t)),
    (Cosine(), lambda t: cosine_sigma(t, 0.008)),
    (Cosine(0.0), lambda t: mp.tan(t * mp.pi / 2)),
]
IDS = [repr(coordinate) for coordinate, _ in ORACLES]
SIGMAS = np.geomspace(1e-8, 1e8, 33)


@pytest.mark.parametrize(("coordinate", "oracle"), ORACLES, ids=IDS)
def test_sigma_and_its_slope_agree_with_mpmath(coordinate: Coordinate, oracle: object) -> None:
    times = coordinate.time(np.geomspace(1e-8, 1e4, 25))
    exact = [float(oracle(mp.mpf(t))) for t in times]
    slope = [float(mp.diff(oracle, mp.mpf(t), h=mp.mpf(10) ** -20 * abs(t) or None)) for t in times]
    # Rounding: 1 - t is exact near t = 1, and exp of the VP exponent loses a few ulp per unit.
    np.testing.assert_allclose(coordinate.sigma(times), exact, rtol=2e-14)
    np.testing.assert_allclose(coordinate.dsigma_dtime(times), slope, rtol=3e-14)


@pytest.mark.parametrize(("coordinate", "oracle"), ORACLES, ids=IDS)
def test_time_inverts_sigma_to_mpmath(coordinate: Coordinate, oracle: object) -> None:
    """The float64 time may be half an ulp off, no more than a few; sigma feels its slope."""
    for sigma in SIGMAS:
        time = float(coordinate.time(sigma))
        exact = mp.mpf(sigma)
        residual = float((oracle(mp.mpf(time)) - exact) / exact)
        gain = abs(float(coordinate.dsigma_dtime(time)) * time / sigma)
        assert abs(residual) < 1e-15 * (4.0 + 4.0 * gain)


@pytest.mark.parametrize("coordinate", [VP(), EDM(), SNR(), LogSNR(), Cosine(), Flow()], ids=repr)
@given(log_sigma=st.floats(np.log(1e-8), np.log(1e8)))
def test_sigma_comes_back_from_time(coordinate: Coordinate, log_sigma: float) -> None:
    sigma = np.exp(log_sigma)
    # Near time 1 a flow or cosine time holds sigma only to sigma ulps.
    tol = 1e-14 * max(1.0, sigma if isinstance(coordinate, Flow | Cosine) else 1.0)
    assert abs(coordinate.sigma(coordinate.time(sigma)) / sigma - 1) < tol


def test_vp_ends_are_the_published_ones() -> None:
    """docs/papers/a.md, Common ground: sigma(1) = 152.2, sigma(1e-3) = 0.01049."""
    low, high = VP().sigma([1e-3, 1.0])
    assert (round(float(low), 6), round(float(high), 3)) == (0.010486, 152.167)
    process = named_process("vp")
    assert (process.sigma_min, process.sigma_max) == (low, high)
    assert process.start_std() == pytest.approx(np.sqrt(1 + high**2), rel=1e-15)
    assert process.start_std(3.0) == pytest.approx(np.sqrt(10.0), rel=1e-15)


def test_edm_process_starts_with_sigma_max() -> None:
    process = PROCESSES["edm"]
    assert (process.sigma_min, process.sigma_max) == (0.002, 80.0)
    assert (process.start_std(), process.start_std(7.0)) == (80.0, 7.0)


def test_ddpm_is_the_cumulative_product_at_whole_indices() -> None:
    """Ho et al. 2020: beta linear from 1e-4 to 0.02; sigma from 0.01 to 157.4."""
    product, exact = mp.mpf(1), []
    first, last = mp.mpf(1e-4), mp.mpf(0.02)
    for i in range(1000):
        product *= 1 - (first + (last - first) * i / 999)
        exact.append(float(mp.sqrt((1 - product) / product)))
    sigma = DDPM().sigma(np.arange(1000))
    np.testing.assert_allclose(sigma, exact, rtol=1e-13)  # 1000 rounded logs added
    assert round(float(sigma[0]), 5) == 0.01
    assert round(float(sigma[-1]), 1) == 157.4
    np.testing.assert_array_equal(DDPM().time(sigma), np.arange(1000))
    for n in range(2, 80):  # the last index is the top of the table, to the bit
        assert DDPM(n).time(DDPM(n).sigma(n - 1)) == n - 1


def test_ddpm_is_log_linear_between_indices() -> None:
    ddpm = DDPM(10, 1e-3, 0.3)
    left, right = ddpm.sigma([4, 5])
    assert ddpm.sigma(4.25) == pytest.approx(left**0.75 * right**0.25, rel=1e-14)
    assert ddpm.time(left**0.75 * right**0.25) == pytest.approx(4.25, rel=1e-13)
    for index in (0.3, 4.25, 8.9):  # a centred difference inside a segment, error h^2
        slope = (ddpm.sigma(index + 1e-4) - ddpm.sigma(index - 1e-4)) / 2e-4
        assert ddpm.dsigma_dtime(index) == pytest.approx(slope, rel=1e-7)
    last, before = ddpm.sigma(9), ddpm.sigma(8)  # at the last index: the slope from the left
    assert ddpm.dsigma_dtime(9) == pytest.approx(last * np.log(last / before), rel=1e-13)


@pytest.mark.parametrize("coordinate", [VP(), DDPM(), Cosine()], ids=repr)
def test_alpha_keeps_the_variance(coordinate: VP | DDPM | Cosine) -> None:
    times = coordinate.time(np.geomspace(0.011, 100.0, 20))
    alpha, sigma = coordinate.alpha(times), coordinate.sigma(times)
    np.testing.assert_allclose(alpha**2 * (1 + sigma**2), 1.0, rtol=1e-13)


def test_alpha_of_flow_and_edm() -> None:
    assert Flow().alpha(0.25) == 0.75
    np.testing.assert_array_equal(EDM().alpha([0.0, 3.0]), [1.0, 1.0])


@pytest.mark.parametrize("coordinate", [VP(), EDM(), Flow(), Cosine(), Cosine(0.0)], ids=repr)
def test_time_zero_is_no_noise(coordinate: Coordinate) -> None:
    assert coordinate.sigma(0.0) == 0.0
    assert coordinate.time(0.0) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VP(0.0), "beta_min must be positive, got 0"),
        (lambda: VP(5.0, 1.0), "beta_max must be at least beta_min, got 1"),
        (lambda: VP().sigma(-0.5), "time must be at least 0, got -0.5"),
        (lambda: VP().sigma([0.1, np.nan]), "time must be finite, got nan at index 1"),
        (lambda: VP().time(-1.0), "sigma must be at least 0, got -1"),
        (lambda: VP().dsigma_dtime(0.0), "time must be positive, got 0"),
        (lambda: VP().sigma("soon"), "time must be numbers, got 'soon'"),
        (lambda: Flow().sigma([[0.5], [1.0]]), "time must be in [0, 1), got 1 at index (1, 0)"),
        (lambda: Cosine(-1.0), "offset must be at least 0, got -1"),
        (lambda: SNR().time(0.0), "sigma must be positive, got 0"),
        (lambda: LogSNR().time([1.0, 0.0]), "sigma must be positive, got 0 at index 1"),
        (lambda: DDPM().sigma(999.5), "time must be an index in 0..999, got 999.5"),
        (
            lambda: DDPM().time(0.001),
            "sigma must be in 0.0100005..157.407, the range of the indices, got 0.001",
        ),
        (lambda: DDPM(1), "n_steps must be a whole number in 2..1000000, got 1"),
        (lambda: DDPM(10, 0.5, 0.1), "beta_last must be in [beta_first, 1), got 0.1"),
        (
            lambda: named_process("emd"),
            "process must be one of edm, vp, got 'emd'; did you mean 'edm'?",
        ),
        (lambda: PROCESSES["vp"].start_std(0.0), "sigma_max must be positive, got 0"),
    ],
)
def test_errors_say_what_to_change(call: object, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message
