"""Evaluate the claims on two random cases each, up to the first that contradicts the committed run.

`python -m benchmarks.claims.quick` prints one line for that claim and exits with status 1.
"""

import sys
import warnings

from benchmarks.claims.cases import random_case
from benchmarks.claims.ledger import Claim, verify
from benchmarks.claims.registry import all_claims
from benchmarks.studies.claims_ledger import read_full_run

CASES = 2


def red(claim: Claim, verdict: str) -> str:
    """A line that says how a claim contradicts its committed verdict, empty if it does not."""
    if verdict == "needs_data":
        return ""
    try:
        if claim.routes and not verify(claim).good:
            return f"red {claim.id}: its counterexample is not repeated"
        if verdict == "fails":
            return ""
        measure = claim.corrected or claim.measure
        for seed in range(CASES if claim.most is None else min(CASES, claim.most)):
            case = random_case(claim.domain, seed, claim.low, claim.high)
            reading = measure(case)
            if not reading.value <= claim.tolerance:
                return f"red {claim.id} on {case.name}: {reading.value:.3g} > {claim.tolerance:g}"
    except ValueError as error:
        return f"red {claim.id}: {error}"
    return ""


def main() -> int:
    """Print the first claim that contradicts the committed run, fast claims first."""
    warnings.simplefilter("ignore")  # a planted fault may divide by 0 before it shows
    verdicts = {row["id"]: row["verdict"] for row in read_full_run()}
    for claim in sorted(all_claims(), key=lambda c: c.most is not None):
        said = red(claim, verdicts[claim.id])
        if said:
            print(said)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
