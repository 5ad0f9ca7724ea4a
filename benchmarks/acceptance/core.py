"""Acceptance checks of the core: `python -m benchmarks.acceptance.core [CHECK ...]`.

The checks are fresh (a clone with empty caches), tests (oracle, Monte Carlo, bit-for-bit equality,
Theorem 5.2, bad input), speed, memory, rankings (paper A's ranking of schedules) and help. All run
by default. The rankings are written to benchmarks/results/schedule_ranking.csv, and an interrupted
run of them resumes.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pandas as pd

from benchmarks.acceptance.report import ROOT, Check, by_tests, fresh, run
from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store, write_csv
from benchmarks.engine.toy_profiles import ToyProfile, to_profile
from benchmarks.studies.kl_vs_steps import KL_SCHEDULES, STANDARD
from theory.noise.processes import PROCESSES
from theory.schedules.registry import schedule

RESULTS = ROOT / "benchmarks" / "results"
FIFTEEN = ("points15", "gaussians15_narrow", "gaussians15_overlap")
TERMINAL_NOISE = (0.002, 0.01, 0.05)
SMOOTHING = (0.0, 0.01)
STEPS = (4, 16, 64)


def tests() -> Iterator[Check]:
    """Checks that are tests of the test suite."""
    groups = {
        "exact law = dense oracle": (
            "1e-7 relative or 1e-12 on >= 24 cases",
            ["tests/test_toys_laws.py", "-k", "dense_oracle"],
        ),
        "DDIM closed form": ("1e-10", ["tests/test_toys_laws.py", "-k", "closed_form"]),
        "doubled engine": ("within own error", ["tests/test_toys_laws.py", "-k", "doubling"]),
        "Monte Carlo = law": (
            "200 cases, false alarms <= 1 %",
            ["tests/test_toys_laws.py", "-k", "200_random"],
        ),
        "bit for bit": ("equal", ["tests/test_toys_sampling.py"]),
        "Theorem 5.2": (
            "1e-9; law equal in VP and VE",
            [
                "tests/test_theory_schedules.py",
                "tests/test_toys_laws.py",
                "-k",
                "theorem_5_2 or vp_coordinates",
            ],
        ),
        "information": ("1e-12 relative", ["tests/test_toys_information.py"]),
        "bad input": (">= 30 cases, one line, exit 2", ["tests/test_entropic_cli.py"]),
    }  # fmt: skip
    yield from by_tests(groups)


def speed() -> Iterator[Check]:
    """The ratios that `entropic speed` reports."""
    from benchmarks.measure.speed import measure

    row = measure()
    ratio, numpys = row["kernel_over_exp"], row["numpy_over_kernel"]
    yield Check("kernel over exp", "<= 2", f"{ratio:.2f}", ratio <= 2)
    yield Check("NumPy over kernel", ">= 20", f"{numpys:.1f} on {row['threads']} threads, "
              f"{row['numpy_over_kernel_one_thread']:.1f} on one", numpys >= 20)  # fmt: skip
    seconds, other = row["exact_seconds"], row["mc_seconds_1e-2"]
    good = seconds < 0.5 and seconds < other and row["exact_relative_error"] <= 1e-8
    yield Check("exact law, 1e-8", "< 0.5 s, sooner than MC to 1 %", f"{seconds:.3f} s (error "
              f"{row['exact_relative_error']:.0e}) against {other:.0f} s; KDE bias "
              f"{row['mc_kde_bias']:.2g} nats", good)  # fmt: skip


def memory() -> Iterator[Check]:
    """Peak memory of sampling 10^9 path-steps."""
    code = (
        "import resource, time; from toys import sampling, zoo\n"
        "from theory.schedules.standard import log_snr_sigmas as s\n"
        "from theory.solvers.ddim import stochastic_ddim_table as t\n"
        "begin, n = time.time(), 0\n"
        "for x in sampling.sample_batches(zoo.toy('gaussians15_narrow'), t(s(100, 80.0, 0.002)),"
        " 10**7, 0): n += len(x)\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.time() - begin)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    n, mib, seconds = (float(v) for v in done.stdout.split())
    yield Check(
        "memory, 10^9 path-steps",
        "< 400 MiB",
        f"{mib:.0f} MiB, {seconds:.0f} s",
        mib < 400 and n == 1e7,
    )


def help_() -> Iterator[Check]:
    """Time that `entropic --help` takes."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "entropic", "--help"], cwd=ROOT, capture_output=True, check=True
        )
        times.append(time.perf_counter() - begin)
    yield Check(
        "--help", "< 0.4 s", f"{sorted(times)[2]:.2f} s (median of 5)", sorted(times)[2] < 0.4
    )


def rankings() -> Iterator[Check]:
    """Paper A's ranking of schedules on the toys, by terminal noise, smoothing and process.

    The results are findings; the table of all settings is written as a CSV file.
    """
    table = ranking_table(Store(ROOT / "out" / "store"))
    RESULTS.mkdir(exist_ok=True)
    write_csv(table, RESULTS / "schedule_ranking.csv")
    keys = ["toy", "process", "terminal", "sigma_min", "smoothing", "n_steps"]
    wide = table.pivot_table(index=keys, columns="label", values="kl_data_model")
    paper = wide[["standard", "entropic", "rescaled"]]  # the schedules that paper A compares
    best, worst = paper.idxmin(axis=1), paper.idxmax(axis=1)
    flat = wide.assign(best=best, worst=worst, best_of_all=wide.idxmin(axis=1)).reset_index()
    claims = [
        ("points: entropic best", "points15", "best", "entropic"),
        ("points: standard worst", "points15", "worst", "standard"),
        ("narrow Gaussians: entropic best", "gaussians15_narrow", "best", "entropic"),
        ("overlapping Gaussians: rescaled best", "gaussians15_overlap", "best", "rescaled"),
    ]
    for name, toy, column, wanted in claims:
        rows = flat[flat.toy == toy]
        held = rows[column] == wanted
        parts = []
        for by in ("process", "terminal", "sigma_min", "smoothing", "n_steps"):
            share = held.groupby(rows[by]).agg(["sum", "size"])
            parts.append(
                f"{by} "
                + " ".join(
                    f"{k}:{a}/{b}" for k, (a, b) in zip(share.index, share.to_numpy(), strict=True)
                )
            )
        yield Check(
            name,
            "paper A, sec. 6.1",
            f"{int(held.sum())} of {len(held)} settings; " + "; ".join(parts),
            None,
        )
    rows = flat[flat.toy != "points15"]
    lost = (rows["rescaled"] / rows["log_snr"]).groupby(
        rows.toy + ", smoothing " + rows.smoothing.astype(str)
    )
    for setting, ratio in lost:
        spread = f"{ratio.min():.2g} to {ratio.max():.2g} in KL"
        yield Check(f"rescaled over log-SNR, {setting}", "a finding", spread, None)


def ranking_table(store: Store) -> pd.DataFrame:
    """Exact KL of every schedule in every setting."""
    settings, labels = [], []
    grids = {
        (toy, process, low): ToyProfile(toy, low, PROCESSES[process].sigma_max)
        for toy in FIFTEEN
        for process in STANDARD
        for low in TERMINAL_NOISE
    }
    profiles = dict(
        zip(grids, run_tasks(list(grids.values()), store, title="profiles"), strict=True)
    )
    for (toy, process, low), row in profiles.items():
        points = toy == "points15"
        for terminal in ("stop", "zero"):
            for label in KL_SCHEDULES:
                method = STANDARD[process] if label == "standard" else label
                for n in STEPS:
                    sigmas = schedule(method, n, process, to_profile(row, {}), terminal, low)
                    for smoothing in (0.0,) if points and terminal == "zero" else SMOOTHING:
                        settings.append(
                            Setting(
                                toy, method, n, process=process, terminal=terminal,
                                sigmas=tuple(sigmas.tolist()),
                                metrics=(("kl_data_model", 1e-5),), smoothing=smoothing,
                            )
                        )  # fmt: skip
                        labels.append((label, low))
    table = pd.DataFrame([part[0] for part in run_tasks(settings, store, title="rankings")])
    table = table.rename(columns={"value": "kl_data_model"})
    table["label"] = [label for label, _ in labels]
    table["sigma_min"] = [low for _, low in labels]
    return table


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "help": help_,
    "speed": speed,
    "memory": memory,
    "tests": tests,
    "rankings": rankings,
    "fresh": fresh,
}


if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
