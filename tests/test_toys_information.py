"""Exact information curves against 40-digit quadrature, closed forms and identities."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from numpy.polynomial.legendre import leggauss

from entropic.testing import levels, mixtures
from toys import kernels, zoo
from toys.information import information, quadrature
from toys.information.channel import Channel, components
from toys.information.moments import _resolved
from toys.information.quadrature import integrals, log_integrals
from toys.mixture import Mixture

CASES = {
    "two points": ([1, 1], [-1, 1], [0, 0]),
    "uneven points": ([1e-6, 0.3, 1], [-1.0, 0.2, 0.21], [0, 0, 0]),
    "narrow": ([1, 2, 1], [-1.2, 0.1, 0.7], [1e-3, 1e-3, 1e-3]),
    "point on a broad one": ([1, 3], [0.2, 0.0], [0, 1]),
    "widths 1e-3 to 1": ([1, 2, 1], [-1, 0, 0.5], [1e-3, 0.05, 1]),
    "one Gaussian": ([1], [0.3], [0.5]),
}
SIGMAS = [1e-6, 1e-4, 3e-3, 0.03, 0.2, 1.0, 1e3, 1e6]


def arrays(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights, means, stds = (np.array(v, dtype=float) for v in CASES[name])
    return weights / weights.sum(), means, stds


def twelve_digits(name: str, sigmas: list[float]) -> None:
    weights, means, stds = arrays(name)
    found = information.curves(Mixture(weights, means, stds), sigmas)
    for i, sigma in enumerate(sigmas):
        if stds.any() or np.diff(means).min() / sigma < 74.0:  # else below exp(-74**2 / 8)
            want = float(oracles.mmse_mp(sigma, weights, means, stds))
            assert found.mmse[i] == pytest.approx(want, rel=1e-12, abs=1e-290), sigma
        else:
            assert found.mmse[i] < 1e-290
        want = float(oracles.mutual_information_mp(sigma, weights, means, stds))
        assert found.mutual_information[i] == pytest.approx(want, rel=1e-12), sigma


@pytest.mark.parametrize("name", CASES)
def test_mmse_and_information_have_twelve_digits(name: str) -> None:
    """Whatever exceeds 1e-290, from sigma 1e-6 to 1e6, points and narrow components included."""
    twelve_digits(name, SIGMAS if len(CASES[name][0]) < 3 else [0.03, 1e6])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uneven points", "narrow", "widths 1e-3 to 1"])
def test_twelve_digits_of_three_components_at_every_level(name: str) -> None:
    twelve_digits(name, SIGMAS)


@pytest.mark.parametrize("name", ["two points", "uneven points"])
def test_discrete_entropy_keeps_its_digits_where_it_is_tiny(name: str) -> None:
    weights, means, stds = arrays(name)
    toy = Mixture(weights, means, stds)
    for sigma in (0.03, 0.05, 0.3, 3.0, 1e5):
        want = float(oracles.discrete_conditional_entropy_mp(sigma, weights, means, stds))
        got = information.conditional_entropy(toy, sigma)
        if want > 1e-290:
            assert got == pytest.approx(want, rel=1e-12), sigma


@pytest.mark.parametrize("name", ["narrow", "widths 1e-3 to 1", "one Gaussian"])
def test_differential_entropy_is_good_to_1e_12(name: str) -> None:
    weights, means, stds = arrays(name)
    want = float(oracles.differential_entropy_mp(0.0, weights, means, stds))
    got = information.differential_entropy(Mixture(weights, means, stds))
    assert got == pytest.approx(want, rel=0, abs=1e-12)


def random_means(k_max: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(k_max)


def plain_mmse(sigma: float, means: np.ndarray, std: float, per_width: int) -> float:
    """Trapezoid rule of the posterior variance times the density, for equal weights and stds.

    The variance is that of the posterior means from a centre at the state; nothing cancels that is
    smaller than the noise.
    """
    v = std**2 + sigma**2
    x = np.arange(means.min() - 9 * v**0.5, means.max() + 9 * v**0.5, v**0.5 / per_width)
    total = 0.0
    for one in x.tolist():
        gap = means - one
        p = np.exp(-0.5 * gap**2 / v)
        if p.max() < 1e-200:
            continue
        mean = (p @ gap) / p.sum()
        total += (sigma**2 / v) ** 2 * (p @ (gap - mean) ** 2) + p.sum() * std**2 * sigma**2 / v
    return float(total / np.sqrt(2 * np.pi * v) / means.size * (x[1] - x[0]))


@pytest.mark.parametrize("sigma", [0.004, 0.03, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("std", [0.0, 0.01])
def test_mmse_of_200_components_is_the_plain_trapezoid_rule(sigma: float, std: float) -> None:
    """Case 22 of the mixtures with many components: 0.00944977 and 0.48122976 at 0.1 and 1."""
    means = random_means(200)
    got = information.mmse(Mixture(np.ones(200), means, std), sigma)
    assert got == pytest.approx(plain_mmse(sigma, means, std, 20), rel=2e-13)


def test_mmse_of_1e5_components_is_the_plain_trapezoid_rule() -> None:
    means = random_means(100_000)
    toy = Mixture(np.ones(means.size), means, 0.01)
    assert information.mmse(toy, 1.0) == pytest.approx(plain_mmse(1.0, means, 0.01, 4), rel=1e-13)


@pytest.mark.parametrize(("sigma", "std"), [(1.0, 0.0), (0.05, 0.01), (0.002, 0.01)])
def test_work_is_linear_in_the_components(sigma: float, std: float) -> None:
    """Ten times the components of a law take ten times the visits, by the kernel's count."""
    visits = []
    for k_max in (1000, 10_000):
        parts = components(information.merged(Mixture(np.ones(k_max), random_means(k_max), std)))
        arrays = (parts.w, parts.log_w, parts.mean, parts.std0, parts.outside)
        visits.append(kernels.trapezoid_moments(sigma, *arrays, parts.label_entropy, np.empty(3)))
    assert 0 < visits[1] < 12 * visits[0]


def test_panels_of_points_are_linear_in_the_components() -> None:
    counts = []
    for k_max in (100, 1000):
        channel = Channel(Mixture(np.ones(k_max), np.arange(float(k_max)), 0.0), 0.02)
        counts.append(channel.panels()[0].size)
    assert counts[1] < 11 * counts[0]
    # Components closer than their width share their panels.
    dense = Channel(Mixture(np.ones(1000), np.linspace(0.0, 1.0, 1000), 1.0), 0.5)
    assert dense.panels()[0].size < 40 * 50


@given(toy=mixtures(dim=1), sigma=levels(0.003, 1000.0))
@settings(max_examples=60)
def test_trapezoid_rules_and_panels_agree(toy: Mixture, sigma: float) -> None:
    """Two independent quadratures, wherever the first is accepted."""
    parts = components(information.merged(toy))
    if parts.w.size == 1:
        return
    points, out = toy.is_points, np.empty(3)
    arrays = (parts.w, parts.log_w, parts.mean, parts.std0, parts.outside)
    if kernels.trapezoid_moments(sigma, *arrays, parts.label_entropy, out) > 0:
        want = np.exp(_resolved(Channel(parts, sigma), points))
        which = [0, 1, 2] if points else [0, 2]
        np.testing.assert_allclose(out[which], want[which], rtol=5e-13)


def test_a_weight_close_to_1_keeps_the_entropy_of_the_rest() -> None:
    """-sum w log w of weights 1 - e and e is e (1 - log e), though 1 - e rounds to 1."""
    parts = components(Mixture([1.0, 1e-20], [0.0, 1.0], 0.0))
    assert parts.label_entropy == pytest.approx(1e-20 * (1 + 20 * np.log(10.0)), rel=1e-14)


@pytest.mark.parametrize("std", [0.0, 0.02])
def test_trapezoid_rules_are_not_accepted_too_early(std: float) -> None:
    """Levels close to each other, so that some are just accepted at every step."""
    parts = components(Mixture([1.0, 2.0, 1.5], [0.0, 1.0, 2.3], std))
    arrays = (parts.w, parts.log_w, parts.mean, parts.std0, parts.outside)
    out = np.empty(3)
    for sigma in np.geomspace(0.1, 1.0, 150).tolist():
        if kernels.trapezoid_moments(sigma, *arrays, parts.label_entropy, out) > 0:
            want = np.exp(_resolved(Channel(parts, sigma), points=std == 0.0))
            np.testing.assert_allclose(out[[0, 2]], want[[0, 2]], rtol=2e-13)


@pytest.mark.parametrize("light", [1e-20, 1e-60])
@pytest.mark.parametrize("std", [0.0, 0.05])
def test_trapezoid_rules_and_panels_agree_on_light_components(light: float, std: float) -> None:
    """The divergence of a component that is never likely comes from its density, not its weight."""
    parts = components(Mixture([light, 1.0, 3.0 * light], [-0.4, 0.0, 0.3], std))
    arrays = (parts.w, parts.log_w, parts.mean, parts.std0, parts.outside)
    out, accepted = np.empty(3), 0
    for sigma in (0.1, 0.5, 2.0):
        if kernels.trapezoid_moments(sigma, *arrays, parts.label_entropy, out) > 0:
            want = np.exp(_resolved(Channel(parts, sigma), points=std == 0.0))
            np.testing.assert_allclose(out[[0, 2]], want[[0, 2]], rtol=5e-13)
            accepted += 1
    assert accepted >= 2


def test_panels_evaluated_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel(Mixture([1, 2], [0, 1], [1e-3, 1.0]), 0.01)
    whole = _resolved(channel, points=False)
    monkeypatch.setattr(quadrature, "CHUNK", 7)
    np.testing.assert_allclose(_resolved(channel, points=False), whole, rtol=1e-14)


def test_log_mmse_goes_on_where_mmse_underflows() -> None:
    """Two points at +-1, down to mmse = exp(-31255), against the integral written out."""
    sigma = np.array([0.02, 0.01, 0.004])
    got = information.log_mmse(zoo.toy("two_points"), sigma)
    for s, value in zip(sigma.tolist(), got.tolist(), strict=True):
        # mmse = exp(-1/(2 s^2)) / (s sqrt(2 pi)) * int exp(-u^2/(2 s^2)) sech(u/s^2) du, exactly.
        u = np.linspace(-60 * s**2, 60 * s**2, 20_001)
        inner = np.exp(-(u**2) / (2 * s**2)) / np.cosh(u / s**2)
        want = -0.5 / s**2 - np.log(s * np.sqrt(2 * np.pi)) + np.log(np.trapezoid(inner, u))
        assert value == pytest.approx(want, rel=1e-13)


def test_two_points_peak_where_they_should() -> None:
    """Paper D: dH/dsigma peaks at 0.6438 a with height 0.6678 / a, dH/dlog sigma at 0.8142 a."""
    sigma = np.linspace(0.6, 0.9, 3001)
    rate = information.entropy_rate(zoo.toy("two_points"), sigma)
    assert sigma[np.argmax(rate)] == pytest.approx(0.6438, abs=2e-4)
    assert rate.max() == pytest.approx(0.6678, abs=5e-5)
    assert sigma[np.argmax(rate * sigma)] == pytest.approx(0.8142, abs=2e-4)


@given(toy=mixtures(dim=1))
@settings(max_examples=8)
def test_information_is_the_integral_of_the_mmse(toy: Mixture) -> None:
    """I-MMSE (Guo, Shamai, Verdu 2005): I(s1) - I(s2) = int mmse / s^2 dlog s from s1 to s2."""
    low, high = 0.05, 20.0
    nodes, weights = leggauss(24)
    cuts = np.linspace(np.log(low), np.log(high), 13)
    half = 0.5 * np.diff(cuts)
    log_s = (0.5 * (cuts[1:] + cuts[:-1]))[:, None] + half[:, None] * nodes
    mmse = information.mmse(toy, np.exp(log_s.ravel())).reshape(log_s.shape)
    integral = float(np.sum(half[:, None] * weights * mmse * np.exp(-2 * log_s)))
    ends = information.mutual_information(toy, [low, high])
    # Points narrow to sigma^2 / gap: the integrand has the sharpest turn there.
    assert ends[0] - ends[1] == pytest.approx(integral, rel=2e-8)


@given(
    toy=mixtures(dim=1, kind="points") | mixtures(dim=1, kind="densities"),
    sigma=levels(0.001, 1000.0),
)
@settings(max_examples=25)
def test_entropies_add_up(toy: Mixture, sigma: float) -> None:
    """H(x0) - H(x0 | x) = I(x0; x), the three computed by three different integrals for points."""
    found = information.curves(toy, sigma)
    assert found.conditional_entropy is not None
    gained = information.entropy(toy) - found.conditional_entropy[0]
    assert gained == pytest.approx(found.mutual_information[0], rel=1e-11, abs=2e-12)


@given(toy=mixtures(dim=1), sigma=levels(0.01, 100.0), scale=levels(0.001, 1000.0))
@settings(max_examples=25)
def test_curves_scale_with_the_data(toy: Mixture, sigma: float, scale: float) -> None:
    one = information.curves(toy, sigma)
    two = information.curves(toy.scaled(0.7, scale), sigma * scale)
    np.testing.assert_allclose(
        two.log_mmse, one.log_mmse + 2 * np.log(scale), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(two.mutual_information, one.mutual_information, rtol=1e-11)


def test_repeated_points_count_once() -> None:
    once, twice = Mixture([2, 1], [0, 1], 0), Mixture([1, 1, 1], [0, 0, 1], 0)
    for sigma in (0.1, 1.0, 10.0):
        a, b = information.curves(once, sigma), information.curves(twice, sigma)
        np.testing.assert_allclose(a.conditional_entropy, b.conditional_entropy, rtol=1e-13)
        np.testing.assert_allclose(a.mmse, b.mmse, rtol=1e-13)


def product() -> Mixture:
    """A product of two 1-D mixtures, its components shuffled."""
    order = [3, 0, 5, 1, 4, 2]
    places = [
        (x, y, s, t) for x, s in ((-1, 0.1), (1, 0.2)) for y, t in ((0, 0.3), (2, 0.1), (5, 0.2))
    ]
    weights = np.outer([0.3, 0.7], [0.2, 0.5, 0.3]).ravel()
    rows = np.array(places)[order]
    return Mixture(weights[order], rows[:, :2], rows[:, 2:])


def test_a_product_is_recognised_and_summed() -> None:
    toy = product()
    factors = information.factorise(toy)
    assert factors is not None
    assert [f.size for f in factors] == [2, 3]
    found = information.curves(toy, [0.05, 0.5, 5.0])
    apart = [information.curves(f, [0.05, 0.5, 5.0]) for f in factors]
    np.testing.assert_allclose(found.mmse, sum(a.mmse for a in apart), rtol=1e-13)
    np.testing.assert_allclose(
        found.mutual_information, sum(a.mutual_information for a in apart), rtol=1e-13
    )
    assert information.factorise(Mixture([1, 1, 2], [[0, 0], [0, 1], [1, 0]], 0.1)) is None


def test_monte_carlo_in_two_dimensions_agrees_with_the_exact_product() -> None:
    """Six z-scores below 4.2: one false alarm in several thousand seeds."""
    toy = product()
    exact = information.curves(toy, [0.1, 0.5, 3.0])
    found = information._estimated(toy, np.array([0.1, 0.5, 3.0]), 2**16, seed=1)
    z = (found.mmse - exact.mmse) / found.mmse_stderr
    assert np.all(np.abs(z) < 4.2)
    z = (found.mutual_information - exact.mutual_information) / found.information_stderr
    assert np.all(np.abs(z) < 4.2)


def test_circle_is_estimated_with_standard_errors() -> None:
    found = information.curves(zoo.toy("circle8"), [0.5, 2.0], samples=2**12)
    assert np.all(found.mmse_stderr > 0)
    assert found.mmse[1] > found.mmse[0]


@pytest.mark.parametrize("std", [1e-6, 0.3, 1.0])
def test_rescaled_entropy_of_a_gaussian_is_an_arctangent(std: float) -> None:
    """docs/papers/a.md, Common ground: R(sigma) = c arctan(sigma / c)."""
    toy = Mixture([1], [0], std)
    for sigma in (1e-6, 0.5, 100.0):
        got = information.rescaled_entropy(toy, sigma)[0]
        assert got == pytest.approx(std * np.arctan(sigma / std), rel=1e-7)


@pytest.mark.parametrize("name", ["two_points", "gaussians15_narrow"])
def test_rescaled_entropy_does_not_depend_on_what_else_is_asked(name: str) -> None:
    levels = np.array([0.004, 0.3, 1.0])
    together = information.rescaled_entropy(zoo.toy(name), levels, points=200)
    apart = [information.rescaled_entropy(zoo.toy(name), s, 200)[0] for s in levels.tolist()]
    np.testing.assert_allclose(together, apart, rtol=1e-6)
    assert together[0] < together[1] < together[2]


def test_rescaled_entropy_of_points_is_the_plain_integral() -> None:
    nodes, weights = leggauss(200)
    u = 0.5 * (np.log(3.0) - np.log(0.02)) * (nodes + 1) + np.log(0.02)
    mmse = information.mmse(zoo.toy("two_points"), np.exp(u))
    want = float(np.sum(weights * mmse * np.exp(-u)) * 0.5 * (np.log(3.0) - np.log(0.02)))
    got = information.rescaled_entropy(zoo.toy("two_points"), 3.0)[0]
    assert got == pytest.approx(want, rel=1e-7)
    assert information.rescaled_entropy(Mixture([1], [0], 0), 3.0)[0] == 0.0


def test_mixed_kinds_have_no_entropy() -> None:
    toy = Mixture([1, 1], [0, 1], [0, 0.5])
    assert information.curves(toy, 1.0).conditional_entropy is None
    with pytest.raises(ValueError, match="stds must be all 0 or all positive, got both"):
        information.conditional_entropy(toy, 1.0)


@pytest.mark.parametrize("sigma", [0.0, -1.0, 1e-13, 1e13, float("nan")])
def test_sigma_outside_its_range_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"sigma must lie in \[1e-12, 1e\+12\], got"):
        information.mmse(zoo.toy("gaussian"), sigma)


def test_quadratures_are_exact_on_known_integrals() -> None:
    zero = np.zeros(1, dtype=int)
    logs, error = log_integrals(
        lambda _, x: np.stack([-0.5 * x**2, -1e4 - 0.5 * ((x - 3) / 1e-3) ** 2]),
        zero,
        np.array([-40.0]),
        np.array([40.0]),
        1e-12,
    )
    np.testing.assert_allclose(
        logs, [0.5 * np.log(2 * np.pi), -1e4 + np.log(1e-3) + 0.5 * np.log(2 * np.pi)], rtol=1e-13
    )
    assert np.all(error < 1e-12)
    got, _ = integrals(
        lambda x: np.stack([np.log(np.abs(x)), np.cos(x)]), np.array([0.0, 2.0]), 1e-12, 0
    )
    np.testing.assert_allclose(got, [2 * np.log(2) - 2, np.sin(2.0)], rtol=1e-11)


def test_renyi_entropy_by_hand_and_between_its_neighbours() -> None:
    """log(sum p^a) / (1 - a); Shannon's at 1, falling in a, log K at 0."""
    toy = Mixture([0.7, 0.2, 0.1], [0, 1, 2], 0)
    half = 2.0 * np.log(np.sqrt([0.7, 0.2, 0.1]).sum())
    assert information.renyi_entropy(toy, 0.5) == pytest.approx(half, rel=1e-14)
    assert information.renyi_entropy(toy, 2.0) == pytest.approx(-np.log(0.54), rel=1e-14)
    assert information.renyi_entropy(toy, 0.0) == pytest.approx(np.log(3.0), rel=1e-14)
    values = [information.renyi_entropy(toy, order) for order in (0.0, 0.5, 1.0, 2.0, 50.0)]
    assert (np.diff(values) < 0).all()
    assert values[2] == information.entropy(toy)
