"""Paper C, claims of algorithm 1 and EVODiff, and their orders of convergence."""

from functools import partial

from benchmarks.claims import c_factors, c_multi, c_orders
from benchmarks.claims.c_orders import Engine
from benchmarks.claims.c_records import (
    ALGEBRA,
    ORDERED,
    SLOPE,
    STEPPED,
    identity,
    only_first,
    second_order,
)
from benchmarks.claims.ledger import Claim

_RELEASED = (("special_last", False),)
ALGORITHM: tuple[Claim, ...] = (
    identity(
        "alg1",
        "Algorithm 1",
        "Lines 4 to 9 as printed, line 3 read as the DDIM point, are the engine's re_multi.",
        "zeta = sigmoid(|zeta*| - mu), eta = sigmoid(|eta*|), B = eta / 2 B_s + (1 - eta / 2) B_l",
        partial(c_multi.algorithm, sign=1.0),
        domain="space",
        span=STEPPED,
    ),
    identity(
        "alg1.2025",
        "Algorithm 1, NeurIPS text",
        "With the NeurIPS text's sign of zeta it is the engine's re_multi_2025.",
        "zeta = sigmoid(-(|zeta*| - mu))",
        partial(c_multi.algorithm, sign=-1.0),
        domain="space",
        span=STEPPED,
    ),
    identity(
        "alg1.difference",
        "Algorithm 1, line 8",
        "Where it evaluates them, the two estimates differ by s h zeta D: they agree at zeta = 0.",
        "hat x_i - tilde x_i = s h zeta D_i, s_i = t_{i-1}",
        c_multi.algorithm_of_difference,
        domain="space",
        made_of=ALGEBRA,
        span=STEPPED,
    ),
    second_order(
        "alg1.order",
        "Algorithm 1",
        "It converges at second order, with the log-SNR ratio in line 4 (zeta goes to 1).",
        Engine("re_multi"),
    ),
    *(
        only_first(
            f"alg1.order.{prior}",
            "Algorithm 1 with proposition 4.2",
            f"It converges at second order, with the {prior} weights.",
            Engine("re_multi", (("prior", prior),)),
            partial(c_factors.algorithm, prior=prior),
        )
        for prior in ("printed", "minimiser")
    ),
    only_first(
        "alg1.literal",
        "Algorithm 1, line 3",
        "It converges at second order, line 3 taken literally.",
        c_orders.literal_by_engine,
        partial(c_factors.algorithm, prior="log_snr", literal=True),
        "order 1: line 3 overwrites every corrected state but the last; what is left is DDIM",
    ),
    *(
        only_first(
            f"alg1.2025.order{('' if prior == 'log_snr' else '.' + prior)}",
            "Algorithm 1, NeurIPS text",
            f"It converges at second order, with the NeurIPS text's sign, {prior}.",
            Engine("re_multi_2025", (("prior", prior),)),
            partial(c_factors.algorithm, prior=prior, sign=-1.0),
            "the order is 1: zeta goes to 0, which is DDIM",
        )
        for prior in c_multi.PRIORS
    ),
    only_first(
        "evodiff.order",
        "EVODiff's convergence",
        "EVODiff as released, its special last step aside, converges at second order.",
        Engine("evodiff", _RELEASED),
        c_factors.evodiff,
    ),
    Claim(
        "C.evodiff.released",
        "EVODiff's convergence, released code",
        "EVODiff as released converges.",
        "|x_N - x(t_0)| = O(1 / N)",
        "order",
        "gaussian",
        partial(c_orders.order, engine=Engine("evodiff"), claimed=1.0),
        c_orders.SLACK,
        SLOPE,
        partial(c_orders.order, engine=Engine("evodiff", _RELEASED), claimed=1.0),
        "only without its last step, which multiplies the state by 1 - sqrt(a b): a floor of about "
        "sigma_min, relative error .0039 at 128 steps, .0025 at 256 on 80 to .002",
        (
            partial(c_orders.order_by_factors, own=Engine("evodiff"), claimed=1.0),
            partial(
                c_orders.order_by_factors,
                own=partial(c_factors.evodiff, special_last=True),
                claimed=1.0,
            ),
        ),
        low=ORDERED[0],
        high=ORDERED[1],
    ),
)
