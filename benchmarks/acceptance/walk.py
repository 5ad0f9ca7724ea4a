"""Acceptance checks of the walk from a name to a number: `python -m benchmarks.acceptance.walk`.

The checks, of which some may be named; all but `times` by default:

* seconds: processor time of whole processes, compiled code cached, median of five;
* mmse: the exact mmse's times and values (`benchmarks.acceptance.mmse`);
* figures: every CSV of `make figures` against the commit before (BEFORE), to 1e-12 or twice the
  row's own error;
* trace: the functions of the suite that one command enters;
* tests: contracts, the trace, wrong use, comparisons, environments and JSON, by their tests;
* times: processor seconds of every figure from an empty store, for `figures --list`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from types import CodeType, FrameType

import numpy as np
import pandas as pd

from benchmarks.acceptance import mmse
from benchmarks.acceptance.report import ROOT, Check, by_tests, run
from benchmarks.studies.registry import TABLES

BEFORE = "86104d5"  # the last commit before
REPEATS = 5
KL = ["kl", "--toy", "gaussians15_overlap", "--schedule", "rescaled", "--steps", "8"]
COMPARED = (
    ["compare", "--toy", "gaussians15_overlap"]
    + [word for name in ("edm", "log_snr", "rescaled") for word in ("--schedule", name)]
    + [word for name in ("stochastic_ddim", "dpmpp_2m") for word in ("--solver", name)]
    + ["--steps", "4,8,16,32"]
)
ROOMS = ("entropic", "toys", "theory", "benchmarks", "figures")
IGNORED = ("numpy", "scipy", "numba", "command")


def process_seconds(args: list[str], store: str | None = None) -> float:
    """Processor seconds of a command of the suite, a process and its children."""
    env = dict(os.environ)
    if store is not None:
        env["ENTROPIC_STORE"] = store
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "entropic", *args],
        cwd=ROOT, env=env, check=True, capture_output=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds() -> Iterator[Check]:
    """Whole-process figures."""
    for name, args, most in (
        ("kl, 8 rescaled steps", KL, 1.0),
        ("schedule --method edm", ["schedule", "--method", "edm", "--steps", "8"], 0.4),
        ("--help", ["--help"], 0.4),
    ):
        process_seconds(args)
        found = [process_seconds(args) for _ in range(REPEATS)]
        text = f"{median(found):.2f} s of processor time"
        yield Check(name, f"< {most} s", text, median(found) < most)
    found = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            found.append(process_seconds(COMPARED, folder))
    text = f"{median(found):.2f} s of processor time"
    yield Check("compare, 24 settings, empty store", "< 5 s", text, median(found) < 5.0)


def walked() -> Counter[CodeType]:
    """Calls of the suite's code by one `kl`, compilation and imports done, no cached answers."""
    from click.testing import CliRunner

    from entropic.commands.main import main

    def once() -> None:
        done = CliRunner().invoke(main, KL, catch_exceptions=False)
        if "KL(data || sampler) = 0.0958542972" not in done.output:
            raise AssertionError(done.output)

    once()
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ROOMS:
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
    homes = tuple(f"{ROOT / room}{os.sep}" for room in ROOMS)
    calls: Counter[CodeType] = Counter()

    def seen(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(homes) and code.co_filename != __file__:
            calls[code] += 1

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        once()
    finally:
        sys.setprofile(before)
    return calls


def trace() -> Iterator[Check]:
    """How many functions one command enters, without comprehensions and lambdas."""
    named = [code for code in walked() if not code.co_name.startswith("<")]
    files = {code.co_filename for code in named}
    text = f"{len(named)} functions in {len(files)} files"
    yield Check("functions entered by kl", "<= 60", text, len(named) <= 60)


def exact_mmse() -> Iterator[Check]:
    """The checks of the exact mmse."""
    for check in mmse.CHECKS.values():
        yield from check()


def tests() -> Iterator[Check]:
    """What tests check."""
    yield from by_tests({
        "names": ("one contract", ["tests/test_theory_schedules.py", "tests/test_theory_solvers.py",
                                   "tests/test_contributing.py"]),
        "trace": ("1 table, 1 profile, 2 settlings", ["tests/test_walk.py"]),
        "laws": ("no order of calls", ["tests/test_toys_laws.py"]),
        "settings": ("one row", ["tests/test_engine_setting.py", "tests/test_engine_sources.py",
                                 "tests/test_engine_run.py"]),
        "compare": ("the numbers of kl; resumes", ["tests/test_engine_compare.py"]),
        "environments": ("cases 25, 28, 30, 33", ["tests/test_environments.py"]),
        "mixtures": ("case 22", ["tests/test_toys_information.py"]),
        "json": ("valid, pinned", ["tests/test_json.py"]),
    })  # fmt: skip


def figures() -> Iterator[Check]:
    """The tables of all figures, then and now."""
    with tempfile.TemporaryDirectory() as folder:
        then = Path(folder) / "then"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(then)], check=True)
        subprocess.run(["git", "checkout", "-q", BEFORE], cwd=then, check=True)
        outs = Path(folder) / "out_then", Path(folder) / "out_now"
        for tree, out in zip((then, ROOT), outs, strict=True):
            subprocess.run(
                [sys.executable, "-m", "entropic", "figures", "--out", str(out)],
                cwd=tree, check=True, capture_output=True,
                env={**os.environ, "ENTROPIC_STORE": str(out / "store")},
            )  # fmt: skip
        yield from compared(*outs)


def compared(then: Path, now: Path) -> Iterator[Check]:
    """Every CSV of one folder against that of the same name in the other."""
    for name in TABLES:
        if not (then / f"{name}.csv").exists():
            yield Check(f"{name}.csv", "a finding", "a figure of a later change", None)
            continue
        old, new = (pd.read_csv(folder / f"{name}.csv", low_memory=False) for folder in (then, now))
        target = "to 1e-12 or twice the row's error"
        if list(old.columns) != list(new.columns) or len(old) != len(new):
            yield Check(f"{name}.csv", target, "other columns or rows", False)
            continue
        wrong, worst = [], 0.0
        for column in old.columns:
            if column in IGNORED:
                continue
            bad, moved = _differs(column, old, new)
            worst = max(worst, moved)
            wrong += [f"{column} in {bad} rows"] if bad else []
        text = "; ".join(wrong) or f"largest relative change {worst:.1e}"
        yield Check(f"{name}.csv", target, text, not wrong)


def _differs(column: str, old: pd.DataFrame, new: pd.DataFrame) -> tuple[int, float]:
    """Number of rows whose value moved by more than is allowed, and the largest change."""
    a, b = old[column], new[column]
    both_empty = a.isna() & b.isna()
    if not (pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b)):
        return int((~both_empty & (a.astype(str) != b.astype(str))).sum()), 0.0
    x, y = a.to_numpy(float), b.to_numpy(float)
    allowed = 1e-12 * np.abs(x) + 1e-290
    for error in ("error", "stderr"):
        if error in old and column != error:
            allowed = allowed + 2.0 * np.abs(old[error].fillna(0.0).to_numpy(float))
    if column in ("value", "excess") and "excess" in old:  # a difference of moments of size 1
        allowed = allowed + 1e-15
    if column in ("sd", "stderr") and "kl_finite_mean" in old:  # differences of the values
        allowed = allowed + 1e-12 * np.abs(old["kl_finite_mean"].fillna(0.0).to_numpy(float))
    if column in ("increment", "change_state", "change_increment"):  # of states that agree to 1e-5
        allowed = allowed + 2e-10 * np.abs(x) + 1e-14
    if column == "slope":  # of the log of a rate that is good to 1e-12, over a grid
        allowed = allowed * 10.0
    if column == "error":  # of the engine itself: of the same size
        allowed = allowed + np.maximum(x, y)
    with np.errstate(invalid="ignore"):
        moved = np.abs(x - y)
        bad = ~both_empty.to_numpy() & ~(moved <= allowed)
        share = moved / np.maximum(np.abs(x), 1e-290)
    return int(bad.sum()), float(np.nanmax(share, initial=0.0)) if column != "error" else 0.0


def times() -> Iterator[Check]:
    """Processor seconds of every figure from an empty store."""
    found = {}
    for name in TABLES:
        with tempfile.TemporaryDirectory() as folder:
            args = ["figures", name, "--out", folder, "--store", f"{folder}/store"]
            found[name] = round(process_seconds(args), 1)
        yield Check(name, "a finding", f"{found[name]} s of processor time", None)
    yield Check("SECONDS", "benchmarks/studies/registry.py", json.dumps(found), None)


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "seconds": seconds,
    "mmse": exact_mmse,
    "trace": trace,
    "figures": figures,
    "tests": tests,
    "times": times,
}


if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:] or [name for name in CHECKS if name != "times"]))
