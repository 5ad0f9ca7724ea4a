"""The multi-step entropy-reducing iterations of paper C, whose weights depend on the state.

These solvers are not tables, because each path has its own weights, which follow from inner
products of denoiser outputs. This module describes them; `toys.reducing` runs them. With
x = x0 + sigma eps, paper C's data form has f = x / sigma and k = 1 / sigma. A step goes from a to
b, and the previous level was a1. D0 is the output stored for the current state and D1 the one
before it. h = 1 / b - 1 / a, r = log(a1 / a) / log(a / b), and x_e = (b / a) x + b h D0 is the DDIM
step. Inner products run over the coordinates of a sample or, with `channels`, over those of each
channel. A ratio whose denominator is below 1e-300 is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, floats, monotone, one_of, positive, require, vector, whole
from theory.solvers.table import SolverTable, steps

RULES = ("re_multi", "re_multi_2025", "evodiff")
PRIORS = ("log_snr", "printed", "minimiser")


@dataclass(frozen=True, eq=False, repr=False)
class ReducingIteration:
    """A multi-step entropy-reducing iteration of paper C, whose weights depend on the state.

    It is not a `SolverTable`. `re_multi_iteration`, `re_multi_2025_iteration` and
    `evodiff_iteration` make it and state its formulas.

    Args:
        levels: Positive noise levels, shape (K + 1,), strictly decreasing, in data units.
        denoise_last: Whether one more call after the K steps gives the result (terminal "zero").
        rule: Name of the iteration, "re_multi", "re_multi_2025" or "evodiff".
        start_std: Standard deviation of the initial noise, positive, in data units.
        order: Declared order of convergence.
        mu: Shift of the sigmoid that gives zeta.
        channels: Number of equal groups of coordinates, each with its own inner products.
        prior: "log_snr", "printed" or "minimiser"; see `re_multi_iteration`. evodiff ignores it.
        special_last: Whether the last step is that of the released code, without a call; evodiff
            only.

    Raises:
        ValueError: An argument is out of its range; the message is one line and names it.
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
        object.__setattr__(self, "order", whole("order", self.order, 1))
        levels = vector("levels", self.levels)
        require(levels > 0, "levels", levels, "be positive")
        monotone("levels", levels, falling=True)
        levels.flags.writeable = False
        object.__setattr__(self, "levels", levels)

    def __repr__(self) -> str:
        return (
            f"<ReducingIteration {self.rule} of {self.nfe} calls in {self.n_steps} steps, order "
            f"{self.order}, sigma {self.levels[0]:g} to {self.end:g}>"
        )

    @property
    def n_steps(self) -> int:
        """Number of steps of the schedule, including one that denoises to 0."""
        return self.levels.size - 1 + self.denoise_last

    @property
    def begin(self) -> float:
        """First level of the schedule."""
        return float(self.levels[0])

    @property
    def end(self) -> float:
        """Last level of the schedule, in data units; 0 if one more call gives the result."""
        return 0.0 if self.denoise_last else float(self.levels[-1])

    @property
    def nfe(self) -> int:
        """Number of denoiser calls.

        There is one call at the start. Each of the K steps between positive levels makes one call,
        unless K = 1. The special last step makes none, and denoising to 0 makes one more.
        """
        k = self.levels.size - 1
        probes = k if k > 1 else 0
        return int(k > 0) + probes - (self.special_last and k > 1) + self.denoise_last

    @property
    def sigma(self) -> Array:
        """Noise levels of the calls, shape (nfe,), in data units."""
        first = self.levels[: self.nfe - self.denoise_last]
        return np.concatenate([first, self.levels[-1:]]) if self.denoise_last else first


def re_multi_iteration(
    sigmas: ArrayLike,
    start_std: float | None = None,
    mu: float = 0.5,
    channels: int = 1,
    prior: str = "log_snr",
) -> ReducingIteration:
    """Multi-step entropy-reducing iteration, algorithm 1 of paper C (ICLR text).

    Notation: a step goes from a to b, and the previous level was a1. D0 and D1 are the outputs
    stored for the current and the previous state. h = 1 / b - 1 / a, r = log(a1 / a) / log(a / b),
    and x_e = (b / a) x + b h D0 is the DDIM step. The first step is DDIM and calls the denoiser at
    its end. Every other step uses (4.5), (4.6), (4.16) and (4.19):

    - The probe x_p = x_e + b h^2 / 2 B_l makes the only call, whose output D_t is also stored for
      the next step.
    - eta = sigmoid(|<F1 - F, F1>| / |F1 - F|^2) with F = (D_t - D0) / h and
      F1 = (D0 - D1) / (1 / a - 1 / a1), and B = eta / 2 B_s + (1 - eta / 2) B_l.
    - zeta = sigmoid(|zeta*| - mu) with |zeta*| = |<d, P>| / (a h |d|^2), d = d_s - D0 and
      P = 2 (a / b) x_p - a h (D_t + D0), which is (4.15) with F(s, t) = F.
    - x' = x_e + b h^2 / 2 zeta B.

    The text does not give the denominators of B_s and B_l. With the prior "log_snr", B_s = F,
    d_s = D_t, and B_l = (D0 - D1) / (r h) as in line 4, so that the probe is a step of
    DPM-Solver++(2M). With the other priors d_s = w_s D_t + (1 - w_s) D0,
    d_l = w_l D0 + (1 - w_l) D1, B_s = (d_s - D0) / h and B_l = (D0 - d_l) / (1 / a - 1 / a1). The
    prior "printed" takes the weights of proposition 4.2 as printed, w_s = b^2 / (a^2 + b^2) and
    w_l = a^2 / (a^2 + a1^2). The prior "minimiser" takes 1 less these, which do minimise the
    variance. Line 3, taken literally, discards every corrected state; it is read as x_e.

    P of (4.15), as printed, adds two estimates of a state whose difference it should measure.
    |zeta*| is therefore of the size of 1 / (log step)^2, and from about ten steps on zeta is close
    to 1 except at a few steps and paths. This gives order 2 with the prior "log_snr" and order 1
    with the weights of proposition 4.2. (With a difference in place of the sum the terms cancel.)

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; a last 0 adds one call.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        mu: Shift of the sigmoid that gives zeta.
        channels: Number of equal groups of coordinates, each with its own inner products.
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
    """Multi-step entropy-reducing iteration of paper C with the sign of the NeurIPS text.

    It is `re_multi_iteration` with zeta = sigmoid(-(|zeta*| - mu)). |zeta*| is large with many
    steps, so that zeta vanishes and the iteration reduces to DDIM, of order 1.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; a last 0 adds one call.
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        mu: Shift of the sigmoid that gives zeta.
        channels: Number of equal groups of coordinates, each with its own inner products.
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
    """EVODiff as its released code has it, which is not the iteration of paper C.

    docs/papers/c.md, EVODiff as released, describes the code. Notation: a step goes from a to b,
    and the previous level was a1. D0 and D1 are the outputs stored for the current and the previous
    state. h = 1 / b - 1 / a, r = log(a1 / a) / log(a / b), x_e = (b / a) x + b h D0 is the DDIM
    step, and c(u, v) is <u, v> / |v|^2 clipped to [-2, 2]. The first step is DDIM. Every other
    step, except a special last one, is:

    - t = (b + sigma_min) / (sigma_max + sigma_min), w = (1 - t^2) / 2 and
      beta = sqrt((b / a) / (a / a1)).
    - beta1 = (1 - w) beta + w c(D0, D1), G1 = D0 - beta1 D1, and
      r' = r sigmoid(|beta1| / 4) clipped to [r / 4, 3 r / 2].
    - The probe x_p = x_e + b h / (2 r') G1 makes the only call, with output D_t.
    - beta2 = (1 - w) beta + w c(D_t, D0) and G2 = D_t - beta2 D0.
    - B- = G1 / (r h), B+ = r G2 / h, eta = sigmoid(|c(B+ + B-, B+ - B-)| / 2) / 2 and
      G = -(eta / r) G1 + r (1 - eta) G2.
    - v = |c(x_p - x_e - b h / (2 r') G, G1)| / (h b) - mu. zeta = sigmoid(v) with up to 20 steps,
      and sigmoid(-v k) with more, where k = sigmoid(c(D0, (D0 - D1) / h) (2 - (b / a)^2)).
    - x' = x_e + b h / (2 zeta) G. The code divides by zeta, where the papers multiply.

    The special last step makes no call: x' = (1 - sqrt(a b)) x_e + b h / 2 (D0 - r_f D1), where
    r_f = 1 - sqrt(b / a) / 2 for b / a < 1/2 and 1 - sqrt(b / a - 1/2) / 2 otherwise. It multiplies
    the state by 1 - sqrt(a b) for any number of steps, so that its error does not vanish with more
    steps. Without it the order is 1.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; a last 0 adds one call
            (the code's denoise-to-zero).
        start_std: Standard deviation of the initial noise. Default: sigmas[0].
        mu: Shift of the sigmoid that gives zeta.
        channels: Number of equal groups of coordinates, each with its own inner products. The
            released code has one group per channel of an image.
        special_last: Whether the last step between positive levels is the special one.
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


def check_solver(table: object) -> None:
    """Raise ValueError unless the argument is a solver."""
    if not isinstance(table, SolverTable | ReducingIteration):
        rule = "be a SolverTable or a ReducingIteration"
        raise ValueError(f"table must {rule}, got {type(table).__name__}")
