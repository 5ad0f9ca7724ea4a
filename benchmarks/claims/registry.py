"""Every claim, and claims by id."""

from collections.abc import Sequence
from difflib import get_close_matches

from benchmarks.claims import called, ours, paper_a, paper_b, paper_c, paper_d
from benchmarks.claims.ledger import Claim


def all_claims() -> tuple[Claim, ...]:
    """Every claim, in the order of the papers, and then those of our own."""
    papers = (*paper_a.CLAIMS, *paper_b.CLAIMS, *paper_c.CLAIMS, *paper_d.CLAIMS)
    return (*papers, *ours.CLAIMS, *called.CLAIMS)


def find(ids: Sequence[str]) -> tuple[Claim, ...]:
    """The claims with these ids, all claims if there are none; ValueError for an unknown id."""
    known = {claim.id: claim for claim in all_claims()}
    for name in ids:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            advice = f"; did you mean {close[0]!r}?" if close else ""
            rule = "be the id of a claim"
            raise ValueError(f"only must {rule}, got {name!r}{advice}")
    return tuple(known[name] for name in ids) or tuple(known.values())
