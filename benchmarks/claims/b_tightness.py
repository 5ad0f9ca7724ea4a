"""Paper B's statements about its bounds, by our study; rows in results/bound_tightness.csv."""

from functools import cache

import pandas as pd

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most
from benchmarks.engine.results import results_file

# The file that benchmarks.studies.bound_tightness writes.
ROWS = results_file("bound_tightness")
LOOSE = 0.01  # upper limit of the largest ratio found


@cache
def rows(kind: str) -> pd.DataFrame:
    """The committed rows of a kind."""
    table = pd.read_csv(ROWS)
    return table[table["kind"] == kind]


def never_tight(case: Case) -> Reading:
    """The largest ratio of slope to bound: searches in 1-D, codes of up to 2^14 points."""
    found = pd.concat([rows("search"), rows("family"), rows("curve")])
    ratio = found["excess"] / (64.0 * (found["h"] ** 2 + found["h"] + 1.0))
    constant = (found["excess"] / (1.0 + found["h"]) ** 2).max()
    words = (
        f"bound at least {1.0 / ratio.max():.0f} times the slope; C of (1 + h)^2: {constant:.3g}"
    )
    return at_most(float(ratio.max()), LOOSE)._replace(detail=words)


def tails_matter(case: Case) -> Reading:
    """Slope over H^2 + H + 1 for codes with rare points rises with the number of points.

    The value at the most points exceeds that at the fewest by 4 standard errors of each.
    """
    found = rows("family")
    found = found[found["target"] == "rare"].sort_values("size")
    scale = found["shannon"] ** 2 + found["shannon"] + 1.0
    ratio = (found["excess"] / scale).to_numpy()
    error = (found["stderr"] / scale).to_numpy()
    reading = at_most(ratio[0] + 4.0 * error[0], ratio[-1] - 4.0 * error[-1])
    words = ", ".join(f"{v:.3g}" for v in ratio)
    return reading._replace(detail=f"{words}; H {found['shannon'].min():.3g} and up")
