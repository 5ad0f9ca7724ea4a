"""Makers of paper C's claims: one function for each kind of statement.

In the paper's notation t_i falls to t_{i-1}, and s_i lies between. In the suite's coordinate kappa
and f(x) are sigma and x (noise form) or 1 / sigma and x / sigma (data form), and d is the
prediction eps or D. zeta, eta and SNR are as printed; g is the paper's gamma_i, the suite's `mix`.
"""

from functools import partial
from typing import NamedTuple

from benchmarks.claims import c_orders
from benchmarks.claims.c_orders import Engine, Map
from benchmarks.claims.cases import SIGMA_RANGE, Case
from benchmarks.claims.ledger import IDENTITY, ROUNDING, Claim, Measure, Route

Span = tuple[float, float]
# Below 1e-2 a rounding error of a state between two points changes the prediction by
# (gap / sigma)^2 times as much; above 1e2 all predictions are the data's mean.
STEPPED = (1e-2, 1e2)
ORDERED = (5e-2, 5e1)  # where 256 steps are in the asymptotic regime
# Levels up to the data's own scale, where predictions at two levels depend on each other.
POINTS = (0.1, 1.0)
FLOW = "reference flow to 1e-12, Gauss rules and rounding"
SLOPE = "slopes at 128 to 256 steps: the next order's share"
EXACT = 1e-12
ALGEBRA = "algebra: both sides written out from the paper"
# How the measured claims differ from the paper's premise.
AVERAGED = "predictions as dependent as they are, x_i averaged over"


class Wrong(NamedTuple):
    """The second route and the correction of a statement that fails.

    Args:
        route: The excess of the statement by a route independent of its measure.
        correction: The correction, in one line.
        corrected: Function that gives the excess of the corrected statement.
    """

    route: Route
    correction: str = ""
    corrected: Measure | None = None


def value_of(measure: Measure, case: Case) -> float:
    """A measure as a route."""
    return measure(case).value


def record(
    name: str,
    number: str,
    statement: str,
    formula: str,
    measure: Measure,
    kind: str,
    domain: str,
    tolerance: float,
    made_of: str,
    span: Span,
    wrong: Wrong | None,
) -> Claim:
    """A claim from its parts; the first route of a statement that fails is its own measure."""
    fails = wrong or Wrong(partial(value_of, measure))
    return Claim(
        f"C.{name}",
        number,
        statement,
        formula,
        kind,  # type: ignore[arg-type]
        domain,
        measure,
        tolerance,
        made_of,
        fails.corrected,
        fails.correction,
        (partial(value_of, measure), fails.route) if wrong else None,
        low=span[0],
        high=span[1],
    )


def identity(
    name: str,
    number: str,
    statement: str,
    formula: str,
    measure: Measure,
    *,
    domain: str = "line",
    made_of: str = ROUNDING,
    span: Span = SIGMA_RANGE,
    wrong: Wrong | None = None,
) -> Claim:
    """Two sides that agree to 1e-9."""
    return record(
        name,
        number,
        statement,
        formula,
        measure,
        "identity",
        domain,
        IDENTITY,
        made_of,
        span,
        wrong,
    )


def inequality(
    name: str,
    number: str,
    statement: str,
    formula: str,
    measure: Measure,
    *,
    domain: str = "line",
    kind: str = "inequality",
    tolerance: float = EXACT,
    made_of: str = ROUNDING,
    span: Span = SIGMA_RANGE,
    wrong: Wrong | None = None,
) -> Claim:
    """A left side that is at most the right one, or an optimum that nothing improves."""
    return record(
        name,
        number,
        statement,
        formula,
        measure,
        kind,
        domain,
        tolerance,
        made_of,
        span,
        wrong,
    )


def second_order(name: str, number: str, statement: str, engine: Map) -> Claim:
    """A claim of order 2 that holds, on targets of its own."""
    return Claim(
        f"C.{name}",
        number,
        statement,
        "|x_N - x(t_0)| = O(1 / N^2)",
        "order",
        "none",
        partial(c_orders.second_order, engine=engine),
        c_orders.SLACK,
        SLOPE,
        most=1,
    )


def only_first(
    name: str,
    number: str,
    statement: str,
    engine: Map,
    own: Map,
    correction: str = "the order is 1",
) -> Claim:
    """A claim of order 2 that fails, corrected to order 1."""
    # Paths of evodiff on a 1-D mixture overflow, because its divisor can vanish there.
    corrected = (
        partial(c_orders.first_order, engine=engine)
        if isinstance(engine, Engine) and engine.solver != "evodiff"
        else partial(c_orders.order, engine=engine, claimed=1.0)
    )
    return record(
        name,
        number,
        statement,
        "|x_N - x(t_0)| = O(1 / N^2)",
        partial(c_orders.order, engine=engine, claimed=2.0),
        "order",
        "gaussian",
        c_orders.SLACK,
        SLOPE,
        ORDERED,
        Wrong(partial(c_orders.order_by_factors, own=own, claimed=2.0), correction, corrected),
    )


def needs_data(
    name: str,
    number: str,
    statement: str,
    measure: Measure,
    command: str,
    formula: str,
) -> Claim:
    """A statement about trained networks; its measure reports the printed numbers."""
    return Claim(
        f"C.{name}",
        number,
        statement,
        formula,
        "empirical",
        "none",
        measure,
        0.0,
        "printed to two decimals",
        command=command,
        most=1,
    )
