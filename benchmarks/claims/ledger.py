"""The ledger: claims, how they are judged, and how saved counterexamples are verified.

A claim is a frozen record around one function that measures by how much a statement is violated on
a case. The command line, the property tests and the saved counterexamples all use that function.

`Reading.value` is the excess of a statement: the statement holds on a case if value <= tolerance.
The excess depends on the kind of the statement:

* identity: |left - right| / max(|left|, |right|);
* inequality left <= right: (left - right) / max(|left|, |right|), negative where it holds;
* optimality: the share by which the best competitor found improves on the claimed optimum;
* order: |fitted - claimed|;
* empirical: the share of settings that disagree, unless the formula of the claim says otherwise.
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
IDENTITY = 1e-9  # tolerance of an identity on 1-D mixtures
SHOWN = 1e-6  # relative gap from which the detail text says "is not"
UNDERFLOW = 1e-290  # two sides below it count as equal
STANDARD_ERRORS = 4.0
QUADRATURE = "quadrature to 1e-11 and rounding"
ROUNDING = "rounding"
SAMPLED = "4 standard errors: 6e-5 false alarms a case"
COUNTEREXAMPLES = Path(str(files("benchmarks.claims") / "counterexamples"))
MARGIN = 10.0  # number of stated errors by which a counterexample must exceed the tolerance


class Reading(NamedTuple):
    """By how much a statement is violated on one case.

    Args:
        value: The excess, defined by kind in the module's docstring.
        error: Numerical error of the value, as far as it is known.
        detail: A short text with the numbers that were compared.
    """

    value: float
    error: float = 0.0
    detail: str = ""


Measure = Callable[[Case], Reading]
Route = Callable[[Case], float]


@dataclass(frozen=True)
class Claim:
    """One numbered statement of a paper, or one of our own.

    Args:
        id: Letter of the paper, a dot, its number: "A.13", "B.thm1", "C.prop4.2"; O is ours.
        number: As the paper numbers it: "eq. (13)", "Theorem 5.1", "section 6.1".
        statement: The statement in one line of words.
        formula: The statement as one formula, in text.
        kind: One of KINDS.
        domain: Domain of the cases, one of those that `cases` describes.
        measure: Function that gives the excess of the statement as printed, on a case.
        tolerance: Largest excess at which the statement holds.
        made_of: The source of the tolerance, such as rounding.
        corrected: Function that gives the excess of the corrected statement, on a case.
        correction: The correction, in one line.
        routes: Two independent computations of the printed statement's excess, on the saved case.
        command: Command that decides a statement which needs published files.
        most: Largest number of random cases, for a measure that takes long.
        low: Lowest noise level of the cases.
        high: Highest noise level of the cases.
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
        """Letter of the paper: "A", "B", "C" or "D"; "O" for our own statements."""
        return self.id[0]

    @property
    def counterexample(self) -> Path:
        """File of the saved counterexample; there is one if the printed statement fails."""
        return COUNTEREXAMPLES / f"{self.id}.json"


def relative(left: ArrayLike, right: ArrayLike, detail: str = "") -> Reading:
    """Largest |left - right| / max(|left|, |right|) of two sides of an identity.

    Two sides that are both below 1e-290 count as equal.
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
    """Largest gap / scale and its index; the ratio is infinite where a side is nan."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(scale <= UNDERFLOW, 0.0, gap / scale)
    share = np.where(np.isnan(share), np.inf, share)
    at = int(np.argmax(share))
    return float(share.flat[at]), at


def sampled(samples: Array, target: ArrayLike = 0.0) -> Reading:
    """Distance in standard errors between the means of samples (n,) or (n, Q) and their targets.

    The largest distance of Q means is converted to the distance that a single mean exceeds with the
    same probability (Bonferroni), so that the rate of false alarms is that of `SAMPLED` for any Q.
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
    """The reading with the largest excess."""
    return max(readings, key=lambda r: float("inf") if np.isnan(r.value) else r.value)


class Verified(NamedTuple):
    """What `verify` found on the saved counterexample of a claim."""

    value: float
    routes: tuple[float, float]
    error: float
    good: bool


def verify(claim: Claim) -> Verified:
    """Repeat the saved counterexample of a claim.

    It is confirmed if the two routes agree to 6 digits and the excess is above the tolerance by at
    least 10 stated errors.

    Raises:
        ValueError: If there is no counterexample or the claim has no routes.
    """
    if claim.routes is None:
        raise ValueError(f"verify must stand with a claim that fails, got {claim.id}")
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
