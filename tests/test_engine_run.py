"""Tasks, their store, and what an interruption leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.engine import store as stores
from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store
from benchmarks.engine.toy_profiles import ToyProfile, to_profile
from benchmarks.studies.information_window import stable_fixed_point
from benchmarks.studies.registry import TABLES, make_table
from figures import registry
from theory.schedules.registry import draws_on_profile, schedule
from theory.writing import part_name, write_bytes

TASKS = [
    Setting("gaussian", "x", 2, sigmas=(80.0, 1.0, s), paths=p, repeats=2 if p else 1)
    for s in (0.01, 0.1, 0.5)
    for p in (0, 2000)
]


def test_workers_and_this_process_find_the_same(tmp_path: Path) -> None:
    here = run_tasks(TASKS, Store(tmp_path / "a"), jobs=1)
    there = run_tasks(TASKS, Store(tmp_path / "b"), jobs=2)
    assert here == there
    assert [row["sigma_min"] for [row] in here] == [(t.sigmas or ())[-1] for t in TASKS]


def test_what_is_stored_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    first = run_tasks(TASKS, store, jobs=1)

    def never(self: Setting) -> None:
        raise AssertionError("ran again")

    monkeypatch.setattr(Setting, "run", never)
    assert run_tasks(TASKS, store, jobs=1) == first


def test_edited_sources_make_old_results_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, task = Store(tmp_path), TASKS[0]
    store.put(task, {"x": 1})
    assert store.get(task) == {"x": 1}
    monkeypatch.setattr(stores, "fingerprint", lambda roots: "other sources")
    assert store.get(task) is None


@pytest.mark.parametrize("damage", ["", "{", '{"result"', "[]", "\x00\x01"])
def test_a_damaged_result_counts_as_absent(tmp_path: Path, damage: str) -> None:
    store, task = Store(tmp_path), TASKS[0]
    store.put(task, {"x": 1})
    store.path(task).write_text(damage)
    assert store.get(task) is None
    [[row]] = run_tasks(TASKS[:1], store, jobs=1)
    assert row["value"] > 0
    assert store.get(task) == [row]


def test_unfinished_files_of_dead_runs_are_cleared(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = tmp_path / part_name("x.json")
    old = tmp_path / own.name.replace(f".{os.getpid()}.", f".{ended.pid}.")
    for path in (old, own):
        path.write_text("{")
        os.utime(path, (time.time() - 3600,) * 2)
    run_tasks(TASKS[:1], Store(tmp_path), jobs=1)
    assert (old.exists(), own.exists()) == (False, True)


def test_tasks_that_differ_in_anything_have_their_own_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert len({store.path(t) for t in TASKS}) == len(TASKS)


@pytest.mark.slow
def test_a_killed_run_keeps_what_had_finished(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); from pathlib import Path\n"
        "from benchmarks.engine.run import run_tasks; from benchmarks.engine.store import Store\n"
        "from test_engine_run import slow_tasks\n"
        f"run_tasks(slow_tasks(), Store(Path({str(tmp_path)!r})), jobs=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.glob("[!.]*.json"))) < 3:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    files = list(tmp_path.glob("[!.]*.json"))
    assert 3 <= len(files) < len(slow_tasks())
    for path in files:
        json.loads(path.read_text())
    rows = run_tasks(slow_tasks(), Store(tmp_path), jobs=1)
    assert len(rows) == len(slow_tasks())
    assert all(row["value"] > 0 for [row] in rows)


def slow_tasks() -> list[Setting]:
    """Enough work that a run can be killed in its middle."""
    return [
        Setting("gaussians15_overlap", "x", 2, sigmas=(80.0, 1.0, 0.01), paths=10_000 + i)
        for i in range(60)
    ]


def test_schedules_by_name_have_the_processes_ends() -> None:
    vp = schedule("log_snr", 4, "vp", None)
    assert vp[0] == pytest.approx(152.167, rel=1e-5)
    assert vp[-1] == pytest.approx(0.010486, rel=1e-4)
    assert schedule("edm", 4, "edm", None, sigma_min=0.1)[-1] == 0.1
    assert draws_on_profile("rescaled")
    assert draws_on_profile("arctan")
    assert not draws_on_profile("arctan", {"c": 1.0})
    assert not draws_on_profile("edm")


def test_profiles_of_toys_reach_their_ends() -> None:
    row = ToyProfile("gaussian", 0.01, 10.0, 20).run()
    profile = to_profile(row, {})
    assert profile.sigma[0] == 0.01
    assert profile.sigma[-1] == 10.0
    assert profile.stderr is None


SLOW = (
    "kl_vs_steps",
    "las_mixtures",
    "phase_diagram",
    "entropy_reduction",
    "schedule_regret",
    "optimal_levels",
    "called_levels",
)  # long, of tasks that are tested one by one


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TABLES]
)
def test_quick_tables_are_whole_and_repeatable(name: str, tmp_path: Path) -> None:
    table = make_table(name, "quick", Store(tmp_path / "store"), 1, tmp_path)
    read = pd.read_csv(tmp_path / f"{name}.csv")
    assert list(read.columns) == list(table.columns)
    assert len(read) == len(table) > 50
    again = TABLES[name]("quick", Store(tmp_path / "store"), 1)
    pd.testing.assert_frame_equal(again, table)
    drawn = registry.save(registry.draw(name, read), tmp_path, name, write_bytes)
    assert all(path.stat().st_size > 10_000 for path in drawn)


def test_the_pitchfork_solves_its_equation() -> None:
    """Paper D eq. (45): x = tanh(x / sigma^2); 0 from sigma_c = 1 on."""
    import numpy as np

    sigma = np.array([0.1, 0.5, 0.9, 0.999, 1.0, 2.0])
    x = stable_fixed_point(sigma)
    np.testing.assert_allclose(x, np.tanh(x / sigma**2), atol=1e-12)
    assert np.all(x[:4] > 0)
    assert np.all(x[4:] == 0)
