"""Run the ledger, resumably, on many cases per claim, and give the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.cases import FITS, Case, random_case, target_cases
from benchmarks.claims.ledger import Claim, Measure, Reading, verify
from benchmarks.claims.registry import find
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, default_store
from theory.checks import check_seed, whole
from theory.reading import StrPath
from theory.versions import versions
from toys.files import load_toy, toy_spec
from toys.mixture import Mixture

CHUNK = 20  # random cases per task, the most that an interruption can lose
DEFAULT_CASES = 20
USER_DOMAINS = tuple(domain for domain in FITS if domain != "none")


@dataclass(frozen=True)
class ClaimTask:
    """The random cases first .. first + count - 1 of one claim; if first is 0, the targets too.

    Args:
        id: Id of the claim.
        first: Number of the first random case.
        count: Number of random cases.
        seed: Seed of the run; case i has seed `seed` + i.
        toy: Text of a user's mixture, which replaces all targets and random mixtures.
    """

    id: str
    first: int
    count: int
    seed: int
    toy: str | None = None

    def cases(self, claim: Claim) -> list[Case]:
        """The cases of this task."""
        span = claim.low, claim.high
        user = None if self.toy is None else load_toy(self.toy)
        targets = target_cases(claim.domain, *span) if self.first == 0 and user is None else []
        seeds = range(self.seed + self.first, self.seed + self.first + self.count)
        return targets + [random_case(claim.domain, s, *span, user) for s in seeds]

    def run(self) -> dict[str, Any]:
        """Number of cases, and the worst reading of the printed and of the corrected statement."""
        (claim,) = find([self.id])
        cases = self.cases(claim)
        out: dict[str, Any] = {"cases": len(cases), "printed": _worst(claim, claim.measure, cases)}
        out["corrected"] = (
            None if claim.corrected is None else _worst(claim, claim.corrected, cases)
        )
        return out


def _worst(claim: Claim, measure: Measure, cases: Sequence[Case]) -> dict[str, Any]:
    """The reading with the largest excess, and the name of its case."""
    worst: tuple[Reading, str] | None = None
    for case in cases:
        try:
            reading = measure(case)
        except ValueError as error:
            raise ValueError(f"claim {claim.id} on {case.name}: {error}") from None
        if np.isnan(reading.value):
            raise ValueError(f"claim {claim.id} on {case.name}: value must be a number, got nan")
        if worst is None or reading.value > worst[0].value:
            worst = reading, case.name
    assert worst is not None  # every task has a case
    reading, name = worst
    return {
        "value": float(min(reading.value, 1e300)),
        "error": float(reading.error),
        "detail": reading.detail,
        "case": name,
    }


def run_claims(
    ids: Sequence[str],
    store: Store,
    cases: int = DEFAULT_CASES,
    seed: int = 0,
    toy: str | None = None,
    jobs: int | None = None,
    check: bool = False,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the ledger, and the ids of the claims to which a user's mixture does not apply.

    Args:
        ids: Ids of the claims; all claims if empty.
        store: Where finished tasks are kept and looked up.
        cases: Number of random cases per claim; a claim may set a smaller limit.
        seed: Seed of the first random case.
        toy: Text of a mixture file, or None for the papers' targets and random mixtures.
        jobs: Number of worker processes. Default: all cores.
        check: Whether to repeat the saved counterexamples.
    """
    whole("cases", cases, 1)
    if jobs is not None:
        whole("jobs", jobs, 1)
    check_seed(seed)
    check_seed(seed + cases - 1)
    claims, left_out = list(find(ids)), []
    if toy is not None:
        fits = {domain: FITS[domain](load_toy(toy)) for domain in USER_DOMAINS}
        left_out = [c.id for c in claims if not fits.get(c.domain, False)]
        claims = [c for c in claims if c.id not in left_out]
        if not claims:
            names = ", ".join(left_out)
            raise ValueError(f"the mixture must fit one of the claims, got none that fits {names}")
    tasks = [task for claim in claims for task in _tasks(claim, cases, seed, toy)]
    results = run_tasks(tasks, store, jobs, "claims")
    rows = []
    for claim in claims:
        parts = [r for t, r in zip(tasks, results, strict=True) if t.id == claim.id]
        rows.append(_row(claim, parts, check) | {"seed": seed} | versions())
    return rows, left_out


def check_repeated(rows: Sequence[dict[str, Any]]) -> None:
    """Raise ValueError naming the claims whose saved counterexample came out otherwise."""
    lost = [row["id"] for row in rows if "NOT repeated" in row["evidence"]]
    if lost:
        raise ValueError(f"counterexamples must be repeated, got others for {', '.join(lost)}")


def claims(
    only: str | Sequence[str] = (),
    mixture: str | Mixture | None = None,
    cases: int = DEFAULT_CASES,
    seed: int = 0,
    store: StrPath | None = None,
    jobs: int | None = None,
    verify: bool = False,
) -> pd.DataFrame:
    """Evaluate the papers' statements and return one row per claim, with its verdict.

    Claims about other data than the mixture are left out; `.attrs["left_out"]` lists their ids.

    Args:
        only: Ids of claims, such as "A.13"; all claims if empty.
        mixture: A mixture, the name of a toy, or a mixture file to evaluate on, in place of the
            papers' targets and random mixtures.
        cases: Number of random cases per claim.
        seed: Seed of the first random case, in [0, 2**32).
        store: Folder where finished tasks are kept, so that an interrupted run can resume.
            Default: that of ENTROPIC_STORE, else `entropic` in the user's folder of caches.
        jobs: Number of worker processes. Default: all cores.
        verify: Whether to repeat the saved counterexamples by two routes.
    """
    ids = [only] if isinstance(only, str) else only
    spec = None if mixture is None else toy_spec(mixture)
    results = Store(default_store() if store is None else Path(store))
    rows, left_out = run_claims(ids, results, cases, seed, spec, jobs, verify)
    check_repeated(rows)
    out = pd.DataFrame(rows)
    out.attrs["left_out"] = left_out
    return out


def _tasks(claim: Claim, cases: int, seed: int, toy: str | None) -> list[ClaimTask]:
    count = cases if claim.most is None else min(cases, claim.most)
    return [
        ClaimTask(claim.id, first, min(CHUNK, count - first), seed, toy)
        for first in range(0, max(count, 1), CHUNK)
    ]


def _row(claim: Claim, parts: Sequence[dict[str, Any]], check: bool) -> dict[str, Any]:
    """One row of the ledger from the results of a claim's tasks."""
    by_value: Callable[[dict[str, Any]], float] = lambda reading: reading["value"]  # noqa: E731
    printed = max((p["printed"] for p in parts), key=by_value)
    fixed = max((p["corrected"] for p in parts if p["corrected"]), key=by_value, default=None)
    verdict = "holds"
    evidence = printed["detail"]
    if claim.command:
        verdict, evidence = "needs_data", f"{printed['detail']}; to decide it: {claim.command}"
    elif printed["value"] > claim.tolerance:
        mended = fixed is not None and fixed["value"] <= claim.tolerance
        verdict = "holds_as_corrected" if mended else "fails"
        if mended and fixed is not None:
            evidence += f"; corrected: {fixed['value']:.2g} ({fixed['detail']})"
    if verdict in ("fails", "holds_as_corrected") and check:
        again = verify(claim)
        state = "repeated" if again.good else "NOT repeated"
        evidence += (
            f"; counterexample {state}: {again.routes[0]:.9g} and {again.routes[1]:.9g} by two "
            f"routes, error {again.error:.1g}"
        )
    return {
        "id": claim.id,
        "paper": claim.paper,
        "number": claim.number,
        "kind": claim.kind,
        "statement": claim.statement,
        "formula": claim.formula,
        "verdict": verdict,
        "value": printed["value"],
        "tolerance": claim.tolerance,
        "made_of": claim.made_of,
        "cases": sum(p["cases"] for p in parts),
        "case": printed["case"],
        "correction": claim.correction if verdict == "holds_as_corrected" else "",
        "evidence": evidence,
    }
