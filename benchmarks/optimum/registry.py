"""All schedules by name: those of `theory.schedules.registry`, and `optimal`.

This is the list that the door, the commands and `benchmarks.engine.setting.Setting` use.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.optimum.problem import Problem, Sampler
from theory.checks import Array
from theory.levels import Span
from theory.noise.processes import named_process
from theory.profiles.profile import Profile
from theory.schedules import registry as theory
from theory.solvers import registry as solvers

if TYPE_CHECKING:
    from toys.mixture import Mixture


def optimal_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    solver: Sampler,
    profile: Profile | None,
    mixture: Mixture | None,
) -> Array:
    """Levels of least KL(data || sampler) for a solver, by search on the exact law.

    Args:
        n_steps: Number of steps, 1 to 64.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        solver: The solver that the levels are for.
        profile: Profile of the data, from which models of the data are made if they are not given.
        mixture: The data, which are searched exactly if they are one-dimensional.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or the solver has no exact law on the data.
    """
    # Lists of the schedules, such as a help page, should not wait for these.
    from benchmarks.optimum.exact import exact_optimum
    from benchmarks.optimum.optimal import ProfileOptimum
    from toys.files import toy_spec

    problem = Problem(solver, Span(n_steps, sigma_max, sigma_min, terminal))
    if mixture is not None and mixture.dim == 1:
        if profile is not None:
            raise ValueError("profile must be left out beside a mixture of dim 1, got both")
        return exact_optimum(toy_spec(mixture), problem).sigmas
    if profile is None:
        raise ValueError("profile must be given for data of more than one dimension, got None")
    return ProfileOptimum(profile, problem).optimum.sigmas


OWN: dict[str, Callable[..., Array]] = {"optimal": optimal_sigmas}
SCHEDULES = ChainMap(OWN, theory.SCHEDULES)
REGISTRY = replace(
    theory.REGISTRY,
    functions=SCHEDULES,
    same={**theory.REGISTRY.same, "optimum": "optimal"},
    near={**theory.REGISTRY.near, "best": "optimal"},
)


def schedules() -> dict[str, str]:
    """Name and one-line description of every schedule that `schedule` knows."""
    return REGISTRY.describe()


def draws_on_profile(name: str, options: Mapping[str, Any] | None = None) -> bool:
    """Whether a schedule with these options draws on a profile of the data, or on the data.

    Args:
        name: Name of the schedule.
        options: Its options; a schedule that needs a data scale finds it from a profile unless
            `c` is among them.
    """
    needs, given = REGISTRY.needs(name), options or {}
    return "profile" in needs or ("scale" in needs and given.get("c") is None)


def sampler_of(
    solver: str, span: Span, process: str | None = None, start: str = "noise", **options: Any
) -> Sampler:
    """The sampler that levels are for, with the initial noise of a process.

    Args:
        solver: Name of the solver, or NAME:OPTION=VALUE,...
        span: Range of the levels.
        process: "edm" or "vp". Default: "edm".
        start: "noise", or "data" for the true law at the first level.
        **options: Options of the solver.
    """
    name, own = solvers.REGISTRY.parse(solver)
    own |= solvers.REGISTRY.checked(name, options)
    std = named_process("edm" if process is None else process).start_std(span.sigma_max)
    return Sampler(name, tuple(sorted(own.items())), std, start)


def schedule(
    name: str,
    n_steps: int,
    process: str | None = None,
    profile: Profile | None = None,
    terminal: str = "stop",
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    *,
    mixture: str | Mixture | None = None,
    solver: str | Sampler | None = None,
    **options: Any,
) -> Array:
    """Noise levels of a schedule by its name, shape (n_steps + 1,), strictly decreasing.

    Args:
        name: Name of the schedule, which `schedules()` lists, or "module:function" of your own.
        n_steps: Number of steps, 1 to 10^6.
        process: "edm" or "vp", whose range of levels is used. Default: the range of the profile,
            or that of "edm" if there is no profile.
        profile: Profile of the data, for the schedules that need one.
        terminal: "stop": n_steps + 1 levels from sigma_max to sigma_min. "zero": n_steps levels
            from sigma_max to sigma_min, and then 0.
        sigma_min: Lowest positive noise level, in data units. Default: that of the range above.
        sigma_max: Highest noise level, in data units. Default: that of the range above.
        mixture: The data, for `optimal`: a mixture, the name of a toy, or a mixture file.
        solver: The solver that the levels are for, with its options as in
            "stochastic_ddim:eta=0.5". `optimal` needs it, and `law` has a form for solvers with
            noise, which is the default, and one for those without.
        **options: Options of the schedule, such as rho of edm or c of arctan. The data scale c of
            arctan is found from the profile by default.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units. Reasons to doubt
        them are part of the answer of `entropic.recommend`, not of this one.

    Raises:
        ValueError: The name or an option is unknown, an argument is out of its range, or a profile,
            a mixture or a solver is missing.
    """
    known = REGISTRY.name(name)
    needs = REGISTRY.needs(known)
    if mixture is not None and "mixture" not in needs:
        raise ValueError(f"mixture must be left out for schedule {known!r}, got one")
    if solver is not None and "solver" not in needs and known != "law":
        raise ValueError(f"solver must be left out for schedule {known!r}, got {solver!r}")
    if not isinstance(solver, str | Sampler | None):
        raise ValueError(f"solver must be the name of a solver, got {solver!r}")
    span = theory.span_of(n_steps, process, profile, terminal, sigma_min, sigma_max)
    sampler = sampler_of(solver, span, process) if isinstance(solver, str) else solver
    data = None
    if mixture is not None:
        from toys.files import as_mixture

        data = as_mixture(mixture)
    supplied = {"profile": profile, "mixture": data, "solver": sampler}
    if known == "law" and sampler is not None:
        form = Problem(sampler, replace(span, n_steps=1)).form
        if options.setdefault("form", form) != form:
            raise ValueError(f"form must be {form!r} for {sampler.solver}, got {options['form']!r}")
    return theory.made(REGISTRY, known, span, supplied, options)
