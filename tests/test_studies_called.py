"""The studies of called levels: their rows, and the tables that the documentation shows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.engine.store import Store
from benchmarks.measure.divergences import exact_kl
from benchmarks.studies import called_levels as study
from benchmarks.studies.called import ceiling as free
from benchmarks.studies.called import report, samples
from benchmarks.studies.schedule_regret import mixtures
from theory.schedules.standard import edm_sigmas
from theory.solvers.registry import make_table
from toys.files import load_toy

ROOT = Path(__file__).parents[1]
ROWS = study.called_levels("committed", Store(Path("unused")), None)
FREE = pd.read_csv(free.FREE_ROWS)
TEXT = (ROOT / "docs" / "called_levels.md").read_text(encoding="utf-8")


def test_the_rows_are_complete_and_every_unknown_one_has_a_reason() -> None:
    rows = ROWS[ROWS["data"] == "mixture"]
    plain = rows[rows["schedule"].isin(study.SCHEDULES)]
    expected = len(mixtures()) * len(study.SAMPLERS) * len(study.CALLS) * len(study.SCHEDULES)
    assert len(plain) == expected
    assert not plain.duplicated(["toy", "sampler", "calls", "schedule"]).any()
    unknown = rows[rows["kl_data_model"].isna()]
    assert unknown["reason"].notna().all()
    assert (plain["nfe"] == plain["calls"]).all()
    best = rows[rows["schedule"] == "optimal"]
    assert set(best["sampler"]) >= {"called_ddim", "called_ancestral", "ddim", "stochastic_ddim"}
    assert best["sigmas"].notna().all()


def test_rows_are_what_the_exact_law_says() -> None:
    """One in a few hundred, chosen by their position."""
    rows = ROWS[
        (ROWS["data"] == "mixture") & (ROWS["schedule"] == "edm") & (ROWS["calls"] <= 8)
        & ROWS["sampler"].isin(("ddim", "called_ddim", "called_ancestral", "dpmpp_2m"))
        & ROWS["kl_data_model"].notna()
    ]  # fmt: skip
    for row in rows.iloc[:: len(rows) // 6].itertuples():
        data = load_toy(mixtures()[row.toy])
        table = make_table(row.sampler, edm_sigmas(row.calls, 80.0, 0.002, "stop"), 80.0)
        assert exact_kl(data, table, rtol=1e-6).value == pytest.approx(row.kl_data_model, rel=1e-5)


def test_products_are_a_closed_form() -> None:
    kept = ROWS[ROWS["data"] == "product"].reset_index(drop=True)
    found = study.product_rows()
    assert len(kept) == len(found)
    np.testing.assert_allclose(kept["kl_data_model"], found["kl_data_model"], rtol=1e-6)


def test_the_documentation_has_the_tables() -> None:
    for schedule in study.SCHEDULES:
        assert "\n".join(report.gains_markdown(ROWS, schedule)) in TEXT, schedule
    for schedule in ("edm", "optimal"):
        assert "\n".join(report.places_markdown(ROWS, schedule)) in TEXT, schedule
    assert "\n".join(report.products_markdown(ROWS, 8)) in TEXT
    for name in samples.data_sets():
        assert "\n".join(report.samples_markdown(ROWS, name)) in TEXT, name
    for target in ("digits", "binary-digits", "mixture"):
        assert "\n".join(report.networks_markdown(ROWS, target)) in TEXT, target
    assert "\n".join(report.ceiling_markdown(FREE)) in TEXT


def test_the_counts_that_the_documentation_names() -> None:
    for schedule, name in (("edm", "EDM's grid"), ("log_snr", "log-SNR levels")):
        found = report.wins(ROWS, schedule)
        numbers = ", ".join(str(found[count][0]) for count in study.CALLS)
        assert f"{numbers} of 20 mixtures on {name}" in TEXT


def rows_of(sampler: str, values: list[float | None], errors: list[float | None]) -> pd.DataFrame:
    count = len(values)
    return pd.DataFrame(
        {"data": ["mixture"] * count, "half": ["report"] * count, "schedule": ["edm"] * count}
        | {"toy": [f"report-{i}" for i in range(count)], "sampler": [sampler] * count}
        | {"calls": [4] * count, "kl_data_model": values, "error": errors}
    )


def test_gains_count_what_is_infinite_and_leave_out_what_is_unknown() -> None:
    table = pd.concat(
        [
            rows_of("ddim", [1.0, 2.0, None, 4.0], [0.0, 0.0, 0.0, 0.0]),
            rows_of("called_ddim", [0.5, 3.0, 1.0, None], [0.0, 0.0, 0.0, None]),
        ]
    )
    found = report.gains(table, "edm").iloc[0]
    assert (found["median"], found["worst"], found["lower"], found["count"]) == (0.5, 1.5, 2, 3)
    assert (
        report.gains_markdown(table, "edm")[-1] == "| `called_ddim` | `ddim` | 0.5 (1.5), 2 of 3 |"
    )
    assert report.places_markdown(table, "edm")[2:] == ["| `ddim` | 1 |", "| `called_ddim` | 0.5 |"]


def test_moments_of_the_mixtures_in_32_dimensions() -> None:
    for name, data in samples.data_sets().items():
        exact = samples.moments_of(data)
        x = data.sample(20_000, 5)
        np.testing.assert_allclose(x.mean(axis=0), exact.mean, atol=0.06)
        np.testing.assert_allclose(np.cov(x.T), exact.covariance, atol=0.08)
        assert f"`{name}`" in TEXT


def test_distances_of_samples_are_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "PATHS", 500)
    name = next(iter(samples.data_sets()))
    cell = samples.SampledCell(name, "called_ddim", "edm", 4, 3)
    assert cell.run() == cell.run()
    floor = samples.SampledCell(name, samples.DATA, "edm", 4, 3).run()
    assert 0.0 < floor < cell.run()


def test_free_tables_are_confirmed_by_the_exact_law() -> None:
    """The columns agree to 1 %, and the tables in the rows give their KL again."""
    np.testing.assert_allclose(FREE["kl"], FREE["kl_exact"], rtol=1e-2)
    assert (FREE["kl_exact"] < FREE["kl_start"]).all()
    for row in FREE.iloc[::20].itertuples():
        data = load_toy(free.mixture_text(row.toy))
        table = free.from_text(row.table)
        assert exact_kl(data, table, rtol=1e-7).value == pytest.approx(row.kl_exact, rel=1e-6)
        changed = exact_kl(free.changed(data), table, rtol=1e-7).value
        assert changed == pytest.approx(row.kl_changed, rel=1e-6)
    keys = {(r.toy, r.noise, r.calls, r.history) for r in FREE.itertuples()}
    assert keys == {(name, *case) for name in free.NAMES for case in free.CASES}


def test_the_network_rows_have_three_trainings_and_three_seeds() -> None:
    rows = pd.read_csv(study.CALLED_NETWORK_ROWS, low_memory=False)
    scores = rows[(rows["kind"] == "score") & (rows["told_shift"] == 0.0)]
    assert set(scores["target"]) == {"digits", "binary-digits", "mixture"}
    groups = scores.groupby(["target", "sampler", "share", "calls"])
    assert (groups["training"].nunique() == study.TRAININGS).all()
    seeds = groups["seed"].nunique()
    assert (seeds[seeds.index.get_level_values("calls") < 32] == 3).all()
