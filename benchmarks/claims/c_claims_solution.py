"""Paper C, claims of (2.1) to (3.7): the processes, the score integral and its Taylor series."""

from functools import partial

from benchmarks.claims import c_process, c_single, c_solution, c_variation
from benchmarks.claims.c_orders import Engine
from benchmarks.claims.c_records import FLOW, STEPPED, Wrong, identity, inequality, second_order
from benchmarks.claims.ledger import QUADRATURE, Claim

BACKGROUND: tuple[Claim, ...] = (
    identity(
        "2.1",
        "eq. (2.1)",
        "The forward SDE with these f and g^2 has the transition kernel N(alpha x0, s^2 I).",
        "f = d log alpha / dt, g^2 = d s^2 / dt - 2 f s^2",
        c_process.forward_sde,
        made_of=QUADRATURE,
    ),
    identity(
        "2.2",
        "eq. (2.2)",
        "The reverse-time SDE has the forward process's marginals.",
        "dx = [f x - g^2 grad log q] dt + g dw",
        partial(c_process.marginals, reverse=True),
        made_of=QUADRATURE,
    ),
    identity(
        "2.3",
        "eq. (2.3)",
        "The probability-flow ODE has the forward process's marginals.",
        "dx / dt = f x - g^2 / 2 grad log q",
        partial(c_process.marginals, reverse=False),
        made_of=QUADRATURE,
    ),
    identity(
        "2.4",
        "eq. (2.4)",
        "The training loss of any network is the least one, mmse / sigma^2, plus its distance.",
        "E |eps_theta - eps|^2 = mmse / sigma^2 + E |eps_theta - E[eps | x]|^2",
        c_process.training_loss,
        made_of=QUADRATURE,
    ),
    identity(
        "2.5",
        "eq. (2.5)",
        "With the noise prediction of any network the ODE is dx / dsigma = (x - D) / sigma.",
        "dx / dt = f x + g^2 / (2 s) eps_theta",
        partial(c_process.ode, data=False),
    ),
    identity(
        "2.5.score",
        "before eqs. (2.5), (2.6)",
        "The noise prediction stands for -s grad log q, and the data prediction follows from it.",
        "eps = -s grad log q, D = (x - s eps) / alpha",
        c_process.noise_prediction_is_score,
    ),
    identity(
        "2.6",
        "eq. (2.6)",
        "With the data prediction of any network the ODE is the same.",
        "dx / dt = (f + g^2 / (2 s^2)) x - alpha g^2 / (2 s^2) x_theta",
        partial(c_process.ode, data=True),
    ),
)
SOLUTION: tuple[Claim, ...] = (
    identity(
        "3.1",
        "eq. (3.1), noise form",
        "Variation of constants solves the noise ODE with the printed kernel h_1.",
        "x_t = e^{int f} (int h_1 eps dr + x_s), h_1 = e^{-int f} g^2 / (2 s^2)",
        partial(c_variation.variation_of_constants, form="noise", power=2),
        made_of=FLOW,
        wrong=Wrong(
            c_variation.variation_on_unit_gaussian,
            "h_1 has g^2 / (2 s), as (2.5) has, not g^2 / (2 s^2)",
            partial(c_variation.variation_of_constants, form="noise", power=1),
        ),
    ),
    identity(
        "3.1.data",
        "eq. (3.1), data form",
        "Variation of constants solves the data ODE with the printed kernel h_2.",
        "x_t = e^{h_2(t)} (-int e^{-h_2} alpha g^2 / (2 s^2) D dr + x_s)",
        partial(c_variation.variation_of_constants, form="data"),
        made_of=FLOW,
    ),
    identity(
        "rem1",
        "Remark 1",
        "Along either ODE the scaled state changes by the prediction per unit of kappa.",
        "df(x_t) / dkappa = d",
        c_solution.derivative_of_f,
    ),
    identity(
        "3.2",
        "eq. (3.2)",
        "Both ODEs have one semi-linear solution: the score integral.",
        "f(x_t) - f(x_s) = int d dkappa",
        c_solution.score_integral,
        made_of=FLOW,
    ),
    identity(
        "3.3",
        "eq. (3.3)",
        "The prediction's Taylor series at n = 1 misses an integral of d^(2), O(h^2).",
        "d_{i-1} = d_i + h d_i^(1) + O(h^2)",
        partial(c_solution.taylor, integrated=False),
        made_of=FLOW,
    ),
    identity(
        "3.4",
        "eq. (3.4)",
        "The score integral's Taylor series at n = 1 misses an integral of d^(2), O(h^3).",
        "u = h d_i + h^2 / 2 d_i^(1) + O(h^3)",
        partial(c_solution.taylor, integrated=True),
        made_of=FLOW,
    ),
    identity(
        "3.5",
        "eq. (3.5)",
        "The first term of the series is DDIM in both forms.",
        "f(x_{i-1}) = f(x_i) + h d_i",
        c_solution.ddim_step,
    ),
    identity(
        "3.5.n",
        "before eq. (3.5)",
        'DDIM is the truncated series "when n = 1".',
        "h d_i + h^2 / 2 d_i^(1) = h d_i",
        partial(c_solution.first_terms, form="noise", terms=2),
        wrong=Wrong(
            c_solution.second_term_on_gaussian,
            "n = 0: (3.4) at n = 1 has the term in d^(1) still",
            partial(c_solution.first_terms, form="noise", terms=1),
        ),
    ),
    identity(
        "3.6",
        "eq. (3.6)",
        "The difference quotient misses the derivative by at most h / 2 times the next one.",
        "d^(1) = (d_s - d_t) / h + O(h)",
        c_solution.difference_quotient,
        made_of=FLOW,
    ),
    identity(
        "3.7",
        "eq. (3.7)",
        "The finite-difference iteration is the engine's fd_2, both forms, two inner levels.",
        "f(x_{i-1}) = f(x_i) + h d_i + h^2 / 2 (d_s - d_i) / h_s",
        c_single.difference_step,
        span=STEPPED,
    ),
    inequality(
        "3.7.ratio",
        "below eq. (3.7)",
        "The inner levels in use lie within the step.",
        "0 < h_s / h <= 1",
        c_single.stage_ratio,
        domain="none",
    ),
    second_order(
        "3.7.order",
        "Theorem 4.1 and below",
        "The finite-difference iteration (3.7) converges at second order.",
        Engine("fd_2"),
    ),
)
