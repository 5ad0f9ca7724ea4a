"""The ledger: claims, how they are judged, and their run over many cases.

A claim is a frozen record around one function that measures by how much a statement is off on a
case. The same function serves the command line, the property tests and the saved counterexamples.

Sign convention: `Reading.value` is the excess of a statement, and the statement holds on a case
if value <= tolerance. Identities: |left - right| / max(|left|, |right|). Inequalities
left <= right: (left - right) / max(|left|, |right|), negative when they hold. Optimality: by what
share the best competitor found improves on the claimed optimum. Orders: |fitted - claimed|.
Empirical statements: the share of settings that disagree, unless their formula says another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from benchmarks.claims.cases import SIGMA_RANGE, Case, load_case
from theory.checks import Array

Kind = Literal["identity", "inequality", "optimality", "order", "empirical"]
KINDS = ("identity", "inequality", "optimality", "order", "empirical")
VERDICTS = ("holds", "fails", "holds_as_corrected", "needs_data")
IDENTITY = 1e-9  # what an identity must reach on 1-D mixtures
SHOWN = 1e-6  # a relative gap that the printed sides show
UNDERFLOW = 1e-290  # two sides below it count as equal
STANDARD_ERRORS = 4.0
QUADRATURE = "quadrature to 1e-11 and rounding"
ROUNDING = "rounding"
SAMPLED = "4 standard errors: 6e-5 false alarms a case"
COUNTEREXAMPLES = Path(str(files("benchmarks.claims") / "counterexamples"))
MARGIN = 10.0  # by how many stated errors a counterexample must violate


class Reading(NamedTuple):
    """By how much a statement is off on one case, see the module.

    Args:
        value: The excess.
        error: Numerical error of the value, as far as the route knows it.
        detail: A few words with the numbers behind it.
    """

    value: float
    error: float = 0.0
    detail: str = ""


Measure = Callable[[Case], Reading]
Route = Callable[[Case], float]


@dataclass(frozen=True)
class Claim:
    """One numbered statement of a paper.

    Args:
        id: Letter of the paper, a dot, its number: "A.13", "B.thm1", "C.prop4.2".
        number: As the paper numbers it: "eq. (13)", "Theorem 5.1", "section 6.1".
        statement: One plain line.
        formula: One formula, in text.
        kind: One of KINDS.
        domain: Cases it is evaluated on, see `cases`.
        measure: The excess of the statement as printed, on a case.
        tolerance: Largest excess at which it holds.
        made_of: What the tolerance is made of.
        corrected: The excess of the corrected statement.
        correction: What was corrected, one line.
        routes: Two independent computations of the printed statement's excess, on the saved case.
        command: What decides a statement that needs published files.
        most: Most random cases, where one takes long.
        low: Lowest noise level of the cases.
        high: Highest.
    """

    id: str
    number: str
    statement: str
    formula: str
    kind: Kind
    domain: str
    measure: Measure
    tolerance: float
    made_of: str
    corrected: Measure | None = None
    correction: str = ""
    routes: tuple[Route, Route] | None = None
    command: str = ""
    most: int | None = None
    low: float = SIGMA_RANGE[0]
    high: float = SIGMA_RANGE[1]

    @property
    def paper(self) -> str:
        """Letter of the paper."""
        return self.id[0]

    @property
    def counterexample(self) -> Path:
        """File of the saved counterexample; there is one if the printed statement fails."""
        return COUNTEREXAMPLES / f"{self.id}.json"


def relative(left: ArrayLike, right: ArrayLike, detail: str = "") -> Reading:
    """Largest |left - right| / max(|left|, |right|) of two sides of an identity.

    Sides below 1e-290 count as equal if both are.
    """
    a, b = _sides(left, right)
    gap, scale = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
    value, at = _largest(gap, scale)
    sign = "=" if value < SHOWN else "is not"
    return Reading(value, 0.0, detail or f"{a.flat[at]:.12g} {sign} {b.flat[at]:.12g}")


def at_most(left: ArrayLike, right: ArrayLike, error: float = 0.0) -> Reading:
    """Largest (left - right) / max(|left|, |right|) of an inequality left <= right."""
    a, b = _sides(left, right)
    value, at = _largest(a - b, np.maximum(np.abs(a), np.abs(b)))
    sign = "<=" if value <= 0.0 else ">"
    return Reading(value, error, f"{a.flat[at]:.6g} {sign} {b.flat[at]:.6g}")


def _sides(left: ArrayLike, right: ArrayLike) -> tuple[Array, Array]:
    a, b = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (left, right))
    both = np.broadcast_arrays(a, b)
    return both[0], both[1]


def _largest(gap: Array, scale: Array) -> tuple[float, int]:
    """Largest gap / scale and its place; infinite where a side is no number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(scale <= UNDERFLOW, 0.0, gap / scale)
    share = np.where(np.isnan(share), np.inf, share)
    at = int(np.argmax(share))
    return float(share.flat[at]), at


def sampled(samples: Array, target: ArrayLike = 0.0) -> Reading:
    """Most standard errors between the means of samples (n,) or (n, Q) and their targets.

    The worst of Q means counts as the standard errors that one mean exceeds as rarely (Bonferroni),
    so that the rate of false alarms is `SAMPLED`'s whatever Q.
    """
    table = samples.reshape(len(samples), -1)
    mean = table.mean(axis=0)
    stderr = table.std(axis=0, ddof=1) / np.sqrt(len(table))
    gap = np.abs(mean - np.asarray(target, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(gap <= 1e-12 * np.abs(mean), 0.0, gap / stderr)
    z = np.where(np.isnan(z), np.inf, z)
    worst = int(np.argmax(z))
    shown = np.broadcast_to(np.asarray(target, dtype=np.float64), mean.shape)[worst]
    excess = z[worst] if z.size == 1 else norm.isf(min(0.5, z.size * norm.sf(z[worst])))
    return Reading(float(excess), 0.0, f"{mean[worst]:.6g} +- {stderr[worst]:.1g}, {shown:.6g}")


def worst(readings: Sequence[Reading]) -> Reading:
    """The reading of the largest excess."""
    return max(readings, key=lambda r: float("inf") if np.isnan(r.value) else r.value)


class Verified(NamedTuple):
    """What `verify` found on the saved counterexample of a claim."""

    value: float
    routes: tuple[float, float]
    error: float
    good: bool


def verify(claim: Claim) -> Verified:
    """Repeat the saved counterexample: two routes to 6 digits, a margin of 10 stated errors.

    Raises:
        ValueError: There is no counterexample, or the routes are missing.
    """
    if claim.routes is None:
        raise ValueError(f"--verify must stand with a claim that fails, got {claim.id}")
    case, _ = load_case(claim.counterexample)
    reading = claim.measure(case)
    first, second = (float(route(case)) for route in claim.routes)
    apart = abs(first - second)
    error = max(reading.error, apart, abs(reading.value - first))
    good = (
        apart <= 1e-6 * max(abs(first), abs(second))
        and reading.value > claim.tolerance
        and reading.value - claim.tolerance >= MARGIN * error
    )
    return Verified(reading.value, (first, second), error, bool(good))
