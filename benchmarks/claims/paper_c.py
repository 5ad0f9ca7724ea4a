"""Paper C (conditional entropy reduction: RE, EVODiff): its statements as claims."""

from benchmarks.claims.c_claims_algorithm import ALGORITHM
from benchmarks.claims.c_claims_entropy import ENTROPY
from benchmarks.claims.c_claims_estimates import DIFFERENCES
from benchmarks.claims.c_claims_multi import MULTI
from benchmarks.claims.c_claims_printed import EMPIRICAL
from benchmarks.claims.c_claims_single import SINGLE
from benchmarks.claims.c_claims_solution import BACKGROUND, SOLUTION
from benchmarks.claims.ledger import Claim

CLAIMS: tuple[Claim, ...] = (
    *BACKGROUND,
    *SOLUTION,
    *ENTROPY,
    *SINGLE,
    *MULTI,
    *DIFFERENCES,
    *ALGORITHM,
    *EMPIRICAL,
)
