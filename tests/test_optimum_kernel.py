"""The kernel of the leading error: its integrand, its Gaussian form, and its limit."""

import numpy as np
import pytest

from benchmarks.measure.divergences import exact_kl
from benchmarks.optimum.kernel import ErrorKernel, step_error
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.registry import make_table
from toys.mixture import Mixture
from toys.zoo import toy

THREE = Mixture([0.3, 0.3, 0.4], [-1.0, -0.2, 1.1], [0.1, 0.15, 0.2])


@pytest.mark.parametrize("sigma", [0.1, 0.4, 3.0])
def test_a_call_below_the_state_adds_what_it_moves(sigma: float) -> None:
    """(p D_u)'/p by differences of the denoiser in x and log sigma."""
    noisy = Mixture(THREE.weights, THREE.means, np.hypot(THREE.stds, sigma))
    x = THREE.sample_noisy(30, sigma, 2)[:, 0]

    def moved(at: np.ndarray) -> np.ndarray:
        up, down = (THREE.denoise(at, sigma * float(np.exp(e))) for e in (1e-4, -1e-4))
        return np.asarray((up - down) / 2e-4 * np.exp(noisy.log_density(at[:, None])))

    h = 0.02 * np.hypot(0.1, sigma)
    slope = (8.0 * (moved(x + h) - moved(x - h)) - moved(x + 2 * h) + moved(x - 2 * h)) / (12 * h)
    expected = slope / np.exp(noisy.log_density(x[:, None]))
    for share in (0.5, 1.0):
        gap = step_error(THREE, sigma, x) - step_error(THREE, sigma, x, share)
        np.testing.assert_allclose(gap, 0.5 * share * expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_kl_of_shifted_calls_tends_to_the_double_sum(share: float) -> None:
    """The relative gap halves at least, and the sum for the call at the state is far off."""
    gaps = []
    for n_steps in (32, 64):
        sigmas = log_snr_sigmas(n_steps, 80.0, 0.002)
        table = make_table("stochastic_ddim", sigmas, 80.0, call=share)
        kl = exact_kl(THREE, table, rtol=1e-7).value
        assert kl is not None
        gaps.append(kl / ErrorKernel(THREE, sigmas, share).kl() - 1.0)
    assert abs(gaps[1]) < 0.05
    assert abs(gaps[1] / gaps[0]) < 0.6
    assert kl < 0.6 * ErrorKernel(THREE, sigmas).kl()


@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
def test_the_error_of_a_step_is_the_second_derivative_of_variance_times_density(
    sigma: float,
) -> None:
    """By differences of the denoiser's slope, which is Var(x0|x)/sigma^2."""
    x = THREE.sample_noisy(30, sigma, 1)[:, 0]

    def mass(at: np.ndarray) -> np.ndarray:
        step = 1e-4 * sigma
        slope = (THREE.denoise(at + step, sigma) - THREE.denoise(at - step, sigma)) / (2 * step)
        noisy = Mixture(THREE.weights, THREE.means, np.hypot(THREE.stds, sigma))
        return np.asarray(sigma**2 * slope * np.exp(noisy.log_density(at[:, None])))

    h = 0.02 * np.hypot(0.1, sigma)
    sides = [mass(x + k * h) for k in range(-2, 3)]
    second = -sides[0] + 16 * sides[1] - 30 * sides[2] + 16 * sides[3] - sides[4]
    second /= 12 * h**2
    noisy = Mixture(THREE.weights, THREE.means, np.hypot(THREE.stds, sigma))
    expected = second / np.exp(noisy.log_density(x[:, None]))
    found = step_error(THREE, sigma, x)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_the_kernel_of_a_gaussian_has_rank_one() -> None:
    """K(u, v) = 2 a(u)^2 a(v)^2 with a = R sqrt(1 - R)."""
    c, sigmas = 0.7, np.geomspace(30.0, 0.01, 9)
    rate = c**2 / (c**2 + sigmas**2)
    square = rate**2 * (1.0 - rate)
    found = ErrorKernel(Mixture([1.0], [0.4], [c]), sigmas).matrix
    np.testing.assert_allclose(found, 2.0 * np.outer(square, square), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("data", "room"), [(toy("gaussian"), 2e-3), (THREE, 0.06)])
def test_the_kl_of_many_steps_is_the_double_sum(data: Mixture, room: float) -> None:
    sigmas = log_snr_sigmas(64, 80.0, 0.002)
    kl = exact_kl(data, make_table("stochastic_ddim", sigmas, 80.0), rtol=1e-8).value
    assert kl is not None
    assert kl == pytest.approx(ErrorKernel(data, sigmas).kl(), rel=room)


def test_what_the_kernel_refuses() -> None:
    with pytest.raises(ValueError, match="mixture must have dim 1, got 2"):
        step_error(toy("circle8"), 1.0, np.zeros(3))
    with pytest.raises(ValueError, match="mixture must have dim 1, got 2"):
        ErrorKernel(toy("circle8"), np.array([2.0, 1.0]))
    with pytest.raises(ValueError, match="sigma must be positive, got 0"):
        step_error(THREE, 0.0, np.zeros(3))
    with pytest.raises(ValueError, match="mixture must have stds of at least"):
        ErrorKernel(toy("two_points"), np.array([2.0, 1.0]))
    with pytest.raises(ValueError, match="sigmas must be positive"):
        ErrorKernel(THREE, np.array([2.0, 0.0]))
    with pytest.raises(ValueError, match="sigmas must"):
        ErrorKernel(THREE, np.array([1.0, 2.0]))
