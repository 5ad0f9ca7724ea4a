"""Every solver: one function `<method>_table(sigmas, start_std=None, ...)`, one line in `SOLVERS`.

A step goes from a to b < a; D is the denoiser's output, eps = (x - D) / sigma, and
h = log(a / b). A solver that is linear in its states and outputs is a `SolverTable`
(theory/tables.py); multistep ones are in theory/multistep.py. The multi-step entropy-reducing
iterations weigh by the state, and are a `ReducingIteration` (theory/reducing.py).
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, above_zero, floats, one_of, within
from theory.multistep import (
    deis_table,
    dpmpp_2m_table,
    dpmpp_3m_table,
    sde_dpmpp_2m_table,
    unipc_table,
)
from theory.reducing import (
    ReducingIteration,
    evodiff_iteration,
    re_multi_2025_iteration,
    re_multi_iteration,
)
from theory.tables import SolverTable, steps


def ddim_table(sigmas: ArrayLike, start_std: float | None = None) -> SolverTable:
    """Deterministic DDIM, which is Euler in sigma (Song et al. 2021; order 1).

    From a to b: keep b / a, weight 1 - b / a on D. The row that reaches 0 returns D.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
    """
    a, b, std = steps(sigmas, start_std)
    columns = (b / a)[:, None], ((a - b) / a)[:, None]
    return SolverTable(a, *columns, np.zeros_like(a), std, order=1, n_steps=a.size)


def stochastic_ddim_table(
    sigmas: ArrayLike, start_std: float | None = None, eta: float = 1.0
) -> SolverTable:
    """Stochastic DDIM (Song et al. 2021, eqs. 12 and 16; order 1 in law).

    From a to b, with q = b^2 / a^2: noise eta b sqrt(1 - q), keep sqrt(b^2 - noise^2) / a,
    weight 1 - keep. eta = 1 is ancestral sampling: it solves the reverse SDE exactly for a
    denoiser frozen at a. Written without 1 - q and 1 - keep as differences of near numbers.
    Euler with ancestral noise (k-diffusion) is the same method: it steps to sqrt(b^2 - noise^2).

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        eta: Share of the ancestral noise, in [0, 1]; 0 is `ddim_table`.
    """
    a, b, std = steps(sigmas, start_std)
    share = floats("eta", eta)
    if share.ndim or not 0.0 <= share <= 1.0:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    ratio = b / a
    gap = ((a - b) / a) * (1.0 + ratio)  # 1 - q
    keep = ratio * np.sqrt((1.0 - share) * (1.0 + share) + (share * ratio) ** 2)
    weight = gap * (1.0 + (share * ratio) ** 2) / (1.0 + keep)  # (1 - keep^2) / (1 + keep)
    noise = share * b * np.sqrt(gap)
    return SolverTable(a, keep[:, None], weight[:, None], noise, std, order=1, n_steps=a.size)


def _two_calls(a: Array, s: Array, b: Array, c: Array, last: int) -> tuple[Array, Array, Array]:
    """sigma, keep and weights of steps with one inner stage u at level s, two rows each.

    u = (s / a) x + (1 - s / a) D_a is DDIM from a to s; then
    x' = (b / s) u + (1 - b / s) D_a + c (D_s - D_a), DDIM from a to b and a correction.
    From step `last` on (shape (n_steps,) less that) there is no stage: one row of DDIM each.
    """
    rows = {
        "sigma": (np.stack([a[:last], s], axis=1), a[last:]),
        "keep": (np.stack([s / a[:last], b[:last] / s], axis=1), b[last:] / a[last:]),
        "newest": (np.stack([(a[:last] - s) / a[:last], c], axis=1), (a - b)[last:] / a[last:]),
        "older": (np.stack([0.0 * c, (s - b[:last]) / s - c], axis=1), 0.0 * a[last:]),
    }
    sigma, keep, newest, older = (np.append(two.ravel(), one) for two, one in rows.values())
    return sigma, keep[:, None], np.stack([newest, older], axis=1)


def _staged(b: Array, correct_last: bool = True) -> int:
    """Number of steps with an inner stage: the step that reaches 0 never has one."""
    return b.size - int(b[-1] == 0.0 or not correct_last)


def heun_table(
    sigmas: ArrayLike, start_std: float | None = None, correct_last: bool = True
) -> SolverTable:
    """Heun's rule in sigma (Karras et al. 2022, algorithm 1; order 2), two calls a step.

    Euler to b, then the mean of the slopes eps at a and b: c = (a - b) / (2 b).

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        correct_last: Whether a last step to b > 0 is corrected too.
    """
    a, b, std = steps(sigmas, start_std)
    last = _staged(b, correct_last)
    s = b[:last]
    rows = _two_calls(a, s, b, (a[:last] - s) / (2.0 * s), last)
    return SolverTable(*rows, np.zeros_like(rows[0]), std, order=2, n_steps=a.size)


def edm_stochastic_table(
    sigmas: ArrayLike,
    start_std: float | None = None,
    s_churn: float = 40.0,
    s_min: float = 0.05,
    s_max: float = 50.0,
    s_noise: float = 1.003,
    correct_last: bool = True,
) -> SolverTable:
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2; order 2 in law at s_noise = 1).

    Where s_min <= a <= s_max the noise is raised to a' = (1 + g) a first, by
    s_noise sqrt(a'^2 - a^2) z, g = min(s_churn / n_steps, sqrt(2) - 1); then Heun from a' to b.
    The raise stands in the row before, or in the start. At s_noise = 1 the law after the raise is
    exact, so the order is Heun's once g shrinks with the steps, n_steps > s_churn / 0.414; at any
    other s_noise more steps converge to another law than the data's.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise before it is raised; sigmas[0] by default.
        s_churn: Sum of g over the steps, at least 0.
        s_min: Lowest level raised, at least 0, in data units.
        s_max: Highest level raised, at least 0.
        s_noise: Factor on the noise added, positive.
        correct_last: Whether a last step to b > 0 is corrected too.
    """
    a, b, std = steps(sigmas, start_std)
    churn = float(within("s_churn", s_churn, 0.0))
    raised = (a >= within("s_min", s_min, 0.0)) & (a <= within("s_max", s_max, 0.0))
    g = np.where(raised, min(churn / a.size, np.sqrt(2.0) - 1.0), 0.0)
    high = (1.0 + g) * a
    added = float(above_zero("s_noise", s_noise)) * a * np.sqrt(g * (2.0 + g))
    last = _staged(b, correct_last)
    s = b[:last]
    rows = _two_calls(high, s, b, (high[:last] - s) / (2.0 * s), last)
    noise = np.zeros_like(rows[0])
    before = np.arange(1, a.size)  # the steps with a row before them
    noise[np.where(before <= last, 2 * before, before + last) - 1] = added[1:]
    start = float(np.hypot(std, added[0]))
    return SolverTable(*rows, noise, start, order=2, n_steps=a.size)


def dpm_solver_2_table(sigmas: ArrayLike, start_std: float | None = None) -> SolverTable:
    """DPM-Solver-2 (Lu et al. 2022a, algorithm 1, r = 1/2; order 2), two calls a step.

    DDIM to s = sqrt(a b), then the whole step with eps_s: x' = x + (b - a) eps_s.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
    """
    a, b, std = steps(sigmas, start_std)
    last = _staged(b)
    s = np.sqrt(a[:last]) * np.sqrt(b[:last])
    rows = _two_calls(a, s, b, (a[:last] - b[:last]) / s, last)
    return SolverTable(*rows, np.zeros_like(rows[0]), std, order=2, n_steps=a.size)


def fd_2_table(
    sigmas: ArrayLike, start_std: float | None = None, form: str = "noise", stage: str = "sqrt"
) -> SolverTable:
    """The finite-difference iteration of paper C, eq. (3.7) (order 2), two calls a step.

    f(x') = f(x) + h d_a + h^2 / 2 F, F = (d_s - d_a) / h_s, with h = k(b) - k(a) and
    h_s = k(s) - k(a); noise form f = x, d = eps, k = sigma; data form f = x / sigma, d = D,
    k = 1 / sigma.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        form: "noise" or "data".
        stage: "sqrt" for s = sqrt(a b); "interval" for the s at which h / h_s is the upper end
            of proposition 3.2, 4 SNR(s) / (SNR(a) + SNR(s)).
    """
    return _difference_table(sigmas, start_std, form, stage, None, False)


def re_single_table(
    sigmas: ArrayLike,
    start_std: float | None = None,
    form: str = "noise",
    stage: str = "sqrt",
    mix: str | float = "lower",
    compensated: bool = False,
) -> SolverTable:
    """The single-step entropy-reducing iteration of paper C, eq. (4.1), two calls a step.

    f(x') = f(x) + h (g d_s + (1 - g) d_a) + h^2 / 2 F, in the terms of `fd_2_table`. It leaves a
    term g h (d_s - d_a) over, of second order in h a step: order 1, whatever theorem 4.1 says.
    With (h^2 / 2 - g h h_s) F for the last term the order is 2, but then g drops out altogether.

    Args:
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        form: "noise" or "data".
        stage: "sqrt" or "interval".
        mix: The weight g. With S = SNR(a) + SNR(s): "lower" is SNR(a) / S and "upper"
            max(2 SNR(a), SNR(s)) / S, the ends of proposition 4.1; "minimum" is SNR(s) / S,
            where (4.3) is least; or a number in (0, 1].
        compensated: Whether the last term is compensated.
    """
    return _difference_table(sigmas, start_std, form, stage, mix, compensated)


def _difference_table(
    sigmas: ArrayLike,
    start_std: float | None,
    form: str,
    stage: str,
    mix: str | float | None,
    compensated: bool,
) -> SolverTable:
    """Table of (3.7), mix None, or of (4.1)."""
    a, b, std = steps(sigmas, start_std)
    data = one_of("form", form, ("noise", "data")) == "data"
    last = _staged(b)
    high, low = a[:last], b[:last]
    # h / h_s without differences of near numbers: (a - b) / (a - sqrt(a b)) = 1 + sqrt(b / a).
    rho = low / high
    if one_of("stage", stage, ("sqrt", "interval")) == "sqrt":
        s = np.sqrt(high) * np.sqrt(low)
        ratio = 1.0 + np.sqrt(rho)
        ratio = ratio / np.sqrt(rho) if data else ratio
    else:
        u = _interval_stage(rho, data)
        s, ratio = high * u, 4.0 / (1.0 + u**2)
    g = np.zeros(last) if mix is None else _mix(mix, s / high)
    if compensated:
        g = np.zeros(last)  # the compensation takes the weight out again
    order = 2 if mix is None or compensated else 1
    # h (g + h / (2 h_s)) (d_s - d_a) on f; d_s - d_a is D_s - D_a, or in eps -(D_s - D_a) / s.
    c = (high - low) / (high if data else s) * (g + 0.5 * ratio)
    rows = _two_calls(a, s, b, c, last)
    return SolverTable(*rows, np.zeros_like(rows[0]), std, order=order, n_steps=a.size)


def _interval_stage(rho: Array, data: bool) -> Array:
    """Ratio s / a at which h / h_s = 4 a^2 / (a^2 + s^2), rho = b / a: the one root above rho.

    Noise form: (1 - rho) (1 + u^2) = 4 (1 - u). Data form: (1 - rho) u (1 + u^2) = 4 rho (1 - u),
    a cubic u^3 + (1 + k) u - k with k = 4 rho / (1 - rho), solved by Newton from u = 1: the cubic
    rises and is convex there, so the steps fall to the root.
    """
    gap = 1.0 - rho
    if not data:
        return np.asarray((4.0 - gap) / (2.0 + np.sqrt(4.0 + gap * (4.0 - gap))))
    u = np.ones_like(rho)
    for _ in range(60):
        u = u - (gap * u * (1.0 + u * u) - 4.0 * rho * (1.0 - u)) / (
            gap * (1.0 + 3.0 * u * u) + 4.0 * rho
        )
    return u


def _mix(mix: str | float, u: Array) -> Array:
    """The weight g of (4.1), given u = s / a; SNR(a) / SNR(s) = u^2."""
    lower = u**2 / (1.0 + u**2)
    if isinstance(mix, str):
        named = {"lower": lower, "upper": np.maximum(2.0 * lower, 1.0 - lower)}
        named["minimum"] = 1.0 - lower
        return named[one_of("mix", mix, named)]
    number = floats("mix", mix)
    if number.ndim or not 0.0 < number <= 1.0:
        raise ValueError(f"mix must be in (0, 1], got {mix}")
    return np.full_like(u, number)


Solver = SolverTable | ReducingIteration

SOLVERS: dict[str, Callable[..., Solver]] = {
    "ddim": ddim_table,
    "stochastic_ddim": stochastic_ddim_table,
    "euler_ancestral": stochastic_ddim_table,
    "heun": heun_table,
    "edm_stochastic": edm_stochastic_table,
    "dpm_solver_2": dpm_solver_2_table,
    "dpmpp_2m": dpmpp_2m_table,
    "sde_dpmpp_2m": sde_dpmpp_2m_table,
    "dpmpp_3m": dpmpp_3m_table,
    "unipc_1": partial(unipc_table, 1),
    "unipc_2": partial(unipc_table, 2),
    "unipc_3": partial(unipc_table, 3),
    "deis_1": partial(deis_table, 1),
    "deis_2": partial(deis_table, 2),
    "deis_3": partial(deis_table, 3),
    "ab_2": partial(deis_table, 2, time="edm"),
    "fd_2": fd_2_table,
    "re_single": re_single_table,
    "re_multi": re_multi_iteration,
    "re_multi_2025": re_multi_2025_iteration,
    "evodiff": evodiff_iteration,
}


def solver_options(name: str) -> dict[str, Any]:
    """Options of the solver of that name and their defaults."""
    solver = SOLVERS[one_of("solver", name, SOLVERS)]
    bound = solver.keywords if isinstance(solver, partial) else {}
    skipped = {"sigmas", "start_std", *bound}
    parameters = inspect.signature(solver).parameters
    return {key: p.default for key, p in parameters.items() if key not in skipped}


def make_table(
    name: str, sigmas: ArrayLike, start_std: float | None = None, /, **options: Any
) -> Solver:
    """The solver of that name in `SOLVERS`, at these levels.

    Args:
        name: Unknown names raise ValueError with a suggestion.
        sigmas: Schedule, shape (n_steps + 1,), falling strictly; only the last may be 0.
        start_std: Of the start noise; sigmas[0] by default.
        **options: Those that the solver takes, see `solver_options`; None is the default.
    """
    known = solver_options(name)
    given = {key: value for key, value in options.items() if value is not None}
    for key, value in given.items():
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no options"
            raise ValueError(
                f"{key} must be left out for solver {name!r}, which {takes}, got {value}"
            )
        if isinstance(known[key], bool) != isinstance(value, bool):
            rule = "true or false" if isinstance(known[key], bool) else "a number or a word"
            raise ValueError(f"{key} must be {rule}, got {value}")
    return SOLVERS[name](sigmas, start_std, **given)
