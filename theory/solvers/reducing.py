"""The multi-step entropy-reducing iterations of paper C, whose weights depend on the state.

Not tables: every path has weights of its own, from inner products of the outputs. Here is what
is asked for; the loop is in toys/. In our coordinate paper C's data form has f = x / sigma and
k = 1 / sigma. A step goes from a to b, the level before was a1; D0 is the output stored for the
current state and D1 the one before it; h = 1 / b - 1 / a, r = log(a1 / a) / log(a / b).
x_e = (b / a) x + b h D0 is the DDIM step. Inner products run over the coordinates of a sample
or, with `channels`, of each channel. A ratio whose denominator is below 1e-300 is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, one_of, positive, require, whole
from theory.solvers.table import SolverTable, steps

RULES = ("re_multi", "re_multi_2025", "evodiff")
PRIORS = ("log_snr", "printed", "minimiser")


@dataclass(frozen=True, eq=False, repr=False)
class ReducingIteration:
    """A multi-step entropy-reducing iteration of paper C, whose weights depend on the state.

    It is no table, and has a loop of its own; `re_multi_iteration`, `re_multi_2025_iteration` and
    `evodiff_iteration` make it and state its formulas.

    Args:
        levels: Positive levels, shape (K + 1,), falling strictly, in data units.
        denoise_last: Whether one more call after the K steps gives the result (terminal "zero").
        rule: One of RULES.
        start_std: Standard deviation of the start, positive.
        order: Declared order of convergence.
        mu: Shift of the sigmoid that gives zeta.
        channels: Equal groups of coordinates that have inner products of their own.
        prior: One of PRIORS; re_multi only.
        special_last: Whether the last step is the released code's, without a call; evodiff only.
    """

    levels: Array
    denoise_last: bool
    rule: str
    start_std: float
    order: int
    mu: float
    channels: int
    prior: str
    special_last: bool

    def __post_init__(self) -> None:
        one_of("rule", self.rule, RULES)
        one_of("prior", self.prior, PRIORS)
        object.__setattr__(self, "start_std", positive("start_std", self.start_std))
        object.__setattr__(self, "channels", whole("channels", self.channels, 1))
        shift = floats("mu", self.mu)
        if shift.ndim:
            raise ValueError(f"mu must be one number, got shape {shift.shape}")
        object.__setattr__(self, "mu", float(shift))
        levels = floats("levels", self.levels)
        require(levels > 0, "levels", levels, "be positive")
        levels.flags.writeable = False
        object.__setattr__(self, "levels", levels)

    def __repr__(self) -> str:
        return (
            f"<ReducingIteration {self.rule} of {self.nfe} calls in {self.n_steps} steps, order "
            f"{self.order}, sigma {self.levels[0]:g} to {self.end:g}>"
        )

    @property
    def n_steps(self) -> int:
        """Steps of the schedule, the one that denoises included."""
        return self.levels.size - 1 + self.denoise_last

    @property
    def end(self) -> float:
        """Last level of the schedule, 0 where one more call gives the result."""
        return 0.0 if self.denoise_last else float(self.levels[-1])

    @property
    def nfe(self) -> int:
        """Denoiser calls: the start, every step's probe, and the last output if it is asked for.

        Of K steps between positive levels the first is DDIM; its end is called at if there is a
        second step. The special last step makes no call.
        """
        k = self.levels.size - 1
        probes = k if k > 1 else 0
        return int(k > 0) + probes - (self.special_last and k > 1) + self.denoise_last

    @property
    def sigma(self) -> Array:
        """Levels of the calls, shape (nfe,)."""
        first = self.levels[: self.nfe - self.denoise_last]
        return np.concatenate([first, self.levels[-1:]]) if self.denoise_last else first


def re_multi_iteration(
    sigmas: ArrayLike,
    start_std: float | None = None,
    mu: float = 0.5,
    channels: int = 1,
    prior: str = "log_snr",
) -> ReducingIteration:
    """Algorithm 1 of paper C, ICLR text, with (4.5), (4.6), (4.16) and (4.19).

    The first step is DDIM and calls the denoiser at its end. Then, F = (D_t - D0) / h,
    F1 = (D0 - D1) / (1 / a - 1 / a1): the probe x_p = x_e + b h^2 / 2 B_l is the step's one call
    D_t, stored for the next step as well; eta = sigmoid(|<F1 - F, F1>| / |F1 - F|^2),
    B = eta / 2 B_s + (1 - eta / 2) B_l; zeta = sigmoid(|zeta*| - mu),
    |zeta*| = |<d, P>| / (a h |d|^2), d = d_s - D0, P = 2 (a / b) x_p - a h (D_t + D0), which is
    (4.15) with F(s, t) = F; and x' = x_e + b h^2 / 2 zeta B.

    The text leaves open what it divides by. Prior "log_snr": B_l = (D0 - D1) / (r h), after
    line 4, so that the probe is DPM-Solver++(2M), and B_s = F. Priors "printed" and "minimiser":
    d_s = w_s D_t + (1 - w_s) D0, d_l = w_l D0 + (1 - w_l) D1, B_s = (d_s - D0) / h,
    B_l = (D0 - d_l) / (1 / a - 1 / a1), with the weights of proposition 4.2 as printed,
    w_s = b^2 / (a^2 + b^2) and w_l = a^2 / (a^2 + a1^2), or those that do minimise the variance,
    one less each. Line 3, taken literally, would throw away every corrected state; it is read as
    the DDIM step x_e.

    P of (4.15), as printed, adds the two estimates of a state whose difference it should measure:
    |zeta*| is of the size of 1 / (log step)^2, and zeta is 1 but for a few steps and paths from
    some ten steps on. (Subtracted, they cancel.) Hence order 2 with prior "log_snr"; a weight of
    proposition 4.2 leaves 1.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; a last 0 adds a call at the end.
        start_std: Of the start noise; sigmas[0] by default.
        mu: Shift of the sigmoid.
        channels: Equal groups of coordinates that have inner products of their own.
        prior: "log_snr", "printed" or "minimiser".
    """
    order = 2 if prior == "log_snr" else 1
    return _iteration("re_multi", sigmas, start_std, order, mu, channels, prior)


def re_multi_2025_iteration(
    sigmas: ArrayLike,
    start_std: float | None = None,
    mu: float = 0.5,
    channels: int = 1,
    prior: str = "log_snr",
) -> ReducingIteration:
    """`re_multi_iteration` with the NeurIPS text's sign, zeta = sigmoid(-(|zeta*| - mu)).

    |zeta*| is large, see there, so that zeta vanishes and DDIM is left: order 1.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; a last 0 adds a call at the end.
        start_std: Of the start noise; sigmas[0] by default.
        mu: Shift of the sigmoid.
        channels: Equal groups of coordinates that have inner products of their own.
        prior: "log_snr", "printed" or "minimiser".
    """
    return _iteration("re_multi_2025", sigmas, start_std, 1, mu, channels, prior)


def evodiff_iteration(
    sigmas: ArrayLike,
    start_std: float | None = None,
    mu: float = 0.5,
    channels: int = 1,
    special_last: bool = True,
) -> ReducingIteration:
    """EVODiff as released (PAPERS.md 4.2 restates its code), which is not the paper's iteration.

    The first step is DDIM. Then, with c the clip to [-2, 2] of the ratio <u, v> / |v|^2:
    t = (b + sigma_min) / (sigma_max + sigma_min), w = (1 - t^2) / 2,
    beta = sqrt((b / a) / (a / a1)); beta1 = (1 - w) beta + w c(D0, D1), G1 = D0 - beta1 D1;
    probe x_p = x_e + b h / (2 r') G1 with r' = r sigmoid(|beta1| / 4) clipped to [r / 4, 3 r / 2];
    its output D_t; beta2 = (1 - w) beta + w c(D_t, D0), G2 = D_t - beta2 D0;
    eta = sigmoid(|c(B+ + B-, B+ - B-)| / 2) / 2, B- = G1 / (r h), B+ = r G2 / h;
    G = -(eta / r) G1 + r (1 - eta) G2; v = |c(x_p - x_e - b h / (2 r') G, G1)| / (h b) - mu;
    zeta = sigmoid(v) up to 20 steps, sigmoid(-v k) beyond, with
    k = sigmoid(c(D0, (D0 - D1) / h) (2 - (b / a)^2));
    x' = x_e + b h / (2 zeta) G: it divides by zeta where the papers multiply. The special last
    step makes no call: x' = (1 - sqrt(a b)) x_e + b h / 2 (D0 - r_f D1), r_f = 1 - sqrt(b / a) / 2
    for b / a < 1/2, else 1 - sqrt(b / a - 1/2) / 2. It shrinks the state by sqrt(a b) at any
    number of steps, hence an error that more steps do not lower. Order 1 without it.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; a last 0 adds a call at the end
            (the code's denoise-to-zero).
        start_std: Of the start noise; sigmas[0] by default.
        mu: Shift of the sigmoid.
        channels: Equal groups of coordinates that have inner products of their own; the released
            code takes one for each channel of an image.
        special_last: Whether the last step is the special one, or an ordinary one.
    """
    return _iteration("evodiff", sigmas, start_std, 1, mu, channels, special_last=special_last)


def _iteration(
    rule: str,
    sigmas: ArrayLike,
    start_std: float | None,
    order: int,
    mu: float,
    channels: int,
    prior: str = "log_snr",
    special_last: bool = False,
) -> ReducingIteration:
    a, b, std = steps(sigmas, start_std)
    zero = bool(b[-1] == 0.0)
    levels = a if zero else np.append(a, b[-1])
    return ReducingIteration(levels, zero, rule, std, order, mu, channels, prior, special_last)


Solver = SolverTable | ReducingIteration
