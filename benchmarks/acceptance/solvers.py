"""Acceptance checks of the solvers: `python -m benchmarks.acceptance.solvers [CHECK ...]`.

The checks are orders, tests (paper formulas, other libraries, NFE, the example of CONTRIBUTING),
speed, folds (a histogram of 10^8 paths), table (`kl --solver all`) and fresh (a clone with empty
caches). All run by default.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.acceptance.report import ROOT, Check, by_tests, fresh, run
from benchmarks.measure.orders import order
from benchmarks.measure.speed import solver_ratios
from theory.checks import Array
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.reducing import Solver
from theory.solvers.registry import SOLVERS, make_table
from toys import sampling, zoo
from toys.laws.build import law_of
from toys.mixture import Mixture
from toys.progress import meter

STATE_DEPENDENT = ("re_multi", "re_multi_2025", "evodiff")
HISTOGRAM_PATHS = 10**8
EDGES = np.linspace(-2.5, 2.5, 501)
MORE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("dpmpp_3m", {"corrected": True}),
    ("re_single", {"form": "data", "mix": "upper"}),
    ("re_single", {"compensated": True}),
    ("re_multi", {"prior": "printed"}),
    ("re_multi", {"prior": "minimiser"}),
)


def orders() -> Iterator[Check]:
    """Fitted orders against the declared ones, and the orders when started at sigma_max 2."""
    for name, options in [*((name, {}) for name in SOLVERS), *MORE]:
        row = order(name, options=options)
        shown = "".join(f", {k} {v}" for k, v in row["options"].items())
        low = row["from_sigma_max_2"]
        capped = "none" if low["order"] is None else f"{low['order']:.3f}"
        yield Check(
            f"order of {name}{shown}",
            f"{row['declared']} ({row['kind']}) within 0.15",
            f"{row['order']:.3f} +- {row['stderr']:.3f} on {row['toy']}, {row['n_steps'][0]}.."
            f"{row['n_steps'][-1]} steps; from sigma_max 2: {capped}",
            abs(row["order"] - row["declared"]) < 0.15,
        )
    for name, toy, options in (
        ("evodiff", "gaussians5", {}),
        ("evodiff", "gaussian", {"special_last": True}),
        ("edm_stochastic", "gaussian", {"s_noise": 1.003}),
    ):
        try:
            row = order(name, toy, options=options)
            first, *_, last = row["errors"]
            text = f"order {row['order']:.3f}, errors {first:.2g} .. {last:.2g}"
        except ValueError as error:
            text = str(error)
        yield Check(f"{name} {options or ''} on {toy}", "a finding", text, None)


def tests() -> Iterator[Check]:
    """Checks that are tests of the test suite."""
    yield from by_tests(
        {
            "tables = the papers' loops": (
                "1e-12; rows on points 1e-12 from the same input",
                ["tests/test_theory_multistep.py", "-k", "papers"],
            ),
            "names that are one method": ("equal", ["tests/test_theory_multistep.py", "-k", "one"]),
            "NFE = calls counted": (
                "every solver, option and terminal",
                ["tests/test_theory_multistep.py", "-k", "counted"],
            ),
            "other libraries": (
                "agree, or explained term by term",
                ["tests/test_theory_solvers_diffusers.py"],
            ),
            "state-dependent iterations": (
                "loop, map and oracle agree; law settles or raises",
                ["tests/test_toys_reducing.py"],
            ),
            "reference flow": ("1e-12", ["tests/test_toys_reference.py"]),
            "CONTRIBUTING's example": ("runs", ["tests/test_contributing.py"]),
        }
    )


def speed() -> Iterator[Check]:
    """Time per denoiser call of every solver, relative to stochastic DDIM."""
    ratios = solver_ratios()
    tables = {name: v for name, v in ratios.items() if name not in STATE_DEPENDENT}
    slowest = max(tables, key=lambda name: tables[name])
    yield Check(
        "slowest table over stochastic DDIM", "<= 1.15", f"{tables[slowest]:.2f} ({slowest})",
        tables[slowest] <= 1.15,
    )  # fmt: skip
    for name in STATE_DEPENDENT:
        yield Check(f"{name} over it", "<= 1.5", f"{ratios[name]:.2f}", ratios[name] <= 1.5)


def folds() -> Iterator[Check]:
    """Exact bin probabilities of maps with folds against a histogram of 10^8 paths."""
    base = zoo.toy("points15").means[:, 0]
    toy = Mixture(np.ones(15), base * np.sqrt(1 - 0.05**2), 0.05)
    for name in ("heun", "evodiff"):
        for n_steps in (4, 8):
            table = make_table(name, log_snr_sigmas(n_steps, 80.0, 0.002))
            law = law_of(toy, table, "noise", 1.5, 40.0)
            turns = law.folds(-3.0, 3.0).size
            p = np.exp(law.log_mass(EDGES[:-1], EDGES[1:]))
            counts = _histogram(toy, table)
            busy = HISTOGRAM_PATHS * p >= 25
            z = (counts - HISTOGRAM_PATHS * p)[busy] / np.sqrt(
                HISTOGRAM_PATHS * (p * (1 - p))[busy]
            )
            # 500 bins: the largest of 500 normal scores exceeds 4.4 once in two hundred times.
            good = bool(np.abs(z).max() < 4.4) and bool(np.all(counts[~busy] < 100))
            yield Check(
                f"{name}, N = {n_steps}, {HISTOGRAM_PATHS:.0e} paths, {turns} folds",
                "500 bins within their error (largest z < 4.4)",
                f"largest z {np.abs(z).max():.2f}, mean square {np.mean(z**2):.2f}",
                good,
            )


def _histogram(toy: Mixture, table: Solver) -> Array:
    counts = np.zeros(EDGES.size - 1)
    batches = sampling.sample_batches(toy, table, HISTOGRAM_PATHS, seed=11)
    with meter(HISTOGRAM_PATHS, "paths") as bar:
        for x in batches:
            counts += np.histogram(x[:, 0], EDGES)[0]
            bar.update(len(x))
    return counts


def table() -> Iterator[Check]:
    """`kl --solver all` on a user's own levels has a row for every solver."""
    schedule = {
        "kind": "schedule", "method": "mine", "terminal": "stop",
        "sigmas": [80.0, 20.0, 6.0, 2.0, 0.8, 0.3, 0.1, 0.03, 0.002],
    }  # fmt: skip
    file = ROOT / "out" / "acceptance_schedule.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(schedule), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "entropic", "kl", "--toy", "gaussians15_overlap", "--schedule",
         str(file), "--solver", "all", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = json.loads(done.stdout) if done.returncode == 0 else []
    calls = {row["nfe"] for row in rows}
    without = [row["solver"] for row in rows if row["kl_data_model"] is None]
    ranking = sorted(
        (row for row in rows if row["kl_data_model"] is not None), key=lambda r: r["kl_data_model"]
    )
    yield Check(
        "kl --solver all at a list of 8 steps",
        "every solver, NFE 8",
        f"{len(rows)} solvers, NFE {sorted(calls)}, without a KL: {', '.join(without)}; best "
        + ", ".join(f"{row['solver']} {row['kl_data_model']:.3g}" for row in ranking[:4]),
        {row["solver"] for row in rows} == set(SOLVERS) and calls == {8},
    )


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "orders": orders,
    "speed": speed,
    "folds": folds,
    "table": table,
    "tests": tests,
    "fresh": fresh,
}

if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
