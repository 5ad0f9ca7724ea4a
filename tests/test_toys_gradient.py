"""The gradient of the exact KL against differences, and its parts against closed forms."""

from functools import partial

import numpy as np
import pytest

from theory.checks import Array
from theory.schedules.registry import schedule
from theory.solvers.derivative import levels_gradient
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from toys import kernels
from toys.laws.adjoint import FlowTrace
from toys.laws.branches import Branches
from toys.laws.charts import Charts, End
from toys.laws.densities import Components, Density, GaussianSums
from toys.laws.flow import Flow, stretches
from toys.laws.gradient import DifferentiableKL
from toys.mixture import Mixture
from toys.zoo import toy

THREE = Mixture([0.2, 0.5, 0.3], [-1.0, 0.3, 2.0], [0.1, 0.4, 0.05])
STENCIL = ((1, 0.8), (2, -0.2), (3, 4.0 / 105.0), (4, -1.0 / 280.0))  # central, of order 8


def difference(f, step: float) -> float:  # type: ignore[no-untyped-def]
    """Derivative of f at 0 by the central formula of order 8."""
    return float(sum(w * (f(k * step) - f(-k * step)) for k, w in STENCIL) / step)


def derivatives(data: Mixture, x: Array, sigma: float) -> Array:
    """E[x0 | x] and its first three derivatives at x."""
    padded = np.zeros(x.size + -x.size % kernels.BLOCK)
    padded[: x.size] = x
    out = np.empty((4, padded.size))
    packed = data.packed
    kernels.denoise_derivatives(padded, sigma, packed.log_weights, packed.means, packed.stds, out)
    return out[:, : x.size]


@pytest.mark.parametrize("sigma", [0.02, 0.3, 2.0, 40.0])
@pytest.mark.parametrize("data", [THREE, toy("points15")], ids=["densities", "points"])
def test_derivatives_of_the_denoiser_follow_from_each_other(data: Mixture, sigma: float) -> None:
    x = np.linspace(-2.5, 3.0, 61)
    found = derivatives(data, x, sigma)
    np.testing.assert_allclose(found[0], data.denoise(x, sigma), rtol=1e-14, atol=1e-15)
    step = min(0.02, 0.05 * sigma**2)  # a share of the width of a change between points
    for order in range(3):
        slope = sum(
            w * (derivatives(data, x + k * step, sigma)[order]
                 - derivatives(data, x - k * step, sigma)[order]) / step
            for k, w in STENCIL
        )  # fmt: skip
        scale = np.abs(found[order + 1]).max()
        np.testing.assert_allclose(found[order + 1], slope, rtol=0, atol=1e-7 * scale)


def test_cumulants_of_two_points_have_closed_forms() -> None:
    """E[x0 | x] = tanh(x / sigma^2) for points at -1 and 1."""
    x, sigma = np.linspace(-1.5, 1.5, 31), 0.7
    t, u = np.tanh(x / sigma**2), 1.0 / sigma**2
    s = 1.0 - t**2
    exact = [t, u * s, -2.0 * u**2 * t * s, u**3 * s * (4.0 * t**2 - 2.0 * s)]
    found = derivatives(toy("two_points"), x, sigma)
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


def test_sums_of_gaussians_are_differentiated_in_every_argument() -> None:
    rng = np.random.default_rng(0)
    mean = np.sort(rng.normal(size=640)).reshape(40, 16)[::-1].copy()
    sums = GaussianSums(mean, rng.normal(size=(40, 16)) - 5.0, 0.3)
    y, seed = 2.0 * rng.normal(size=50), rng.normal(size=50)
    found = sums.pullback(y, sums.log_density(y), seed)
    by_mean, by_mass, by_y = rng.normal(size=mean.shape), rng.normal(size=mean.shape), seed[::-1]

    def moved(e: float) -> float:
        density = GaussianSums(
            sums.mean + e * by_mean, sums.mass + e * by_mass, sums.std * (1.0 + 0.7 * e)
        )
        return float(seed @ density.log_density(y + e * by_y))

    mine = np.sum(found.by_mean * by_mean) + np.sum(found.by_mass * by_mass)
    mine += found.by_std * 0.7 * sums.std + found.by_x @ by_y
    assert mine == pytest.approx(difference(moved, 1e-3), rel=1e-9)


@pytest.mark.parametrize("kind", ["sums", "components"])
def test_masses_of_intervals_are_differentiated_in_every_argument(kind: str) -> None:
    rng = np.random.default_rng(1)
    mean, mass = rng.normal(size=(3, 16)), rng.normal(size=(3, 16)) - 4.0
    low, high = np.array([-np.inf, 0.3, 1.0]), np.array([-0.5, 0.9, np.inf])
    seed, unit = np.array([0.7, -1.2, 0.4]), np.array([-0.3, -1.0, -2.0])
    gaussians = Components(np.log([0.3, 0.7]), np.array([0.0, 1.0]), np.array([1.0, 0.2]))
    density: Density = GaussianSums(mean, mass, 0.4) if kind == "sums" else gaussians
    found, by_low, by_high = density.mass_pullback(low, high, unit, seed)
    move = rng.normal(size=(4, 3))
    by_mean, by_mass = rng.normal(size=mean.shape), rng.normal(size=mean.shape)

    def moved(e: float) -> float:
        other = density
        if kind == "sums":
            other = GaussianSums(mean + e * by_mean, mass + e * by_mass, 0.4 * (1.0 + e))
        logs = other.log_mass(low + e * move[0], high + e * move[1])
        return float(seed @ np.exp(logs - unit))

    inner = [np.isfinite(low), np.isfinite(high)]
    mine = by_low[inner[0]] @ move[0][inner[0]] + by_high[inner[1]] @ move[1][inner[1]]
    if kind == "sums":
        mine += np.sum(found.by_mean * by_mean) + np.sum(found.by_mass * by_mass)
        mine += 0.4 * found.by_std
    assert mine == pytest.approx(difference(moved, 1e-3), rel=1e-9)


def entries(table: SolverTable) -> list[Array]:
    """sigma, keep and weights, of equal widths."""
    wide = max(table.keep.shape[1], table.weights.shape[1])
    padded = [np.pad(c, ((0, 0), (0, wide - c.shape[1]))) for c in (table.keep, table.weights)]
    return [np.array(table.sigma), *padded]


@pytest.mark.parametrize("solver", ["ddim", "heun", "dpmpp_2m", "unipc_3", "deis_3"])
def test_maps_are_differentiated_by_every_entry(solver: str) -> None:
    """By a random change of all entries at once; points stay fixed."""
    table = make_table(solver, [8.0, 2.0, 0.7, 0.3, 0.1])
    rng = np.random.default_rng(2)
    x = rng.normal(size=20) * 4.0
    value, slope = rng.normal(size=20), rng.normal(size=20)
    base = entries(table)
    moves = [rng.normal(size=e.shape) * (np.abs(e) > 0) * 0.1 for e in base]

    def trace(e: float) -> FlowTrace:
        flow = Flow(THREE, table, stretches(table)[0])
        flow.sigma, flow.keep, flow.weights = (
            np.ascontiguousarray(b + e * m) for b, m in zip(base, moves, strict=True)
        )
        return FlowTrace(flow, x)

    def number(e: float) -> float:
        return float(value @ trace(e).value + slope @ trace(e).slope)

    found = trace(0.0).pullback(value, slope)
    mine = sum(float(np.sum(f * m)) for f, m in zip(found, moves, strict=True))
    assert mine == pytest.approx(difference(number, 2e-3), rel=1e-7)
    flow = Flow(THREE, table, stretches(table)[0])
    bend = np.array([(flow(x + e)[1] - flow(x - e)[1]) / (2 * e) for e in (1e-4, 2e-4)])
    np.testing.assert_allclose(
        trace(0.0).curvature, (4.0 * bend[0] - bend[1]) / 3.0, rtol=1e-6, atol=1e-6
    )


def random_mixture(rng: np.random.Generator) -> Mixture:
    k = int(rng.integers(1, 7))
    return Mixture(rng.dirichlet(np.full(k, 4.0)), rng.normal(size=k), rng.uniform(0.05, 0.5, k))


SOLVERS = ["stochastic_ddim", "ddim", "heun", "edm_stochastic", "dpmpp_2m", "unipc_2", "deis_2",
           "dpm_solver_2", "dpmpp_3m", "re_single", "fd_2"]  # fmt: skip


def compared(data: Mixture, solver: str, sigmas: Array, start: str, **options: float) -> None:
    """The gradient by the levels, against differences of the KL."""
    make = partial(make_table, solver, start_std=float(sigmas[0]), **options)

    def kl(levels: Array, level: int) -> DifferentiableKL:
        return DifferentiableKL(data, make(levels), start, 1.25**level, 20.0 * 2.0**level)

    level = next(i for i in range(5)
                 if abs(kl(sigmas, i).value / kl(sigmas, i + 1).value - 1.0) < 1e-9)  # fmt: skip
    found = levels_gradient(make, sigmas, kl(sigmas, level).gradient())
    positive = np.log(sigmas[sigmas > 0])
    expected = np.zeros_like(sigmas)
    for i in range(1, positive.size - 1):

        def moved(e: float, i: int = i) -> float:
            levels = sigmas.copy()
            levels[i] *= np.exp(e)
            return kl(levels, level).value

        gap = min(positive[i - 1] - positive[i], positive[i] - positive[i + 1])
        expected[i] = difference(moved, (1e-3 if data.is_points else 4e-3) * gap)
    inner = slice(1, positive.size - 1)
    scale = np.abs(expected[inner]).max(initial=1e-300)
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0, atol=1e-6 * scale)


FAST = ("stochastic_ddim", "ddim", "dpmpp_2m")


@pytest.mark.parametrize("terminal", ["stop", "zero"])
@pytest.mark.parametrize(
    "solver", [s if s in FAST else pytest.param(s, marks=pytest.mark.slow) for s in SOLVERS]
)
def test_the_gradient_equals_differences(solver: str, terminal: str) -> None:
    rng = np.random.default_rng(SOLVERS.index(solver))
    for n_steps in (3, 6) if terminal == "stop" else (4,):
        sigmas = schedule("log_snr", n_steps, terminal=terminal)
        sigmas[1:-2] *= np.exp(rng.uniform(-0.5, 0.5, n_steps - 2))
        # The table of edm_stochastic jumps where a level crosses s_min or s_max.
        wide = {"s_min": 0.0, "s_max": 1e6} if solver == "edm_stochastic" else {}
        compared(random_mixture(rng), solver, sigmas, "noise", **wide)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "terminal"),
    [("ddim", "zero"), ("stochastic_ddim", "zero"), ("dpmpp_2m", "zero")],
)
def test_the_gradient_of_points_equals_differences(solver: str, terminal: str) -> None:
    compared(toy("points15"), solver, schedule("log_snr", 6, terminal=terminal), "noise")


def test_the_gradient_from_the_true_start_and_with_half_the_noise() -> None:
    sigmas = schedule("log_snr", 5, sigma_max=3.0, sigma_min=0.1)
    compared(THREE, "stochastic_ddim", sigmas, "data", eta=0.5)
    compared(THREE, "dpmpp_2m", sigmas, "data")


@pytest.mark.parametrize("start", ["noise", "data"])
@pytest.mark.parametrize("solver", ["called_ddim", "called_ancestral"])
def test_the_gradient_where_the_call_is_below_the_state(solver: str, start: str) -> None:
    """The first call depends on the second level, and the data's law at the start does not."""
    compared(THREE, solver, schedule("log_snr", 5, sigma_min=0.05, sigma_max=20.0), start)


def folding() -> tuple[Mixture, SolverTable]:
    """A mixture and a table whose map folds the line within the data."""
    table = make_table("heun", schedule("log_snr", 4))
    return THREE, table


def test_charts_cover_the_data_once_and_folds_move() -> None:
    data, table = folding()
    flow = Flow(data, table, stretches(table)[0])
    grid = np.linspace(-1600.0, 1600.0, 2000)
    charts = Charts(Branches(flow, grid, 1e-3), -2.0, 2.5)
    assert charts.turns.size
    assert any(chart.left.turns or chart.right.turns for chart in charts.charts)
    t = np.linspace(0.0, len(charts.charts), 4001)[1:-1]
    t = t[np.abs(t - np.rint(t)) > 1e-3]
    of, x, rate = charts.places(t)
    y = flow(x)[0]
    assert np.all((y > -2.0 - 1e-9) & (y < 2.5 + 1e-9))
    ends = np.array(
        [[flow(np.array([e.x]))[0][0] for e in (c.left, c.right)] for c in charts.charts]
    )
    widths = np.abs(np.diff(ends, axis=1))
    assert widths.sum() == pytest.approx(4.5, rel=1e-9)
    assert np.all(rate > 0)
    assert set(of) == set(range(len(charts.charts)))


def test_a_jump_of_the_map_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map so steep that both ends of a chart are one number."""
    data, table = folding()
    branches = Branches(
        Flow(data, table, stretches(table)[0]), np.linspace(-1600, 1600, 2000), 1e-3
    )
    monkeypatch.setattr(Charts, "_end", lambda *_: End(1.0, -1, False))
    with pytest.raises(ValueError, match="table must give a map without jumps, got one from -2 to"):
        Charts(branches, -2.0, 2.5)


def test_the_gradient_where_a_fold_lies_in_the_data() -> None:
    data, table = folding()
    assert DifferentiableKL(data, table)._ending._charts.turns.size  # type: ignore[attr-defined]
    compared(data, "heun", schedule("log_snr", 4), "noise")


def test_the_value_is_that_of_the_exact_law() -> None:
    from benchmarks.measure.exact import kl

    for solver in ("stochastic_ddim", "ddim", "heun"):
        table = make_table(solver, schedule("log_snr", 6))
        exact = float(kl(THREE, table, rtol=1e-9))
        assert DifferentiableKL(THREE, table).value == pytest.approx(exact, rel=1e-8)


def test_a_map_that_takes_too_many_points_is_refused() -> None:
    with pytest.raises(ValueError, match="must give a law that 100 points of all branches resolve"):
        DifferentiableKL(THREE, make_table("ddim", schedule("log_snr", 4)), most=100)


def test_preimages_on_all_branches_count_as_points() -> None:
    """Heun's map folds hundreds of times between the points, where the density has few others."""
    table = make_table("heun", schedule("log_snr", 6, terminal="stop"))
    with pytest.raises(ValueError, match=r"too steep, with [1-9][0-9]{2} folds; take more steps"):
        DifferentiableKL(toy("points15"), table, most=200_000)
