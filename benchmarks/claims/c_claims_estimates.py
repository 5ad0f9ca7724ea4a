"""Paper C, claims of (4.9) to (4.19) and the lemmas: the weights from state differences."""

from functools import partial

from benchmarks.claims import c_estimates, c_orders, c_plain, c_solution
from benchmarks.claims.c_records import ALGEBRA, FLOW, STEPPED, Wrong, identity, inequality
from benchmarks.claims.ledger import IDENTITY, Claim

DIFFERENCES: tuple[Claim, ...] = (
    identity(
        "4.9",
        "eq. (4.9)",
        "(4.9) is (4.1) solved for the state before.",
        "f(x_i) = f(x_{i-1}) - h G(g) - h^2 / 2 F(s_i, t_i)",
        c_estimates.rearranged,
        span=STEPPED,
    ),
    identity(
        "4.10",
        "eq. (4.10)",
        "The score integral taken backwards leads back.",
        "f(x_s) - f(x_t) = int d dkappa from t to s",
        partial(c_solution.score_integral, backwards=True),
        made_of=FLOW,
    ),
    *(
        Claim(
            f"C.4.11.{form}",
            f"eq. (4.11), {form} form",
            "The inverse integral's estimate misses by the third power of the step.",
            "-h d_{i-1} + h^2 / 2 F(s_i, t_{i-1}) = int d dkappa + O(h^3)",
            "order",
            "gaussian",
            partial(c_orders.inverse_order, form=form),
            c_orders.SLACK,
            "slope at steps of 2 and 1 %: the next order's share",
            low=0.1,
            high=10.0,
        )
        for form in ("noise", "data")
    ),
    Claim(
        "C.4.12",
        "eq. (4.12)",
        "From a true state the state before is met to the third power of the step.",
        "f(hat x_i) = f(x_{i-1}) - h d_{i-1} + h^2 / 2 F(s_i, t_{i-1}) = f(x_i) + O(h^3)",
        "order",
        "none",
        c_orders.inverse_order_of_paths,
        c_orders.SLACK,
        "slope at steps of 2 and 1 %: the next order's share",
        most=1,
    ),
    identity(
        "4.13",
        "eq. (4.13)",
        "The objective is the norm of the sum of both estimates' errors.",
        "L_1 = |(tilde x - x) + (hat x - x)| = |tilde x + hat x - 2 x|",
        c_estimates.objective_of_errors,
        made_of=ALGEBRA,
        span=STEPPED,
    ),
    inequality(
        "4.14",
        "eq. (4.14)",
        "The objective is bounded by the triangle inequality.",
        "|tilde x + hat x - 2 x| <= |tilde x + hat x| + |2 x|",
        partial(c_estimates.triangle, of="state"),
        made_of=ALGEBRA,
        span=STEPPED,
    ),
    inequality(
        "4.14.minimiser",
        "below eq. (4.14)",
        "As |2 x| is independent of zeta, minimising the bound minimises the objective.",
        "argmin L_1s = argmin L_1",
        partial(c_estimates.bound_minimised, of="zeta"),
        kind="optimality",
        tolerance=IDENTITY,
        span=STEPPED,
        wrong=Wrong(partial(c_plain.bound_minimised, of="zeta")),
    ),
    identity(
        "4.15",
        "eq. (4.15)",
        "The sum of both estimates is P - s h G(zeta) with the printed P.",
        "P = hat x + s_i / s_{i-1} x^p - s_i h^2 / 2 F(s_i, t_i)",
        c_estimates.objective,
        made_of=ALGEBRA,
        span=STEPPED,
    ),
    *(
        inequality(
            lemma,
            f"Lemma {lemma[3:]}, eq. {equation}",
            f"The printed closed form minimises the bound over {of}.",
            formula,
            partial(c_estimates.lemma, of=of, sign=-1.0),
            domain="line",
            kind="optimality",
            tolerance=IDENTITY,
            made_of=ALGEBRA,
            span=STEPPED,
            wrong=Wrong(
                partial(c_plain.lemma, of=of),
                "the sign is plus: least squares; the algorithm takes absolute values only",
                partial(c_estimates.lemma, of=of, sign=1.0),
            ),
        )
        for lemma, equation, of, formula in (
            ("lem4.1", "(4.16)", "zeta", "zeta* = -<D, P> / (s h <D, D>)"),
            ("lem4.2", "(4.19)", "eta", "eta* = -<F~, F(t_{i+1}, t_i)> / <F~, F~>"),
        )
    ),
    identity(
        "4.17",
        "eq. (4.17)",
        "The blended errors of two quotients are the blended quotient less the derivative.",
        "eta E_{i-1} + (1 - eta) E_{i+1} = Delta - d^(1)",
        c_estimates.balanced_errors,
        made_of=ALGEBRA,
        span=STEPPED,
    ),
    inequality(
        "4.18",
        "eq. (4.18)",
        "The objective of eta is bounded by the triangle inequality.",
        "|Delta - d^(1)| <= |Delta| + |d^(1)|",
        partial(c_estimates.triangle, of="slope"),
        made_of=ALGEBRA,
        span=STEPPED,
    ),
    inequality(
        "4.18.minimiser",
        "below eq. (4.18)",
        "As d^(1) is independent of eta, minimising the bound minimises the objective.",
        "argmin L_2s = argmin L_2",
        partial(c_estimates.bound_minimised, of="eta"),
        kind="optimality",
        tolerance=IDENTITY,
        span=STEPPED,
        wrong=Wrong(partial(c_plain.bound_minimised, of="eta")),
    ),
)
