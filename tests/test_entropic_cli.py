"""The command line: what it prints, what it refuses, and how."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from answers import fields_of
from click.testing import CliRunner, Result

from entropic.commands import options
from entropic.commands.main import main
from theory.gaussian import gaussian_mmse, gaussian_rescaled_entropy
from theory.levels import resampled
from theory.noise.times import TIMES, coordinate_of
from theory.profiles.files import read_profile, read_schedule, write_profile
from theory.profiles.loss_log import LossLog, bootstrap_band
from theory.profiles.profile import Profile
from theory.profiles.risks import DIFFUSERS, PREDICTIONS
from theory.schedules.export import REFUSED, TARGETS
from theory.schedules.las_levels import las_sigmas
from theory.schedules.standard import edm_sigmas
from theory.solvers.calls import equal_steps
from theory.solvers.registry import SOLVERS

ROOT = Path(__file__).parents[1]


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args), catch_exceptions=False)


def printed(*args: str) -> dict:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return fields_of(result.stdout)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Small files, good and bad, by name."""
    texts = {
        "toy": '{"kind": "mixture", "weights": [1, 3], "means": [-1, 0.5], "stds": [0.1, 0]}',
        "rising": '{"kind": "schedule", "method": "x", "sigmas": [0.1, 1.0], "terminal": "stop"}',
        "good_schedule": '{"kind": "schedule", "method": "mine", "sigmas": [80, 1, 0.01],'
        ' "terminal": "stop"}',
        "truncated": '{"kind": "mixture", "weights": [1, 3], "means": [-1, 0.5',
        "wrong_kind": '{"kind": "profile", "weights": [1], "means": [0], "stds": [1]}',
        "no_stds": '{"kind": "mixture", "weights": [1], "means": [0]}',
        "negative_weight": '{"kind": "mixture", "weights": [1, -3], "means": [0, 1],'
        ' "stds": [0, 0]}',
        "zero_weight": '{"kind": "mixture", "weights": [1, 0], "means": [0, 1], "stds": [0, 0]}',
        "nan_mean": '{"kind": "mixture", "weights": [1], "means": [NaN], "stds": [0]}',
        "shapes": '{"kind": "mixture", "weights": [1, 1], "means": [0, 1, 2], "stds": [0, 0]}',
        "text_weight": '{"kind": "mixture", "weights": ["a"], "means": [0], "stds": [0]}',
        "ragged": '{"kind": "mixture", "weights": [1, 1], "means": [[0, 1], [1]], "stds": [0, 0]}',
        "losses": "sigma,loss\n0.01,0.99\n0.1,0.9\n1,0.5\n10,0.02\n80,0.0003\n",
        "no_header": "0.01,0.99\n0.1,0.9\n1,0.5\n10,0.02\n",
        "bad_cell": "sigma,loss\n0.01,0.99\n0.1,oops\n1,0.5\n10,0.02\n",
        "nan_loss": "sigma,loss\n0.01,0.99\n0.1,nan\n1,0.5\n10,0.02\n",
        "negative_loss": "sigma,loss\n0.01,0.99\n0.1,-1\n1,0.5\n10,0.02\n",
        "two_levels": "sigma,loss\n" + "0.01,0.99\n10,0.02\n" * 5,
        "steps": "t,loss\n0.001,0.99\n0.1,0.9\n1,0.5\n999,0.02\n",
        "few_samples": "sigma,loss,samples\n0.01,0.99,4\n0.1,0.9,0.5\n1,0.5,2\n10,0.02,1\n",
        "huge_loss": "sigma,loss\n0.01,1e308\n0.1,1\n1,0.5\n10,0.02\n",
        "zero_sigma": "sigma,loss\n0,0.99\n0.1,0.5\n1,0.5\n10,0.02\n",
        "empty": "",
        "nan_profile": '{"kind": "profile", "dim": 1, "sigma": [1, 2, 3, 4],'
        ' "mmse": [1, 2, NaN, 4], "stderr": null}',
    }
    names = {}
    for name, text in texts.items():
        ending = ".csv" if text[:1] in "s0" or not text else ".json"
        path = tmp_path / (name + ending)
        path.write_text(text)
        names[name] = str(path)
    names["folder"] = str(tmp_path)
    names["missing"] = str(tmp_path / "nowhere.json")
    (tmp_path / "blocker").write_text("")
    names["unwritable"] = str(tmp_path / "blocker" / "out.json")
    return names


EPS = ("--prediction", "eps")
LAS = ("schedule", "--method", "las", "--steps", "4")
KL = ("kl", "--toy", "gaussian", "--schedule", "edm")
LOSSES = ("profile", "--prediction", "eps", "--losses")
BAD = [
    (("kl", "--toy", "pionts15", "--schedule", "edm", "--steps", "2"), "did you mean 'points15'?"),
    (("kl", "--toy", "gaussian", "--schedule", "endm", "--steps", "2"), "did you mean 'edm'?"),
    ((*KL, "--steps", "2", "--solver", "stochastic_dim"), "did you mean 'stochastic_ddim'?"),
    ((*KL, "--steps", "2", "--process", "vpp"), "process must be one of edm, vp, got 'vpp'"),
    ((*KL, "--steps", "2", "--terminal", "stopp"), "did you mean 'stop'?"),
    ((*KL, "--steps", "2", "--start", "dat"), "did you mean 'data'?"),
    ((*KL, "--steps", "0"), "steps must be a whole number in 1..1000000, got 0"),
    ((*KL, "--steps", "10000000"), "steps must be a whole number in 1..1000000, got 10000000"),
    ((*KL, "--steps", "-3"), "steps must be a whole number in 1..1000000, got -3"),
    ((*KL, "--steps", "two"), "'two' is not a valid integer"),
    (KL, "steps must be given with a schedule's name, got none"),
    ((*KL, "--steps", "2", "--sigma-min", "90"), "sigma_min must be below sigma_max 80, got 90"),
    ((*KL, "--steps", "2", "--sigma-min", "80"), "sigma_min must be below sigma_max 80, got 80"),
    ((*KL, "--steps", "2", "--sigma-min", "0"), "sigma_min must be positive, got 0"),
    ((*KL, "--steps", "2", "--sigma-max", "nan"), "sigma_max must be finite, got nan"),
    ((*KL, "--steps", "2", "--sigma-max", "-1"), "sigma_max must be positive, got -1"),
    ((*KL, "--steps", "2", "--eta", "1.5"), "eta must be in [0, 1], got 1.5"),
    ((*KL, "--steps", "2", "--eta", "nan"), "eta must be"),
    ((*KL, "--steps", "2", "--solver", "ddim", "--eta", "1"), "eta"),
    (("figures", "entropic_time", "--recompute"), "--recompute must stand with re_vs_baselines"),
    ((*KL, "--steps", "2", "--option", "start_std=3"), "start_std must be left out for solver"),
    ((*KL, "--steps", "2", "--option", "sigmas=3"), "sigmas must be left out for solver"),
    ((*KL, "--steps", "2", "--option", "eta=1_0"), "eta must be in [0, 1], got 1_0"),
    ((*KL, "--steps", "2", "--option", "eta=true"), "eta must be a number or a word, got True"),
    (
        (*KL, "--steps", "2", "--option", "eta=0.5", "--eta", "0.3"),
        "eta must be given once, got 0.3 and 0.5",
    ),
    (("order", "--solver", "heun", "--option", "name=x"), "name must be left out for solver"),
    (("order", "--solver", "heun", "--option", "start_std=3"), "start_std must be left out for"),
    (("order", "--solver", "ddim", "--sigma-max", "1e300"), "sigma_max must be in [1e-12, 1e+12)"),
    (("order", "--solver", "heunn"), "did you mean 'heun'?"),
    (("order", "--solver", "heun", "--sigma-max", "-1"), "sigma_max must be positive, got -1"),
    (("order", "--solver", "heun", "--toy", "{missing}"), "No such file"),
    (("order", "--solver", "evodiff", "--toy", "gaussians5"), "paths must end within 1e+13"),
    (("order", "--solver", "stochastic_ddim", "--toy", "circle8"), "toy must have d = 1"),
    ((*KL, "--steps", "2", "--option", "eta"), "option must be NAME=VALUE, got 'eta'"),
    ((*KL, "--steps", "2", "--option", "eta=high"), "eta must be numbers, got 'high'"),
    ((*KL, "--steps", "2", "--option", "eat=1"), "which takes eta, call, got 1"),
    (
        (*KL, "--steps", "2", "--solver", "all", "--option", "varriant=bh1"),
        "did you mean 'variant'?",
    ),
    ((*KL, "--steps", "2", "--solver", "evodiff", "--option", "channels=2"), "channels must"),
    ((*KL, "--steps", "4", "--solver", "sde_dpmpp_2m"), "use Monte Carlo"),
    (
        (*KL, "--steps", "2", "--solver", "heun", "--option", "correct_last=1"),
        "correct_last must be true or false, got 1",
    ),
    ((*KL, "--steps", "2", "--paths", "0"), "paths must be a whole number at least 1, got 0"),
    ((*KL, "--steps", "2", "--paths", "9", "--exact"), "No such option"),
    ((*KL, "--steps", "2", "--seed", "1"), "seed must come with paths, got it alone"),
    ((*KL, "--steps", "2", "--repeats", "2"), "repeats must come with paths, got it alone"),
    (
        (*KL, "--steps", "2", "--paths", "9", "--repeats", "0"),
        "repeats must be a whole number at least 1, got 0",
    ),
    ((*KL, "--steps", "2", "--paths", "9", "--seed", "-1"), "seed must be a whole number in"),
    (("kl", "--toy", "circle8", "--schedule", "edm", "--steps", "2"), "use Monte Carlo (paths)"),
    (("kl", "--toy", "gaussian", "--schedule", "arctan", "--steps", "2", "--c", "0"), "c must be"),
    (("kl", "--toy", "{missing}", "--schedule", "edm", "--steps", "2"), "No such file"),
    (("kl", "--toy", "{folder}", "--schedule", "edm", "--steps", "2"), "Is a directory"),
    (("kl", "--toy", "{truncated}", "--schedule", "edm", "--steps", "2"), "valid JSON"),
    (
        ("kl", "--toy", "{wrong_kind}", "--schedule", "edm", "--steps", "2"),
        "kind must be 'mixture'",
    ),
    (("kl", "--toy", "{no_stds}", "--schedule", "edm", "--steps", "2"), "must have the key 'stds'"),
    (("kl", "--toy", "{negative_weight}", "--schedule", "edm", "--steps", "2"), "weights must be"),
    (("kl", "--toy", "{zero_weight}", "--schedule", "edm", "--steps", "2"), "got 0 at index 1"),
    (("kl", "--toy", "{nan_mean}", "--schedule", "edm", "--steps", "2"), "finite, got NaN"),
    (("kl", "--toy", "{shapes}", "--schedule", "edm", "--steps", "2"), "means must have shape"),
    (
        ("kl", "--toy", "{text_weight}", "--schedule", "edm", "--steps", "2"),
        "numbers only, got 'a'",
    ),
    (("kl", "--toy", "{ragged}", "--schedule", "edm", "--steps", "2"), "means must be numbers"),
    (("kl", "--toy", "gaussian", "--schedule", "{rising}"), "sigmas must fall strictly"),
    (("kl", "--toy", "gaussian", "--schedule", "{missing}"), "No such file"),
    (("kl", "--toy", "gaussian", "--schedule", "{truncated}"), "valid JSON"),
    (
        ("kl", "--toy", "gaussian", "--schedule", "{good_schedule}", "--steps", "4"),
        "steps must not stand with a file of levels, got 4",
    ),
    (
        ("kl", "--toy", "gaussian", "--schedule", "{good_schedule}", "--sigma-min", "0.1"),
        "sigma_min must not stand with a file of levels, got 0.1",
    ),
    (
        ("kl", "--toy", "{toy}", "--schedule", "edm", "--steps", "3", "--terminal", "zero"),
        "terminal must be 'stop' where some stds are 0 and some positive",
    ),
    ((*KL, "--steps", "2", "--sigma-max", "1e300"), "sigma_max must be in [1e-12, 1e+12)"),
    (
        (*KL, "--steps", "2", "--c", "2"),
        "c must be left out for schedule 'edm', which takes rho, got 2.0",
    ),
    (("profile", "--toy", "gaussian", "--dim", "3"), "dim must come with losses, got 3"),
    (
        ("profile", "--toy", "gaussian", "--sigma", "1", "--out", "x.json"),
        "--sigma must name at least 4 levels with --out, got 1",
    ),
    ((*LOSSES, "{huge_loss}"), "loss must be at most 1e+30"),
    (("profile",), "exactly one of toy, losses, network must be given, got none"),
    (("profile", "--toy", "gaussian", "--losses", "x.csv"), "got toy and losses"),
    ((*LOSSES, "{losses}", "--rescaled"), "--rescaled must come with --toy, got it with --losses"),
    (("profile", "--toy", "gaussian", "--sigma", "0"), "sigma must lie in [1e-12, 1e+12]"),
    (("profile", "--toy", "gaussian", "--sigma", "nan"), "sigma must"),
    (("profile", "--losses", "{losses}"), "prediction must be given with losses"),
    ((*LOSSES[:1], "--prediction", "epps", "--losses", "{losses}"), "did you mean 'eps'?"),
    ((*LOSSES, "{no_header}"), "must"),
    ((*LOSSES, "{bad_cell}"), "line 3"),
    ((*LOSSES, "{nan_loss}"), "4 distinct levels, got 3 (left out 1 row: 1 not finite)"),
    ((*LOSSES, "{negative_loss}"), "line 3"),
    ((*LOSSES, "{zero_sigma}"), "got 3 (left out 1 row: 1 without noise)"),
    ((*LOSSES, "{empty}"), "must"),
    ((*LOSSES, "{folder}"), "Is a directory"),
    ((*LOSSES, "{losses}", "--dim", "0"), "dim must be a whole number at least 1, got 0"),
    ((*LOSSES, "{losses}", "--reduction", "summ"), "did you mean 'sum'?"),
    (("profile", "--toy", "gaussian", "--out", "{unwritable}"), "must be writable"),
    (("schedule", "--method", "entropic", "--steps", "4"), "exactly one of toy, profile"),
    (
        ("schedule", "--method", "entropic", "--steps", "4", "--profile", "{nan_profile}"),
        "numbers must be finite, got NaN",
    ),
    (
        ("schedule", "--method", "edm", "--steps", "4", "--for", "yaml"),
        "for must be one of diffusers-euler, diffusers-dpm,",
    ),
    (("schedule", "--method", "edm", "--steps", "4", "--out", "{unwritable}"), "must be writable"),
    ((*KL, "--steps", "2", "--lambda", "1"), "lambda must be left out for schedule 'edm'"),
    ((*KL, "--steps", "2", "--mu", "0"), "mu must be left out for schedule 'edm'"),
    (
        ("kl", "--toy", "gaussian", "--schedule", "{good_schedule}", "--lambda", "0.1"),
        "lambda must not stand with a file of levels, got 0.1",
    ),
    ((*LAS, "--toy", "gaussian", "--lambda", "-1"), "lambda must be in [0, 1e+100), got -1"),
    ((*LAS, "--toy", "gaussian", "--lambda", "nan"), "lambda must be finite, got nan"),
    ((*LAS, "--toy", "gaussian", "--mu", "-1"), "mu must be in [0, 1e+100), got -1"),
    ((*LAS, "--toy", "gaussian", "--power", "2"), "power must come with a positive mu, got"),
    ((*LAS, "--toy", "gaussian", "--mu", "1", "--power", "0"), "power must be positive, got 0"),
    ((*LAS, "--toy", "gaussian", "--axis", "exponential"), "No such option"),
    ((*LAS, "--toy", "gaussian", "--bins", "9"), "bins must come with losses, got 9"),
    ((*LAS, "--toy", "gaussian", "--isotonic"), "isotonic must come with losses"),
    ((*LAS, "--toy", "gaussian", "--replicates", "3"), "replicates must be 0 or a whole number at"),
    ((*LAS, "--toy", "gaussian", "--seed", "-1"), "seed must"),
    ((*LAS,), "exactly one of toy, profile, losses must be given, got none"),
    ((*LAS, "--losses", "{losses}"), "prediction must be given with losses"),
    ((*LAS, "--losses", "{few_samples}", *EPS), "samples must be whole and at least 1, got 0.5 on"),
    (
        (*LAS, "--losses", "{two_levels}", *EPS),
        "losses must hold at least 4 distinct levels, got 2",
    ),
    (
        (*LAS, "--losses", "{steps}", *EPS, "--times", "vp"),
        "t must be at most 1, a time of vp, got 999 on line 5",
    ),
    ((*LAS, "--toy", "gaussian", "--lambda", "1e160"), "lambda must be in [0, 1e+100), got 1e+160"),
    (
        (*LAS, "--toy", "gaussian", "--replicates", "20"),
        "must come with noisy risks, got a mixture of dim 1",
    ),
    ((*LAS, "--losses", "{losses}", *EPS, "--bins", "3"), "bins must be a whole number at least 4"),
    (
        ("schedule", "--method", "edm", "--steps", "4", "--isotonic"),
        "isotonic must come with las or optimal, got it with 'edm'",
    ),
    (("figures", "kl_vs_step"), "did you mean 'kl_vs_steps'?"),
    (("figures", "--quick", "--paper"), "--quick must not stand with --paper"),
    (("figures", "entropic_time", "--quick", "--out", "{unwritable}"), "must be writable"),
    (("figures", "--jobs", "0"), "0 is not in the range"),
    (("klu",), "No such command 'klu'"),
    (("kl", "--frobnicate"), "No such option"),
]


@pytest.mark.parametrize(
    ("args", "words"), BAD, ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_bad_input_gives_one_clear_line_and_exit_code_2(
    args: tuple[str, ...], words: str, files: dict[str, str], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = run(*(a.format(**files) for a in args))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("entropic: ")
    assert words in lines[0], lines[0]
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.rglob("*")) == before  # nothing half-written is left


def test_there_are_at_least_thirty_cases_of_bad_input() -> None:
    assert len(BAD) >= 30


def test_help_answers_at_once() -> None:
    """Under 0.4 s; the best of three, since the machine may be busy."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        out = subprocess.run(
            [sys.executable, "-m", "entropic", "--help"], capture_output=True, text=True, check=True
        )
        times.append(time.perf_counter() - begin)
    assert "figures" in out.stdout
    assert min(times) < 0.4


def kl_rows(*args: str) -> dict[str, dict]:
    """The rows of `entropic kl` by metric."""
    return {row["metric"]: row for row in printed("kl", *args)["rows"]}


def solver_rows(*args: str) -> list[dict]:
    """The rows with the KL of every solver."""
    rows = printed("kl", *args, "--solver", "all")["rows"]
    return [row for row in rows if row["metric"] == "kl_data_model"]


def test_kl_prints_its_parts() -> None:
    of = kl_rows(*KL[1:], "--steps", "4", "--process", "vp")
    assert list(of) == ["kl_data_model", "kl_start", "kl_discretisation", "tv", "w1"]
    kl = of["kl_data_model"]
    assert (kl["nfe"], kl["n_steps"], kl["error_kind"]) == (4, 4, "exact")
    assert kl["error"] < 1e-8 * kl["value"]
    # On N(0, 1) the VP start N(0, 1 + sigma^2) is the true law.
    assert of["kl_start"]["value"] == pytest.approx(0.0, abs=1e-15)
    assert of["kl_discretisation"]["value"] == pytest.approx(kl["value"], rel=1e-9)
    text = run(*KL, "--steps", "4", "--process", "vp").stdout
    assert f"{kl['value']:.10g}" in text


def test_kl_by_monte_carlo_reports_a_standard_error_and_a_bias() -> None:
    args = ("--toy", "points15", "--schedule", "edm", "--steps", "8", "--terminal", "zero")
    many = kl_rows(*args, "--paths", "4000", "--repeats", "4")["kl_data_model"]
    one = kl_rows(*args, "--paths", "4000")["kl_data_model"]
    assert (one["sd"], one["error_kind"], one["route"]) == (None, "standard", "bins")
    assert one["error"] == pytest.approx(2.0 * many["error"], rel=0.9)
    exact = kl_rows(*args)["kl_data_model"]
    assert abs(many["value"] - many["gap"] - exact["value"]) < 5 * many["error"]
    # The mean of (1 - q) / q over the points is at least 14, and the bias falls as 1 / paths.
    assert many["gap"] >= 14 / 8000
    more = kl_rows(*args, "--paths", "16000", "--repeats", "4")["kl_data_model"]
    assert more["gap"] == pytest.approx(many["gap"] / 4, rel=0.3)
    assert kl_rows(*args, "--paths", "4000", "--repeats", "4")["kl_data_model"] == many


def test_kl_of_all_solvers_at_a_schedule_file(files: dict[str, str]) -> None:
    rows = solver_rows("--toy", files["toy"], "--schedule", files["good_schedule"])
    assert [r["solver"] for r in rows] == list(SOLVERS)
    # The same number of calls, so fewer steps for some; two steps of re_multi are three calls.
    assert {r["nfe"] for r in rows if "re_multi" not in r["solver"]} == {2}
    assert {r["nfe"] for r in rows if "re_multi" in r["solver"]} == {1}
    assert (rows[0]["sigma_max"], rows[0]["sigma_min"]) == (80, 0.01)
    heun = next(r for r in rows if r["solver"] == "heun")
    assert (heun["n_steps"], heun["sigma_max"], heun["sigma_min"]) == (1, 80, 0.01)
    without = {r["solver"]: r["reason"] for r in rows if r["value"] is None}
    assert set(without) <= {"evodiff"}


def test_kl_of_all_solvers_reads_as_a_table() -> None:
    result = run("kl", "--toy", "gaussian", "--schedule", "edm", "--steps", "4", "--solver", "all",
                 "--option", "special_last=false", "--option", "s_noise=1")  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[0] == "gaussian, edm, edm, 4 calls, terminal stop, start noise"
    assert {line.split()[0] for line in lines[2:]} == set(SOLVERS)
    values = [float(line.split()[3]) for line in lines[2:] if line.split()[3] != "-"]
    assert values == sorted(values)
    assert len(values) >= len(SOLVERS) - 1


def test_options_reach_the_solver() -> None:
    args = (*KL[1:], "--steps", "4")
    plain = kl_rows(*args, "--solver", "re_single")["kl_data_model"]
    other = kl_rows(*args, "--solver", "re_single", "--option", "mix=0.9", "--option",
                    "form=data")["kl_data_model"]  # fmt: skip
    assert other["solver_options"] == "form=data mix=0.9"
    assert other["value"] != pytest.approx(plain["value"], rel=1e-3)
    spelt = kl_rows(*args, "--solver", "RE-single:mix=0.9,form=data")["kl_data_model"]
    assert spelt == other


def test_one_call_is_too_few_for_some() -> None:
    rows = solver_rows(*KL[1:], "--steps", "1")
    reasons = {r["solver"]: r["reason"] for r in rows if r["nfe"] is None}
    assert set(reasons) >= {"heun", "fd_2"}
    assert reasons["heun"] == "a step takes more than 1 denoiser calls"


@pytest.mark.parametrize("zero", [False, True])
def test_resampled_lists_keep_their_ends_and_shape(zero: bool) -> None:
    sigmas = np.append(edm_sigmas(8, 80.0, 0.002), [0.0] if zero else [])
    for n in range(1 + zero, 9):
        new = resampled(sigmas, n)
        assert new.size == n + 1
        assert np.all(np.diff(new) < 0)
        assert (new[0], new[-1], new[-1 - zero]) == (80.0, sigmas[-1], sigmas[-1 - zero])
    assert resampled(sigmas, sigmas.size - 1) is sigmas
    half = resampled(sigmas, 4 + zero)
    np.testing.assert_allclose(half[: half.size - zero], sigmas[: sigmas.size - zero : 2])


def test_order_prints_its_window() -> None:
    row = printed("order", "--solver", "dpmpp_3m", "--option", "corrected=True")
    assert (row["declared"], row["kind"], row["toy"]) == (3, "strong", "gaussians5")
    assert abs(row["order"] - 3) < 0.15
    assert len(row["n_steps"]) == len(row["errors"]) == 3
    shown = run("order", "--solver", "stochastic_ddim").stdout
    assert "stochastic_ddim: weak order 0.99" in shown
    assert "on gaussian, log-SNR grid from 80 to 0.002" in shown
    assert "from sigma_max 2" in shown


def test_equal_steps_is_the_most_that_fits() -> None:
    assert equal_steps(lambda n: n, 7) == 7
    assert equal_steps(lambda n: 2 * n, 7) == 3
    assert equal_steps(lambda n: 2 * n - 1, 7) == 4
    assert equal_steps(lambda n: n + 1, 7) == 6
    assert equal_steps(lambda n: 2 * n, 1) == 0


def test_kl_in_two_dimensions_by_monte_carlo() -> None:
    of = kl_rows("--toy", "circle8", "--schedule", "edm", "--steps", "6", "--paths", "2000")
    assert list(of) == ["kl_data_model", "kl_start"]
    kl = of["kl_data_model"]
    assert kl["value"] > kl["error"] > 0
    assert (kl["route"], kl["gap"]) == ("kernel estimate", None)
    assert "its bias is not known" in kl["reason"]


def test_an_infinite_kl_is_null_with_a_reason() -> None:
    row = kl_rows("--toy", "points15", "--schedule", "edm_linear", "--steps", "4",
                  "--terminal", "zero", "--paths", "500")["kl_data_model"]  # fmt: skip
    assert row["value"] is None
    assert row["empty_bins"] >= 1
    assert "empty bins" in row["reason"]


def test_profile_of_a_toy_is_exact_and_writes_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    row = printed("profile", "--toy", "gaussian", "--rescaled", "--out", str(path))
    sigma = np.array(row["sigma"])
    assert sigma.size == 200
    np.testing.assert_allclose(row["mmse"], gaussian_mmse(sigma, 1.0), rtol=1e-13)
    np.testing.assert_allclose(
        row["rescaled_entropy"], gaussian_rescaled_entropy(sigma, 1.0), rtol=1e-6
    )
    np.testing.assert_allclose(
        np.array(row["conditional_entropy"]) + np.array(row["mutual_information"]),
        0.5 * np.log(2 * np.pi * np.e),
        rtol=1e-12,
    )
    np.testing.assert_array_equal(read_profile(path).mmse, row["mmse"])
    few = printed("profile", "--toy", "two_points", "--sigma", "0.5", "--sigma", "0.1")
    assert few["sigma"] == [0.1, 0.5]
    assert few["rescaled_entropy"] is None
    for flags in ((), ("--rescaled",)):
        table = run("profile", "--toy", "two_points", "--sigma", "0.5", *flags).stdout
        assert ("rescaled_entropy" in table) == bool(flags)


def test_profile_of_losses_knows_entropies_up_to_a_constant(files: dict[str, str]) -> None:
    row = printed(*LOSSES, files["losses"])
    assert row["conditional_entropy"] is None
    assert row["mutual_information"] is None
    assert row["entropy_from_sigma_min"][0] == 0
    assert np.all(np.diff(row["rescaled_entropy"]) > 0)


def test_a_loss_log_becomes_a_list_of_sigmas(files: dict[str, str], tmp_path: Path) -> None:
    args = ("schedule", "--losses", files["losses"], "--prediction", "eps", "--method",
            "rescaled", "--steps", "6")  # fmt: skip
    fields = printed(*args, "--out", str(tmp_path / "s.json"))
    assert fields["kind"] == "schedule"
    assert fields["sigmas"][0] == 80
    assert fields["sigmas"][-1] == 0.01
    assert np.all(np.diff(fields["sigmas"]) < 0)
    np.testing.assert_array_equal(read_schedule(tmp_path / "s.json").sigmas, fields["sigmas"])
    lines = run(*args, "--for", "lines").stdout.split()
    assert [float(v) for v in lines] == fields["sigmas"]


def test_schedule_without_data_needs_none() -> None:
    fields = printed("schedule", "--method", "edm", "--steps", "9", "--terminal", "zero")
    np.testing.assert_array_equal(fields["sigmas"], edm_sigmas(9, 80.0, 0.002, "zero"))


def test_las_from_a_toy_says_its_objective() -> None:
    fields = printed(*LAS, "--toy", "gaussian", "--terminal", "zero")
    assert fields["sigmas"][-2:] == [0.002, 0.0]
    las = fields["source"]["las"]
    assert las["axis"] == "saturating"
    assert las["lambda"] == pytest.approx(2 / 3, rel=1e-3)  # three steps to sigma_min
    assert (las["mu"], las["power"]) == (0.0, 2.0)
    assert fields["source"]["band"] is None
    smooth = printed(*LAS, "--toy", "gaussian", "--mu", "0.5", "--power", "3", "--lambda", "0.1")
    assert smooth["source"]["las"]["lambda"] == 0.1
    rough = printed(*LAS, "--toy", "gaussian", "--lambda", "0.1")
    bends = [np.abs(np.diff(np.log(f["sigmas"]), 2)).max() for f in (smooth, rough)]
    assert bends[0] < bends[1]


def test_las_from_a_real_log_says_what_it_rests_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sigma = np.exp(rng.normal(-1.0, 1.3, 5000))  # every row its own level
    loss = 0.25 / (0.25 + sigma**2) * rng.gamma(2.0, 0.5, sigma.size)
    path = tmp_path / "log.csv"
    rows = [f"{i},{s!r},{v!r}" for i, (s, v) in enumerate(zip(sigma.tolist(), loss.tolist(),
            strict=True))]  # fmt: skip
    path.write_text("\n".join(["step,sigma,loss", *rows]))
    args = ("schedule", "--losses", str(path), *EPS, "--method", "las", "--steps", "6")
    fields = printed(*args, "--isotonic", "--replicates", "40")
    source = fields["source"]
    assert source["rests_on"]["levels"] == source["rests_on"]["samples"] == 5000
    assert 30 < source["rests_on"]["bins"] <= 64
    assert source["rests_on"]["fewest_samples"] >= 8
    band = source["band"]
    assert (band["share"], band["replicates"], band["seed"]) == (0.9, 40, 0)
    assert len(band["low"]) == len(band["high"]) == 7
    assert np.all(np.array(band["low"]) <= np.array(band["high"]))
    log = LossLog(sigma, loss * sigma**2)

    def make(profile: Profile) -> np.ndarray:
        return las_sigmas(6, float(sigma.max()), float(sigma.min()), profile=profile)

    low, _ = bootstrap_band(lambda r: log.resampled(r, monotone=True), make, 40, 0)
    np.testing.assert_allclose(band["low"], low, rtol=1e-9)
    assert fields["sigmas"][0] == pytest.approx(sigma.max(), rel=1e-12)
    assert fields["sigmas"][-1] == pytest.approx(sigma.min(), rel=1e-12)
    result = run(*args, "--isotonic", "--replicates", "40", "--for", "lines")
    assert [float(v) for v in result.stdout.split()] == fields["sigmas"]
    assert "rests on 5000 samples at 5000 levels in" in result.stderr
    assert f"at least {source['rests_on']['fewest_samples']} per bin" in result.stderr
    assert "steps up in sigma with a falling risk: " in result.stderr
    assert "the middle 90% of 40 bootstrap replicates; widest at sigma" in result.stderr
    assert printed(*args, "--replicates", "0")["source"]["band"] is None


def test_las_is_silent_about_risks_that_never_fall(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("sigma,loss\n" + "\n".join(f"{s},{s / (1 + s)}" for s in (0.1, 0.5, 1, 3, 9)))
    args = ("schedule", "--losses", str(path), "--prediction", "x0", "--method", "las")
    said = run(*args, "--steps", "3", "--for", "lines").stderr
    assert "at least 1 per level" in said
    assert "falling risk" not in said


def test_las_from_single_rows_has_no_band_and_says_why(files: dict[str, str]) -> None:
    args = ("schedule", "--losses", files["losses"], *EPS, "--method", "las", "--steps", "3")
    said = run(*args, "--for", "lines").stderr
    assert "at least 1 per level" in said
    assert "falling risk: 1; --isotonic pools them" in said
    said = run(*args, "--isotonic", "--for", "lines").stderr
    assert "falling risk: 1; pooled" in said
    fields = printed(*args)
    assert fields["source"]["rests_on"]["levels"] == 5
    assert fields["source"]["band"]["low"] is None
    assert "every level once" in fields["source"]["band"]["reason"]
    assert "no band: losses must repeat some level" in run(*args, "--for", "lines").stderr


def test_las_with_a_penalty_draws_few_replicates(files: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    sigma = np.geomspace(0.05, 50.0, 30)
    mmse = gaussian_mmse(sigma, 0.5)
    write_profile(path, Profile(1, sigma, mmse, 0.05 * mmse))
    args = ("schedule", "--profile", str(path), "--method", "las", "--steps", "3", "--mu", "0.01")
    assert printed(*args)["source"]["band"]["replicates"] == 20
    rough = printed("schedule", "--profile", str(path), "--method", "las", "--steps", "2", "--mu",
                    "0.01", "--power", "0.5")["source"]["band"]  # fmt: skip
    assert (rough["replicates"], rough["low"]) == (0, None)
    assert "give the number of replicates" in rough["reason"]


def test_las_from_a_profile_file_with_errors_has_a_band(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    sigma = np.geomspace(0.01, 50.0, 30)
    mmse = gaussian_mmse(sigma, 0.5)
    write_profile(path, Profile(1, sigma, mmse, 0.05 * mmse))
    fields = printed("schedule", "--profile", str(path), "--method", "las", "--steps", "5",
                     "--replicates", "30")  # fmt: skip
    low, high = (np.array(fields["source"]["band"][end]) for end in ("low", "high"))
    assert (low[1:-1] < high[1:-1]).all()
    assert "rests_on" not in fields["source"]


def test_kl_of_las_depends_on_lambda() -> None:
    args = ("--toy", "gaussians5", "--steps", "6", "--schedule")
    own = kl_rows(*args, "las")["kl_data_model"]
    damped = kl_rows(*args, "las", "--lambda", "5")["kl_data_model"]
    assert own["value"] < damped["value"]
    assert own["schedule"] == "las"
    assert kl_rows(*args, "las:lambda=5")["kl_data_model"] == damped


def test_toys_and_doctor_answer() -> None:
    assert {"points15", "circle8"} <= {row["name"] for row in printed("toys")["toys"]}
    row = printed("doctor")
    assert row["verified"] is True
    assert row["simd_bits"] in (128, 256, 512)
    assert run("doctor").exit_code == 0


@pytest.mark.slow
def test_speed_has_the_promised_keys() -> None:
    row = printed("speed")
    assert {"exp_ns", "kernel_ns", "kernel_over_exp", "numpy_over_kernel", "exact_seconds",
            "mc_seconds_1e-2", "mc_kde_bias"} <= set(row)  # fmt: skip
    ratios = row.pop("solver_ratios")
    assert set(ratios) == set(SOLVERS)
    assert all(np.isfinite(v) for v in [*row.values(), *ratios.values()])


@pytest.mark.parametrize(
    "args",
    [
        ["train", "--preset", "digits-quick", "--out", "run"],
        ["profile", "--network", "a:b", "--data", "x.npy", "--out", "p.json"],
    ],
)
def test_without_torch_its_commands_say_what_to_install(args: list[str], tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from entropic.commands.main import main; "
    code += f"main({args})"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert out.returncode == 2
    assert out.stderr.startswith("entropic: the extra networks must be installed for this (entr")
    assert out.stderr.endswith("got no module torch\n")
    assert not list(tmp_path.iterdir())


OWN_CODE = """
import sys
import numpy as np
print("a note of the module")


def levels(n, high, low, terminal):
    print("a note of the function")
    return np.geomspace(high, low, n + 1)


def ends(n, high, low, terminal):
    sys.exit(0)


def fails(n, high, low, terminal):
    raise ValueError("two\\nlines")


def nothing(n, high, low, terminal):
    return None


def turned(n, high, low, terminal):
    return np.geomspace(high, low, n + 1) + 0j
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ends", "schedule own_code_of_a_test:ends must run, got SystemExit: 0"),
        ("fails", "schedule own_code_of_a_test:fails must run, got ValueError: two lines"),
        ("nothing", "levels of own_code_of_a_test:nothing must be numbers, got None"),
        ("turned", "levels of own_code_of_a_test:turned must be numbers, got array("),
    ],
)
def test_functions_of_ones_own_end_in_one_line(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_code_of_a_test.py").write_text(OWN_CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    args = ("kl", "--toy", "gaussian", "--steps", "3", "--schedule", f"own_code_of_a_test:{name}")
    found = CliRunner().invoke(main, args)
    assert found.exit_code == 2
    assert found.stderr.splitlines()[-1].startswith(f"entropic: {line}")


def test_what_ones_own_code_prints_is_not_in_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_code_of_a_test.py").write_text(OWN_CODE)
    done = subprocess.run(
        [sys.executable, "-m", "entropic", "kl", "--toy", "gaussian", "--steps", "3", "--json",
         "--schedule", "own_code_of_a_test:levels"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(json.loads(done.stdout)["rows"]) == 5
    assert "a note of the module" in done.stderr
    assert "a note of the function" in done.stderr


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--schedule", "edm:rho=3", "--rho", "4"), "rho must be given once, got 3 and 4.0"),
        (("--schedule", "edm", "--solver", "stochastic_ddim:eta=1", "--eta", "0"),
         "eta must be given once, got 1 and 0.0"),
        (("--schedule", "las:lambda=1,lambda_=2"), "lambda_ must be given once, got 1 and 2"),
        (("--schedule", "EDM:RHOO=3"), "RHOO must be left out for schedule 'edm', which takes rho,"
         " got 3; did you mean 'rho'?"),
    ],
)  # fmt: skip
def test_an_option_is_given_once(args: tuple[str, ...], line: str) -> None:
    found = CliRunner().invoke(main, ["kl", "--toy", "gaussian", "--steps", "3", *args])
    assert found.exit_code == 2
    assert found.stderr == f"entropic: {line}\n"


@pytest.mark.parametrize(
    ("words", "given", "threads"),
    [("toys", None, "1"), ("toys", "3", "3"), ("claims", None, "None")],
)
def test_short_commands_start_no_threads_of_the_matrix_library(
    words: str, given: str | None, threads: str
) -> None:
    """A process of its own: the variable counts when NumPy is loaded."""
    code = (
        "import atexit, os, sys\n"
        "atexit.register(lambda: print(os.environ.get('OPENBLAS_NUM_THREADS'), file=sys.stderr))\n"
        "from entropic.commands.main import main\n"
        f"main([{words!r}, '--help'])\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    if given is not None:
        env["OPENBLAS_NUM_THREADS"] = given
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == threads


def test_options_of_a_log_reach_the_reader(tmp_path: Path) -> None:
    """Every option of a loss log, and the note on rows that were left out."""
    text = ["step;timestep;train/mse;w", "1;0;9,0;1"]
    for i in range(50, 1000, 50):
        text.append(f"{i};{i};{2.0 / (1.0 + (i / 100.0) ** 2)}".replace(".", ",") + ";2")
    text.append("999;;1,0;1")
    path = tmp_path / "log.csv"
    path.write_text("\n".join(text))
    given = ("--times", "ddpm", "--betas", "scaled_linear", "--prediction", "EPSILON",
               "--column", "loss=train/mse", "--column", "weight=w", "--after", "10",
               "--last", "15")  # fmt: skip
    args = ("schedule", "--losses", str(path), "--method", "rescaled", "--steps", "3", *given)
    lines = run(*args, "--for", "lines")
    assert lines.exit_code == 0, lines.output
    assert "left out 6 rows: 1 blank, 5 too early" in lines.stderr
    assert "left out 6 rows" in run(*args).stderr  # as JSON, too
    found = printed(*args)
    assert found["source"]["left_out"] == {"blank": 1, "too early": 5}
    betas = coordinate_of("ddpm", "scaled-linear")
    np.testing.assert_allclose(found["sigmas"][::3], betas.sigma([950.0, 250.0]), rtol=1e-12)
    row = printed("profile", "--losses", str(path), *given)
    np.testing.assert_allclose(
        np.array(row["mmse"]) / np.array(row["sigma"]) ** 2,
        1.0 / (1.0 + (np.arange(250.0, 1000.0, 50.0) / 100.0) ** 2),
    )
    zero = printed("profile", "--losses", str(path), *given[:4], "--zero-snr", *given[4:])
    assert zero["sigma"][-1] > row["sigma"][-1]


def test_the_words_of_the_options_are_the_librarys() -> None:
    assert options.TIMES == TIMES
    assert (*PREDICTIONS, *DIFFUSERS) == options.PREDICTIONS


def test_a_log_with_a_floor_has_a_profile(tmp_path: Path) -> None:
    """The part of the rescaled entropy below the log is unknown, and left out."""
    c, floor = 0.5, 1e-4
    sigma = np.geomspace(0.002, 80.0, 400)
    pairs = zip(sigma.tolist(), (gaussian_mmse(sigma, c) + floor).tolist(), strict=True)
    path = tmp_path / "floor.csv"
    path.write_text("\n".join(["sigma,loss", *(f"{s!r},{v!r}" for s, v in pairs)]))
    args = ("profile", "--losses", str(path), "--prediction", "x0", "--json")
    found = run(*args, "--out", str(tmp_path / "p.json"))
    assert found.exit_code == 0, found.output
    assert "starts at 0 at sigma 0.002" in found.stderr
    row = fields_of(found.stdout)
    exact = c * (np.arctan(80.0 / c) - np.arctan(0.002 / c)) + floor * (1 / 0.002 - 1 / 80.0)
    assert row["rescaled_entropy"][0] == 0.0
    assert row["rescaled_entropy"][-1] == pytest.approx(exact, rel=1e-4)
    assert read_profile(tmp_path / "p.json").sigma.size == 400


def test_levels_in_the_form_of_a_program() -> None:
    args = ("schedule", "--method", "log_snr", "--steps", "4", "--terminal", "zero",
            "--sigma-max", "14", "--sigma-min", "0.1")  # fmt: skip
    pasted = run(*args, "--for", "diffusers-dpm", "--model", "scaled-linear")
    assert pasted.exit_code == 0, pasted.output
    call, text = pasted.stdout.strip().splitlines()
    assert "DPMSolverMultistepScheduler" in call
    times = json.loads(text.removeprefix("timesteps = "))
    np.testing.assert_allclose(
        coordinate_of("ddpm", "scaled-linear").sigma(np.array(times, dtype=float)),
        np.geomspace(14.0, 0.1, 4), rtol=0.02,
    )  # fmt: skip
    assert "4 network calls per sample" in pasted.stderr
    assert "whole time steps move the levels" in pasted.stderr
    answer = json.loads(run(*args, "--for", "diffusers-flow", "--shift", "3", "--json").stdout)
    assert answer["export"]["calls"] == 4
    fields_of(json.dumps(answer))  # follows the schema
    np.testing.assert_allclose(answer["export"]["sigmas"], answer["sigmas"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--for", "diffusers-ddim"), "target diffusers-ddim must take a list, but it computes"),
        (("--for", "difusers-dpm"), "did you mean 'diffusers-dpm'"),
        (("--for", "diffusers-dpm"), "model must be given for diffusers-dpm"),
        (("--model", "linear"), "model must come with a target other than json, got linear"),
        (("--for", "diffusers-euler", "--model", "scaled-linear"), "make the schedule with sigma"),
    ],
)
def test_forms_that_do_not_fit_are_refused(more: tuple[str, ...], message: str) -> None:
    result = run("schedule", "--method", "edm", "--steps", "4", *more)
    assert result.exit_code == 2
    assert message in result.output


def test_the_names_of_the_forms_are_the_librarys() -> None:
    assert options.EXPORTS == TARGETS
    assert set(options.NO_LISTS) == set(REFUSED)


def test_lint_says_what_is_wrong_with_a_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("sigmas = [14.6, 3.2, 3.2, 0.03]")
    bad = run("lint", str(path), "--for", "diffusers-euler")
    assert bad.exit_code == 1
    kinds = [line.partition(":")[0] for line in bad.stdout.splitlines()]
    assert kinds == ["duplicate", "zero"]
    answer = run("lint", str(path), "--for", "diffusers-euler", "--json")
    assert answer.exit_code == 1
    assert [one["kind"] for one in fields_of(answer.stdout)["findings"]] == kinds
    good = run("lint", "14.6, 3.2, 0.03, 0", "--for", "diffusers-euler", "--model", "scaled-linear")
    assert (good.exit_code, good.stdout) == (0, "no mistakes found\n")
    assert run("lint", "1, 0", "--for", "diffusers-ddim").exit_code == 2
    piped = ["lint", "-", "--for", "diffusers-euler"]
    assert CliRunner().invoke(main, piped, input="14.6\n3.2\n0\n").stdout == "no mistakes found\n"
    assert run("lint", str(tmp_path / "none.txt"), "--for", "edm").exit_code == 2
