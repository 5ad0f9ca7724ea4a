"""Compiled kernels against known answers and NumPy."""

import math

import numpy as np
import oracles
import pytest
from mpmath import mp
from scipy import stats

from theory.solvers.registry import make_table
from toys import kernels
from toys.mixture import Mixture
from toys.sampling import columns


def test_exp_is_good_to_one_ulp_down_to_its_floor() -> None:
    x = np.concatenate([-np.geomspace(1e-300, 708.0, 20_001), [0.0, -0.0]])
    out = np.empty_like(x)
    kernels.exp_array(x, out)
    np.testing.assert_allclose(out, np.exp(x), rtol=2.3e-16)
    kernels.exp_array(np.full(8, -1e308), out[:8])
    assert np.all(out[:8] == out[0])
    assert 0 < out[0] < 4e-308


def test_log_is_good_to_two_ulp_of_the_result() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.random(2000) + 2**-53,
            1 + 1e-9 * rng.normal(size=500),
            np.geomspace(1e-300, 1e300, 999),
        ]
    )
    got = [kernels.log_positive(v) for v in x.tolist()]
    np.testing.assert_allclose(got, [math.log(v) for v in x], rtol=4.5e-16)


def test_cosine_of_turns_is_good_to_rounding() -> None:
    v = np.concatenate([np.random.default_rng(1).random(3000), np.arange(16) / 16])
    want = [float(mp.cospi(2 * mp.mpf(t))) for t in v.tolist()]
    got = [kernels.cos_turns(t) for t in v.tolist()]
    np.testing.assert_allclose(got, want, rtol=0, atol=2.3e-16)


@pytest.mark.parametrize(("counter", "key", "answer"), oracles.PHILOX4X32_10_ANSWERS)
def test_philox_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    """Salmon et al. 2011: the known answers of Philox4x32-10."""
    high, low = np.empty(1, np.uint64), np.empty(1, np.uint64)
    path = np.uint64(counter[2] | counter[3] << 32)
    kernels.philox(counter[0], counter[1], path, key[0], key[1], high, low)
    words = [
        int(high[0]) >> 32,
        int(high[0]) & 0xFFFFFFFF,
        int(low[0]) >> 32,
        int(low[0]) & 0xFFFFFFFF,
    ]
    assert tuple(words) == tuple(answer)


def test_philox_lanes_are_consecutive_paths() -> None:
    high, low = np.empty(4, np.uint64), np.empty(4, np.uint64)
    kernels.philox(7, 3, 2**32 - 2, 5, 0, high, low)  # crosses into the path's high word
    for i in range(4):
        p = 2**32 - 2 + i
        words = oracles.philox4x32_10((7, 3, p & 0xFFFFFFFF, p >> 32), (5, 0))
        assert int(high[i]) == words[0] << 32 | words[1]
        assert int(low[i]) == words[2] << 32 | words[3]


def test_normals_are_the_box_muller_of_the_philox_words() -> None:
    n = kernels.BLOCK
    high, low, out = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n)
    kernels.fill_normals(9, 100, 4, 2, high, low, out)
    want = []
    for i in range(n):
        a, b, c, d = oracles.philox4x32_10((2, 4, 100 + i, 0), (9, 0))
        u, v = ((a << 32 | b) >> 11) + 1, (c << 32 | d) >> 11
        want.append(math.sqrt(-2 * math.log(u * 2.0**-53)) * math.cos(2 * math.pi * v * 2.0**-53))
    np.testing.assert_allclose(out, want, rtol=1e-13, atol=1e-15)


def test_normals_are_normal() -> None:
    """Kolmogorov-Smirnov and the first moments; each fails once in a thousand seeds."""
    n = 1 << 18
    high, low, out = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n)
    kernels.fill_normals(0, 0, 0, 0, high, low, out)
    assert stats.kstest(out, "norm").pvalue > 1e-3
    moments = [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
    for power, mean, var in moments:
        assert abs(np.mean(out**power) - mean) < 3.3 * np.sqrt(var / n)


def test_gaussian_sums_equal_the_plain_sum_near_and_far() -> None:
    rng = np.random.default_rng(3)
    mean = np.sort(rng.normal(0, 30, (200, 1)), axis=0) + rng.uniform(-1, 1, (200, kernels.LANES))
    mass = rng.uniform(-800.0, 0.0, (200, 1)) + rng.normal(size=mean.shape)
    low, high = mean.min(axis=1), mean.max(axis=1)
    centre = 0.5 * (low + high)
    order = np.argsort(centre)
    y = np.concatenate([rng.normal(0, 30, 300), [-1e4, 1e4, -500.0, 500.0]])
    out = np.empty_like(y)
    kernels.log_gaussian_sums(
        y, centre[order], mean[order], mass[order], 0.7, 0.5 * (high - low).max(), out
    )
    z = (y[:, None] - mean.ravel()) / 0.7
    want = np.logaddexp.reduce(mass.ravel() - 0.5 * z**2, axis=1) - np.log(0.7 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(out, want, rtol=1e-13, atol=1e-12)


def test_simd_width_is_one_that_exists() -> None:
    assert kernels.simd_bits() in (0, 128, 256, 512)  # 0 with the compiler off


def posterior_case(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, increasing means and stds of 30 components."""
    rng = np.random.default_rng(3)
    mean = np.sort(rng.normal(size=30))
    weights = 10.0 ** rng.uniform(-12.0, 0.0, 30)
    std = {"points": np.zeros(30), "equal": np.full(30, 0.05), "mixed": rng.uniform(0, 0.2, 30)}
    return weights / weights.sum(), mean, std[name]


def posterior_logs(
    x: np.ndarray, sigma: float, w: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> tuple[np.ndarray, int]:
    """The kernel's four logs at states x (n,), each an offset from the mean below it; visits."""
    near = np.clip(np.searchsorted(mean, x) - 1, 0, mean.size - 1)
    outside = np.zeros((2, w.size + 1))
    outside[0, 1:], outside[1, :-1] = np.cumsum(w), np.cumsum(w[::-1])[::-1]
    out = np.empty((4, x.size, 1))
    start = mean[near]
    with np.errstate(divide="ignore", under="ignore"):  # where the kernel is interpreted
        visits = kernels.posterior_logs(
            start, (x - start)[:, None], near, sigma, w, np.log(w), mean, std, outside, out
        )
    return out[:, :, 0], visits


@pytest.mark.parametrize("name", ["points", "equal", "mixed"])
@pytest.mark.parametrize("sigma", [0.005, 0.05, 2.0, 1e4])
def test_posterior_has_thirteen_digits_whatever_its_window_leaves_out(
    name: str, sigma: float
) -> None:
    """Against hundreds of digits, at states between and far outside of the means."""
    w, mean, std = posterior_case(name)
    spread = 1.0 + 3.0 * sigma
    x = np.array([-2.0 * spread, mean[3], 0.5 * (mean[14] + mean[15]), 0.31, 1.7 * spread])
    logs, visits = posterior_logs(x, sigma, w, mean, std)
    assert (visits < x.size * mean.size) == (sigma < 1.0)
    for i, state in enumerate(x.tolist()):
        want = oracles.posterior_mp(state, sigma, w, mean, std, 3000 if sigma < 0.01 else 300)
        assert logs[0, i] == pytest.approx(float(want[0]), rel=1e-13)
        for q in (1, 2, 3):
            # The log of odds exp(-d) is good to the rounding of d, a product of four factors.
            log = float(mp.log(want[q]))
            assert logs[q, i] == pytest.approx(log, rel=1e-15, abs=2e-13), (q, state)


def test_posterior_visits_few_components_where_the_noise_is_low() -> None:
    """The work per state follows the noisy width, not the number of components."""
    mean = np.arange(2000.0)
    w, std = np.full(2000, 1 / 2000), np.zeros(2000)
    x = np.linspace(-5.0, 2005.0, 201)
    assert posterior_logs(x, 0.01, w, mean, std)[1] <= 3 * x.size
    assert posterior_logs(x, 2.0, w, mean, std)[1] <= 2 * 2.0 * 12 * x.size


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_3m", "heun"])
def test_kernels_of_walks_with_slopes_apply_the_table(solver: str) -> None:
    """Against the table applied by hand, and differences of the last states."""
    toy = Mixture([0.4, 0.6], [-1.0, 0.7], [0.2, 0.3])
    table = make_table(solver, np.geomspace(5.0, 0.05, 5))
    sigma, keep, weights, _ = columns(table)
    x = np.linspace(-4.0, 4.0, kernels.BLOCK)

    def walked(start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        states, slopes = np.empty((sigma.size + 1, x.size)), np.empty((sigma.size + 1, x.size))
        states[0], slopes[0] = start, 1.0
        packed = toy.packed
        args = packed.log_weights, packed.means, packed.stds
        kernels.walk_slopes(sigma, keep, weights, *args, states, slopes)
        return states, slopes

    states, slopes = walked(x)
    outputs = [toy.denoise(states[r], float(sigma[r])) for r in range(sigma.size)]
    for r in range(sigma.size):
        reach = min(r + 1, keep.shape[1])
        want = sum(
            keep[r, h] * states[r - h] + weights[r, h] * outputs[r - h] for h in range(reach)
        )
        np.testing.assert_allclose(states[r + 1], want, rtol=1e-12, atol=1e-13)
    step = 1e-5
    differences = (walked(x + step)[0][-1] - walked(x - step)[0][-1]) / (2.0 * step)
    scale = np.abs(differences).max()
    np.testing.assert_allclose(slopes[-1], differences, atol=1e-6 * scale)
