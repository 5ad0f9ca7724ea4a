"""The study of regrets: its frozen mixtures, its rows, and the table of the documentation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.engine.store import Store
from benchmarks.studies import schedule_regret as study
from toys.files import load_toy

ROOT = Path(__file__).parents[1]
ROWS = pd.read_csv(study.REGRET_ROWS, dtype={"reason": object})
PAIRS = [(s, c) for s, c in ROWS[["solver", "calls"]].drop_duplicates().itertuples(index=False)]


def test_the_kept_mixtures_are_those_that_were_drawn() -> None:
    again = study.draw_mixtures()
    assert list(study.mixtures()) == list(again)
    for name, text in study.mixtures().items():
        kept, drawn = load_toy(text), again[name]
        np.testing.assert_allclose(kept.means, drawn.means, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(kept.stds, drawn.stds, rtol=1e-12)
        np.testing.assert_allclose(kept.weights, drawn.weights, rtol=1e-12)
        assert kept.variance == pytest.approx(1.0)
        assert 2 <= kept.size <= 15
    assert sum(load_toy(text).is_points for text in study.mixtures().values()) == 4


@pytest.mark.parametrize(("solver", "calls"), PAIRS)
def test_every_method_has_a_row_on_every_mixture(solver: str, calls: int) -> None:
    rows = ROWS[(ROWS["solver"] == solver) & (ROWS["calls"] == calls)]
    want = set(study.METHODS) - {"optimal_noisy"}
    for name, part in rows.groupby("toy"):
        noisy = str(name).startswith("report") and solver in study.NOISY
        assert sorted(part["schedule"]) == sorted(want | ({"optimal_noisy"} if noisy else set()))
    names = set(study.mixtures())
    if solver not in study.NOISY and calls > 8:  # see docs/optimum.md
        names = {name for name in names if name.startswith("report")}
    assert set(rows["toy"]) == names


def test_regrets_are_over_the_least_kl_at_equal_calls() -> None:
    """The searches find it, except for a few maps that fold often; a row without it says why."""
    regret = pd.to_numeric(ROWS["regret"])
    assert regret.min() == 1.0
    assert ROWS["reason"][regret.isna()].notna().all()
    known = ROWS[regret.notna()]
    assert (known["nfe"] == known["calls"]).all()
    optimum = ROWS[(ROWS["schedule"] == "optimum") & regret.notna()]
    assert (optimum["regret"] <= 1.002).mean() > 0.97
    first_order = optimum[optimum["solver"].isin(study.NOISY)]
    assert first_order["regret"].max() <= 1.002
    for row in optimum.itertuples():
        sigmas = np.array([float(part) for part in row.sigmas.split()])
        assert sigmas[0] == study.HIGH
        assert sigmas[-1] == study.LOW
        assert (np.diff(sigmas) < 0.0).all()
        assert sigmas.size == study.steps_of(row.solver, row.calls) + 1


def test_the_documentation_has_the_medians() -> None:
    text = (ROOT / "docs" / "optimum.md").read_text(encoding="utf-8")
    for solver in dict.fromkeys(solver for solver, _ in PAIRS):
        assert "\n".join(study.markdown(ROWS, solver)) in text, solver


def test_a_summary_counts_what_is_infinite_and_leaves_out_what_is_unknown() -> None:
    rows = pd.DataFrame(
        {
            "half": ["report"] * 5 + ["look"],
            "schedule": ["edm"] * 6,
            "solver": ["ddim"] * 6,
            "calls": [4] * 6,
            "kl_data_model": [0.1, 0.2, None, None, 0.3, 0.9],
            "regret": [1.05, 2.0, None, None, None, 9.0],
            "error": [0.0, 0.0, 0.0, None, 0.0, 0.0],
        }
    )
    found = study.summary(rows).iloc[0]
    assert found["count"] == 3
    assert found["median"] == 2.0
    assert found["worst"] == np.inf
    assert found["within"] == pytest.approx(1.0 / 3.0)
    assert study.markdown(rows, "ddim")[-1] == "| `edm` | 2.00, > 10⁴ |"


def test_without_a_search_the_least_kl_known_is_that_of_the_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(_: object) -> None:
        raise ValueError("table must give a law, got a map that is too steep")

    monkeypatch.setattr(study, "best", torn)
    monkeypatch.setattr(study, "METHODS", ("optimum", "edm", "log_snr", "vp_linear"))
    given = Store(tmp_path), 1, ("report-10",), ("heun",), (4,)
    rows = pd.concat(study.regret_rows(*given)).set_index("schedule")
    assert rows["reason"]["optimum"] == "table must give a law, got a map that is too steep"
    found = pd.to_numeric(rows["regret"]).drop("optimum")
    assert found.min() == 1.0
    assert found.notna().all()


@pytest.mark.slow
def test_a_kept_regret_is_found_again() -> None:
    """One mixture of few components, from its profile to the KL."""
    toy = study.mixtures()["report-10"]
    fits = tuple(tuple(fit) for fit in study.StandIns(toy).run())
    rows = pd.DataFrame(study.RegretCell(toy, "ddim", 4, fits).run()).set_index("schedule")
    kept = ROWS.query("toy == 'report-10' and solver == 'ddim' and calls == 4")
    for row in kept.itertuples():
        if row.schedule != "optimal_noisy":
            found = rows.loc[row.schedule, "kl_data_model"]
            rtol = 1e-3 if row.schedule in ("optimum", "optimal", "ays", "oss") else 1e-6
            assert found == pytest.approx(row.kl_data_model, rel=rtol), row.schedule


def test_what_the_documentation_says_of_the_levels_from_a_profile() -> None:
    rows = ROWS[ROWS["schedule"] == "optimal"]
    good = (rows["regret"] <= 1.1).groupby([rows["half"], rows["solver"]]).agg(["sum", "size"])
    assert good.loc[("report", "stochastic_ddim")].tolist() == [80, 80]
    assert good.loc[("report", "ddim")].tolist() == [78, 80]
    assert good.loc[("look", "stochastic_ddim"), "sum"] == round(0.80 * 80)
    assert good.loc[("look", "ddim"), "sum"] == round(0.95 * 80)
    worst = rows[rows["solver"] == "stochastic_ddim"].groupby("toy")["regret"].max()
    assert worst["look-19"] == pytest.approx(1.49, abs=0.005)
    assert worst["look-18"] == pytest.approx(1.26, abs=0.005)
    assert worst["look-06"] == pytest.approx(1.26, abs=0.005)
    law = ROWS[(ROWS["schedule"] == "law") & (ROWS["toy"] == "report-19")]
    law = law[law["solver"] == "stochastic_ddim"]
    assert law["regret"].min() == pytest.approx(29.0, abs=0.5)
    assert law["regret"].max() == pytest.approx(265.0, abs=0.5)


def test_what_the_documentation_says_of_solvers_of_second_order() -> None:
    found = study.summary(ROWS).query("calls == 8").set_index(["solver", "schedule"])
    two = found.loc["dpmpp_2m"]
    assert two["median"]["optimal"] == pytest.approx(1.06, abs=0.005)
    assert two["median"]["edm"] == pytest.approx(43.0, abs=0.9)
    assert two["median"].drop("optimal").min() == pytest.approx(2.7, abs=0.05)
    assert two["worst"]["optimal"] == pytest.approx(1.76, abs=0.005)
    assert found.loc[("unipc_2", "optimal"), "median"] == pytest.approx(1.10, abs=0.005)
    assert found.loc[("unipc_2", "optimal"), "worst"] == pytest.approx(2.45, abs=0.005)
    more = study.summary(ROWS).query("calls == 16").set_index(["solver", "schedule"])["median"]
    for solver, own, others in (("dpmpp_2m", 1.04, 7.0), ("unipc_2", 1.28, 23.0)):
        assert more[solver]["optimal"] == pytest.approx(own, abs=0.005)
        assert more[solver].drop("optimal").min() == pytest.approx(others, abs=0.5)
    best = ROWS.query("schedule == 'optimum' and solver == 'unipc_2' and calls == 16")
    assert best["kl_data_model"].median() == pytest.approx(5e-5, rel=0.05)
    assert (best["kl_data_model"] < 1e-8).sum() == 3
    heun = study.summary(ROWS).query("solver == 'heun' and schedule == 'vp_linear'")
    assert heun["median"].max() < 1.2
    optimum = ROWS[(ROWS["schedule"] == "optimum") & (ROWS["solver"] == "heun")]
    lost = optimum[optimum["regret"].isna()]
    assert lost.groupby(["half", "calls"]).size().tolist() == [2, 2, 1, 1]
    assert optimum["regret"].max() < 1.3
