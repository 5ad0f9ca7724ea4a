"""The reference flow: closed form, 30 digits, there and back."""

import itertools

import mpmath as mp
import numpy as np
import pytest

from toys import reference, zoo
from toys.mixture import Mixture, normals


def test_gaussian_data_have_the_closed_form() -> None:
    """One component by formula; the same law as two components goes through the integrator."""
    x = 80.0 * normals(100, 2, 0, 0, 0)
    levels = np.array([80.0, 3.0, 0.002])
    one = Mixture([1], [[0.4, -1.0]], [[0.7, 0.05]])
    two = Mixture([1, 3], [[0.4, -1.0]] * 2, [[0.7, 0.05]] * 2)
    want = np.array([0.4, -1.0]) + (x - [0.4, -1.0]) * np.hypot([0.7, 0.05], 0.002) / np.hypot(
        [0.7, 0.05], 80.0
    )
    exact = reference.flow(one, x, levels)
    np.testing.assert_allclose(exact[-1], want, rtol=1e-13, atol=1e-15)
    solved = reference.flow(two, x, levels)
    np.testing.assert_array_equal(solved[0], x)
    np.testing.assert_allclose(solved, exact, rtol=1e-12, atol=2e-13)


@pytest.mark.parametrize("x0", [2.3, -0.7])
def test_a_mixture_agrees_with_thirty_digits(x0: float) -> None:
    """The ODE over log sigma in 30 digits, from 3 to 0.1."""
    toy = zoo.toy("gaussians5")
    with mp.workdps(30):

        def slope(u: mp.mpf, x: list[mp.mpf]) -> list[mp.mpf]:
            sigma = mp.e**u
            terms = [
                (w * mp.e ** (-((x[0] - m) ** 2) / (2 * (s**2 + sigma**2))), m, s)
                for w, m, s in zip(
                    map(mp.mpf, toy.weights.tolist()),
                    map(mp.mpf, toy.means[:, 0].tolist()),
                    map(mp.mpf, toy.stds[:, 0].tolist()),
                    strict=True,
                )
            ]
            pulled = mp.fsum(p * (m + s**2 / (s**2 + sigma**2) * (x[0] - m)) for p, m, s in terms)
            return [x[0] - pulled / mp.fsum(p for p, _, _ in terms)]

        # Runge-Kutta of order 4 with Richardson's extrapolation, twice: 1e-15 of itself.
        def end(n: int) -> mp.mpf:
            u, x = mp.log(3), [mp.mpf(x0)]
            h = (mp.log(mp.mpf("0.1")) - u) / n
            for _ in range(n):
                k1 = slope(u, x)[0]
                k2 = slope(u + h / 2, [x[0] + h / 2 * k1])[0]
                k3 = slope(u + h / 2, [x[0] + h / 2 * k2])[0]
                k4 = slope(u + h, [x[0] + h * k3])[0]
                x, u = [x[0] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)], u + h
            return x[0]

        e = [end(n) for n in (200, 400, 800)]
        first = [b + (b - a) / 15 for a, b in itertools.pairwise(e)]
        want = first[1] + (first[1] - first[0]) / 31
    found = reference.flow(toy, np.array([[x0]]), np.array([3.0, 0.1]))[-1, 0, 0]
    assert found == pytest.approx(float(want), abs=1e-12)


def test_there_and_back() -> None:
    toy = zoo.toy("circle8")
    x = 80.0 * normals(40, 2, 1, 0, 0)
    there = reference.flow(toy, x, np.array([80.0, 0.5]))[-1]
    back = reference.flow(toy, there, np.array([0.5, 80.0]))[-1]
    np.testing.assert_allclose(back, x, atol=80 * 1e-11)
    by_stages = reference.flow(toy, x, np.array([80.0, 7.0, 2.0, 0.5]))[-1]
    np.testing.assert_allclose(by_stages, there, rtol=0, atol=1e-11)


def test_the_flow_carries_the_law() -> None:
    """Ends of paths from the true law at sigma_max have the data's moments."""
    toy = zoo.toy("gaussians5")
    x = toy.sample_noisy(4000, 10.0, seed=3)
    ends = reference.flow(toy, x, np.array([10.0, 0.01]))[-1][:, 0]
    error = np.std(ends) / np.sqrt(ends.size)
    assert abs(ends.mean() - float(toy.mean[0])) < 4 * error


@pytest.mark.parametrize(
    ("states", "sigmas", "message"),
    [
        (np.zeros(3), [1.0, 0.5], "states must have shape (n, 2), got (3,)"),
        (np.zeros((3, 2)), [1.0, 0.0], "sigmas must be a list of positive levels"),
    ],
)
def test_errors_say_what_to_change(states: np.ndarray, sigmas: list[float], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        reference.flow(zoo.toy("circle8"), states, np.array(sigmas))
    assert str(error.value) == message
