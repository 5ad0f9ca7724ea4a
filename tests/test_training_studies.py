"""The training studies on the smallest settings: what they write, and that nothing is done twice.

What their rows are turned into is tested in test_studies_training.py.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("safetensors", reason=WHY)
pytest.importorskip("sklearn", reason=WHY)

from benchmarks.engine.store import Store
from benchmarks.networks.profiles import profile
from benchmarks.networks.sampling import sample
from benchmarks.studies import digits_schedules, learned_profile
from benchmarks.studies.digits_schedules import intervals
from benchmarks.training import (
    optimum,
    schedules,
    transfer,
)

METHODS = {"points": {"edm": ("edm", "one"), "infonoise": ("infonoise", "one")}}
TINY = {"samples": 0, "log_every": 0, "steps": 3}
LINE = {"name": "mlp", "dim": 1, "width": 8, "depth": 1}
IMAGE = {"name": "unet", "channels": 1, "width": 8, "multipliers": [1, 2], "blocks": 1}
RECIPES: dict[str, dict[str, Any]] = {
    "digits": {"preset": "digits-quick", "network": IMAGE, **TINY},
    "mixture": {"preset": "mixture", "target_options": {"dim": 1}, "network": LINE, **TINY},
}


def refuse(*_: object) -> None:
    raise AssertionError("must not run again")


@pytest.fixture
def transfer_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "METHODS", METHODS)
    monkeypatch.setattr(transfer, "SEEDS", {"points": 2})
    monkeypatch.setattr(transfer, "MLP_STEPS", 80)
    monkeypatch.setattr(transfer, "REFRESH", 10)
    monkeypatch.setattr(transfer, "SAMPLES", 100)
    monkeypatch.setattr(transfer, "LAW_STEPS", 4)
    excess = {"nats": 0.5, "edm": 0.25}  # takes a second; test_training_evaluate.py tests it
    monkeypatch.setattr(transfer, "excess_loss", lambda *_, **__: excess)


@pytest.mark.usefixtures("transfer_study")
def test_runs_of_the_study_are_scored_twelve_times_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, emergence = tmp_path / "scores.csv", tmp_path / "emergence.csv"
    store = Store(tmp_path / "store")
    transfer.write_study(store, 1, "cpu", scores, emergence)
    rows = pd.read_csv(scores)
    runs = rows[rows["method"] != "real"]
    assert runs.groupby(["method", "seed"]).size().to_dict() == {
        (method, seed): 12 for method in METHODS["points"] for seed in (0, 1)
    }
    assert runs["kex"].min() == pytest.approx(80 / 40 * 256 / 1000)
    assert runs["kex"].max() == pytest.approx(80 * 256 / 1000)
    even = np.geomspace(2, 80, 12) * 0.256
    np.testing.assert_allclose(np.unique(runs["kex"]), even, atol=0.5 * 0.256)
    assert (runs["score"] > rows.loc[rows["method"] == "real", "score"].item()).all()
    assert set(runs["device"]) == {"cpu"}
    assert runs["torch"].notna().all()
    assert set(runs["excess_nats"]) == {0.5}
    held = pd.read_csv(emergence)
    assert set(held["method"]) == {"infonoise"}
    assert set(held["seed"]) == {0}
    assert held.groupby("kex").size().tolist() == [64] * 12
    assert held["refreshes"].min() == 0 < held["refreshes"].max()
    width = np.log(80.0 / 0.002) / 64
    np.testing.assert_allclose(held.groupby("kex")["density"].sum() * width, 1.0, rtol=1e-6)
    before = scores.read_bytes(), emergence.read_bytes()
    monkeypatch.setattr(transfer, "Trainer", refuse)
    transfer.write_study(store, 1, "cpu", scores, emergence)
    assert (scores.read_bytes(), emergence.read_bytes()) == before


def test_methods_of_a_target_differ_in_noise_and_weight_alone() -> None:
    for target, methods in transfer.METHODS.items():
        free = {"noise": "", "noise_options": {}, "weighting": ""}
        recipes = [transfer.study_recipe(target, method).to_dict() | free for method in methods]
        assert all(recipe == recipes[0] for recipe in recipes)
    todo = transfer.tasks("cuda")
    assert len(todo) == len(set(todo)) == 195
    assert {task.device for task in todo if task.target in ("points", "mixture")} == {"cpu"}
    assert {task.device for task in todo if task.target in ("digits", "dna")} == {"cuda"}


@pytest.fixture
def schedule_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "RECIPES", RECIPES)
    monkeypatch.setattr(schedules, "CALLS", (5,))
    monkeypatch.setattr(schedules, "SOLVERS", ("ddim", "re_multi"))
    monkeypatch.setattr(schedules, "IMAGE_CALLS", (4,))
    monkeypatch.setattr(schedules, "SAMPLES", 60)
    monkeypatch.setattr(schedules, "IMAGES", 2)
    monkeypatch.setattr(schedules, "profile", partial(profile, samples=24, levels=32))


def written(folder: Path) -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}


@pytest.mark.usefixtures("schedule_study")
def test_schedules_study_writes_four_tables_that_the_figures_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    schedules.write_study(store, 1, "cpu", tmp_path)
    rows = written(tmp_path)
    scores = rows["digits_schedules"]
    real = scores["schedule"] == "real"
    assert sorted(scores.loc[real, "target"]) == ["digits", "mixture"]
    names = set(scores.loc[~real, "schedule"])
    assert names == set(schedules.SCHEDULES)
    assert len(scores[~real]) == 2 * (len(names) + len(names) - 1)  # no spectral on the line
    assert scores["score"].gt(0).all()
    assert (scores.loc[~real, "nfe"] <= 5).all()
    table = digits_schedules.schedules_table(scores, rows["digits_images"])
    assert set(table["kind"]) == {"score", "floor", "winner", "pixel"}
    pixels = rows["digits_images"].groupby(["schedule", "nfe", "image"]).size()
    assert set(pixels) == {64}
    assert len(pixels) == 2 * (len(names) + 1)
    learned = learned_profile.profile_table(rows["learned_profile"])
    assert set(learned.loc[learned["target"] == "mixture", "of"]) == {"exact", "train", "held_out"}
    assert set(learned.loc[learned["target"] == "digits", "of"]) == {"train", "held_out"}
    spectrum = rows["spectral_profile"]
    ends = spectrum[spectrum["sigma"] == spectrum["sigma"].max()]
    assert (ends["share"] == 1.0).all()
    assert set(ends["kind"]) > {"ring", "rescaled", "edm"}
    monkeypatch.setattr(schedules, "sample_score", refuse)
    monkeypatch.setattr(schedules, "floor_scores", lambda name: {"score": 1.0})
    schedules.write_study(store, 1, "cpu", tmp_path)
    again = written(tmp_path)["digits_schedules"]
    pd.testing.assert_frame_equal(again[~real], scores[~real])


def breaking(at: int) -> Callable[..., Any]:
    """`sample` of a network whose output is nan for sample `at`."""

    def found(denoiser: Any, *given: Any, **more: Any) -> Any:
        def broken(x: Any, sigma: Any, condition: Any = None) -> Any:
            out = denoiser(x, sigma, condition)
            out[at] = torch.nan
            return out

        return sample(broken, *given, **more)

    return found


@pytest.mark.usefixtures("schedule_study")
def test_a_solver_that_diverges_has_a_row_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, seen, _ = schedules.trained("mixture", tmp_path, "cpu")
    task = schedules.tasks("mixture", network, seen, "cpu")[0]
    monkeypatch.setattr(schedules, "sample", breaking(7))
    row = task.run()
    assert row["score"] is None
    assert row["reason"].startswith("samples must be finite, got 1 of 60 that are not, the first")
    assert (row["schedule"], row["solver"], row["seed"]) == ("edm", "ddim", schedules.SEED)


@pytest.mark.usefixtures("schedule_study")
def test_levels_for_a_network_come_from_its_profile_and_its_solver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimum, "TARGETS", ("mixture",))
    monkeypatch.setattr(optimum, "SOLVERS", ("ddim",))
    monkeypatch.setattr(optimum, "SEEDS", (1, 2, 3))
    monkeypatch.setattr(optimum, "SAMPLES", 60)
    store, path = Store(tmp_path / "store"), tmp_path / "rows.csv"
    optimum.write_study(store, 1, "cpu", path, calls=(4,))
    rows = pd.read_csv(path)
    scores = rows[rows["schedule"] != "real"]
    names = set(optimum.SCHEDULES) - {"spectral"}  # which the line has not
    assert set(scores["schedule"]) == names
    assert len(scores) == 3 * len(names)
    assert (scores["nfe"] == 4).all()
    found = intervals(scores)
    assert len(found) == len(scores) / 3
    assert found["half"].gt(0).all()
    three = scores[scores["schedule"] == "law"]["score"]
    row = found[found["schedule"] == "law"].iloc[0]
    assert row["mean"] == pytest.approx(three.mean())
    assert row["half"] == pytest.approx(4.30265 * three.std() / 3**0.5, rel=1e-5)
    monkeypatch.setattr(schedules, "sample_score", refuse)
    monkeypatch.setattr(optimum, "floor_scores", lambda name, samples: {"score": 1.0})
    optimum.write_study(store, 1, "cpu", path, calls=(4,))
