"""Paper C, claims of (3.8) to (3.11) and propositions 3.1 to 3.4: conditional entropies."""

from functools import partial

from benchmarks.claims import c_entropy, c_measured, c_premise, c_single, c_variance
from benchmarks.claims.c_records import AVERAGED, POINTS, STEPPED, Wrong, identity, inequality
from benchmarks.claims.ledger import QUADRATURE, Claim

ENTROPY: tuple[Claim, ...] = (
    identity(
        "3.8",
        "eq. (3.8)",
        "Mutual information of two states is entropy less conditional entropy.",
        "I(x_i; x_{i+1}) = H(x_i) - H(x_i | x_{i+1})",
        c_entropy.information_of_states,
        made_of=QUADRATURE,
    ),
    identity(
        "3.9",
        "eq. (3.9)",
        "Given x0 as well, the reverse transition is the Gaussian of Bayes' rule.",
        "p(x_i | x_{i+1}, x0) = N(mu, Sigma)",
        c_entropy.transition,
        domain="none",
    ),
    identity(
        "3.10",
        "eq. (3.10)",
        "For Gaussian data the conditional entropy is that of the conditional variance.",
        "H(x_i | x_{i+1}) = (log 2 pi + 1) / 2 + log Var(x_i | x_{i+1}) / 2",
        c_entropy.gaussian_formula,
        domain="gaussian",
        made_of=QUADRATURE,
    ),
    inequality(
        "3.10.bound",
        "eq. (3.10), approximation",
        "For other data the Gaussian formula errs upwards: it bounds the conditional entropy.",
        "H(x_i | x_{i+1}) <= E (log 2 pi e Var(x_i | x_{i+1} = x)) / 2",
        c_entropy.approximation_errs_upwards,
        tolerance=1e-10,
    ),
    identity(
        "3.11",
        "eq. (3.11)",
        "The conditional entropy is proportional to the log of the variance.",
        "H_1 / H_2 = log Var_1 / log Var_2",
        c_entropy.proportional,
        domain="gaussian",
        wrong=Wrong(
            c_entropy.proportional_by_precision,
            "affine, not proportional: H_1 - H_2 = log(Var_1 / Var_2) / 2",
            c_entropy.affine,
        ),
    ),
    inequality(
        "prop3.1",
        "Proposition 3.1",
        "With independent predictions (3.7) has no more variance than DDIM in the interval.",
        "1 <= h / h_s <= 4 V_t / (V_s + V_t): Var <= h^2 V_t, equal at the end",
        c_variance.interval_of_differences,
        domain="none",
    ),
    inequality(
        "prop3.1.state",
        "Proposition 3.1, measured on states",
        f"(3.7) in its interval leaves less variance given x0 than DDIM, {AVERAGED}.",
        "Var(x' | x0) after (3.7) <= (3.5); s = sqrt(a b), so h / h_s < 2 <= 4 V_t / (V_s + V_t)",
        partial(c_measured.state_variance, solver="fd_2", other="ddim", form="noise"),
        domain="gaussian",
        wrong=Wrong(partial(c_measured.state_by_slopes, solver="fd_2", other="ddim")),
    ),
    inequality(
        "prop3.1.increment",
        "Proposition 3.1, measured on increments",
        f"In its interval (3.7)'s increment varies less given x0 than DDIM's, {AVERAGED}.",
        "E Var(x' - x | x0) of (3.7) <= of (3.5)",
        partial(c_measured.point_increments, solver="fd_2", other="ddim"),
        domain="points",
        span=POINTS,
        wrong=Wrong(partial(c_measured.point_increments_by_quad, solver="fd_2", other="ddim")),
    ),
    identity(
        "prop3.2",
        "Proposition 3.2",
        "With V as 1 / SNR the interval ends at the engine's inner level of that name.",
        "4 V_t / (V_s + V_t) = 4 SNR_s / (SNR_t + SNR_s)",
        c_single.interval_stage,
        domain="none",
    ),
    identity(
        "prop3.2.assumption",
        "Proposition 3.2, assumption",
        "The noise prediction's variance given x0 grows as sigma^2.",
        "Var(eps | x0) ~ s^2 / alpha^2",
        partial(c_measured.assumed_variance, of="eps"),
        domain="gaussian",
        wrong=Wrong(partial(c_measured.assumed_by_formula, of="eps")),
    ),
    identity(
        "prop3.3",
        "Proposition 3.3",
        "EDM's Heun is (3.7), DPM-Solver-2 is (4.1), and both have less variance by assumption.",
        "s = t_{i-1}; s = sqrt(a b), g = (1 - sqrt(b / a)) / 2",
        c_single.known_instances,
        span=STEPPED,
    ),
    *(
        inequality(
            f"prop3.3.{name}",
            "beside Proposition 3.3, ours",
            f"{title} leaves less variance given x0 than DDIM, {AVERAGED}.",
            "Var(x' | x0) <= after (3.5)",
            partial(c_measured.state_variance, solver=name, other="ddim"),
            domain="gaussian",
            wrong=Wrong(partial(c_measured.state_by_slopes, solver=name, other="ddim")),
        )
        for name, title in (("heun", "EDM's Heun"), ("dpm_solver_2", "DPM-Solver-2"))
    ),
    inequality(
        "prop3.4",
        "Proposition 3.4",
        "With independent predictions a data-form step's prediction term has less variance given "
        "x0 than the noise form's.",
        "(1 - b / a)^2 Var(D | x0) <= (a - b)^2 Var(eps | x0), a DDIM step",
        c_premise.prediction_terms,
        domain="gaussian",
        span=(1e-3, 1e1),  # levels on both sides of the data's scale
        wrong=Wrong(
            c_premise.prediction_terms_by_formula,
            "at noise levels above the data's scale; below it the noise form has less",
            c_premise.prediction_terms_above,
        ),
    ),
    inequality(
        "prop3.4.state",
        "Proposition 3.4, measured on states",
        f"(3.7) in data form leaves less variance given x0 than in noise form, {AVERAGED}.",
        "Var(x' | x0), data form <= noise form, s at proposition 3.2's end",
        c_measured.forms_compared,
        domain="gaussian",
        wrong=Wrong(c_measured.forms_by_slopes),
    ),
    identity(
        "prop3.4.middle",
        "Proposition 3.4, where it says nothing",
        "At the geometric middle both forms of (3.7) are one iteration, so neither is better.",
        "s = sqrt(a b): x' in noise form = x' in data form",
        c_single.one_iteration,
        span=STEPPED,
    ),
)
