"""Paper C, claims of (4.1) to (4.3), proposition 4.1, theorem 4.1: the single-step iteration."""

from functools import partial

from benchmarks.claims import c_factors, c_measured, c_premise, c_single, c_variance
from benchmarks.claims.c_orders import Engine
from benchmarks.claims.c_records import (
    AVERAGED,
    POINTS,
    STEPPED,
    Wrong,
    identity,
    inequality,
    only_first,
)
from benchmarks.claims.ledger import Claim

SINGLE: tuple[Claim, ...] = (
    identity(
        "4.1",
        "eq. (4.1)",
        "The single-step RE iteration is the engine's re_single, both forms, all named weights.",
        "f(x_{i-1}) = f(x_i) + h (g d_s + (1 - g) d_i) + h^2 / 2 (d_s - d_i) / h_s",
        c_single.mixed_step,
        span=STEPPED,
    ),
    identity(
        "4.1.limit",
        "below eq. (4.1)",
        "(4.1) shares its limit with (3.7) as s goes to t: they differ by g h (d_s - d_t).",
        "(4.1) - (3.7) = g h (d_s - d_t) -> 0",
        c_single.shared_limit,
        span=STEPPED,
    ),
    identity(
        "4.2",
        "eq. (4.2)",
        "The variances of the terms in which (3.7) and (4.1) differ.",
        "h^2 V_t, h^2 (g^2 V_s + (1 - g)^2 V_t)",
        c_variance.distinct_components,
        domain="none",
    ),
    identity(
        "4.3",
        "eq. (4.3)",
        "The difference of conditional entropies is half the log of their ratio.",
        "Delta H = log(1 - 2 g + g^2 + g^2 V_s / V_t) / 2",
        c_variance.entropy_change,
        domain="none",
    ),
    inequality(
        "4.3.minimum",
        "eq. (4.3)",
        "Delta H is least where the engine's weight `minimum` is.",
        "g = SNR_s / (SNR_t + SNR_s)",
        c_variance.least_change,
        domain="none",
        kind="optimality",
    ),
    inequality(
        "4.3.sign",
        "below eq. (4.3)",
        "Delta H <= 0 for every weight in (0, 1], if V is as 1 / SNR.",
        "1 - 2 g + g^2 (1 + SNR_t / SNR_s) <= 1, as g <= 2 SNR_s / (SNR_s + SNR_t) >= 1",
        partial(c_variance.never_positive, interval=False),
        domain="none",
    ),
    inequality(
        "prop4.1",
        "Proposition 4.1, interval",
        "The recommended interval is inside (0, 1] and lowers (4.3).",
        "SNR_t / (SNR_t + SNR_s) <= g <= max(2 SNR_t, SNR_s) / (SNR_t + SNR_s)",
        partial(c_variance.never_positive, interval=True),
        domain="none",
    ),
    inequality(
        "prop4.1.terms",
        "Proposition 4.1, all terms",
        "Under the paper's assumptions (4.1)'s whole increment has less variance than (3.7)'s.",
        "(1 - r/2 - g)^2 V_t + (r/2 + g)^2 V_s <= (1 - r/2)^2 V_t + r^2/4 V_s, r = h / h_s",
        c_variance.whole_increment,
        domain="none",
        wrong=Wrong(c_variance.whole_increment_by_formula),
    ),
    *(
        inequality(
            f"prop4.1.state{('' if form == 'noise' else '.data')}",
            f"Proposition 4.1, measured on states, {form} form",
            f"(4.1) consistently leaves less variance given x0 than (3.7), {AVERAGED}.",
            "Var(x' | x0) after (4.1) <= after (3.7)",
            partial(c_measured.state_variance, solver="re_single", other="fd_2", form=form),
            domain="gaussian",
            wrong=Wrong(
                partial(c_measured.state_by_slopes, solver="re_single", other="fd_2", form=form)
            ),
        )
        for form in ("noise", "data")
    ),
    inequality(
        "prop4.1.increment",
        "Proposition 4.1, measured on increments",
        f"(4.1)'s increment consistently varies less given x0 than (3.7)'s, {AVERAGED}.",
        "E Var(x' - x | x0) of (4.1) <= of (3.7)",
        partial(c_measured.point_increments, solver="re_single", other="fd_2"),
        domain="points",
        span=POINTS,
        wrong=Wrong(partial(c_measured.point_increments_by_quad, solver="re_single", other="fd_2")),
    ),
    *(
        only_first(
            f"thm4.1{('' if form == 'noise' else '.data')}{('' if mix == 'lower' else '.upper')}",
            f"Theorem 4.1, {form} form, {mix} end",
            "The single-step RE iteration converges at second order.",
            Engine("re_single", (("form", form), ("mix", mix))),
            partial(c_factors.single, form=form, weight=mix),
            "the order is 1: a term g h (d_s - d_t) of second order a step is left over",
        )
        for form in ("noise", "data")
        for mix in ("lower", "upper")
    ),
    identity(
        "sec5.calls.single",
        "Section 5, single steps",
        "Single RE steps need no more calls than DPM-Solver-2 or Heun: two a step.",
        "calls of (4.1) = of (3.7) = of DPM-Solver-2 = of Heun = 2 n_steps",
        c_premise.calls_of_single_steps,
        domain="none",
        made_of="an exact count",
    ),
)
