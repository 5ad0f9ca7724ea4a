"""What the acceptance scripts share: the result of a check, its printing, and two common checks.

A result is one line with a target, a measured value, and the verdict "passed" or "failed". A
finding has the verdict "found", because it has no target to meet.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]  # of the checkout


class Check(NamedTuple):
    """The result of one acceptance check: one line of the report."""

    name: str
    target: str
    measured: str
    passed: bool | None  # None for a finding


def fresh() -> Iterator[Check]:
    """`make figures` and `make test` succeed in time in a fresh clone with empty caches."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NUMBA", "VIRT"))
        }
        clean["ENTROPIC_STORE"] = str(Path(folder) / "store")
        for command, minutes in (("figures", 4), ("test", 6)):
            begin = time.perf_counter()
            done = subprocess.run(
                ["make", command], cwd=clone, env=clean, capture_output=True, text=True, check=False
            )
            seconds = time.perf_counter() - begin
            last = (done.stdout.strip().splitlines() or ["no output"])[-1]
            made = len(list((clone / "out").glob("*.png"))) if command == "figures" else last
            good = done.returncode == 0 and seconds < 60 * minutes
            text = f"exit {done.returncode} in {seconds:.0f} s ({made})"
            yield Check(f"make {command}", f"exit 0 in < {minutes} min", text, good)


def by_tests(groups: Mapping[str, tuple[str, Sequence[str]]]) -> Iterator[Check]:
    """Checks that are tests of the test suite, from name to target and pytest's arguments."""
    for name, (target, args) in groups.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        yield Check(name, target, last, done.returncode == 0)


def run(checks: Mapping[str, Callable[[], Iterator[Check]]], names: Sequence[str]) -> int:
    """Print one line per result; returns 1 if a check failed and 2 for an unknown name.

    Args:
        checks: Checks by name.
        names: Checks to run. Default: all of them if empty.
    """
    unknown = [n for n in names if n not in checks]
    if unknown:
        print(f"check must be one of {', '.join(checks)}, got {unknown[0]}", file=sys.stderr)
        return 2
    short = 0
    for name in names or checks:
        for check in checks[name]():
            verdict = "found" if check.passed is None else "passed" if check.passed else "failed"
            short += check.passed is False
            print(
                f"{verdict:10s} {check.name}: target {check.target}; measured {check.measured}",
                flush=True,
            )
    print(json.dumps({"failed": short}))
    return int(short > 0)
