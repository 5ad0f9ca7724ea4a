"""The state-dependent iterations of `theory.solvers.reducing` (paper C), run on a mixture."""

import numpy as np

from theory.checks import Array
from theory.solvers.reducing import ReducingIteration
from toys import kernels
from toys.mixture import Mixture

RULES = {
    "re_multi": kernels.RE_MULTI,
    "re_multi_2025": kernels.RE_MULTI_2025,
    "evodiff": kernels.EVODIFF,
}
WEIGHTS = {"re_multi": (3, 4), "re_multi_2025": (3, 4), "evodiff": (0, 1, 2, 3, 4)}
WEIGHT_NAMES = ("beta1", "r_probe", "beta2", "eta", "zeta")


def constants(dim: int, iteration: ReducingIteration) -> Array:
    """Constants of every step, shape (K, 8): b / a, b h, h, four of the rule's own, and a.

    The four are r, w, beta and 0 for evodiff. For re_multi they are B_l / (D0 - D1),
    B_s / (D_t - D0), d / (D_t - D0) and 1 / h1 with h1 = 1 / a - 1 / a1.

    Args:
        dim: Number of coordinates of a sample.
        iteration: The iteration, with K steps between positive levels.

    Raises:
        ValueError: The number of channels does not divide dim.
    """
    if dim % iteration.channels:
        raise ValueError(f"channels must divide d = {dim}, got {iteration.channels}")
    levels = np.asarray(iteration.levels, dtype=np.float64)
    a, b = levels[:-1], levels[1:]
    out = np.zeros((a.size, 8))
    h = (a - b) / (a * b)
    out[:, 0], out[:, 1], out[:, 2], out[:, 7] = b / a, (a - b) / a, h, a
    if a.size < 2:
        return out
    before, a, b = levels[:-2], levels[1:-1], levels[2:]
    r, h = np.log(before / a) / np.log(a / b), h[1:]
    if iteration.rule == "evodiff":
        tau = (b + levels[-1]) / (levels[0] + levels[-1])
        out[1:, 3], out[1:, 4] = r, 0.5 * (1.0 - tau**2)
        out[1:, 5] = np.sqrt(b / a / (a / before))
        return out
    h1 = (before - a) / (before * a)
    if iteration.prior == "log_snr":
        out[1:, 3], out[1:, 4], out[1:, 5] = 1.0 / (r * h), 1.0 / h, 1.0
    else:
        on_s, on_l = b**2 / (a**2 + b**2), a**2 / (a**2 + before**2)
        if iteration.prior == "minimiser":
            on_s, on_l = 1.0 - on_s, 1.0 - on_l
        out[1:, 3], out[1:, 4], out[1:, 5] = (1.0 - on_l) / h1, on_s / h, on_s
    out[1:, 6] = 1.0 / h1
    return out


def walk(
    toy: Mixture, iteration: ReducingIteration, x: Array, trace: Array, used: Array | None = None
) -> None:
    """Apply an iteration to states in place, by `toys.kernels.walk_reducing`.

    Args:
        toy: The data, whose exact denoiser the iteration calls.
        iteration: The iteration.
        x: States, shape (d, n), n a multiple of kernels.BLOCK.
        trace: Receives the states at the levels, shape (n_steps + 1, d, n), or has no rows.
        used: Receives the weights, shape (K, 5, channels, n), if it is given.
    """
    kernels.walk_reducing(
        x,
        np.ascontiguousarray(iteration.levels, dtype=np.float64),
        constants(toy.dim, iteration),
        RULES[iteration.rule],
        float(iteration.mu),
        iteration.channels,
        iteration.special_last,
        iteration.denoise_last,
        *toy.packed,
        trace,
        np.empty((0, kernels.N_WEIGHTS, iteration.channels, x.shape[1])) if used is None else used,
    )


def weights_used(toy: Mixture, iteration: ReducingIteration, states: Array) -> dict[str, Array]:
    """Weights of an iteration along n paths, by name, shape (K, n, channels) each.

    The names are eta and zeta and, for evodiff, beta1, r_probe (r') and beta2. The first step and
    the special last step of evodiff have no weights and are NaN.

    Args:
        toy: The data, whose exact denoiser the iteration calls.
        iteration: The iteration, with K steps between positive levels.
        states: Initial states, shape (n, d).
    """
    n, k = len(states), iteration.levels.size - 1
    x = np.zeros((toy.dim, n + -n % kernels.BLOCK))
    x[:, :n] = states.T
    used = np.full((k, kernels.N_WEIGHTS, iteration.channels, x.shape[1]), np.nan)
    walk(toy, iteration, x, np.empty((0, *x.shape)), used)
    return {WEIGHT_NAMES[i]: np.swapaxes(used[:, i, :, :n], 1, 2) for i in WEIGHTS[iteration.rule]}
