"""Paper B (Aghapour, Bayraktar and Zhang): its statements as claims.

The text at hand has lost its displays; the prose determines each of them up to constants. Constants
marked as ours follow from the paper's own proof. The records are in the modules
`b_claims_<part>.py`, one per part of the paper, and their measures in the other `b_<topic>.py`.
"""

from benchmarks.claims import (
    b_claims_information,
    b_claims_mmse,
    b_claims_paths,
    b_claims_rates,
    b_claims_schedules,
    b_claims_tables,
)
from benchmarks.claims.ledger import Claim

CLAIMS: tuple[Claim, ...] = (
    *b_claims_paths.CLAIMS,
    *b_claims_information.CLAIMS,
    *b_claims_mmse.CLAIMS,
    *b_claims_rates.CLAIMS,
    *b_claims_schedules.CLAIMS,
    *b_claims_tables.CLAIMS,
)
