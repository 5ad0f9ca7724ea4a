"""What the acceptance scripts share: bars, how they are printed, and two that every topic has.

A bar is one line: target, measured, pass or fell short; or a finding, which has nothing to pass.
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

from benchmarks.engine.store import ROOT


class Bar(NamedTuple):
    """One line of the report."""

    name: str
    target: str
    measured: str
    passed: bool | None  # None: a finding, not a bar to pass


def fresh() -> Iterator[Bar]:
    """Clone, empty caches, the two commands of the README."""
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
    """Bars that live as tests: name to target and pytest's arguments."""
    for name, (target, args) in groups.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        yield Bar(name, target, last, done.returncode == 0)


def run(bars: Mapping[str, Callable[[], Iterator[Bar]]], names: Sequence[str]) -> int:
    """Print one line a bar, all of them by default; 1 if any fell short."""
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
