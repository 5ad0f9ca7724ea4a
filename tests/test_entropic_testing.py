"""The strategies of `entropic.testing`: what they draw, and that examples shrink to plain ones."""

import re

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from entropic.testing import levels, mixtures, schedules, tables
from theory.solvers.reducing import ReducingIteration, Solver
from theory.solvers.registry import SOLVERS, draws_on_profile
from toys import sampling
from toys.mixture import Mixture

QUIET = settings(database=None, derandomize=True, max_examples=400)


def test_a_failing_mixture_shrinks_to_the_plainest() -> None:
    assert repr(find(mixtures(), lambda toy: True, settings=QUIET)) == (
        "Mixture([1.0], [0.0], [1.0])"
    )
    toy = find(mixtures(), lambda toy: toy.size == 3 and toy.variance > 2.0, settings=QUIET)
    assert toy.dim == 1
    assert np.all(toy.weights == toy.weights[0])
    assert np.count_nonzero(toy.means) <= 1
    assert np.all(toy.stds == 1.0)


def test_a_failing_schedule_shrinks_to_few_round_levels() -> None:
    sigmas = find(schedules(), lambda s: s.size >= 3, settings=QUIET)
    assert sigmas.size == 3
    assert all(len(f"{s:g}") <= 5 for s in sigmas)
    assert find(schedules(zero=True), lambda s: True, settings=QUIET).tolist() == [1.0, 0.0]


def test_an_example_prints_as_the_calls_that_make_it() -> None:
    @settings(database=None, derandomize=True, report_multiple_bugs=False)
    @given(toy=mixtures(dim=1), table=tables())
    def fails(toy: Mixture, table: Solver) -> None:
        raise AssertionError("planted")

    with pytest.raises(AssertionError) as caught:
        fails()
    notes = " ".join("".join(getattr(caught.value, "__notes__", [])).split())
    assert "toy=Mixture([1], [0.0], [1.0])" in notes
    assert re.search(r"table=make_table\('ddim', array\(\[1\., 0\. ?\]\)\)", notes), notes


@given(toy=mixtures(kind="points"))
def test_points_have_no_width(toy: Mixture) -> None:
    assert toy.is_points
    assert 1 <= toy.dim <= 4
    assert 1 <= toy.size <= 8


@given(toy=mixtures(dim=2, kind="densities", max_components=3))
def test_densities_have_width_everywhere(toy: Mixture) -> None:
    assert toy.has_density
    assert toy.dim == 2
    assert toy.size <= 3


@given(sigma=levels(0.01, 10.0))
def test_levels_stay_in_their_range(sigma: float) -> None:
    assert 0.01 <= sigma <= 10.0
    assert float(f"{sigma:.3g}") == sigma


@given(data=st.data(), zero=st.sampled_from([True, False, None]))
def test_schedules_fall_and_end_as_asked(data: st.DataObject, zero: bool | None) -> None:
    sigmas = data.draw(schedules(max_steps=5, zero=zero))
    assert 2 <= sigmas.size <= 6
    assert np.all(np.diff(sigmas) < 0)
    assert sigmas[-2] > 0
    assert zero is None or (sigmas[-1] == 0.0) == zero


@pytest.mark.parametrize("solver", [name for name in SOLVERS if not draws_on_profile(name)])
@given(data=st.data(), place=st.integers(-30, 30))
@settings(max_examples=15)
def test_every_solver_brings_a_single_point_home(
    solver: str, data: st.DataObject, place: int
) -> None:
    """The denoiser of one point is that point, which the row that reaches 0 returns."""
    table = data.draw(tables([solver], zero=True))
    toy = Mixture([1], [place / 10], 0)
    states = np.array([[-3.0], [0.0], [40.0]])
    ends = sampling.walk_states(toy, table, states, 0)
    np.testing.assert_allclose(ends, place / 10, atol=1e-12)
    assert table.end == 0.0
    assert table.nfe == table.sigma.size
    assert isinstance(table, ReducingIteration) or table.nfe == len(table.keep)


@given(table=tables())
def test_tables_end_where_their_levels_do(table: Solver) -> None:
    assert table.end >= 0.0
    assert table.n_steps <= 8
    assert table.end < table.sigma.max()


@given(toy=mixtures(dim=3, kind="densities"))
def test_widths_may_differ_between_axes(toy: Mixture) -> None:
    assert toy.stds.shape == (toy.size, 3)


def test_some_mixtures_have_unequal_axes() -> None:
    toy = find(mixtures(dim=2), lambda toy: np.ptp(toy.stds) > 0, settings=QUIET)
    assert toy.size == 1


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="kind must be one of any, points, densities"):
        mixtures(kind="dots")
    with pytest.raises(ValueError, match="low must be positive, got 0"):
        levels(0.0)
    with pytest.raises(ValueError, match="low must be below high 1, got 2"):
        levels(2.0, 1.0)
    with pytest.raises(ValueError, match=r"solver must be one of .* did you mean 'heun'"):
        tables(["huen"])
