"""Tables whose every entry is free: the derivatives, what is gained, and what is refused."""

import numpy as np
import pytest

from benchmarks.measure.divergences import exact_kl
from benchmarks.optimum import free_table as study
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from theory.solvers.table import SolverTable
from theory.solvers.two_calls import heun_table
from toys.mixture import Mixture

TWO = Mixture([0.4, 0.6], [-0.9, 0.6], [0.35, 0.3])
LEVELS = log_snr_sigmas(3, 20.0, 0.05)


@pytest.mark.parametrize(("name", "history"), [("stochastic", 1), ("plain", 1), ("plain", 2)])
def test_the_derivatives_by_the_free_entries(name: str, history: int) -> None:
    table = stochastic_ddim_table(LEVELS) if name == "stochastic" else ddim_table(LEVELS)
    search = study._Search(TWO, study._widened(table, history))
    place = search.place + 0.02 * np.random.default_rng(1).normal(size=search.place.size)
    _, gradient = search(place)
    assert place.size == 3 + 3 + (3 if history == 1 else 5) + 3 * (name == "stochastic")
    for i in range(place.size):
        step = np.zeros_like(place)
        step[i] = 1e-4
        slope = (search(place + step)[0] - search(place - step)[0]) / 2e-4
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize(("table", "gain"), [(stochastic_ddim_table, 30.0), (ddim_table, 10.0)])
def test_a_free_table_is_far_better_and_its_kl_is_exact(table: object, gain: float) -> None:
    start = table(LEVELS)  # type: ignore[operator]
    found = study.free_table(TWO, start)
    before, after = (exact_kl(TWO, one, rtol=1e-7).value for one in (start, found.table))
    assert before is not None
    assert after is not None
    assert before / after > gain
    assert found.value == pytest.approx(after, rel=1e-2)
    assert found.searched == pytest.approx(after, rel=0.05)
    assert (found.table.noise > 0).tolist() == (start.noise > 0).tolist()


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="start must keep one state per row, got older ones"):
        study.free_table(TWO, _older(heun_table(LEVELS)))


def _older(table: SolverTable) -> SolverTable:
    keep = np.pad(table.keep, ((0, 0), (0, 1)))
    keep[1:, 1] = 0.1
    return SolverTable(
        table.sigma, keep, table.weights, table.noise, table.start_std, table.end, 1, table.n_steps
    )
