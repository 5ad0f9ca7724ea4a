"""What the acceptance scripts share: the result of a check, its printing, and two common checks.

A result is one line with a target, a measured value, and the verdict "pass" or "FELL SHORT". A
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



class Bar(NamedTuple):
    """The result of one acceptance check: one line of the report."""

    name: str
    target: str
    measured: str
    passed: bool | None  # None for a finding


def fresh() -> Iterator[Bar]:
    """`make figures` and `make test` succeed in time in a fresh clone with empty caches."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NUMBA", "VIRT"))
        }
        for command, minutes in (("figures", 4), ("test", 6)):
            begin = time.perf_counter()
            done = subprocess.run(
                ["make", command], cwd=clone, env=clean, capture_output=True, text=True, check=False
            )
            seconds = time.perf_counter() - begin
            last = (done.stdout.strip().splitlines() or ["no output"])[-1]
            made = len(list((clone / "out").glob("*.png"))) if command == "figures" else last
            good = done.returncode == 0 and seconds < 60 * minutes
            yield Bar(f"make {command}", f"exit 0 in < {minutes} min", f"exit {done.returncode} in "
                      f"{seconds:.0f} s ({made})", good)  # fmt: skip


def by_tests(groups: Mapping[str, tuple[str, Sequence[str]]]) -> Iterator[Bar]:
    """Checks that are tests of the test suite, from name to target and pytest's arguments."""
    for name, (target, args) in groups.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        yield Bar(name, target, last, done.returncode == 0)


def run(bars: Mapping[str, Callable[[], Iterator[Bar]]], names: Sequence[str]) -> int:
    """Print one line per result; returns 1 if a check failed and 2 for an unknown name.

    Args:
        bars: Checks by name.
        names: Checks to run. Default: all of them if empty.
    """
    unknown = [n for n in names if n not in bars]
    if unknown:
        print(f"bar must be one of {', '.join(bars)}, got {unknown[0]}", file=sys.stderr)
        return 2
    short = 0
    for name in names or bars:
        for bar in bars[name]():
            verdict = "found" if bar.passed is None else "pass" if bar.passed else "FELL SHORT"
            short += bar.passed is False
            print(
                f"{verdict:10s} {bar.name}: target {bar.target}; measured {bar.measured}",
                flush=True,
            )
    print(json.dumps({"fell_short": short}))
    return int(short > 0)
