"""Paper B (Aghapour, Bayraktar and Zhang), every statement as a record.

The displays are stripped from the text at hand; the prose fixes what each says but for constants.
Constants said to be ours come from carrying the paper's own proof through. The records stand in
`b_claims_<part>.py`, one a part of the paper, their measures in the other `b_<topic>.py`.
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
