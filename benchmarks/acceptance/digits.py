"""Acceptance check of a small training run: `python -m benchmarks.acceptance.digits [SEED ...]`.

The preset `digits-quick` must train, sample and check itself in under three minutes on two cores.
Then `benchmarks.training.digit_checks` judges its 2000 samples at NFE 35. The default seeds are 0,
1 and 2. Run it on an idle machine.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.acceptance.report import ROOT, Check, run

COMMAND = (
    "import sys; from benchmarks.training.run import run_training, training_text; "
    "print(training_text(run_training(sys.argv[1], sys.argv[2], int(sys.argv[3]))))"
)
MOST_SECONDS = 180.0
PRESET, SEEDS = "digits-quick", ("0", "1", "2")


def digits_quick(seed: int) -> Iterator[Check]:
    """One training run in a fresh process, and the checks of its samples."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        begin = time.perf_counter()
        command = [sys.executable, "-c", COMMAND, PRESET, str(out), str(seed)]
        done = subprocess.run(command, cwd=ROOT, check=False)
        seconds = time.perf_counter() - begin
        if done.returncode != 0:
            yield Check(f"{PRESET}, seed {seed}", "exit 0", f"exit {done.returncode}", False)
            return
        row = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    yield Check(
        f"{PRESET}, seed {seed}: training, 2000 samples and checks",
        f"< {MOST_SECONDS:.0f} s on two cores",
        f"{seconds:.0f} s with threads = {row['threads']} ({row['kex']:g} kex, "
        f"{row['parameters']} weights, NFE {row['nfe']})",
        seconds < MOST_SECONDS,
    )
    checks = row["checks"]
    for check in checks["checks"]:
        yield Check(
            f"{PRESET}, seed {seed}: {check['name']}",
            check["target"],
            f"{check['measured']:.3f}",
            check["passed"],
        )
    yield Check(
        f"{PRESET}, seed {seed}: held-out images",
        "a finding",
        f"confident {checks['confident_held_out']:.3f}; Frechet distance "
        f"{checks['frechet_real']:.2f} ({checks['frechet_real_is']}), the samples' "
        f"{checks['frechet']:.2f}",
        None,
    )


if __name__ == "__main__":
    names = sys.argv[1:] or list(SEEDS)
    if not all(name.isdigit() for name in names):
        sys.exit(f"seed must be a whole number, got {' '.join(names)}")
    sys.exit(run({name: partial(digits_quick, int(name)) for name in names}, names))
