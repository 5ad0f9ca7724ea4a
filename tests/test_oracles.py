"""The oracles against closed forms, brute force and each other."""

import mpmath as mp
import numpy as np
import oracles
import pytest
from scipy.special import logsumexp

POINTS = np.array([0.1, 0.3, 0.35, 0.25]), np.array([-1.3, -0.2, 0.4, 1.5]), np.zeros(4)
BLOBS = np.array([0.3, 0.5, 0.2]), np.array([-1.0, 0.2, 1.3]), np.array([0.1, 0.2, 0.15])
EASY_SIGMAS = np.array([5.0, 2.0, 1.0, 0.5, 0.25, 0.1])
QUICK_CASES = {
    "eight-0.01-uniform-1",
    "ten-0.06-edm-3",
    "fifteen-0.05-arctan-8",
    "fifteen-0.05-rescaled-6",
    "twenty-0.01-vp-2",
    "ten-0.05-vp-6-eta0.5-from-data",
    "two-0.01-and-1-arctan-12-eta0",
    "three-0.1-edm-1-eta0",
    "five-0.3-cosine-2-eta0",
    "eight-0.01-uniform-4-eta0",
    "fifteen-0.05-vp-8-eta0",
    "three-0.1-edm-6-eta0-from-data",
}


@pytest.mark.parametrize(("counter", "key", "answer"), oracles.PHILOX4X32_10_ANSWERS)
def test_philox_known_answers(counter, key, answer):
    assert oracles.philox4x32_10(counter, key) == answer


@pytest.mark.parametrize(("counter", "key"), [(0, 0), (2**64 - 2, 2**127 + 3), (7**80, 5**50)])
def test_philox_of_64_bits_is_numpys(counter, key):
    def words(value, n):
        return tuple(value >> (64 * i) & (2**64 - 1) for i in range(n))

    got = np.random.Philox(counter=counter, key=key).random_raw(4)  # numpy counts before it draws
    assert oracles.philox4(words(counter + 1, 4), words(key, 2), bits=64) == tuple(map(int, got))


@pytest.mark.parametrize("sigma", [1e-3, 0.05, 1.0, 80.0, 1e5])
@pytest.mark.parametrize("stds", [np.zeros(4), np.full(4, 0.2), np.array([0.0, 0.01, 0.3, 1.0])])
def test_denoise_keeps_all_digits(sigma, stds):
    weights, means, _ = POINTS
    middle = 0.5 * (means[1] + means[2])
    x = np.array([0.0, middle, middle + sigma**2, 40.0, -1e3 * sigma, 1e6])
    want = [float(oracles.denoise_mp(float(a), sigma, weights, means, stds)) for a in x]
    slope = oracles.posterior(x, sigma, (weights, means, stds))[1] / sigma**2
    error = np.abs(oracles.denoise(x, sigma, weights, means, stds) - want)
    assert np.all(error < 3e-15 * (1 + np.abs(want)) + 3e-16 * slope)  # slope times rounding of x


def test_denoise_in_two_dimensions():
    weights = np.array([0.4, 0.6])
    means = np.array([[-1.0, 0.0], [1.0, 2.0]])
    stds = np.array([[0.1, 0.5], [0.3, 0.2]])
    x, sigma = np.array([[0.2, 0.7], [3.0, -1.0]]), 0.6
    want = []
    for point in x:
        v = stds**2 + sigma**2
        density = weights * np.exp(-0.5 * ((point - means) ** 2 / v).sum(1)) / np.sqrt(v.prod(1))
        mean = (stds**2 * point + sigma**2 * means) / v
        want.append(density @ mean / density.sum())
    np.testing.assert_allclose(oracles.denoise(x, sigma, weights, means, stds), want, rtol=1e-13)
    same = oracles.denoise(x, sigma, weights, means, np.array([0.1, 0.3]))
    np.testing.assert_array_equal(
        same, oracles.denoise(x, sigma, weights, means, np.array([[0.1, 0.1], [0.3, 0.3]]))
    )


def test_denoise_without_noise_or_with_a_weight_of_zero():
    x = np.array([0.3, 4.0])
    np.testing.assert_array_equal(oracles.denoise(x, 0.0, *BLOBS), x)
    weights = np.array([0.4, 0.6, 0.0])
    np.testing.assert_array_equal(
        oracles.denoise(x, 0.7, weights, *BLOBS[1:]),
        oracles.denoise(x, 0.7, weights[:2], BLOBS[1][:2], BLOBS[2][:2]),
    )


def test_posterior_agrees_with_denoise_and_its_slope():
    x, sigma, h = np.linspace(-2, 2, 9), 0.3, 1e-5
    mean, variance, between = oracles.posterior(x, sigma, BLOBS)
    np.testing.assert_allclose(mean, oracles.denoise(x, sigma, *BLOBS), rtol=1e-13, atol=1e-15)
    ends = [oracles.denoise(x + s, sigma, *BLOBS) for s in (-h, h)]
    np.testing.assert_allclose((ends[1] - ends[0]) / (2 * h), variance / sigma**2, rtol=1e-7)
    assert np.all((between >= 0) & (between < variance))


def relative(got, want):
    return abs(float(got / want - 1))


@pytest.mark.parametrize("sigma", [1e-3, 1.0, 1e6])
def test_information_of_a_gaussian(sigma):
    gaussian = np.ones(1), np.array([0.7]), np.array([0.3])
    c2, s2 = mp.mpf(0.3) ** 2, mp.mpf(sigma) ** 2
    with mp.workdps(40):
        want = c2 * s2 / (c2 + s2)
        assert relative(oracles.mmse_mp(sigma, *gaussian), want) < 1e-15
        want = mp.log1p(c2 / s2) / 2
        assert relative(oracles.mutual_information_mp(sigma, *gaussian), want) < 1e-15
        want = mp.log(2 * mp.pi * mp.e * (c2 + s2)) / 2
        assert relative(oracles.differential_entropy_mp(sigma, *gaussian), want) < 1e-15
    assert oracles.discrete_conditional_entropy_mp(sigma, *gaussian) == 0


@pytest.mark.parametrize("sigma", [0.028, 0.8146, 1e6])
def test_information_of_two_points(sigma):
    pair = np.full(2, 0.5), np.array([-1.0, 1.0]), np.zeros(2)
    s = mp.mpf(sigma)
    with mp.workdps(30):
        # E of f(y / s^2) for y ~ N(1, s^2), with the density at 0 outside the integral
        def mean(f):
            corners = sorted([-1 - 40 * s, -40 * s * s, 0, 40 * s * s, 1 + 40 * s])
            value = mp.quad(lambda y: f(y / s**2) * mp.exp((y - y**2 / 2) / s**2), corners)
            return value * mp.exp(-1 / (2 * s**2)) / (mp.sqrt(2 * mp.pi) * s)

        want = mean(lambda u: mp.sech(u) ** 2)
        assert relative(oracles.mmse_mp(sigma, *pair), want) < 1e-15
        want = mean(lambda u: mp.log1p(mp.exp(-2 * u)))
        assert relative(oracles.discrete_conditional_entropy_mp(sigma, *pair), want) < 1e-15


@pytest.mark.parametrize("sigma", [0.3, 50.0])
def test_information_identities(sigma):
    mixture = np.array([0.3, 0.7]), np.array([-1.0, 0.5]), np.array([0.0, 0.4])
    info = oracles.mutual_information_mp(sigma, *mixture)
    label = oracles.discrete_conditional_entropy_mp(sigma, *mixture)
    with mp.workdps(40):
        s2, w, v = mp.mpf(sigma) ** 2, mp.mpf(0.3), mp.mpf(0.4) ** 2
        w /= w + mp.mpf(0.7)
        prior = -w * mp.log(w) - (1 - w) * mp.log(1 - w)
        assert relative(info + label, prior + (1 - w) * mp.log1p(v / s2) / 2) < 1e-20
        noise = mp.log(2 * mp.pi * mp.e * s2) / 2
        assert relative(info + noise, oracles.differential_entropy_mp(sigma, *mixture)) < 1e-20
        up, down = sigma * (1 + 1e-8), sigma * (1 - 1e-8)
        rise = oracles.mutual_information_mp(up, *mixture)
        rise -= oracles.mutual_information_mp(down, *mixture)
        slope = -oracles.mmse_mp(sigma, *mixture) / s2 / mp.mpf(sigma)  # dI / dsigma
        assert relative(rise / (mp.mpf(up) - mp.mpf(down)), slope) < 1e-8


def test_information_of_tiny_and_huge_noise():
    mmse = oracles.mmse_mp(0.002, *(a[:2] for a in POINTS))
    assert 0 < mmse < mp.mpf(10) ** -3000  # about exp(-1.1^2 / 8 sigma^2)
    assert relative(mp.log(mmse), -(1.1**2) / (8 * 0.002**2)) < 1e-3
    variance = POINTS[0] @ POINTS[1] ** 2 - (POINTS[0] @ POINTS[1]) ** 2
    got = oracles.mutual_information_mp(1e6, *POINTS)
    assert relative(got, variance / 2e12) < 1e-11


def test_walk_table_is_the_multistep_recursion():
    rng = np.random.default_rng(1)
    sigma = np.array([2.0, 0.7, 0.3])
    keep = np.array([[0.4, 0.0, 0.0], [0.5, 0.1, 0.0], [0.3, 0.0, 0.2]])
    weights = np.array([[0.6, 0.0, 0.0], [0.9, -0.4, 0.0], [0.8, -0.2, -0.1]])
    noise = np.array([0.1, 0.0, 0.2])
    x0, z = rng.normal(size=5), rng.normal(size=(3, 5))

    def d(x, r):
        return oracles.denoise(x, sigma[r], *BLOBS)

    x1 = 0.4 * x0 + 0.6 * d(x0, 0) + 0.1 * z[0]
    x2 = 0.5 * x1 + 0.1 * x0 + 0.9 * d(x1, 1) - 0.4 * d(x0, 0)
    x3 = 0.3 * x2 + 0.2 * x0 + 0.8 * d(x2, 2) - 0.2 * d(x1, 1) - 0.1 * d(x0, 0) + 0.2 * z[2]
    got = oracles.walk_table((sigma, keep, weights, noise), BLOBS, x0, z)
    np.testing.assert_allclose(got, [x0, x1, x2, x3], rtol=1e-13)

    flat = oracles.walk_table(
        (sigma, keep, weights, noise),
        (BLOBS[0], BLOBS[1][:, None], BLOBS[2]),
        x0[:, None],
        z[:, :, None],
    )
    np.testing.assert_allclose(flat[:, :, 0], got, rtol=1e-13)


def test_walk_table_refuses_to_look_before_the_start():
    keep = np.array([[0.4, 0.1]])
    table = np.ones(1), keep, np.zeros((1, 2)), np.zeros(1)
    with pytest.raises(ValueError, match="must not reach back"):
        oracles.walk_table(table, BLOBS, np.zeros(3), np.zeros((1, 3)))


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_table(eta):
    a, b = EASY_SIGMAS[:-1], EASY_SIGMAS[1:]
    sigma, keep, weights, noise = oracles.ddim_table(EASY_SIGMAS, eta)
    q = b**2 / a**2
    np.testing.assert_array_equal(sigma, a)
    np.testing.assert_allclose(noise, eta * b * np.sqrt(1 - q), rtol=1e-14)
    np.testing.assert_allclose((keep[:, 0] * a) ** 2 + noise**2, b**2, rtol=1e-14)
    np.testing.assert_allclose(keep + weights, 1, rtol=1e-14)


def gaussian_kl(c, sigmas, start_std, eta):
    """KL(data || sampler) for N(0, c^2): everything is linear and Gaussian."""
    u = start_std**2
    for sigma, keep, weight, noise in zip(*oracles.ddim_table(sigmas, eta), strict=True):
        u = (keep[0] + weight[0] * c**2 / (c**2 + sigma**2)) ** 2 * u + noise**2
    v = c**2 + sigmas[-1] ** 2
    return 0.5 * (v / u - 1 - np.log(v / u))


@pytest.mark.parametrize("start", ["noise", "data"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("c", "sigmas"),
    [
        (0.05, oracles.edm_sigmas(80.0, 0.002, 3)),
        (0.3, oracles.vp_sigmas(*oracles.VP_ENDS, 4)),
        (0.01, oracles.uniform_sigmas(80.0, 0.002, 1)),
    ],
)
def test_law_of_gaussian_data(c, sigmas, eta, start):
    mixture = np.ones(1), np.zeros(1), np.array([c])
    start_std = 80.0 if start == "noise" else np.hypot(c, sigmas[0])
    law_kl = oracles.law_kl if eta > 0 else oracles.law_kl_deterministic
    got, coarse = law_kl(oracles.ddim_table(sigmas, eta), mixture, start_std, sigmas[-1], start)
    want = gaussian_kl(c, sigmas, start_std, eta)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(coarse, want, rtol=1e-11, atol=1e-13)


def test_law_is_that_of_a_uniform_grid():
    table, n = oracles.ddim_table(EASY_SIGMAS, 0.5), 1201
    x = np.linspace(-50, 50, n)
    log_q = -0.5 * (x / 5) ** 2 - np.log(5 * np.sqrt(2 * np.pi))
    for sigma, keep, weights, noise in zip(*table, strict=True):
        m = keep[0] * x + weights[0] * oracles.denoise(x, sigma, *BLOBS)
        y = np.linspace(-1, 1, n) * max(0.7 * x[-1], 4.0)
        kernel = -0.5 * ((y[:, None] - m) / noise) ** 2 - np.log(noise * np.sqrt(2 * np.pi))
        log_q = logsumexp(log_q + kernel, axis=1) + np.log(x[1] - x[0])
        x = y
    log_p = oracles.log_density(x, 0.1, BLOBS)
    want = (np.exp(log_p) * (log_p - log_q)).sum() * (x[1] - x[0])
    got, _ = oracles.law_kl(table, BLOBS, 5.0, 0.1)
    np.testing.assert_allclose(got, want, rtol=1e-9)
    np.testing.assert_allclose(
        oracles.law_log_density(x[[510, 600, 720]], table, BLOBS, 5.0),
        log_q[[510, 600, 720]],
        rtol=1e-9,
    )
    alone = oracles.law_log_density(x[[600]], table, BLOBS, 5.0)
    np.testing.assert_allclose(alone, log_q[[600]], rtol=1e-9)


def test_law_is_that_of_many_walks():
    table, paths = oracles.ddim_table(EASY_SIGMAS, 0.5), 100_000
    rng = np.random.default_rng(0)
    z = rng.normal(size=(5, paths))
    ends = oracles.walk_table(table, BLOBS, 5.0 * rng.normal(size=paths), z)[-1]
    edges = np.linspace(-2, 2.5, 31)
    y = np.linspace(-2, 2.5, 30 * 64 + 1)
    q = np.exp(oracles.law_log_density(y, table, BLOBS, 5.0))
    mass = np.add.reduceat(0.5 * (q[1:] + q[:-1]), np.arange(0, 30 * 64, 64)) * (y[1] - y[0])
    z = (np.histogram(ends, edges)[0] - paths * mass) / np.sqrt(paths * mass * (1 - mass))
    z = z[paths * mass > 10]
    assert len(z) > 20
    assert np.abs(z).max() < 4
    assert (z**2).mean() < 2


def test_deterministic_law_is_that_of_the_inverse_flow():
    table = oracles.ddim_table(EASY_SIGMAS, 0.0)

    def flow(x):
        return oracles.walk_table(table, BLOBS, x, np.zeros((5, len(x))))[-1]

    y = np.linspace(-3.2, 3.7, 1500)
    low, high = np.full(y.shape, -1e4), np.full(y.shape, 1e4)
    for _ in range(75):
        middle = 0.5 * (low + high)
        under = flow(middle) < y
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    h = 1e-4
    slope = (8 * (flow(low + h) - flow(low - h)) - flow(low + 2 * h) + flow(low - 2 * h)) / (12 * h)
    log_q = -0.5 * (low / 5) ** 2 - np.log(5 * np.sqrt(2 * np.pi)) - np.log(slope)
    log_p = oracles.log_density(y, 0.1, BLOBS)
    want = (np.exp(log_p) * (log_p - log_q)).sum() * (y[1] - y[0])
    got, _ = oracles.law_kl_deterministic(table, BLOBS, 5.0, 0.1)
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_little_noise_is_nearly_none():
    sure, _ = oracles.law_kl_deterministic(oracles.ddim_table(EASY_SIGMAS, 0.0), BLOBS, 5.0, 0.1)
    gaps = []
    for eta in (0.2, 0.1):
        noisy, _ = oracles.law_kl(oracles.ddim_table(EASY_SIGMAS, eta), BLOBS, 5.0, 0.1, domain=40)
        gaps.append(noisy - sure)
    np.testing.assert_allclose(gaps[0] / gaps[1], 4.0, rtol=0.05)  # of order eta^2


def test_laws_refuse_other_tables():
    sure, noisy = (oracles.ddim_table(EASY_SIGMAS, eta) for eta in (0.0, 1.0))
    with pytest.raises(ValueError, match="noisy"):
        oracles.law_kl(sure, BLOBS, 5.0, 0.1)
    with pytest.raises(ValueError, match="without noise"):
        oracles.law_kl_deterministic(noisy, BLOBS, 5.0, 0.1)


def test_law_cases_are_well_formed():
    names = [case.name for case in oracles.LAW_CASES]
    assert len(set(names)) == len(names) >= 26
    assert list(oracles.LAW_KL) == names
    for case in oracles.LAW_CASES:
        assert np.all(np.diff(case.sigmas) < 0)
        assert case.sigmas[-1] > 0
        assert abs(case.weights.sum() - 1) < 1e-12
        assert len(case.weights) == len(case.means) == len(case.stds)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] * (case.name not in QUICK_CASES), id=case.name)
        for case in oracles.LAW_CASES
    ],
)
def test_law_cases_have_their_kl(case):
    got, coarse = case.kl()
    want = oracles.LAW_KL[case.name]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(coarse, want, rtol=1e-11, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [case for case in oracles.LAW_CASES if case.name in QUICK_CASES], ids=lambda c: c.name
)
def test_law_cases_do_not_move_with_the_method(case, monkeypatch):
    monkeypatch.setattr(oracles, "GROWTH", 0.12)
    monkeypatch.setattr(oracles, "WINDOW", 90.0)
    monkeypatch.setattr(oracles, "P_REACH", 16.0)
    arguments = case.table, case.mixture, case.start_std, case.sigmas[-1], case.start
    if case.eta > 0:
        got, _ = oracles.law_kl(*arguments, nodes_per_width=6.0, domain=2560.0)
    else:
        got, _ = oracles.law_kl_deterministic(*arguments, nodes_per_width=6.0)
    np.testing.assert_allclose(got, oracles.LAW_KL[case.name], rtol=1e-12, atol=1e-14)


@pytest.mark.slow
def test_hand_made_grids_are_uniform_in_entropy():
    five, ten, fifteen = (
        oracles.uneven_mixture([std] * k) for k, std in ((5, 0.05), (10, 0.1), (15, 0.05))
    )
    for ends, mixture, power, grid in (
        (oracles.EDM_ENDS, five, 3, oracles.FIVE_ENTROPIC_4),
        (oracles.EDM_ENDS, ten, 3, oracles.TEN_ENTROPIC_8),
        (oracles.VP_ENDS, fifteen, 2, oracles.FIFTEEN_RESCALED_6),
    ):
        got = oracles.entropy_sigmas(*ends, len(grid) + 1, mixture, power)
        np.testing.assert_allclose(got[1:-1], grid, rtol=1e-5)
