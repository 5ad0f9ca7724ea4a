"""Conditional variances and entropies of one step: closed forms, Monte Carlo, the predictions."""

import numpy as np
import oracles
import pytest

from benchmarks.measure import conditional_entropy as er
from toys import zoo
from toys.mixture import Mixture


def by_name(name: str) -> er.Step:
    return next(step for step in er.STEPS if step.name == name)


@pytest.mark.parametrize("sigma", [0.01, 0.7, 30.0])
def test_gaussian_predictions_have_the_closed_form(sigma: float) -> None:
    """D = c^2 x / (c^2 + sigma^2) with c = 1, eps = sigma x / (1 + sigma^2), x = x0 + sigma z."""
    found = er.predictions(zoo.toy("gaussian"), sigma)
    assert found["variance_d"] == pytest.approx(sigma**2 / (1 + sigma**2) ** 2, rel=1e-12)
    assert found["variance_eps"] == pytest.approx(sigma**4 / (1 + sigma**2) ** 2, rel=1e-12)


@pytest.mark.parametrize("step", er.STEPS, ids=lambda s: s.name)
def test_gaussian_steps_have_the_closed_form(step: er.Step) -> None:
    """Every map is x -> k x, so Var(x' | x0) = k^2 a^2 and the entropy is that of a Gaussian."""
    a, b = 1.5, 0.4
    rows = er.step_rows("gaussian", np.array([a, b]))
    row = next(r for r in rows if r["step"] == step.name)
    unit = step.table(a, b)
    states, outputs = [1.0], []
    for r in range(unit.nfe):
        outputs.append(states[r] / (1.0 + unit.sigma[r] ** 2))
        states.append(
            sum(unit.keep[r, h] * states[r - h] for h in range(unit.keep.shape[1]) if h <= r)
            + sum(unit.weights[r, h] * outputs[r - h] for h in range(unit.weights.shape[1])
                  if h <= r)
        )  # fmt: skip
    k = states[-1]
    assert row["variance"] == pytest.approx((k * a) ** 2, rel=1e-12)
    assert row["increment"] == pytest.approx(((k - 1) * a) ** 2, rel=1e-12)
    want = 0.5 * np.log(2 * np.pi * np.e * (k * a) ** 2)
    assert row["entropy"] == pytest.approx(want, rel=1e-12)
    assert row["entropy_exact"] == pytest.approx(want, rel=1e-12)
    if step.name == "exact flow":
        assert k == pytest.approx(np.sqrt((1 + b**2) / (1 + a**2)), rel=2e-5)


@pytest.mark.parametrize("toy_name", ["gaussians15_overlap", "two_points"])
def test_variances_agree_with_monte_carlo(toy_name: str) -> None:
    """Pairs of noises for one x0: E Var(g | x0) = E (g - g')^2 / 2, within 4 standard errors."""
    toy = zoo.toy(toy_name)
    rng = np.random.default_rng(5)
    a, b, n = 0.5, 0.2, 200_000
    k = rng.choice(toy.size, n, p=toy.weights)
    x0 = toy.means[k] + toy.stds[k] * rng.normal(size=(n, 1))

    def heun(x: np.ndarray) -> np.ndarray:
        mixture = (toy.weights, toy.means, toy.stds)
        slope = (x - oracles.denoise(x, a, *mixture)) / a
        euler = x + (b - a) * slope
        return x + (b - a) * 0.5 * (slope + (euler - oracles.denoise(euler, b, *mixture)) / b)

    row = next(r for r in er.step_rows(toy_name, np.array([a, b])) if r["step"] == "heun")
    pair = [x0 + a * rng.normal(size=(n, 1)) for _ in range(2)]
    ends = [heun(x) for x in pair]
    for found, values in (
        (row["variance"], ends),
        (row["increment"], [e - x for e, x in zip(ends, pair, strict=True)]),
    ):
        halves = 0.5 * (values[0] - values[1]) ** 2
        assert abs(found - halves.mean()) < 4 * halves.std() / np.sqrt(n)


def test_exact_entropies_are_those_of_densities() -> None:
    """H(x' | x0) of a point at 1, DDIM from 0.6 to 0.3, by a histogram's change of variables."""
    toy = zoo.toy("two_points")
    row = next(r for r in er.step_rows("two_points", np.array([0.6, 0.3])) if r["step"] == "ddim")
    z = np.linspace(-9, 9, 400_001)
    x = 1.0 + 0.6 * z
    y = 0.5 * x + 0.5 * np.tanh(x / 0.36)
    p = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    density = p[1:-1] / ((y[2:] - y[:-2]) / (z[2] - z[0]))
    want = -np.sum(p[1:-1] * np.log(density)) * (z[1] - z[0])
    assert row["entropy_exact"] == pytest.approx(want, abs=1e-6)
    assert toy.is_points


def test_the_papers_predictions_are_its_formulas() -> None:
    """(4.3) at the lower end with V = sigma^2, SNR(s) / SNR(a) = 4: g = 1/5, log 0.68 / 2."""
    re = by_name("re_single noise")
    got = er.paper_change(re, 4.0, 1.0, lambda s: s**2)
    assert got == pytest.approx(0.5 * np.log(0.8**2 + 0.2**2 / 4), rel=1e-14)
    fd = by_name("fd_2 noise")  # r = 3 / 2
    got = er.paper_change(fd, 4.0, 1.0, lambda s: s**2)
    assert got == pytest.approx(0.5 * np.log(0.25**2 + 0.25 * 2.25 / 4), rel=1e-14)
    data = by_name("fd_2 data")  # r = (1 - 1/4) / (1/2 - 1/4) = 3
    got = er.paper_change(data, 4.0, 1.0, lambda s: s**2)
    assert got == pytest.approx(0.5 * np.log(0.5**2 + 0.25 * 9 / 4), rel=1e-14)


def test_claims_of_the_paper_fail_where_measured() -> None:
    """Propositions 3.1 and 4.1 on states: FD raises the conditional entropy, RE raises it more."""
    sigmas = np.geomspace(80.0, 0.002, 6)
    for name in ("gaussian", "gaussians15_overlap"):
        rows = er.step_rows(name, sigmas)
        fd = [r["change_state"] for r in rows if r["step"] == "fd_2 noise"]
        re = [r["change_state"] for r in rows if r["step"] == "re_single noise"]
        assert min(fd) > 0
        assert all(r > f for f, r in zip(fd, re, strict=True))


def test_at_the_geometric_middle_both_forms_of_fd_are_one_step() -> None:
    for a, b in ((80.0, 3.0), (0.3, 0.29)):
        noise, data = by_name("fd_2 noise").table(a, b), by_name("fd_2 data").table(a, b)
        np.testing.assert_allclose(noise.weights, data.weights, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("toy", "message"),
    [
        (Mixture([1, 1], [0, 1], [0, 1]), "toy must have either points only or no point at all"),
        (zoo.toy("circle8"), "toy must have d = 1, got d = 2"),
        (Mixture([1, 1], [0, 1], [1e-5, 1]), "toy must have stds of at least"),
    ],
)
def test_errors_say_what_to_change(toy: Mixture, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        er.Conditional(toy, 1.0)
    assert str(error.value).startswith(message)
