"""`compare`: the numbers of `entropic kl`, resumed after a kill, from whatever names levels."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import entropic
from benchmarks.engine import compare as module
from benchmarks.engine.compare import compare, grid, has_exact_law, steps_within
from benchmarks.engine.rows import COLUMNS, as_rows
from benchmarks.engine.setting import Setting
from benchmarks.measure.divergences import METRICS
from entropic.commands.compare import compare_text
from entropic.commands.main import main
from figures.comparison import draw_comparison
from theory.solvers.registry import SOLVERS, shape_table
from toys import zoo
from toys.laws.build import maps

TOY = "gaussians5"
ROOT = Path(__file__).parents[1]


def run(*args: str) -> Any:
    return CliRunner().invoke(main, list(args))


def rows_of(*args: str) -> list[dict[str, Any]]:
    done = run(*args, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["schema"] == "entropic.rows"
    return list(answer["rows"])


def test_every_row_is_that_of_entropic_kl_to_the_last_digit(tmp_path: Path) -> None:
    kl_metrics = tuple(row["metric"] for row in rows_of(*KL, "--schedule", "edm", "--steps", "3"))
    assert set(kl_metrics) == set(METRICS)
    table = compare(
        TOY, ["edm:rho=5", "rescaled"], ["ddim", "heun"], [3, 5], metrics=kl_metrics, store=tmp_path
    )
    assert list(table.columns) == list(COLUMNS)
    rows = as_rows(table)
    assert len(rows) == 2 * 2 * 2 * len(kl_metrics)
    for schedule in ("edm:rho=5", "rescaled"):
        for solver in ("ddim", "heun"):
            for n in ("3", "5"):
                args = ["--schedule", schedule, "--solver", solver, "--steps", n]
                expected = rows_of(*KL, *args)
                assert expected == [row for row in rows if like(row, expected[0])]


KL = ("kl", "--toy", TOY)


def like(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(row[name] == other[name] for name in ("schedule", "solver", "n_steps"))


CHILD = """
from benchmarks.engine.compare import compare
compare("gaussians15_overlap", ["edm", "log_snr"], ["stochastic_ddim"], range(60, 90),
        store={store!r}, jobs=1)
"""


def test_a_killed_comparison_recomputes_nothing_that_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = CHILD.format(store=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(tmp_path.glob("[!.]*.json"))) < 3:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("[!.]*.json")}
    assert 3 <= len(finished) < 60
    calls = []

    def counted(setting: Setting) -> list[dict[str, Any]]:
        calls.append(setting)
        labels = setting.labels(setting.levels()) | {"nfe": setting.n_steps}
        return [labels | {"metric": "kl_data_model", "value": 1.0, "paths": 0}]

    monkeypatch.setattr(Setting, "run", counted)
    schedules = ["edm", "log_snr"]
    table = compare("gaussians15_overlap", schedules, steps=range(60, 90), store=tmp_path, jobs=1)
    assert len(table) == 60
    assert len(calls) == 60 - len(finished)
    assert (table["value"] != 1.0).sum() == len(finished)
    for name, changed in finished.items():
        assert (tmp_path / name).stat().st_mtime_ns == changed
    again = compare("gaussians15_overlap", schedules, steps=range(60, 90), store=tmp_path, jobs=1)
    assert len(calls) == 60 - len(finished)
    pd.testing.assert_frame_equal(again, table)


def test_schedules_are_accepted_in_every_form(tmp_path: Path) -> None:
    levels = entropic.schedule("edm", 4, rho=5.0)
    schedule_file, plain = tmp_path / "levels.json", tmp_path / "levels.txt"
    found = entropic.recommend("edm", 4, rho=5.0)
    found.write(schedule_file)
    plain.write_text("\n".join(repr(float(level)) for level in levels) + "\n")
    [expected] = Setting(TOY, "edm", 4, schedule_options=(("rho", 5.0),)).run()
    forms = ["edm:rho=5", levels, levels.tolist(), schedule_file, str(plain), found]
    for form in forms:
        [row] = as_rows(compare(TOY, [form], steps=4, store=tmp_path / "store"))
        assert row["value"] == pytest.approx(expected["value"], rel=1e-12)
        assert (row["n_steps"], row["nfe"]) == (4, 4)
    for alone in (levels, levels.tolist(), schedule_file, found):  # also without a list around
        assert len(compare(TOY, alone, steps=4, store=tmp_path / "store")) == 1
    labelled = compare(TOY, dict(enumerate(forms[1:])), steps=4, store=tmp_path / "store")
    assert list(labelled["schedule"]) == ["0", "1", "2", "3", "4"]


def test_a_list_that_ends_at_zero_has_terminal_zero(tmp_path: Path) -> None:
    [row] = as_rows(compare(TOY, [[80.0, 1.0, 0.1, 0.0]], store=tmp_path))
    assert (row["terminal"], row["n_steps"], row["sigma_min"]) == ("zero", 3, 0.1)


@pytest.mark.parametrize("terminal", ["stop", "zero"])
@pytest.mark.parametrize("calls", [1, 2, 5, 8])
def test_budgets_give_each_solver_the_most_steps_that_fit(terminal: str, calls: int) -> None:
    """Two-call solvers make 2 n calls in n steps, one fewer to 0."""
    one = Setting(TOY, "edm", 1, "ddim", terminal=terminal)
    two = Setting(TOY, "edm", 1, "heun", terminal=terminal)
    assert steps_within(one, calls) == calls
    assert steps_within(two, calls) == (calls + (terminal == "zero")) // 2
    for name in SOLVERS:
        n = steps_within(Setting(TOY, "edm", 1, name, terminal=terminal), calls)
        if n:
            assert nfe(name, n, terminal) <= calls
        assert nfe(name, n + 1, terminal) > calls


def nfe(solver: str, n: int, terminal: str) -> int:
    if terminal == "stop":
        return shape_table(solver, np.geomspace(80.0, 0.002, n + 1)).nfe
    positive = np.geomspace(80.0, 0.002, n) if n > 1 else np.array([80.0])
    return shape_table(solver, [*positive.tolist(), 0.0]).nfe


def test_a_solver_without_a_step_has_a_row_with_the_reason(tmp_path: Path) -> None:
    table = compare(TOY, "edm", ["ddim", "heun"], nfe=[1, 4], store=tmp_path)
    found = {(row["solver"], row["n_steps"]): row for row in as_rows(table)}
    assert set(found) == {("ddim", 1), ("ddim", 4), ("heun", 0), ("heun", 2)}
    left_out = found["heun", 0]
    assert (left_out["value"], left_out["nfe"]) == (None, None)
    assert left_out["reason"] == "a step takes more than 1 denoiser calls"
    assert found["heun", 2]["nfe"] == 4
    assert list(left_out) == list(COLUMNS)


def test_levels_are_resampled_in_log_sigma_for_a_budget(tmp_path: Path) -> None:
    levels = [16.0, 8.0, 4.0, 2.0, 1.0]
    found = grid(TOY, [levels], "heun", nfe=4)
    [setting] = found.settings
    np.testing.assert_allclose(setting.sigmas or (), [16.0, 4.0, 1.0], rtol=1e-12)


def test_paths_are_taken_only_where_there_is_no_exact_law(tmp_path: Path) -> None:
    solvers = ["ddim", "sde_dpmpp_2m", "stochastic_ddim"]
    table = compare(TOY, "edm", solvers, 3, paths=200, repeats=2, seed=5, store=tmp_path)
    found = {row["solver"]: row for row in as_rows(table)}
    assert [found[name]["paths"] for name in solvers] == [0, 200, 0]
    sampled = found["sde_dpmpp_2m"]
    assert (sampled["repeats"], sampled["seed"], sampled["error_kind"]) == (2, 5, "standard")
    without = compare(TOY, "edm", solvers, 3, store=tmp_path)
    [none] = [row for row in as_rows(without) if row["solver"] == "sde_dpmpp_2m"]
    assert none["value"] is None
    assert "no exact law" in none["reason"]
    plane = grid("circle8", "edm", solvers, 3, paths=200)
    assert {setting.paths for setting in plane.settings} == {200}


@pytest.mark.parametrize("toy", [TOY, "circle8"])
@pytest.mark.parametrize("solver", list(SOLVERS))
def test_exact_laws_are_expected_where_there_are_any(solver: str, toy: str) -> None:
    options: tuple[tuple[tuple[str, float], ...], ...] = ((),)
    if solver in ("stochastic_ddim", "euler_ancestral"):
        options = ((), (("eta", 0.0),), (("eta", 0.5),))
    for own in options:
        for terminal in ("stop", "zero"):
            setting = Setting(toy, "log_snr", 6, solver, terminal=terminal, solver_options=own)
            try:
                maps(zoo.toy(toy), setting.table(setting.levels()))
                accepted = True
            except ValueError:
                accepted = False
            assert has_exact_law(setting) == accepted


def table_of(values: dict[tuple[str, int], float | None], **more: Any) -> pd.DataFrame:
    rows = []
    for (who, calls), value in values.items():
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {"toy": TOY, "process": "edm", "terminal": "stop", "start": "noise", "solver": who}
        row |= {"schedule": "edm", "schedule_options": "", "solver_options": "", "nfe": calls}
        row |= {"metric": "kl_data_model", "value": value, "error_kind": "exact", "paths": 0}
        rows.append(row | more)
    return pd.DataFrame(rows)


def test_the_printed_table_has_the_best_first_and_a_star_in_every_column() -> None:
    values = {("a", 4): 1.0, ("b", 4): 2.0, ("c", 4): 3.0}
    values |= {("a", 8): 0.3, ("b", 8): 0.1, ("c", 8): 0.2}
    lines = compare_text(table_of(values)).splitlines()
    assert "KL(data || sampler), nats" in lines[0]
    assert lines[1].split() == ["NFE", "4", "NFE", "8"]
    assert [line.split() for line in lines[2:]] == [
        ["edm", "b", "2", "0.1*"],
        ["edm", "c", "3", "0.2"],
        ["edm", "a", "1*", "0.3"],
    ]


def test_lines_are_ordered_where_all_have_a_number_of_calls() -> None:
    """A solver whose calls fall short of the largest column is not last for that reason."""
    values = {("even", 4): 1.0, ("odd", 4): 2.0, ("odd", 5): 1.5}
    lines = compare_text(table_of(values)).splitlines()
    assert [line.split()[1] for line in lines[2:]] == ["even", "odd"]
    lines = compare_text(table_of({("even", 4): 1.0, ("odd", 5): 0.5})).splitlines()
    assert [line.split()[1] for line in lines[2:]] == ["odd", "even"]


def test_what_has_no_value_is_last_and_says_why() -> None:
    table = table_of({("a", 4): None, ("b", 4): 2.0, ("c", 4): None})
    table.loc[0, "error"], table.loc[0, "reason"] = 0.0, "3 empty bins"
    table.loc[2, "reason"] = "no exact law"
    lines = compare_text(table).splitlines()
    assert lines[2].split() == ["edm", "b", "2*"]
    assert {tuple(line.split()) for line in lines[3:5]} == {
        ("edm", "a", "infinite"),
        ("edm", "c", "-"),
    }
    assert lines[5] == "no value: no exact law"


def test_files_that_the_command_writes_are_read_back(tmp_path: Path) -> None:
    csv, plot, store = tmp_path / "t.csv", tmp_path / "t.png", str(tmp_path / "store")
    args = ["compare", "--toy", TOY, "--schedule", "edm", "--schedule", "log_snr", "--solver"]
    args += ["ddim", "--steps", "2,4", "--store", store]
    rows = rows_of(*args, "--csv", str(csv), "--plot", str(plot))
    assert [list(row) for row in rows] == [list(COLUMNS)] * 4
    read = pd.read_csv(csv)
    assert list(read.columns) == list(COLUMNS)
    assert read["value"].tolist() == [row["value"] for row in rows]
    assert rows == as_rows(compare(TOY, ["edm", "log_snr"], "ddim", [2, 4], store=store))
    from matplotlib.image import imread

    assert imread(plot).shape[2] in (3, 4)
    text = run(*args)
    assert text.exit_code == 0
    assert text.stdout.count("*") == 2
    shown = {f"{row['value']:.4g}" for row in rows}
    assert all(number in text.stdout for number in shown)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedules": ["edmm"]}, "schedule must be one of .*did you mean 'edm'"),
        ({"schedules": []}, "schedules must name at least one, got none"),
        ({"schedules": {}}, "schedules must name at least one, got none"),
        ({"schedules": [[1.0, 2.0]]}, "schedules must fall strictly"),
        ({"schedules": ["edm:rho=x:y"]}, "schedule must be"),
        ({"schedules": ["edm:c=1"]}, "c must be left out for schedule 'edm'"),
        ({"solvers": ["hein"]}, "solver must be one of .*did you mean 'heun'"),
        ({"solvers": []}, "solvers must name at least one, got none"),
        ({"solvers": ["stochastic_ddim:eta=2"]}, r"eta must be in \[0, 1\], got 2"),
        ({"steps": 0}, "steps must be a whole number in 1"),
        ({"steps": []}, "steps must hold at least one number, got none"),
        ({"steps": 4, "nfe": 4}, "steps must not stand with nfe"),
        ({"nfe": [2.5]}, "nfe must be a whole number"),
        ({"process": "ve"}, "process must be one of"),
        ({"terminal": "end"}, "terminal must be one of stop, zero, got 'end'"),
        ({"start": "dat"}, "start must be one of noise, data"),
        ({"metrics": ["kl"]}, "metrics must be one of kl_data_model"),
        ({"metrics": ["pathwise_kl"]}, "metrics must be one of kl_data_model"),
        ({"sigma_min": 90.0}, "sigma_min"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"paths": -1, "solvers": ["sde_dpmpp_2m"]}, "paths must be a whole number"),
        ({"mixture": "gausian"}, "toy must be one of .*did you mean 'gaussian'"),
    ],
)
def test_bad_input_is_one_line_before_any_work(
    given: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_settings", lambda *_: pytest.fail("work was done"))
    arguments = {"mixture": TOY, "store": tmp_path} | given
    with pytest.raises(ValueError, match=message) as refused:
        compare(**arguments)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--schedule", "edmm"], "did you mean 'edm'"),
        (["--steps", "4,x"], "must be whole numbers separated by commas, got '4,x'"),
        (["--steps", "4", "--nfe", "4"], "steps must not stand with nfe"),
        (["--repeats", "2"], "repeats must come with paths"),
        (["--metric", "kl"], "metric must be one of"),
        (["--steps", "2", "--csv", "/dev/null/x.csv"], "/dev/null/x.csv"),
    ],
)
def test_bad_options_of_the_command_are_one_line(args: list[str], said: str) -> None:
    done = run("compare", "--toy", TOY, *args)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_lists_of_one_length_are_numbered(tmp_path: Path) -> None:
    lists = [[80.0, 1.0, 0.1], [80.0, 2.0, 0.1], [80.0, 1.0, 0.1]]
    table = compare("gaussian", [*lists, "edm"], steps=2, store=tmp_path, jobs=1)
    assert list(table["schedule"]) == ["list of 2 steps (1)", "list of 2 steps (2)", "edm"]
    assert table["value"].nunique() == 3


def test_the_picture_judges_at_equal_calls(tmp_path: Path) -> None:
    """The title and the first curve are those of the most calls that all curves have."""
    found = compare("gaussian", "edm", ["ddim", "heun"], steps=[2, 4], store=tmp_path, jobs=1)
    (ax,) = draw_comparison(found).axes
    rows = found[found["nfe"] == 4].set_index("solver")["value"]
    assert set(found["nfe"]) == {2, 4, 8}
    best = rows.astype(float).idxmin()
    assert ax.get_title(loc="left").startswith(f"gaussian: edm with {best} is best at 4 calls")
    assert ax.get_legend().get_texts()[0].get_text() == f"edm, {best}"
    few = compare("gaussian", "edm", "heun", nfe=1, store=tmp_path)
    with pytest.raises(ValueError, match="table must have a setting with a step to draw, got none"):
        draw_comparison(few)
    both = compare("gaussian", "edm", ["heun", "ddim"], nfe=1, store=tmp_path)
    assert len(draw_comparison(both).axes[0].get_legend().get_texts()) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedules": [[9.0, 1.0]], "steps": 2}, "steps must be those of the lists .*, as 1, got"),
        ({"schedules": [[9.0, 1.0]], "terminal": "zero"}, "terminal must be that of the lists"),
        ({"schedules": [[9.0, 1.0]], "sigma_min": 2}, "sigma_min must not stand with lists"),
        ({"schedules": None}, "schedules must be names or levels, got NoneType"),
        ({"solvers": None}, "solvers must be names, got NoneType"),
        ({"metrics": []}, "metrics must name at least one, got none"),
        ({"steps": 4.0}, "steps must be a whole number"),
        ({"rtol": float("nan")}, "rtol must be finite, got nan"),
        ({"rtol": 0}, "rtol must be at least 1e-13, got 0"),
        ({"jobs": 0}, "jobs must be a whole number at least 1, got 0"),
        ({"store": 3}, "store must be a path, got int"),
        ({"sigma_min": [1, 2]}, "sigma_min must be one number"),
    ],
)
def test_arguments_without_a_meaning_are_refused(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        compare("gaussian", **{"schedules": "edm", "store": tmp_path, **given})
    assert "\n" not in str(refused.value)


def test_labels_stand_in_the_table_and_twice_named_metrics_count_once(tmp_path: Path) -> None:
    named = {"edm": [80.0, 1.0, 0.002], "x": "edm", "y": "edm", "z": "edm:rho=5"}
    found = compare("gaussian", named, steps=2, metrics=["tv", "tv"], store=tmp_path, jobs=1)
    assert list(found["schedule"]) == ["edm", "x", "y", "z"]
    values = list(found["value"])
    assert values[1] == values[2] != values[0]
    assert len(set(values)) == 3
