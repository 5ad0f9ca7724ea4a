"""Acceptance checks of the claims ledger: `python -m benchmarks.acceptance.claims [CHECK ...]`.

The full run of 500 cases, `entropic figures claims_ledger --recompute`, is read from its committed
rows. The check `full` repeats it in an empty store, which takes more than an hour.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.acceptance import report
from benchmarks.acceptance.report import Check
from benchmarks.claims.ledger import IDENTITY, SAMPLED, verify
from benchmarks.claims.registry import all_claims
from benchmarks.claims.report import FULL_CASES, counts
from benchmarks.claims.run import run_claims
from benchmarks.engine.store import Store
from benchmarks.measure.certified_cases import CASES, check_engine
from benchmarks.studies.claims_ledger import read_full_run

EDGE = 1e-12


def numbers() -> Iterator[Check]:
    """Enough claims for every paper, and a number for each."""
    claims, rows = all_claims(), read_full_run()
    papers = Counter(claim.paper for claim in claims)
    enough = len(claims) >= 90 and min(papers[p] for p in "ABCD") >= 12
    shares = ", ".join(f"{p} {papers[p]}" for p in "ABCD")
    yield Check("claims", ">= 90, >= 12 a paper", f"{len(claims)}: {shares}", enough)
    numbered = all(isinstance(row["value"], float) for row in rows) and len(rows) == len(claims)
    yield Check("verdicts", "each with a number", counts(rows), numbered)


def faults() -> Iterator[Check]:
    """Every planted fault is detected by the quick claims and by the tests."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.acceptance.faults"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout)
    last = done.stdout.strip().splitlines()[-1]
    yield Check("faults", "40 of 40 seen by both", last, done.returncode == 0)


def identities() -> Iterator[Check]:
    """Identities of the committed full run are within their tolerance."""
    rows = [r for r in read_full_run() if r["kind"] == "identity" and r["verdict"] != "needs_data"]
    sampled = [r for r in rows if r["made_of"] == SAMPLED]
    exact = [r for r in rows if r["made_of"] != SAMPLED and r["verdict"] == "holds"]
    top = max(exact, key=lambda r: float(r["value"]))
    cases = sum(int(r["cases"]) for r in exact)
    yield Check(
        "identities", f"{IDENTITY:g} relative",
        f"{len(exact)} on {cases} cases, worst {top['value']:.2g} ({top['id']})",
        all(r["value"] <= min(IDENTITY, r["tolerance"]) for r in exact),
    )  # fmt: skip
    if sampled:
        top = max(sampled, key=lambda r: float(r["value"]))
        cases = sum(int(r["cases"]) for r in sampled)
        yield Check(
            "sampled identities", "4 standard errors",
            f"{len(sampled)} on {cases} cases, worst {top['value']:.2f} ({top['id']}); "
            f"{6.3e-5 * cases:.2g} false alarms expected",
            top["value"] <= 4.0,
        )  # fmt: skip


def counterexamples() -> Iterator[Check]:
    """Every claim that fails as printed has a counterexample confirmed by two routes."""
    fallen = {r["id"] for r in read_full_run() if r["verdict"] in ("fails", "holds_as_corrected")}
    found = {c.id: verify(c) for c in all_claims() if c.routes}
    good = [name for name, v in found.items() if v.good]
    apart = max(abs(v.routes[0] - v.routes[1]) / max(map(abs, v.routes)) for v in found.values())
    yield Check(
        "counterexamples", "two routes to 6 digits, margin 10 errors",
        f"{len(good)} of {len(fallen)} repeated, routes at most {apart:.1g} apart",
        set(good) == fallen,
    )  # fmt: skip


def certified() -> Iterator[Check]:
    """The engine's values lie inside the proven enclosures, or within 1e-12 of them."""
    begin = time.perf_counter()
    found = [check_engine(case.name) for case in CASES]
    distance = max(f["distance"] for f in found)
    yield Check(
        "certified", f"engine inside or within {EDGE:g}",
        f"{len(found)} cases, at most {distance:.2g} outside, "
        f"{time.perf_counter() - begin:.0f} s",
        distance <= EDGE,
    )  # fmt: skip


def default_run() -> Iterator[Check]:
    """`entropic claims --verify` as a user types it, from an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "entropic", "claims", "--verify", "--out", folder,
             "--store", folder],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        said = [line for line in done.stdout.splitlines() if " claims: " in line]
        yield Check("entropic claims", "20 cases in < 5 min", f"{seconds:.0f} s; {said[-1:]}",
                  done.returncode == 0 and seconds < 300)  # fmt: skip


def full() -> Iterator[Check]:
    """The full run, repeated from an empty store, gives the committed verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        rows, _ = run_claims((), Store(Path(folder)), FULL_CASES)
        seconds = time.perf_counter() - begin
        same = [r["verdict"] for r in rows] == [r["verdict"] for r in read_full_run()]
        yield Check("500 cases", "< 90 min, the committed verdicts", f"{seconds / 60:.0f} min; "
                  f"{counts(rows)}", same and seconds < 5400)  # fmt: skip


CHECKS = {
    "numbers": numbers,
    "identities": identities,
    "counterexamples": counterexamples,
    "certified": certified,
    "default": default_run,
    "faults": faults,
    "full": full,
    "fresh": report.fresh,
}

if __name__ == "__main__":
    sys.exit(report.run(CHECKS, sys.argv[1:]))
