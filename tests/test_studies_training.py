"""Compute-to-target, winners and the tables of the training figures, on rows made by hand."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks.engine.store import Store
from benchmarks.studies import (
    digits_schedules,
    infonoise_emergence,
    infonoise_transfer,
    learned_profile,
)
from benchmarks.studies import infonoise_transfer as transfer
from entropic.commands.main import main
from theory.profiles.pivots import gate
from theory.profiles.profile import Profile
from theory.schedules.registry import schedule as named_schedule

KEX = (1.0, 2.0, 4.0, 8.0, 16.0)
HIGH, LOW = 10.0, 1.0
Methods = Mapping[str, Sequence[float | None]]  # where each seed reaches LOW, or never


def training_rows(target: str, reached: Methods, floor: float = 0.5) -> pd.DataFrame:
    """Scores that fall from HIGH to LOW at an evaluation; without one they end between."""
    rows = []
    for (method, places), kex in itertools.product(reached.items(), KEX):
        for seed, place in enumerate(places):
            score = HIGH if place is None or kex < place else LOW
            score = HIGH / 2 if place is None and kex == KEX[-1] else score
            row = {"target": target, "method": method, "seed": seed, "kex": kex, "score": score}
            rows.append(row | {"device": "cpu", "torch": "2", "numpy": "2.1"})
    rows.append({"target": target, "method": "real", "score": floor, "torch": "2"})
    return pd.DataFrame(rows)


CLEAR: Methods = {"edm": (4.0, 8.0, 16.0), "log_uniform": (None, 16.0, None)}


@pytest.mark.parametrize(
    ("score", "target", "found"),
    [
        ((4.0, 2.0), 3.0, (100.0, True)),  # halfway in log kex
        ((3.0, 2.0), 3.0, (10.0, True)),  # at the first evaluation, where nothing is known before
        ((2.0, 1.0), 3.0, (10.0, True)),
        ((4.0, 3.0), 3.0, (1000.0, True)),  # at the last
        ((4.0, 3.1), 3.0, (1000.0, False)),  # censored
    ],
)
def test_first_reached_is_linear_in_log_kex_or_censored_at_the_budget(
    score: tuple[float, float], target: float, found: tuple[float, bool]
) -> None:
    kex, reached = transfer.first_reached(np.array([10.0, 1000.0]), np.array(score), target)
    assert kex == pytest.approx(found[0], rel=1e-14)
    assert reached is found[1]


def test_first_reached_is_the_first_crossing_of_a_score_that_rises_again() -> None:
    kex, reached = transfer.first_reached(np.array(KEX), np.array([9.0, 3.0, 9.0, 2.0, 1.0]), 3.0)
    assert (kex, reached) == (pytest.approx(2.0), True)


def test_target_score_is_the_best_final_median_of_fixed_baselines_alone() -> None:
    rows = training_rows("digits", {"edm": (4.0, 16.0, None), "log_uniform": (None,) * 3})
    ours = training_rows("digits", {"infonoise": (1.0, 1.0, 1.0)}, floor=0.1)
    ours = ours.assign(score=ours["score"] * 0.3)
    assert transfer.target_score(pd.concat([rows, ours])) == (LOW, "edm")
    assert transfer.target_score(rows[rows["method"] != "edm"]) == (HIGH / 2, "log_uniform")


def test_speedup_is_the_ratio_of_medians_and_its_bootstrap_is_paired() -> None:
    """Seeds differ fourfold, the methods in every seed twofold: paired draws give 2 exactly."""
    rows = training_rows("digits", {**CLEAR, "infonoise": (2.0, 4.0, 8.0)})
    found = transfer.speedup(rows)
    assert found["baseline"] == found["target_of"] == "edm"
    for name in ("speedup", "low", "high"):
        assert found[name] == pytest.approx(2.0, rel=1e-12)
    assert (found["infonoise_kex"], found["baseline_kex"]) == pytest.approx((4.0, 8.0))
    assert (found["infonoise_reached"], found["baseline_reached"], found["seeds"]) == (3, 3, 3)
    assert not found["censored"]


def test_speedup_interval_spreads_where_the_ratio_differs_between_seeds() -> None:
    rows = training_rows("digits", {"edm": (8.0,) * 4, "infonoise": (2.0, 2.0, 8.0, 8.0)})
    found = transfer.speedup(rows)
    assert found["speedup"] == pytest.approx(8.0 / 5.0)
    # Drawn with replacement, the median is 2 in 5 of 16 cases and 8 in 5 others: the 5 % quantiles.
    assert (found["low"], found["high"]) == pytest.approx((1.0, 4.0))
    assert transfer.speedup(rows) == found


def test_speedup_of_runs_that_never_reach_the_target_counts_the_budget() -> None:
    rows = training_rows("digits", {**CLEAR, "infonoise": (16.0, None, None)})
    found = transfer.speedup(rows)
    assert found["infonoise_kex"] == KEX[-1]
    assert found["infonoise_reached"] == 1
    assert found["censored"]
    assert found["speedup"] == pytest.approx(0.5)


def test_computes_leave_the_floor_out() -> None:
    rows = training_rows("digits", {**CLEAR, "infonoise": (2.0, 4.0, None)})
    table = transfer.computes(rows).set_index(["method", "seed"])
    assert len(table) == 9
    assert table.loc[("edm", 1), "kex"] == pytest.approx(8.0)
    assert not table.loc[("infonoise", 2), "reached"]


def transfer_rows() -> pd.DataFrame:
    """Three targets: InfoNoise ahead, behind and unknown."""
    discrete: Methods = {"edm_transfer": (None, 16.0, 16.0), "min_snr": (None, None, 16.0)}
    parts = [
        training_rows("points", {**discrete, "edm": (None,) * 3, "infonoise": (None, None, 8.0)}),
        training_rows("mixture", {**CLEAR, "infonoise": (16.0, 16.0, 16.0)}),
        training_rows("digits", {**CLEAR, "infonoise": (2.0, 4.0, 8.0)}),
    ]
    return pd.concat(parts, ignore_index=True)


def test_transfer_table_says_which_medians_and_ratios_are_bounds() -> None:
    table = infonoise_transfer.transfer_table(transfer_rows())
    assert set(table["kind"]) == {"curve", "run", "method", "target"}
    found = table[table["kind"] == "target"].set_index("target")
    assert found["bound"].to_dict() == {"points": "at most", "mixture": "exact", "digits": "exact"}
    # All medians but one are the budget: the baseline is the one with most runs that reach Q*.
    assert found.loc["points", "baseline"] == "edm_transfer"
    assert found.loc["points", ["infonoise_reached", "baseline_reached"]].tolist() == [1, 2]
    assert found.loc["digits", "speedup"] == pytest.approx(2.0)
    assert found["floor"].tolist() == [0.5] * 3
    methods = table[table["kind"] == "method"].set_index(["target", "method"])
    assert methods["reached_seeds"].sum() == 1 + 2 + 1 + 3 + 3 + 1 + 3 + 3 + 1
    assert not methods.loc[("points", "infonoise"), "reached"]
    assert methods.loc[("points", "edm_transfer"), "reached"]
    curves = table[(table["kind"] == "curve") & (table["target"] == "digits")]
    middle = curves[(curves["method"] == "edm") & (curves["kex"] == 8.0)].iloc[0]
    assert middle[["low", "score", "high"]].tolist() == [1.0, 1.0, 5.5]
    assert (table["budget_kex"] == 16.0).all()


def test_median_of_an_even_number_is_reached_only_if_both_middle_runs_reach() -> None:
    methods: Methods = {"edm": (4.0, 8.0, None, None), "log_uniform": (4.0, 8.0, 16.0, None)}
    rows = training_rows("digits", {**methods, "infonoise": (2.0, 4.0, None, None)})
    table = infonoise_transfer.transfer_table(rows).query("kind == 'method'").set_index("method")
    assert table["reached"].to_dict() == {"edm": False, "infonoise": False, "log_uniform": True}


@pytest.mark.parametrize(
    ("ours", "theirs", "bound"),
    [(1, 1, "exact"), (0, 1, "at most"), (1, 0, "at least"), (0, 0, "open")],
)
def test_a_censored_median_makes_the_ratio_a_bound(ours: int, theirs: int, bound: str) -> None:
    assert infonoise_transfer._bound(bool(ours), bool(theirs)) == bound


LEVELS = np.geomspace(0.01, 10.0, 7)


def emergence_rows() -> pd.DataFrame:
    """A warm-up and two learned densities of every target, in bins even in log sigma."""
    parts = []
    step = np.log(LEVELS[1] / LEVELS[0])
    flat = np.full(7, 1 / 7) / step
    for i, target in enumerate(("points", "mixture", "digits")):
        slope = target == "points"
        for kex, refreshes in ((1.0, 0), (2.0, 0), (4.0, 2), (8.0, 6)):
            peak = np.exp(-((np.log(LEVELS / (0.1 * kex))) ** 2)) + 0.01 * (1 + i)
            density = flat if refreshes == 0 else peak / peak.sum() / step
            columns = {"sigma": LEVELS, "density": density}
            columns["mmse"] = np.full(7, np.nan) if refreshes == 0 else LEVELS**2 / (1 + LEVELS**2)
            rule = ("slope" if kex < 8 else "knee") if slope else "onset"
            about = {"target": target, "method": "infonoise", "seed": 0, "device": "cpu"}
            about |= {"kex": kex, "pivot": None if refreshes == 0 else 0.3 / kex}
            about |= {"rule": "none" if refreshes == 0 else rule, "refreshes": refreshes}
            parts.append(pd.DataFrame(columns).assign(**about))
    return pd.concat(parts, ignore_index=True)


def test_emergence_table_has_distances_of_distribution_functions() -> None:
    rows = emergence_rows()
    table = infonoise_emergence.emergence_table(rows)
    found = table[(table["kind"] == "evaluation") & (table["target"] == "digits")]
    assert found["kex"].tolist() == [1.0, 2.0, 4.0, 8.0]
    assert np.isnan(found["distance"].iloc[0])
    assert found["distance"].iloc[1] == 0.0
    mine = rows[rows["target"] == "digits"]
    late, last = (mine.loc[mine["kex"] == kex, "density"].to_numpy() for kex in (4.0, 8.0))
    shares = [np.cumsum(d) / d.sum() for d in (late, last)]
    assert found["distance"].iloc[3] == np.abs(shares[1] - shares[0]).max()


def test_emphasis_is_density_times_weight_and_the_gated_rate_meets_it_at_the_top() -> None:
    table = infonoise_emergence.emergence_table(emergence_rows())
    levels = table[(table["kind"] == "level") & (table["kex"] == 8.0)]
    points, digits = (levels[levels["target"] == name] for name in ("points", "digits"))
    np.testing.assert_array_equal(points["emphasis"], points["density"])
    weight = LEVELS**-2 + infonoise_emergence.SIGMA_DATA["digits"] ** -2
    np.testing.assert_allclose(digits["emphasis"], digits["density"] * weight, rtol=1e-14)
    aim = 1 / (1 + LEVELS**2) * gate(LEVELS, 0.3 / 8.0)
    ratio = digits["gated_rate"].to_numpy() / aim
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    assert (digits["gated_rate"] / weight).max() == pytest.approx(digits["density"].max())
    early = table[(table["kind"] == "level") & (table["refreshes"] == 0)]
    assert early["gated_rate"].isna().all()


GRID = np.geomspace(0.002, 80.0, 40)


def profile_rows() -> pd.DataFrame:
    """A Gaussian's exact profile with two learned ones above, and digits without an exact one."""
    exact = GRID**2 / (1 + GRID**2)
    parts = []
    for target, dim in (("mixture", 1), ("digits", 64)):
        for i, kind in enumerate(("exact", "train", "held_out")):
            if (target, kind) == ("digits", "exact"):
                continue
            above = 1.0 + 0.05 * i * np.exp(-((np.log(GRID / 0.1)) ** 2))
            mmse = dim * exact * above
            error = 0.0 if kind == "exact" else 0.01 * mmse
            part = pd.DataFrame({"sigma": GRID, "mmse": mmse, "stderr": error, "kind": kind})
            samples = {"exact": 0, "train": 1024, "held_out": 597}[kind]
            parts.append(part.assign(target=target, dim=dim, samples=samples, torch="2"))
    return pd.concat(parts, ignore_index=True)


def test_profile_table_compares_with_the_exact_one_or_with_training_data() -> None:
    table = learned_profile.profile_table(profile_rows())
    found = table[table["kind"] == "profile"]
    assert found.groupby("target")["base"].first().to_dict() == {
        "digits": "train",
        "mixture": "exact",
    }
    for target, base in (("digits", 1.0 + 0.05), ("mixture", 1.0)):
        mine = found[(found["target"] == target) & (found["of"] == "held_out")]
        peak = mine.iloc[(mine["sigma"] / 0.1).apply(np.log).abs().argmin()]
        assert peak["ratio"] == pytest.approx((1.0 + 0.1) / base, abs=2e-3)
        spread = 0.01 * (2**0.5 if target == "digits" else 1.0)
        np.testing.assert_allclose(mine["ratio_stderr"] / mine["ratio"], spread, rtol=1e-12)
    exact = found[found["of"] == "exact"]
    assert exact["ratio"].tolist() == [1.0] * GRID.size
    assert exact["ratio_stderr"].tolist() == [0.0] * GRID.size
    np.testing.assert_allclose(exact["rate"], 1.0 / (1.0 + GRID**2), rtol=1e-14)
    levels = table[(table["kind"] == "level") & (table["of"] == "exact")].sort_values("step")
    profile = Profile(1, GRID, GRID**2 / (1 + GRID**2))
    want = named_schedule("rescaled", 16, "edm", profile, "zero", rule="trapezoid")
    np.testing.assert_allclose(levels["sigma"], want, rtol=1e-12)


SOLVERS = ("ddim", "stochastic_ddim", "heun")
CALLS = (5, 16)


def score_rows() -> pd.DataFrame:
    """Scores that all differ; the best schedule changes; one of the mixture's is lost."""
    rows = []
    for target, solver, calls in itertools.product(("digits", "mixture"), SOLVERS, CALLS):
        for i, schedule in enumerate(digits_schedules.SCHEDULES):
            if (target, schedule) == ("mixture", "spectral"):
                continue
            nfe = calls - 1 if solver == "heun" and calls % 2 == 0 else calls
            score = (1.0 + (5 * i + calls + len(solver)) % 7 + 0.02 * i) / calls
            row = {"target": target, "schedule": schedule, "solver": solver, "calls": calls}
            row |= {"nfe": nfe, "terminal": "zero", "score": score, "seed": 3, "samples": 700}
            rows.append(row | {"device": "cpu"})
        rows[-1]["score"] = rows[-1]["score"] if target == "digits" else None
    rows += [{"target": name, "schedule": "real", "score": 0.1} for name in ("digits", "mixture")]
    return pd.DataFrame(rows).assign(torch="2")


def image_rows() -> pd.DataFrame:
    """Two images of 2 x 2 pixels per schedule, all values different."""
    rows = []
    for nfe in (6, 16, 128):
        for i, schedule in enumerate(digits_schedules.SCHEDULES if nfe < 128 else ("edm",)):
            for image, pixel in itertools.product(range(2), range(4)):
                value = (nfe + i + 0.1 * image + 0.01 * pixel) / 200.0
                row = {"schedule": schedule, "nfe": nfe, "image": image, "pixel": pixel}
                rows.append(row | {"value": value, "seed": 8, "device": "cpu", "torch": "2"})
    return pd.DataFrame(rows)


def test_winners_are_the_least_scores_and_edm_is_told_as_a_multiple() -> None:
    rows = score_rows()
    found = digits_schedules.winners(rows).set_index(["target", "solver", "calls"])
    assert len(found) == 2 * len(SOLVERS) * len(CALLS)
    for (target, solver, calls), row in found.iterrows():
        cell = rows[(rows["target"] == target) & (rows["solver"] == solver)]
        scores = cell[cell["calls"] == calls].dropna(subset="score").set_index("schedule")["score"]
        assert row["winner"] == scores.idxmin()
        assert row["runner_up"] == scores.drop(row["winner"]).idxmin()
        assert row["edm_over_best"] == scores["edm"] / scores.min()


def test_schedules_table_adds_the_lead_and_keeps_all_rows() -> None:
    scores, images = score_rows(), image_rows()
    table = digits_schedules.schedules_table(scores, images)
    counts = table["kind"].value_counts().to_dict()
    assert counts == {"score": len(scores) - 2, "floor": 2, "winner": 12, "pixel": len(images)}
    wins = table[table["kind"] == "winner"].merge(
        scores, left_on=["target", "solver", "calls", "runner_up"],
        right_on=["target", "solver", "calls", "schedule"], suffixes=("", "_second"),
    )  # fmt: skip
    np.testing.assert_allclose(wins["lead"], wins["score_second"] / wins["score"], rtol=1e-14)
    assert (wins["lead"] >= 1.0).all()


@pytest.mark.parametrize(
    ("names", "module"),
    [
        (("infonoise_transfer", "infonoise_emergence"), "transfer"),
        (("learned_profile", "spectral_profile", "digits_schedules"), "schedules"),
    ],
)
def test_studies_are_run_again_by_the_module_that_wrote_their_rows(
    names: tuple[str, ...], module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    asked: list[object] = []

    class Part:
        def compute_study(self, store: Store, jobs: int | None) -> None:
            asked.append((store.folder, jobs))

    def part(name: str) -> Part:
        asked.append(name)
        return Part()

    monkeypatch.setattr("theory.extras.network_part", part)
    monkeypatch.setattr("benchmarks.studies.registry.make_table", lambda *_: pd.DataFrame())
    monkeypatch.setattr("figures.registry.draw", lambda *_: None)
    monkeypatch.setattr("figures.registry.save", lambda *_: [])
    for name in names:
        args = ["figures", name, "--recompute", "--out", str(tmp_path), "--jobs", "2"]
        args += ["--store", str(tmp_path / "store")]
        assert CliRunner().invoke(main, args, catch_exceptions=False).exit_code == 0
    assert asked == [f"benchmarks.training.{module}", (tmp_path / "store", 2)] * len(names)


def test_constants_are_those_of_the_studies() -> None:
    why = "needs the extra `networks`; make test-all has it"
    pytest.importorskip("torch", reason=why)
    pytest.importorskip("sklearn", reason=why)
    from benchmarks.training import schedules, transfer
    from benchmarks.training.targets import make_target

    assert infonoise_transfer.SAMPLES == transfer.SAMPLES == schedules.SAMPLES
    assert infonoise_transfer.NFE == 2 * transfer.SAMPLE_STEPS - 1
    assert infonoise_transfer.LINE_NFE == 2 * transfer.LAW_STEPS - 1
    for name, std in infonoise_emergence.SIGMA_DATA.items():
        options = {"dim": 1} if name == "mixture" else {}
        assert make_target(name, **options).sigma_data == pytest.approx(std, abs=5e-5)
