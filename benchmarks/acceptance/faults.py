"""Forty planted faults (faults.json): do the quick claims and the tests detect each of them?

    python -m benchmarks.acceptance.faults [NUMBER ...] [--jobs N]

Each fault is planted alone in a copy of the working tree. The quick claims evaluate every claim on
two random cases, up to the first whose verdict differs from the committed run's. The tests are the
fast tests of the module with the fault. The output has one result per fault and then the counts.
The exit status is 1 if the claims or the tests miss a fault.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.acceptance.report import ROOT

QUICK = ("-m", "benchmarks.claims.quick")


class Fault(NamedTuple):
    """A text that occurs once in a file, its faulty replacement, and the tests of the module."""

    kind: str  # factor, sign, exponent or index
    file: str
    text: str
    wrong: str
    tests: str


FAULTS = tuple(
    Fault(**fields)
    for fields in json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
)


class Seen(NamedTuple):
    """The first claim and the first test that detect a fault, each empty if none does."""

    claim: str
    test: str


def plant(fault: Fault, tree: Path) -> None:
    """Plant a fault in a copy; ValueError unless its text occurs there exactly once."""
    path = tree / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.text) != 1:
        raise ValueError(
            f"{fault.file}: must hold {fault.text!r} once, got {text.count(fault.text)}"
        )
    path.write_text(text.replace(fault.text, fault.wrong), encoding="utf-8")


def examine(fault: Fault) -> Seen:
    """Run the quick claims and the module's tests on a copy of the tree with the fault."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        skipped = shutil.ignore_patterns(".git", ".venv", "out", "*.egg-info", "*_cache", "docs")
        shutil.copytree(ROOT, tree, ignore=skipped)
        plant(fault, tree)
        claim = _run(tree, [*QUICK])
        name = f"tests/test_{fault.tests}.py"
        test = _run(
            tree, ["-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", name]
        )
    return Seen(claim, test)


def _run(tree: Path, args: list[str]) -> str:
    """The output line that names the failed claim or test, empty if everything passed."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *args], cwd=tree, env=clean | {"NUMBA_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    red = [line for line in lines if line.startswith(("red", "FAILED", "ERROR"))]
    return (red or lines[-1:])[0][:110]


def main() -> int:
    """Examine the faults with the given numbers. Default: all of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("numbers", type=int, nargs="*", help="1 to 40; all by default")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    numbers = asked.numbers or range(1, len(FAULTS) + 1)
    both = [0, 0]
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = pool.map(lambda n: examine(FAULTS[n - 1]), numbers)
        for n, seen in zip(numbers, found, strict=True):
            fault = FAULTS[n - 1]
            both[0] += bool(seen.claim)
            both[1] += bool(seen.test)
            good = "passed" if seen.claim and seen.test else "failed"
            line = fault.wrong.splitlines()[-1].strip()[:60]
            print(f"{good:10s} {n:2d} {fault.kind:8s} {fault.file}: {line}")
            print(f"              claims: {seen.claim or 'NOT SEEN'}")
            print(f"              tests:  {seen.test or 'NOT SEEN'}", flush=True)
    total = len(list(numbers))
    print(f"{total} faults: {both[0]} seen by the quick claims, {both[1]} by the module's tests")
    return int(min(both) < total)


if __name__ == "__main__":
    sys.exit(main())
