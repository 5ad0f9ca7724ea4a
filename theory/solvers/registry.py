"""Solvers by name: one function `<method>_table(sigmas, start_std=None, ...)`, one line each.

In the docstrings of solvers, a step goes from a to b < a, D is the denoiser's output,
eps = (x - D) / sigma and h = log(a / b). A solver that is linear in its states and outputs is a
`SolverTable` (`theory.solvers.table`). The weights of the multi-step entropy-reducing iterations
depend on the state; each of them is a `ReducingIteration` (`theory.solvers.reducing`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from theory.checks import one_of
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from theory.solvers.differences import fd_2_table, re_single_table
from theory.solvers.multistep import (
    deis_table,
    dpmpp_2m_table,
    dpmpp_3m_table,
    sde_dpmpp_2m_table,
    unipc_table,
)
from theory.solvers.reducing import (
    Solver,
    evodiff_iteration,
    re_multi_2025_iteration,
    re_multi_iteration,
)
from theory.solvers.two_calls import dpm_solver_2_table, edm_stochastic_table, heun_table

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


# First lines that stand for several solvers, in the words of each.
_DESCRIPTIONS = {
    "euler_ancestral": "Euler's rule with ancestral noise, the same method as stochastic_ddim",
    "unipc_1": "UniPC-1 (Zhao et al. 2023, algorithms 5 and 6, data prediction; order 2)",
    "unipc_2": "UniPC-2 (Zhao et al. 2023, algorithms 5 and 6, data prediction; order 3)",
    "unipc_3": "UniPC-3 (Zhao et al. 2023, algorithms 5 and 6, data prediction; order 4)",
    "deis_1": "DEIS with one point (Zhang and Chen 2023; order 1), which is DDIM in log sigma",
    "deis_2": "DEIS with two points (Zhang and Chen 2023; order 2), by default in log sigma",
    "deis_3": "DEIS with three points (Zhang and Chen 2023; order 3), by default in log sigma",
    "ab_2": "Adams-Bashforth in sigma, which is DEIS with two points in EDM's time (order 2)",
}


def solvers() -> dict[str, str]:
    """Name and one-line description of every solver that `entropic.solver` builds."""
    out = {}
    for name, function in SOLVERS.items():
        first = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
        out[name] = _DESCRIPTIONS.get(name, first)
    return out


def solver_options(name: str) -> dict[str, Any]:
    """Options of the solver of that name, with their defaults; ValueError if there is none."""
    solver = SOLVERS[one_of("solver", name, SOLVERS)]
    bound = solver.keywords if isinstance(solver, partial) else {}
    skipped = {"sigmas", "start_std", *bound}
    parameters = inspect.signature(solver).parameters
    return {key: p.default for key, p in parameters.items() if key not in skipped}


def make_table(
    name: str, sigmas: ArrayLike, start_std: float | None = None, /, **options: Any
) -> Solver:
    """The solver of that name at these noise levels, as a table of one row per denoiser call.

    Args:
        name: Name of the solver; `solvers()` lists them.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing, in data units; only the
            last may be 0.
        start_std: Standard deviation of the initial noise, in data units; may be given by name.
            Default: sigmas[0].
        **options: Options of the solver, such as eta of stochastic_ddim;
            `theory.solvers.registry.solver_options(name)` lists them with their defaults.

    Returns:
        A `SolverTable`, or a `ReducingIteration` for re_multi, re_multi_2025 and evodiff.

    Raises:
        ValueError: The name or an option is unknown or invalid, or the levels do not decrease.
    """
    known = solver_options(name)
    if start_std is None:
        start_std = options.pop("start_std", None)
    for key, value in options.items():
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no options"
            close = get_close_matches(key, known, n=1)
            advice = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{key} must be left out for solver {name!r}, which {takes}, got {value}{advice}"
            )
    given = {key: value for key, value in options.items() if value is not None}
    for key, value in given.items():
        if isinstance(known[key], bool) != isinstance(value, bool):
            rule = "true or false" if isinstance(known[key], bool) else "a number or a word"
            raise ValueError(f"{key} must be {rule}, got {value}")
    return SOLVERS[name](sigmas, start_std, **given)
