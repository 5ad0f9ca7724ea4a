"""Solvers by name: one function `<method>_table(sigmas, start_std=None, ...)`, one line each.

In the docstrings of solvers, a step goes from a to b < a, D is the denoiser's output,
eps = (x - D) / sigma and h = log(a / b). A solver that is linear in its states and outputs is a
`SolverTable` (`theory.solvers.table`). The weights of the multi-step entropy-reducing iterations
depend on the state; each of them is a `ReducingIteration` (`theory.solvers.reducing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import ArrayLike

from theory.checks import vector
from theory.names import Registry, is_user_function, named
from theory.solvers.called import GaussianRisk, HasRisk
from theory.solvers.ddim import analytic_ddpm_table, ddim_table, stochastic_ddim_table
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
    check_solver,
    evodiff_iteration,
    re_multi_2025_iteration,
    re_multi_iteration,
)
from theory.solvers.two_calls import dpm_solver_2_table, edm_stochastic_table, heun_table

_UNIPC = "(Zhao et al. 2023, algorithms 5 and 6, data prediction;"
_DEIS = "Zhang and Chen 2023; order"
SOLVERS: dict[str, Callable[..., Solver]] = {
    "ddim": ddim_table,
    "stochastic_ddim": stochastic_ddim_table,
    "euler_ancestral": named(
        stochastic_ddim_table,
        "Euler's rule with ancestral noise, the same method as stochastic_ddim",
    ),
    "called_ddim": named(
        ddim_table,
        "Deterministic DDIM that calls its denoiser at a^(3/4) b^(1/4) (order 1; 2 on Gaussian "
        "data)",
        call="geometric",
    ),
    "called_ancestral": named(
        stochastic_ddim_table,
        "Ancestral sampling that calls its denoiser at the logarithmic mean of a^2 and b^2 "
        "(order 1 in law; 2 on Gaussian data)",
        eta=1.0,
        call="log_mean",
    ),
    "analytic_ddpm": analytic_ddpm_table,
    "heun": heun_table,
    "edm_stochastic": edm_stochastic_table,
    "dpm_solver_2": dpm_solver_2_table,
    "dpmpp_2m": dpmpp_2m_table,
    "sde_dpmpp_2m": sde_dpmpp_2m_table,
    "dpmpp_3m": dpmpp_3m_table,
    "unipc_1": named(unipc_table, f"UniPC-1 {_UNIPC} order 2)", 1),
    "unipc_2": named(unipc_table, f"UniPC-2 {_UNIPC} order 3)", 2),
    "unipc_3": named(unipc_table, f"UniPC-3 {_UNIPC} order 4)", 3),
    "deis_1": named(deis_table, f"DEIS with one point ({_DEIS} 1), which is DDIM in log sigma", 1),
    "deis_2": named(deis_table, f"DEIS with two points ({_DEIS} 2), by default in log sigma", 2),
    "deis_3": named(deis_table, f"DEIS with three points ({_DEIS} 3), by default in log sigma", 3),
    "ab_2": named(
        deis_table,
        "Adams-Bashforth in sigma, which is DEIS with two points in EDM's time (order 2)",
        2,
        time="edm",
    ),
    "fd_2": fd_2_table,
    "re_single": re_single_table,
    "re_multi": re_multi_iteration,
    "re_multi_2025": re_multi_2025_iteration,
    "evodiff": evodiff_iteration,
}

REGISTRY = Registry(
    kind="solver",
    functions=SOLVERS,
    same={
        "euler": "ddim",  # Euler's rule in sigma is DDIM
        "euler_a": "euler_ancestral",
        "ancestral": "stochastic_ddim",
        "ddpm": "stochastic_ddim",  # with the posterior's variance, which is eta = 1
        "dpm_2": "dpm_solver_2",
        "dpm2": "dpm_solver_2",
        "dpmpp2m": "dpmpp_2m",
        "dpm_solverpp_2m": "dpmpp_2m",
        "dpmpp_2m_sde": "sde_dpmpp_2m",
        "dpmpp_sde_2m": "sde_dpmpp_2m",
        "sde_dpm_solverpp_2m": "sde_dpmpp_2m",
        "adams_bashforth_2": "ab_2",
    },
    near={
        "edm": "heun",
        "dpm_solver": "dpm_solver_2",
        "dpm_solverpp": "dpmpp_2m",
        "dpmsolverpp": "dpmpp_2m",
        "dpmpp_2s_a": "dpm_solver_2",
        "dpmpp_sde": "sde_dpmpp_2m",
        "dpmpp_3m_sde": "dpmpp_3m",
        "unipc": "unipc_2",
        "uni_pc": "unipc_2",
        "deis": "deis_3",
        "lms": "ab_2",
        "plms": "ab_2",
        "re": "re_multi",
    },
    shared=("sigmas", "start_std"),
)


def solvers() -> dict[str, str]:
    """Name and one-line description of every solver that `entropic.solver` builds."""
    return REGISTRY.describe()


def solver_options(name: str) -> dict[str, Any]:
    """Options of the solver of that name, with their defaults; ValueError if there is none."""
    return REGISTRY.options(name)


def draws_on_profile(name: str, options: Mapping[str, Any] | None = None) -> bool:
    """Whether a solver with these options draws on a profile of the data.

    Args:
        name: Name of the solver.
        options: Its options.
    """
    return "profile" in REGISTRY.needs(name) or (options or {}).get("call") == "matched"


def make_table(
    name: str,
    sigmas: ArrayLike,
    start_std: float | None = None,
    /,
    *,
    profile: HasRisk | None = None,
    **options: Any,
) -> Solver:
    """The solver of that name at these noise levels, as a table of one row per denoiser call.

    Args:
        name: Name of the solver, which `solvers()` lists, or "module:function" of your own.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing, in data units; only the
            last may be 0.
        start_std: Standard deviation of the initial noise, in data units; may be given by name.
            Default: sigmas[0].
        profile: Profile of the data, for analytic_ddpm and for the option call=matched.
        **options: Options of the solver, such as eta of stochastic_ddim;
            `theory.solvers.registry.solver_options(name)` lists them with their defaults.

    Returns:
        A `SolverTable`, or a `ReducingIteration` for re_multi, re_multi_2025 and evodiff.

    Raises:
        ValueError: The name or an option is unknown or invalid, the levels do not decrease, or a
            profile is missing or of no use.
    """
    known = REGISTRY.name(name)
    if "start_std" in options:
        named = options.pop("start_std")
        if start_std is not None:
            raise ValueError(f"start_std must be given once, got {start_std} and {named}")
        start_std = named
    given = REGISTRY.checked(known, options)
    if draws_on_profile(known, given):
        if profile is None:
            raise ValueError(f"profile must be given for solver {known!r}{_with(given)}, got None")
        given["profile"] = profile
    elif profile is not None:
        raise ValueError(f"profile must be left out for solver {known!r}{_with(given)}, got one")
    table = REGISTRY.call(known, sigmas, start_std, **given)
    if is_user_function(known):
        check_solver(table)
        end = vector("sigmas", sigmas, 2)[-1]
        if table.end != end:
            raise ValueError(f"{known} must end at the last level {end:g}, got {table.end:g}")
    return table  # type: ignore[no-any-return]


def shape_table(
    name: str, sigmas: ArrayLike, start_std: float | None = None, /, **options: Any
) -> Solver:
    """A table for its calls and zeros alone: that for N(0, 1) where a solver draws on the data."""
    risk = GaussianRisk() if draws_on_profile(name, options) else None
    return make_table(name, sigmas, start_std, profile=risk, **options)


def _with(options: Mapping[str, Any]) -> str:
    """The option of the call, as the end of a name."""
    return f" with call {options['call']!r}" if "call" in options else ""
