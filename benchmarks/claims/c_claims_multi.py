"""Paper C, claims of (4.4) to (4.8), remark 2 and proposition 4.2: the multi-step iterations."""

from functools import partial

from benchmarks.claims import (
    c_factors,
    c_measured,
    c_multi,
    c_points,
    c_premise,
    c_remark,
    c_two_point,
    c_variance,
)
from benchmarks.claims.c_records import (
    ALGEBRA,
    AVERAGED,
    POINTS,
    STEPPED,
    Wrong,
    identity,
    inequality,
    second_order,
)
from benchmarks.claims.ledger import QUADRATURE, Claim

_EXTENDED = (("", "explicit", "(4.5)"), (".implicit", "implicit", "(4.6)"))
MULTI: tuple[Claim, ...] = (
    identity(
        "4.4",
        "eq. (4.4)",
        "The two-point iteration leads to the state with which its left side is printed.",
        "f(x_{i+1}) = f(x_i) + h d_i + h^2 / 2 (d_i - d_{i+1}) / h_{i+1}",
        partial(c_two_point.two_point_step, printed=True),
        domain="line",
        span=STEPPED,
        wrong=Wrong(
            c_two_point.two_point_by_slopes,
            "the left side is f(x_{i-1}): Adams-Bashforth in 1 / sigma, or in sigma in noise form",
            partial(c_two_point.two_point_step, printed=False),
        ),
    ),
    *(
        second_order(
            f"4.4.order.{form}",
            f"eq. (4.4), {form} form",
            "The two-point iteration converges at second order.",
            partial(c_factors.two_point_table, form),
        )
        for form in ("noise", "data")
    ),
    inequality(
        "4.4.step",
        "below eq. (4.4)",
        "Its step is smaller than the one that spans both steps, written as a difference.",
        "|h_i| < |h_i - h_{i+1}|",
        partial(c_two_point.step_sizes, sign=-1.0),
        domain="none",
        made_of=ALGEBRA,
        wrong=Wrong(
            c_two_point.step_sizes_by_levels,
            "the span is |h_i + h_{i+1}|; the difference is smaller unless h_{i+1} > 2 h_i",
            partial(c_two_point.step_sizes, sign=1.0),
        ),
    ),
    inequality(
        "sec4.2.step",
        "Section 4.2, below eq. (4.4)",
        "Smaller steps reduce conditional entropy: one state, given a nearer one before it.",
        "H(x_{i-1} | x_i) <= H(x_{i-1} | x_{i+1})",
        c_premise.shorter_step,
        tolerance=1e-10,
        made_of=QUADRATURE,
    ),
    identity(
        "4.5",
        "eq. (4.5)",
        "The explicit quotient with an interpolated past prediction is the engine's.",
        "B(t_i, l_i) = (d_i - zeta d_i - (1 - zeta) d_{i+1}) / h_{i+1}; h_{i+1} read for its hat h",
        partial(c_multi.interpolated_quotients, ahead=False),
        domain="space",
        span=STEPPED,
    ),
    identity(
        "4.6",
        "eq. (4.6)",
        "The implicit quotient with an interpolated new prediction is the engine's.",
        "B(s_i, t_i) = (zeta d_{i-1} + (1 - zeta) d_i - d_i) / h_i; h_i read for its hat h_i",
        partial(c_multi.interpolated_quotients, ahead=True),
        domain="space",
        span=STEPPED,
    ),
    identity(
        "4.7",
        "eq. (4.7)",
        "Both are one iteration with zeta times their own quotient.",
        "B = zeta B, for B(s_i, t_i) and B(t_i, l_i)",
        partial(c_multi.unified, corrected=False),
        domain="density",
        span=STEPPED,
        wrong=Wrong(
            c_multi.unified_by_weights,
            "B(s_i, t_i) = zeta B(t_{i-1}, t_i), B(t_i, l_i) = (1 - zeta) B(t_i, t_{i+1})",
            partial(c_multi.unified, corrected=True),
        ),
    ),
    *(
        inequality(
            f"rem2.{prior}",
            f"Remark 2, {prior} weights of proposition 4.2",
            "With independent predictions (4.5) and (4.6) have less variance than (4.4).",
            "V as sigma^2: Var of (4.5)'s and of (4.6)'s increment <= of (4.4)'s",
            partial(c_variance.multistep_variance, prior=prior),
            domain="none",
        )
        for prior in ("printed", "minimiser")
    ),
    *(
        inequality(
            f"rem2.state{suffix}",
            "Remark 2, measured on Gaussian data",
            f"{display} leaves less variance given x0 than (4.4), {AVERAGED}.",
            f"Var(x' | x0) after {display} <= after (4.4)",
            partial(c_remark.gaussian_state, prior="printed", form=form),
            domain="gaussian",
        )
        for suffix, form, display in _EXTENDED
    ),
    *(
        inequality(
            f"rem2.points{suffix}",
            "Remark 2, measured on points",
            f"{display} leaves less variance given x0 than (4.4), {AVERAGED}.",
            f"E Var(x' | x0) after {display} <= after (4.4), after a first DDIM step",
            partial(c_remark.point_state, prior="printed", form=form),
            domain="points",
            span=POINTS,
            wrong=Wrong(partial(c_points.state_by_quad, form=form)),
        )
        for suffix, form, display in _EXTENDED
    ),
    inequality(
        "prop4.2",
        "Proposition 4.2",
        "The printed weights minimise the interpolations' variances, if V is as sigma^2.",
        "zeta = s_{i-1}^2 / (s_i^2 + s_{i-1}^2), s_i^2 / (s_i^2 + s_{i+1}^2)",
        partial(c_variance.interpolations, prior="printed"),
        domain="none",
        kind="optimality",
        wrong=Wrong(
            c_variance.swapped_by_formula,
            "the weights are swapped: zeta = s_i^2 / (s_i^2 + s_{i-1}^2), s_{i+1}^2 / (...)",
            partial(c_variance.interpolations, prior="minimiser"),
        ),
    ),
    identity(
        "prop4.2.assumption",
        "Proposition 4.2, assumption",
        "The data prediction's variance given x0 grows as sigma^2.",
        "Var(D | x0) ~ sigma^2",
        partial(c_measured.assumed_variance, of="d"),
        domain="gaussian",
        wrong=Wrong(partial(c_measured.assumed_by_formula, of="d")),
    ),
    *(
        identity(
            f"4.8.{prior}",
            f"eq. (4.8), {prior}",
            "As lines 7 and 9 weight it, the blended iteration is the engine's, with its weights.",
            "f(x_{i-1}) = f(x_i) + h d_i + zeta h^2 / 2 (eta / 2 B(s_i, t_i) + (1 - eta / 2) "
            "B(t_i, l_i)); B(s_i, t_i) over h_i, read for the text's hat h_i",
            partial(c_multi.blended_step, prior=prior),
            domain="space",
            span=STEPPED,
        )
        for prior in c_multi.PRIORS
    ),
    inequality(
        "sec5.calls.multi",
        "Section 5, algorithm 1",
        "Algorithm 1 needs no more calls than DPM-Solver++(2M) at equal steps.",
        "calls of algorithm 1 <= n_steps",
        partial(c_premise.calls_of_algorithm, more=0),
        domain="none",
        made_of="an exact count",
        wrong=Wrong(
            c_premise.calls_by_lines,
            "n_steps + 1: line 6 asks for the prediction at t_0 too; one more a run, none a step",
            partial(c_premise.calls_of_algorithm, more=1),
        ),
    ),
)
