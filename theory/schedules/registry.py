"""Schedules by name: strictly decreasing noise levels, shape (n_steps + 1,), with exact ends.

Every schedule function begins with the arguments of `theory.levels.Span`: n_steps, sigma_max,
sigma_min and terminal. Its keyword arguments are its options (`theory.names`): `profile` without a
default declares that it needs a profile, and `c` without a default that it needs a data scale.
sigmas[0] is sigma_max for either terminal. The schedule `optimal`, which computes on mixtures,
joins these in `benchmarks.optimum.registry`. A new schedule is one function and one line in
`SCHEDULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from theory.checks import Array, monotone, vector
from theory.levels import Span
from theory.names import Registry
from theory.noise.processes import named_process
from theory.profiles.profile import Profile
from theory.schedules.arctan import arctan_sigmas, fit_arctan_c
from theory.schedules.las_levels import las_sigmas
from theory.schedules.law import law_sigmas
from theory.schedules.reweighted import infogrid_sigmas, spectral_sigmas
from theory.schedules.standard import (
    cosine_sigmas,
    edm_linear_sigmas,
    edm_sigmas,
    log_snr_sigmas,
    vp_linear_sigmas,
)
from theory.schedules.time_change import entropic_sigmas, rescaled_sigmas

SCHEDULES: dict[str, Callable[..., Array]] = {
    "vp_linear": vp_linear_sigmas,
    "edm_linear": edm_linear_sigmas,
    "edm": edm_sigmas,
    "log_snr": log_snr_sigmas,
    "cosine": cosine_sigmas,
    "arctan": arctan_sigmas,
    "entropic": entropic_sigmas,
    "rescaled": rescaled_sigmas,
    "spectral": spectral_sigmas,
    "infogrid": infogrid_sigmas,
    "las": las_sigmas,
    "law": law_sigmas,
}
REGISTRY = Registry(
    kind="schedule",
    functions=SCHEDULES,
    same={
        "karras": "edm",  # their rho = 7 is the default
        "exponential": "log_snr",  # k-diffusion's name for levels uniform in log sigma
        "log_linear": "log_snr",
        "logsnr": "log_snr",
        "entropic_time": "entropic",
        "rescaled_entropic": "rescaled",
        "rescaled_entropy": "rescaled",
        "spectral_entropic": "spectral",
        "info_grid": "infogrid",
        "loss_adaptive": "las",
    },
    near={
        "linear": "vp_linear",
        "scaled_linear": "vp_linear",
        "ddpm": "vp_linear",
        "uniform": "log_snr",
        "polyexponential": "log_snr",
        "iddpm": "cosine",
        "squaredcos_cap_v2": "cosine",
        "ays": "arctan",
        "align_your_steps": "arctan",
        "entropy": "entropic",
    },
    shared=("n_steps", "sigma_max", "sigma_min", "terminal"),
)


def schedules() -> dict[str, str]:
    """Name and one-line description of every schedule that `schedule` knows."""
    return REGISTRY.describe()


def draws_on_profile(name: str, options: Mapping[str, Any] | None = None) -> bool:
    """Whether a schedule with these options draws on a profile of the data.

    Args:
        name: Name of the schedule.
        options: Its options; a schedule that needs a data scale finds it from a profile unless
            `c` is among them.
    """
    needs, given = REGISTRY.needs(name), options or {}
    return "profile" in needs or ("scale" in needs and given.get("c") is None)


def schedule(
    name: str,
    n_steps: int,
    process: str | None = None,
    profile: Profile | None = None,
    terminal: str = "stop",
    sigma_min: float | None = None,
    sigma_max: float | None = None,
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
        **options: Options of the schedule, such as rho of edm or c of arctan;
            `theory.schedules.registry.REGISTRY.options(name)` lists them with their defaults. The
            data scale c of arctan is found from the profile by default.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: The name or an option is unknown, an argument is out of its range, or a profile
            is missing.
    """
    span = span_of(n_steps, process, profile, terminal, sigma_min, sigma_max)
    return made(REGISTRY, name, span, {"profile": profile}, options)


def span_of(
    n_steps: int,
    process: str | None,
    profile: Profile | None,
    terminal: str,
    sigma_min: float | None,
    sigma_max: float | None,
) -> Span:
    """The range of levels that the arguments of `schedule` mean."""
    if profile is not None and not isinstance(profile, Profile):
        got = type(profile).__name__
        raise ValueError(f"profile must be a Profile, got {got}; read_profile reads a file")
    if process is None and profile is not None:
        low, high = float(profile.sigma[0]), float(profile.sigma[-1])
    else:
        default = named_process("edm" if process is None else process)
        low, high = default.sigma_min, default.sigma_max
    return Span(
        n_steps,
        high if sigma_max is None else sigma_max,
        low if sigma_min is None else sigma_min,
        terminal,
    )


def made(
    registry: Registry,
    name: str,
    span: Span,
    supplied: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Array:
    """The levels that the function of that name in a registry gives.

    Args:
        registry: Schedules by name.
        name: Name of the schedule, or "module:function".
        span: Number of steps and range.
        supplied: What there is of the declared needs, by name; None for what there is not.
        options: Options of the schedule.

    Raises:
        ValueError: As for `schedule`.
    """
    known = registry.name(name)
    given = registry.checked(known, options)
    given |= _needed(registry, known, supplied, given)
    ends = span.n_steps, span.sigma_max, span.sigma_min, span.terminal
    sigmas = registry.call(known, *ends, **given)
    return sigmas if known in registry.functions else _checked(known, sigmas, span)


def _needed(
    registry: Registry, name: str, supplied: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """What a schedule needs beside its options: a profile, a mixture, a solver or a data scale."""
    found: dict[str, Any] = {}
    needs = registry.needs(name)
    for need in needs:
        if need == "scale":
            if given.get("c") is None:
                found["c"] = _scale(name, supplied.get("profile"))
            continue
        found[need] = supplied.get(need)
        other = {"profile": "mixture", "mixture": "profile"}.get(need)
        if found[need] is None and not (other in needs and supplied.get(other) is not None):
            also = f", or a {other}" if other in needs else ""
            raise ValueError(f"{need} must be given for schedule {name!r}{also}, got None")
    return found


def _scale(name: str, profile: Profile | None) -> float:
    """The data scale of a schedule that has not been given one."""
    if profile is None:
        raise ValueError(f"c must be given for schedule {name!r}, or a profile, got None")
    return fit_arctan_c(profile)


def _checked(name: str, sigmas: object, span: Span) -> Array:
    """The levels of a user's own schedule, after a check that they are what was asked for."""
    levels = vector(f"levels of {name}", sigmas, 2)  # type: ignore[arg-type]
    if levels.size != span.n_steps + 1:
        rule = f"have {span.n_steps + 1} entries for {span.n_steps} steps"
        raise ValueError(f"levels of {name} must {rule}, got {levels.size}")
    monotone(f"levels of {name}", levels, falling=True)
    last = 0.0 if span.terminal == "zero" else span.sigma_min
    for place, want in ((0, span.sigma_max), (-1, last)):
        if not np.isclose(levels[place], want, rtol=1e-9, atol=0.0):
            end = "begin" if place == 0 else "end"
            raise ValueError(f"levels of {name} must {end} at {want:g}, got {levels[place]:g}")
    return levels
