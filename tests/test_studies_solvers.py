"""What the solver tables measure, against closed forms and other routes to the same number."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store
from benchmarks.measure import divergences, orders
from benchmarks.studies import re_vs_baselines
from benchmarks.studies.re_vs_baselines import KL_ROWS, KL_RTOL, steps_within
from benchmarks.studies.solver_convergence import (
    DETERMINISTIC,
    LEFT,
    MOMENT,
    PATHS,
    SAME,
    STOCHASTIC,
    error_row,
)
from theory.gaussian import table_variances
from theory.schedules.registry import schedule
from theory.solvers.registry import SOLVERS
from theory.solvers.table import SolverTable
from toys import zoo
from toys.mixture import normals


def levels(n: int, grid: str = "log_snr") -> tuple[float, ...]:
    return tuple(schedule(grid, n, "edm", None).tolist())


def path_setting(toy: str, n: int, solver: str, paths: int = 200, seed: int = 0) -> Setting:
    return Setting(toy, "log_snr", n, solver, metrics=PATHS, paths=paths, seed=seed)


def kl_setting(n: int, solver: str) -> Setting:
    kl = (("kl_data_model", KL_RTOL),)
    return Setting("gaussians15_overlap", "log_snr", n, solver, sigmas=levels(n), metrics=kl)


def table_of(setting: Setting, start_std: float | None = None) -> SolverTable:
    table = setting.table(setting.levels(), start_std)
    assert isinstance(table, SolverTable)
    return table


def test_every_solver_is_in_the_convergence_figure() -> None:
    shown = {name for name, _ in (*DETERMINISTIC, *STOCHASTIC)}
    assert shown | set(SAME) | set(LEFT) == set(SOLVERS)
    assert not shown & {*SAME, *LEFT}
    for other, name in SAME.items():
        assert SOLVERS[other].func is SOLVERS[name]  # type: ignore[attr-defined]


def test_path_errors_on_one_gaussian_are_the_closed_form() -> None:
    """Every state is the start times a gain: the solver's, or the ratio of stds for the flow."""
    setting = path_setting("gaussian", 8, "heun", paths=64, seed=3)
    gain = np.sqrt(table_variances(table_of(setting, 1.0), 1.0)[-1])
    flow = np.hypot(1.0, 0.002) / np.hypot(1.0, 80.0)
    starts = 80.0 * normals(64, 1, 3, 0, 0)[:, 0]
    rms, median = setting.run()
    assert rms["value"] == pytest.approx(abs(gain - flow) * np.sqrt(np.mean(starts**2)), rel=1e-9)
    expected = abs(gain - flow) * np.sqrt(np.median(starts**2))
    assert median["value"] == pytest.approx(expected, rel=1e-9)
    assert (rms["nfe"], rms["seed"], rms["paths"]) == (16, 3, 64)
    shown = error_row([rms, median])
    assert (shown["value"], shown["median"]) == (rms["value"], median["value"])
    assert (shown["stderr"], shown["error"]) == (rms["error"], None)


def test_path_errors_are_those_of_the_fitted_orders() -> None:
    error = orders.error_of("dpmpp_2m", "gaussians15_overlap", 80.0, 0.002, {})(16)
    row, _ = path_setting("gaussians15_overlap", 16, "dpmpp_2m").run()
    assert row["value"] == pytest.approx(error, rel=1e-12)


def test_standard_errors_of_path_errors_are_those_of_independent_starts() -> None:
    """The spread over 40 seeds; its own relative error is 1 / sqrt(78), 11 %."""
    settings = [path_setting("gaussian", 8, "ddim", paths=400, seed=s) for s in range(40)]
    rows = [setting.run()[0] for setting in settings]
    spread = np.std([row["value"] for row in rows], ddof=1)
    assert spread == pytest.approx(np.mean([row["error"] for row in rows]), rel=0.4)


def test_a_path_that_is_lost_leaves_no_value_but_a_reason() -> None:
    for row in path_setting("gaussians15_overlap", 64, "evodiff").run():
        assert row["value"] is None
        assert row["error"] is None
        assert "of 200 beyond; the solver diverges" in row["reason"]
    for row in path_setting("two_points", 256, "evodiff").run():
        assert row["value"] is None
        assert "must end within 1000 of the flow's ends" in row["reason"]


@pytest.mark.parametrize("solver", ["stochastic_ddim", "edm_stochastic"])
def test_moments_of_law_and_paths_agree(solver: str) -> None:
    """Within 4 standard errors: a false alarm in 16000."""
    setting = Setting("gaussians15_overlap", "log_snr", 8, solver, start="data", metrics=MOMENT)
    [exact], [sampled] = setting.run(), replace(setting, paths=20_000).run()
    assert abs(exact["value"] - sampled["value"]) < 4.0 * sampled["error"]
    assert (exact["route"], sampled["route"]) == ("exact law", "Monte Carlo")
    shown = error_row([exact])
    assert (shown["value"], shown["excess"]) == (abs(exact["value"]), exact["value"])
    error = orders.error_of(solver, setting.toy, 80.0, 0.002, {})(8)
    assert shown["value"] == pytest.approx(error, rel=1e-6)


def w1_by_quantiles(toy: str, n: int, solver: str) -> Setting:
    return Setting(toy, "log_snr", n, solver, metrics=(("w1", 0.0),), quantiles=2**15)


def test_wasserstein_of_ddim_on_one_gaussian_is_the_closed_form() -> None:
    """Two Gaussians of mean 0 are |s1 - s2| sqrt(2 / pi) apart."""
    setting = w1_by_quantiles("gaussian", 8, "ddim")
    std = np.sqrt(table_variances(table_of(setting), 1.0)[-1])
    [row] = setting.run()
    expected = abs(std - np.hypot(1.0, 0.002)) * np.sqrt(2.0 / np.pi)
    assert row["value"] == pytest.approx(expected, rel=1e-4)
    assert abs(row["value"] - expected) < 3.0 * row["error"]


@pytest.mark.parametrize(("solver", "n"), [("dpmpp_2m", 8), ("heun", 5), ("evodiff", 10)])
def test_wasserstein_by_quantiles_is_that_of_the_exact_law(solver: str, n: int) -> None:
    """Monotone, folded and torn maps."""
    setting = w1_by_quantiles("gaussians15_overlap", n, solver)
    table = setting.table(setting.levels())
    law = divergences.measures(zoo.toy(setting.toy), table, metrics={"w1": 1e-4})
    [row] = setting.run()
    assert row["value"] == pytest.approx(law["w1"].value, rel=1e-3)


def test_a_law_that_does_not_settle_leaves_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toys.laws.passes.MAX_PASSES", 1)
    [row] = kl_setting(4, "ddim").run()
    assert (row["value"], row["error"]) == (None, None)
    assert row["reason"].startswith("the exact law must settle to 1e-05 relative, got ")


@pytest.mark.parametrize(
    ("solver", "calls", "steps"),
    [("ddim", 5, 5), ("heun", 5, 2), ("heun", 6, 3), ("re_multi", 5, 4), ("evodiff", 5, 5)],
)
def test_solvers_take_the_most_steps_within_the_calls(solver: str, calls: int, steps: int) -> None:
    assert steps_within(solver, calls) == steps


def test_ranks_are_of_the_values_and_nothing_has_a_rank_without_one(tmp_path: Path) -> None:
    table = re_vs_baselines.re_vs_baselines("quick", Store(tmp_path), 1)
    assert set(table["metric"]) == {"w1", "kl_data_model", "path_rms"}
    assert set(table["solver"]) == {*re_vs_baselines.BASELINES, *re_vs_baselines.REDUCING}
    assert (table["nfe"] <= table["calls"]).all()
    assert (table["rank"].isna() == table["value"].isna()).all()
    for _, group in table.groupby(re_vs_baselines.GROUP):
        values = group["value"].dropna()
        best = group.loc[group["rank"] == 1, "value"]
        assert set(best) == {values.min()}
        assert (group["reason"].notna() == group["value"].isna()).all()


def test_the_study_has_a_row_for_every_case_and_is_reproduced() -> None:
    study = re_vs_baselines.read_kl_rows(KL_ROWS)
    keys = study.set_index(["toy", "schedule", "calls", "solver"])
    assert keys.index.is_unique
    assert len(keys) == 2 * 3 * 7 * 11
    for solver, calls in (("ddim", 5), ("deis_3", 12), ("re_multi", 6), ("evodiff", 10)):
        n = steps_within(solver, calls)
        [row] = kl_setting(n, solver).run()
        kept = keys.loc[("gaussians15_overlap", "log_snr", calls, solver)]
        assert kept["reason"] == row["reason"]
        if row["value"] is None:
            assert pd.isna(kept["value"])
        else:
            assert kept["value"] == pytest.approx(row["value"], rel=1e-6)
