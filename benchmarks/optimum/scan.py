"""First levels for solvers of higher order, whose divergence has many local minima.

Their errors can cancel in many ways, so that descents from a few starts miss the best levels by any
factor. A fixed family of levels is therefore looked at first: powers, and lists that are dense
about one level.
"""

import numpy as np

from theory.checks import Array
from theory.levels import Span

CENTRES, MARGIN = 9, 0.14  # dense places, and their distance from the ends as a share of the range
WIDTHS = (0.04, 0.1, 0.2)  # of the dense places, in units of the range of log sigma
SPARSE = 0.15  # share of the levels that is uniform in log sigma
POWERS = (1.0, 2.0, 3.0, 5.0, 7.0, 12.0)
GRID = 2001


def family(span: Span) -> list[Array]:
    """Lists of levels, each of shape (n_steps + 1,), without those whose levels coincide.

    Args:
        span: Number of steps, range and terminal.
    """
    share = 1.0 - span.fractions  # of the range, from below
    low, high = np.log(span.sigma_min), np.log(span.sigma_max)
    inner = []
    for power in POWERS:
        ends = span.sigma_min ** (1.0 / power), span.sigma_max ** (1.0 / power)
        inner.append((ends[0] + share * (ends[1] - ends[0])) ** power)
    u = np.linspace(0.0, 1.0, GRID)
    for centre in np.linspace(MARGIN, 1.0 - MARGIN, CENTRES):
        for width in WIDTHS:
            dense = np.tanh(0.5 * (u - centre) / width)
            dense = (dense - dense[0]) / (dense[-1] - dense[0])
            place = np.interp(share, SPARSE * u + (1.0 - SPARSE) * dense, u)
            inner.append(np.exp(low + place * (high - low)))
    found = []
    for levels in inner:
        try:
            found.append(span.finish(levels))
        except ValueError:
            continue
    return found
