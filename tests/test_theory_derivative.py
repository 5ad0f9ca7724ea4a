"""Derivatives by the levels of a schedule: closed forms, other differences, any structure."""

import gc
from collections.abc import Callable
from functools import partial

import mpmath as mp
import numpy as np
import pytest

from theory.solvers import derivative
from theory.solvers.ddim import ddim_table
from theory.solvers.derivative import TableGradient, levels_gradient
from theory.solvers.multistep import dpmpp_2m_table
from theory.solvers.registry import SOLVERS, make_table, shape_table
from theory.solvers.table import SolverTable

Array = np.ndarray
FIELDS = ("sigma", "keep", "weights", "noise")
# EDM's sampler jumps where a level crosses s_min or s_max; there it has no derivative.
SMOOTH = {
    "edm_stochastic": [{"s_min": 0.0, "s_max": 1e9}, {"s_max": 1e9, "s_min": 0.0, "s_churn": 3}]
}
OPTIONS = SMOOTH | {
    "ddim": [{}, {"call": "matched"}, {"call": 0.3}],
    "stochastic_ddim": [
        {},
        {"eta": 0.4},
        {"eta": 0.0},
        {"call": "matched", "eta": 0.5},
        {"call": "log_mean"},
    ],
    "heun": [{}, {"correct_last": False}],
    "dpmpp_2m": [{}, {"lower_order_final": False}],
    "sde_dpmpp_2m": [{}, {"variant": "heun", "lower_order_final": False}],
    "dpmpp_3m": [{}, {"corrected": True, "lower_order_final": False}],
    "unipc_3": [{}, {"variant": "bh1", "lower_order_final": False}],
    "deis_3": [{}, {"time": "vp", "lower_order_final": False}],
    "fd_2": [{}, {"form": "data", "stage": "interval"}, {"stage": "interval"}],
    "re_single": [{}, {"mix": "minimum", "form": "data"}, {"mix": 0.3, "stage": "interval"}],
}
ITERATIONS = ("re_multi", "re_multi_2025", "evodiff")  # whose weights depend on the state
CASES = [
    pytest.param(name, options, id=f"{name}-{options}")
    for name in SOLVERS
    if name not in ITERATIONS
    for options in OPTIONS.get(name, [{}])
]


def falling(seed: int, n_steps: int, *, zero: bool) -> Array:
    """Levels from 80 to 0.002 with log gaps that differ up to fourfold, then 0 if asked for."""
    rng = np.random.default_rng(seed)
    gaps = rng.uniform(0.25, 1.0, n_steps - zero)
    logs = np.log(80.0) - np.log(80.0 / 0.002) * np.append(0.0, np.cumsum(gaps)) / gaps.sum()
    return np.append(np.exp(logs), 0.0) if zero else np.exp(logs)


def entries(table: SolverTable | TableGradient) -> Array:
    return np.concatenate([np.ravel(getattr(table, field)) for field in FIELDS])


def seeds_of(table: SolverTable, seed: int) -> TableGradient:
    """The derivatives of a random linear form of the table's entries."""
    rng = np.random.default_rng(seed)
    return TableGradient(*(rng.normal(size=getattr(table, field).shape) for field in FIELDS))


def one_by_one(
    make: Callable[[Array], SolverTable], sigmas: Array, gradient: TableGradient
) -> Array:
    """Central differences of order 8, with another step, of one level at a time."""
    positive = sigmas[sigmas > 0]
    gaps = np.minimum(-np.diff(np.log(positive)), 1.0)
    steps = 0.01 * np.minimum(np.append(gaps, gaps[-1]), np.append(gaps[0], gaps))
    out = np.zeros_like(sigmas)
    for i, step in enumerate(steps):
        for k, weight in ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280)):
            for sign in (1, -1):
                moved = sigmas.copy()
                moved[i] *= np.exp(sign * k * step)
                out[i] += sign * weight * (entries(gradient) @ entries(make(moved))) / step
    return out


@pytest.mark.parametrize("zero", [False, True], ids=["stop", "zero"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_solver_has_the_derivatives_of_other_differences(
    name: str, options: dict[str, object], zero: bool
) -> None:
    make = partial(shape_table, name, start_std=80.0, **options)
    slow = {"deis_2", "deis_3", "ab_2", "fd_2", "re_single"}
    for n_steps in (2, 5) if name in slow else (2, 3, 7, 24):
        sigmas = falling(n_steps, n_steps, zero=zero)
        gradient = seeds_of(make(sigmas), n_steps)
        ours, exact = levels_gradient(make, sigmas, gradient), one_by_one(make, sigmas, gradient)
        # Truncation of both formulas, and rounding of 1e-16 over a step of 1e-3.
        np.testing.assert_allclose(ours, exact, rtol=1e-10, atol=2e-11 * np.abs(exact).max())
        assert not zero or ours[-1] == 0.0


def exact_rows(name: str, levels: list[mp.mpf]) -> list[list[mp.mpf]]:
    """sigma, keep, weights and noise of a step to the second of each pair, with many digits."""
    rows = []
    for i in range(len(levels) - 1):
        a, b = levels[i], levels[i + 1]
        share, zero = b / a, mp.mpf(0)
        if name == "ddim":
            rows.append([a, share, 1 - share, zero])
        elif name == "stochastic_ddim":
            noise = b * mp.sqrt(1 - share**2)
            rows.append([a, share**2, 1 - share**2, noise])
        else:  # DPM-Solver++(2M) without a lower order at the end
            k = zero if i == 0 else (1 - share) * mp.log(a / b) / mp.log(levels[i - 1] / a) / 2
            rows.append([a, share, 1 - share + k, -k, zero])
    return rows


@pytest.mark.parametrize("name", ["ddim", "stochastic_ddim", "dpmpp_2m"])
def test_closed_forms_have_their_derivatives(name: str) -> None:
    """Rows with 40 digits, differenced by mpmath."""
    options = {"lower_order_final": False} if name == "dpmpp_2m" else {}
    make = partial(SOLVERS[name], start_std=80.0, **options)
    sigmas = falling(3, 8, zero=False)
    gradient = seeds_of(make(sigmas), 1)
    weights = [np.ravel(getattr(gradient, field)[r]) for r in range(8) for field in FIELDS]
    flat = [mp.mpf(float(w)) for row in weights for w in row]

    def form(i: int, log_level: mp.mpf) -> mp.mpf:
        levels = [mp.mpf(float(s)) for s in sigmas]
        levels[i] = mp.exp(log_level)
        return mp.fdot(flat, [entry for row in exact_rows(name, levels) for entry in row])

    with mp.workdps(40):
        exact = [
            float(mp.diff(lambda x, i=i: form(i, x), mp.log(mp.mpf(float(s)))))
            for i, s in enumerate(sigmas)
        ]
    np.testing.assert_allclose(levels_gradient(make, sigmas, gradient), exact, rtol=1e-11)


def leaning_on_all(sigmas: Array) -> SolverTable:
    """A table of a user's own, whose every weight depends on every level."""
    table, lean = ddim_table(sigmas, 80.0), float(np.log(sigmas[sigmas > 0]).sum())
    return SolverTable(table.sigma, table.keep, table.weights * np.sin(lean), table.noise, 80.0,
                       table.end, 1, table.n_steps)  # fmt: skip


def test_a_table_that_depends_on_all_levels_is_differenced_level_by_level() -> None:
    sigmas = falling(4, 9, zero=True)
    gradient = seeds_of(leaning_on_all(sigmas), 2)
    ours = levels_gradient(leaning_on_all, sigmas, gradient)
    np.testing.assert_allclose(ours, one_by_one(leaning_on_all, sigmas, gradient), rtol=1e-10)
    table, lean = ddim_table(sigmas, 80.0), np.log(sigmas[:-1]).sum()
    own = TableGradient(gradient.sigma, gradient.keep, gradient.weights * np.sin(lean),
                        gradient.noise)  # fmt: skip
    by_hand = levels_gradient(partial(ddim_table, start_std=80.0), sigmas, own)
    by_hand[:-1] += (gradient.weights * table.weights).sum() * np.cos(lean)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("hidden", [False, True], ids=["shown by zeros", "hidden"])
def test_a_structure_that_changes_is_found_again(hidden: bool) -> None:
    """The history is used above a mean level only; both structures come from one function."""

    def make(sigmas: Array) -> SolverTable:
        first = sigmas[1] > 10.0
        table = dpmpp_2m_table(sigmas, 80.0, lower_order_final=False)
        weights = table.weights.copy()
        if hidden and not first:
            weights[1:, 1] = np.sin(sigmas[-1])
        elif not first:
            weights[:, 1] = 0.0
        return SolverTable(table.sigma, table.keep, weights, table.noise, 80.0, table.end, 2, 7)

    for seed in range(8):
        sigmas = falling(seed, 7, zero=False)
        sigmas[1] = 30.0 if seed % 2 else 5.0 + 1e-9 * seed
        sigmas[2:] = np.geomspace(3.0, 0.002 * (1 + seed), 6)
        gradient = seeds_of(make(sigmas), seed)
        ours, exact = levels_gradient(make, sigmas, gradient), one_by_one(make, sigmas, gradient)
        np.testing.assert_allclose(ours, exact, rtol=1e-9, atol=1e-10 * np.abs(exact).max())


def test_a_number_of_rows_that_changes_is_found_again() -> None:
    def make(sigmas: Array) -> SolverTable:
        return SOLVERS["heun" if sigmas[1] > 10.0 else "ddim"](sigmas, 80.0)

    for second in (30.0, 5.0, 30.0):
        sigmas = np.array([80.0, second, 1.0, 0.002])
        gradient = seeds_of(make(sigmas), 1)
        ours, exact = levels_gradient(make, sigmas, gradient), one_by_one(make, sigmas, gradient)
        np.testing.assert_allclose(ours, exact, rtol=1e-10, atol=1e-10)


def test_neighbouring_floats_are_no_reason_to_fail() -> None:
    """Nothing moves by a step far below rounding; the other levels keep their derivatives."""
    make = partial(ddim_table, start_std=80.0)
    sigmas = np.array([80.0, 3.0, np.nextafter(3.0, 0.0), 0.2, 0.02, 0.002])
    gradient = seeds_of(make(sigmas), 4)
    ours = levels_gradient(make, sigmas, gradient)
    apart = np.array([80.0, 3.0, 3.0 - 1e-9, 0.2, 0.02, 0.002])
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours[4:], levels_gradient(make, apart, gradient)[4:], rtol=1e-7)


def test_entries_that_do_not_depend_on_a_level_count_for_nothing() -> None:
    """Their derivatives may even be no numbers: the noise and the history of DDIM are constant."""
    make = partial(ddim_table, start_std=80.0)
    sigmas = falling(5, 6, zero=False)
    gradient = seeds_of(make(sigmas), 3)
    gradient.noise[:] = np.nan
    assert np.isfinite(levels_gradient(make, sigmas, gradient)).all()
    only_last = TableGradient(*(np.zeros_like(getattr(gradient, field)) for field in FIELDS))
    only_last.keep[-1] = 1.0
    ours = levels_gradient(make, sigmas, only_last)
    ratio = sigmas[-1] / sigmas[-2]
    np.testing.assert_array_equal(ours[:-2], 0.0)
    np.testing.assert_allclose(ours[-2:], [-ratio, ratio], rtol=1e-12)


@pytest.mark.parametrize("name", ["ddim", "heun", "unipc_3"])
def test_a_gradient_needs_few_tables(name: str) -> None:
    """Levels whose rows do not meet are moved together: two groups of six tables for DDIM.

    Three more tables show that the structure is as before, and two that it does not jump nearby.
    """
    count = 0

    def make(sigmas: Array) -> SolverTable:
        nonlocal count
        count += 1
        return SOLVERS[name](sigmas, 80.0)

    for seed in range(3):
        sigmas = falling(seed, 24, zero=False)
        gradient = seeds_of(make(sigmas), seed)
        count = 0
        levels_gradient(make, sigmas, gradient)
    assert count <= {"ddim": 17, "heun": 17, "unipc_3": 35}[name]


def test_what_is_kept_of_a_function_dies_with_it() -> None:
    gc.collect()
    before = len(derivative._PATTERNS)
    make = partial(ddim_table, start_std=80.0)
    sigmas = falling(5, 6, zero=False)
    levels_gradient(make, sigmas, seeds_of(make(sigmas), 3))
    assert len(derivative._PATTERNS) == before + 1
    del make
    gc.collect()
    assert len(derivative._PATTERNS) == before


class Unhashable:
    """A function object that no dictionary can hold."""

    __hash__ = None

    def __call__(self, sigmas: Array) -> SolverTable:  # noqa: D102
        return ddim_table(sigmas, 80.0)


def test_any_callable_will_do() -> None:
    sigmas = falling(5, 6, zero=False)
    gradient = seeds_of(ddim_table(sigmas), 3)
    ours = levels_gradient(Unhashable(), sigmas, gradient)
    np.testing.assert_array_equal(ours, levels_gradient(ddim_table, sigmas, gradient))


def test_errors_say_what_to_change() -> None:
    sigmas = falling(5, 6, zero=False)
    gradient = seeds_of(ddim_table(sigmas), 3)
    wrong = TableGradient(gradient.sigma, gradient.keep, np.zeros((6, 2)), gradient.noise)
    with pytest.raises(
        ValueError, match=r"^gradient must have the shapes \[.*\] of the table, got"
    ):
        levels_gradient(ddim_table, sigmas, wrong)
    with pytest.raises(ValueError, match="sigmas must fall strictly"):
        levels_gradient(ddim_table, sigmas[::-1], gradient)

    def growing(levels: Array) -> SolverTable:
        return ddim_table(levels) if levels[1] == sigmas[1] else dpmpp_2m_table(levels)

    with pytest.raises(ValueError, match=r"^make must have the shapes .* of the table, got"):
        levels_gradient(growing, sigmas, gradient)


def test_differences_do_not_reach_over_a_jump_of_the_table() -> None:
    """Churn begins at level 50: the level just above is not raised, and depends on nothing else."""
    sigmas = np.array([80.0, 50.19, 36.9, 22.0, 1.0, 0.01])
    table = make_table("edm_stochastic", sigmas)
    zeros = [np.zeros_like(v) for v in (table.sigma, table.keep, table.weights)]
    by = TableGradient(*zeros, np.ones_like(table.noise))
    found = levels_gradient(lambda s: make_table("edm_stochastic", s), sigmas, by)
    assert found[1] == 0.0
    share = table.noise.max() / sigmas[2]
    assert found[2:5] == pytest.approx(share * sigmas[2:5], rel=1e-9)
