"""The state-dependent iterations on mixtures: weights, slopes, regimes, and their exact law."""

import numpy as np
import oracles
import pytest
from oracle_solvers import ORACLES, Walk
from scipy import stats
from strategies import random_mixture

from benchmarks.measure import divergences
from theory.schedules.standard import edm_sigmas, log_snr_sigmas
from theory.solvers.registry import make_table
from toys import kernels, reducing, sampling, zoo
from toys.laws.branches import Branches
from toys.laws.build import law_of
from toys.laws.reducing_flow import ReducingFlow
from toys.laws.transported import FIRST_REACH, PROBED
from toys.mixture import Mixture

VARIANTS = [
    ("re_multi", {}),
    ("re_multi", {"prior": "printed"}),
    ("re_multi", {"prior": "minimiser", "mu": 0.1}),
    ("re_multi_2025", {}),
    ("evodiff", {}),
    ("evodiff", {"special_last": False}),
]
NAMES = [f"{name} {options}" if options else name for name, options in VARIANTS]


@pytest.mark.parametrize("n_steps", [1, 2, 3, 8, 24])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
def test_the_map_of_the_line_is_the_compiled_loop(
    name: str, options: dict, zero: bool, n_steps: int
) -> None:
    toy = random_mixture(11, kind="density")
    sigmas = np.append(edm_sigmas(n_steps, 40.0, 0.05), [0.0] if zero else [])
    iteration = make_table(name, sigmas, **options)
    x = np.linspace(-90.0, 90.0, 301)
    value, _ = ReducingFlow(toy, iteration)(x)
    walked = sampling.walk_states(toy, iteration, x[:, None], 0)[:, 0]
    # An ulp of D_t - D_0 may be much of it: a few paths see the difference.
    assert np.quantile(np.abs(value - walked), 0.98) < 1e-9


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
def test_slopes_are_those_of_central_differences(name: str, options: dict) -> None:
    toy = random_mixture(12, kind="density", k_max=4)
    flow = ReducingFlow(toy, make_table(name, edm_sigmas(6, 20.0, 0.1), **options))
    x = np.linspace(-40.0, 40.0, 400)
    h = 1e-5
    below, at, above = (flow.trace(v) for v in (x - h, x, x + h))
    smooth = (below[2] == at[2]) & (at[2] == above[2])
    assert smooth.mean() > 0.9
    slope = (above[0] - below[0]) / (2 * h)
    np.testing.assert_allclose(at[1][:, smooth], slope[:, smooth], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
def test_weights_used_are_the_oracles(name: str, options: dict, channels: int) -> None:
    toy = random_mixture(13, d=4, kind="density", k_max=4)
    sigmas = edm_sigmas(7, 40.0, 0.05)
    iteration = make_table(name, sigmas, channels=channels, **options)
    x = 40.0 * np.random.default_rng(0).normal(size=(30, 4))
    walk = Walk(lambda y, s: oracles.denoise(y, s, toy.weights, toy.means, toy.stds), x)
    ORACLES[name](walk, sigmas, channels=channels, **options)
    used = reducing.weights_used(toy, iteration, x)
    assert np.isnan(used["zeta"][0]).all()  # the first step is DDIM
    steps = [k for k in range(7) if not np.isnan(used["zeta"][k]).any()]
    assert len(steps) == len(walk.weights)
    for k, want in zip(steps, walk.weights, strict=True):
        assert set(want) == set(used)
        for key, value in want.items():
            np.testing.assert_allclose(used[key][k], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["re_multi", "evodiff"])
def test_the_compiled_loop_is_the_plain_loop(name: str) -> None:
    """A few paths in two channels; also run with the compiler off."""
    toy = Mixture([1, 2], [[0, 1], [1, -1]], 0.3)
    sigmas = np.array([20.0, 5.0, 1.0, 0.3, 0.1])
    x = np.linspace(-20, 20, 12).reshape(6, 2)
    walk = Walk(lambda y, s: oracles.denoise(y, s, toy.weights, toy.means, toy.stds), x)
    want = ORACLES[name](walk, sigmas, channels=2)
    found = sampling.walk_states(toy, make_table(name, sigmas, channels=2), x, 0)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


def test_channels_must_divide_the_dimension() -> None:
    toy, iteration = zoo.toy("circle8"), make_table("evodiff", [2.0, 1.0, 0.5], channels=3)
    with pytest.raises(ValueError, match="channels must divide d = 2, got 3"):
        sampling.sample(toy, iteration, 4, seed=0)


@pytest.mark.parametrize("name", ["re_multi", "re_multi_2025", "evodiff"])
def test_ratios_without_a_denominator_are_zero(name: str) -> None:
    """A denoiser that is 0 everywhere, and the symmetric point of two points."""
    iteration = make_table(name, log_snr_sigmas(6, 80.0, 0.002))
    dead = Mixture([1], [0], 0)
    x = np.linspace(-100, 100, 9)[:, None]
    assert np.isfinite(sampling.walk_states(dead, iteration, x, 0)).all()
    value, slope = ReducingFlow(dead, iteration)(x[:, 0])
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    middle = sampling.walk_states(zoo.toy("two_points"), iteration, np.zeros((1, 1)), 0)
    assert abs(middle[0, 0]) < 1e-300
    assert abs(ReducingFlow(zoo.toy("two_points"), iteration)(np.zeros(1))[0][0]) < 1e-300


@pytest.mark.parametrize("name", ["re_multi", "evodiff"])
def test_paths_do_not_depend_on_threads_or_batches(name: str) -> None:
    toy, iteration = zoo.toy("circle8"), make_table(name, log_snr_sigmas(8, 80.0, 0.002))
    want = sampling.sample(toy, iteration, 3000, seed=3, threads=1)
    np.testing.assert_array_equal(
        want, sampling.sample(toy, iteration, 3000, seed=3, threads=2, batch=300)
    )
    np.testing.assert_array_equal(
        want[1000:1100], sampling.sample(toy, iteration, 100, seed=3, path=1000)
    )
    trace = sampling.trace_paths(toy, iteration, 50, seed=3)
    assert trace.shape == (9, 50, 2)
    np.testing.assert_array_equal(trace[-1], want[:50])


DETERMINISTIC = [
    ("heun", {}),
    ("dpm_solver_2", {}),
    ("fd_2", {"form": "data"}),
    ("re_single", {}),
    ("dpmpp_2m", {}),
    ("dpmpp_3m", {}),
    ("unipc_2", {}),
    ("unipc_3", {}),
    ("deis_3", {}),
    ("ab_2", {}),
    *VARIANTS,
]


@pytest.mark.parametrize("n_steps", [4, 8])
@pytest.mark.parametrize(
    ("name", "options"), DETERMINISTIC, ids=[f"{n} {o}" if o else n for n, o in DETERMINISTIC]
)
def test_exact_bins_are_those_of_paths(name: str, options: dict, n_steps: int) -> None:
    """Laws with folds, kinks and jumps: the largest of 200 z-scores below 5 (1e-4 each test)."""
    base = zoo.toy("points15").means[:, 0]
    toy = Mixture(np.ones(15), base * np.sqrt(1 - 0.05**2), 0.05)
    table = make_table(name, log_snr_sigmas(n_steps, 80.0, 0.002), **options)
    law = law_of(toy, table, "noise", 1.0, 20.0)
    edges = np.linspace(-3.0, 3.0, 201)
    p = np.exp(law.log_mass(edges[:-1], edges[1:]))
    n = 400_000
    counts = np.histogram(sampling.sample(toy, table, n, seed=2)[:, 0], edges)[0]
    busy = n * p >= 25
    assert np.all(counts[~busy] < 80)
    z = (counts - n * p)[busy] / np.sqrt(n * (p * (1 - p))[busy])
    assert np.abs(z).max() < 5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
def test_the_law_meets_its_tolerance_or_raises(name: str, options: dict) -> None:
    """Twice the resolution from the start moves no KL, TV or W1 by more than its own error."""
    toy = zoo.toy("gaussians15_overlap")
    table = make_table(name, log_snr_sigmas(6, 80.0, 0.002), **options)
    found = divergences.measures(toy, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toys.laws.transported.PROBED", 4 * PROBED)
        patch.setattr("toys.laws.transported.FIRST_REACH", 1.5 * FIRST_REACH)
        patch.setattr("toys.laws.passes.FIRST_REACH", 1.5 * FIRST_REACH)
        again = divergences.measures(toy, table)
    for name, measured in found.items():
        fine = again[name]
        if measured.is_infinite:
            assert fine.is_infinite
            assert "no mass" in measured.reason
        elif measured.value is None or fine.value is None:  # rounding decides which is refused
            assert measured.reason or fine.reason
        else:
            slack = 1e-5 * fine.value if name in ("tv", "w1") else fine.error
            assert abs(fine.value - measured.value) <= measured.error + slack, name


class Torn:
    """A map with known breaks: slope 1, a jump down at 1, a kink at 2, a jump up at 3."""

    noise = 0.0
    scales = np.empty(0)
    hull = (0.0, 10.0)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F and its slope."""
        f, df, _ = self.trace(np.ravel(x))
        return f[-1].reshape(np.shape(x)), df[-1].reshape(np.shape(x))

    def trace(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """F, its slope and the region."""
        region = np.searchsorted([1.0, 2.0, 3.0], x)
        value = np.choose(region, [x, x - 0.5, 1.5 - 0.25 * (x - 2.0), x - 1.0])
        slope = np.choose(region, [1.0, 1.0, -0.25, 1.0]) * np.ones_like(x)
        return value[None], slope[None], region.astype(np.uint64)


def test_breaks_are_bracketed() -> None:
    branches = Branches(Torn(), np.linspace(-4.0, 9.0, 30), 1e-3)
    np.testing.assert_allclose(branches.jumps, [1.0, 3.0], atol=1e-13)
    np.testing.assert_allclose(
        np.sort(branches.edges), np.sort([1.0, 0.5, 1.5, 1.25, 2.0]), atol=1e-12
    )
    # Four values: met by one branch, by three, by none, by one again.
    owner, x, slope = branches.preimages(np.array([0.2, 0.7, 1.75, 2.5, 1.4]))
    assert np.bincount(owner, minlength=5).tolist() == [1, 2, 0, 1, 2]
    np.testing.assert_allclose(np.sort(x[owner == 1]), [0.7, 1.2], atol=1e-12)
    np.testing.assert_allclose(np.sort(x[owner == 4]), [1.9, 2.4], atol=1e-12)
    np.testing.assert_allclose(np.sort(slope[owner == 4]), [-0.25, 1.0])
    assert branches.holes(0.0, 3.0)
    assert not branches.holes(0.0, 1.5)
    assert branches.holes(1.6, 1.9)


def test_bins_count_what_a_jump_brings_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """[0.3, 0.8] is met by x in [0.3, 0.8] and, behind the jump, in (1, 1.3]; start N(0, 2^2)."""
    monkeypatch.setattr("toys.laws.build.Flow", lambda *_: Torn())
    table = make_table("ddim", [2.0, 1.0])
    law = law_of(zoo.toy("gaussian"), table, "noise", 1.0, 20.0)
    found = np.exp(law.log_mass(np.array([0.3, 1.6]), np.array([0.8, 1.9])))
    parts = stats.norm.cdf([0.3, 0.8, 1.0, 1.3], scale=2.0)
    assert found[0] == pytest.approx(parts[1] - parts[0] + parts[3] - parts[2], rel=1e-12)
    assert found[1] == 0.0


def test_regimes_a_few_floats_wide_are_not_breaks() -> None:
    """Where D_t equals D_0 by rounding a ratio is 0 at single floats: re_multi has no jump."""
    toy = zoo.toy("gaussians15_overlap")
    flow = ReducingFlow(toy, make_table("re_multi", log_snr_sigmas(8, 80.0, 0.002)))
    branches = Branches(flow, np.linspace(-1600.0, 1600.0, 2001), 1e-3)
    assert branches.jumps.size == 0
    assert len(branches.pieces) == 1
    assert not branches.holes(-3.0, 3.0)


def test_rounding_beside_a_break_is_no_jump() -> None:
    """At two points of re_multi's map float64 is off by 1e-8 where the true map is smooth."""
    toy = zoo.toy("gaussians5")
    table = make_table("re_multi", log_snr_sigmas(20, 80.0, 0.002))
    found = divergences.exact_kl(toy, table)
    assert found.value is not None
    assert found.error < 1e-9
    # By bins the KL is a little less, whatever the bins.
    n = 1_000_000
    edges = np.linspace(-3.0, 3.0, 61)
    counts = np.histogram(sampling.sample(toy, table, n, seed=4)[:, 0], edges)[0]
    p = np.diff([np.sum(toy.weights * stats.norm.cdf(e, toy.means[:, 0], toy.stds[:, 0]))
                 for e in edges])  # fmt: skip
    busy = counts > 0
    binned = np.sum(p[busy] * np.log(p[busy] * n / counts[busy]))
    assert 0.5 * found.value < binned < found.value


def test_zeta_of_algorithm_1_saturates() -> None:
    """(4.15) adds two states: zeta is 1 (ICLR) or 0 (NeurIPS) on most paths of 16 steps."""
    toy, sigmas = zoo.toy("gaussians15_overlap"), log_snr_sigmas(16, 80.0, 0.002)
    for name, limit in (("re_multi", 1.0), ("re_multi_2025", 0.0)):
        iteration = make_table(name, sigmas)
        starts = sampling.start_states(toy, iteration, 500, 0)
        zeta = reducing.weights_used(toy, iteration, starts)["zeta"][1:]
        assert np.mean(np.abs(zeta - limit) < 1e-3) > 0.9


def test_evodiff_tears_the_line() -> None:
    """Its clipped ratios change sign where a denoised value is 0; a jump up leaves a hole."""
    toy = zoo.toy("gaussians15_overlap")
    flow = ReducingFlow(toy, make_table("evodiff", log_snr_sigmas(8, 80.0, 0.002)))
    branches = Branches(flow, np.linspace(-400.0, 400.0, 2001), 1e-3)
    assert branches.jumps.size > 2
    for x in branches.jumps.tolist():
        sides = flow(np.array([x - 1e-9, x + 1e-9]))[0]
        walked = sampling.walk_states(toy, flow.iteration, np.array([[x - 1e-9], [x + 1e-9]]), 0)
        np.testing.assert_allclose(walked[:, 0], sides, rtol=1e-9)
        assert abs(sides[1] - sides[0]) > 1e-8
    assert kernels.CLIP == 2.0


def test_paths_that_overflow_are_an_error() -> None:
    """Beyond 20 steps evodiff divides by a zeta that vanishes where D0 meets D1: 1-D shows it."""
    iteration = make_table("evodiff", log_snr_sigmas(64, 80.0, 0.002))
    with pytest.raises(ValueError, match=r"paths must end within 1e\+13, got \d+ of 256 beyond"):
        sampling.sample(zoo.toy("gaussians5"), iteration, 256, seed=0)


def test_maps_with_too_many_branches_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toys.laws.branches.MAX_PIECES", 3)
    table = make_table("evodiff", log_snr_sigmas(8, 80.0, 0.002))
    with pytest.raises(ValueError, match="a map of at most 3 branches"):
        divergences.exact_kl(zoo.toy("gaussians15_overlap"), table)
