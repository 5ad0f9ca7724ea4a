"""Schedules: falling sigmas of shape (n_steps + 1,), in data units, with exact ends.

Every function starts with the arguments of `theory.levels.Span`: n_steps, sigma_max, sigma_min,
terminal. The index of a schedule counts steps: sigmas[0] is sigma_max, whatever the terminal.
A new schedule is one function and one line in `SCHEDULES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from theory.checks import Array, one_of
from theory.noise.processes import EDM, VP, named_process
from theory.profiles.profile import Profile
from theory.schedules.arctan import arctan_sigmas, fit_arctan_c
from theory.schedules.las import Objective
from theory.schedules.las_levels import las_sigmas
from theory.schedules.reweighted import infogrid_sigmas, spectral_sigmas
from theory.schedules.standard import cosine_sigmas, edm_sigmas, log_snr_sigmas, time_sigmas
from theory.schedules.time_change import entropic_sigmas, rescaled_sigmas

DESCRIPTIONS = {
    "vp_linear": "uniform in the time of the VP process",
    "edm_linear": "uniform in sigma, the time of the EDM process",
    "edm": "uniform in sigma^(1/7) (Karras et al. 2022)",
    "log_snr": "uniform in log SNR",
    "cosine": "uniform in the time of iDDPM's cosine schedule",
    "arctan": "uniform in arctan(sigma / c), best for DDIM on N(0, c^2); needs c or a profile",
    "entropic": "equal shares of the conditional entropy (paper A); needs a profile",
    "rescaled": "equal shares of the rescaled entropy (paper A); needs a profile",
    "spectral": "equal shares of the spectral rescaled entropy (paper A); needs a measured profile",
    "infogrid": "equal shares of the gated rescaled entropy (paper D); needs a profile",
    "las": "least pathwise KL, damped at high SNR (paper B); needs a profile",
}


def schedules() -> dict[str, str]:
    """Names of all schedules, each with what it does."""
    return dict(DESCRIPTIONS)


def schedule(
    name: str,
    n_steps: int,
    process: str | None = None,
    profile: Profile | None = None,
    terminal: str = "stop",
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    c: float | None = None,
    objective: Objective | None = None,
    **more: Any,
) -> Array:
    """Noise levels by the name of a schedule, shape (n_steps + 1,), falling, in data units.

    Args:
        name: Name of the schedule; `schedules()` lists them.
        n_steps: Number of steps.
        process: "edm" or "vp", whose range of levels is taken. Default: the range of the profile,
            or that of "edm" where there is no profile.
        profile: Profile of the data, for schedules that draw on one.
        terminal: "stop": n_steps + 1 levels from sigma_max to sigma_min. "zero": n_steps levels
            from sigma_max to sigma_min, and then 0.
        sigma_min: Lowest positive level, in place of that of the process or the profile.
        sigma_max: Highest level, likewise.
        c: Data scale of arctan (default: fitted to the profile), or pivot of infogrid.
        objective: What las minimises; see `theory.schedules.las.Objective`.
        **more: Options `rule` ("spline", "trapezoid" or "left") of entropic, rescaled, spectral and
            infogrid, and `amplitude` ("mean" or "rms") of spectral.

    Raises:
        ValueError: The name is unknown, or an argument is out of its range.
    """
    one_of("schedule", name, SCHEDULES)
    if process is None and profile is not None:
        low, high = float(profile.sigma[0]), float(profile.sigma[-1])
    else:
        ends = named_process(process or "edm")
        low, high = ends.sigma_min, ends.sigma_max
    return make_sigmas(
        name,
        n_steps,
        high if sigma_max is None else sigma_max,
        low if sigma_min is None else sigma_min,
        terminal,
        profile,
        c,
        objective=objective,
        **more,
    )


def needs_profile(name: str, c: float | None = None) -> bool:
    """Whether a schedule draws on the data's profile."""
    drawing = ("entropic", "rescaled", "spectral", "infogrid", "las")
    return name in drawing or (name == "arctan" and c is None)


def refuse_c(method: str, c: float | None) -> None:
    """A data scale or a pivot means nothing to schedules without one."""
    if c is not None and method not in ("arctan", "infogrid"):
        raise ValueError(f"--c must come with arctan or infogrid, got {c} with {method!r}")


@dataclass(frozen=True)
class Options:
    """What a schedule by name may draw on; each takes what it needs and ignores the rest."""

    profile: Profile | None
    c: float | None
    vp: VP
    objective: Objective | None = None
    rule: str = "spline"
    amplitude: str = "mean"

    def need_profile(self, name: str) -> Profile:
        """The profile; ValueError if there is none."""
        if self.profile is None:
            raise ValueError(f"profile must be given for schedule {name!r}, got None")
        return self.profile

    def arctan_c(self) -> float:
        """The c given, or fitted to the profile."""
        if self.c is None and self.profile is None:
            raise ValueError("c must be given for schedule 'arctan', or a profile, got None")
        return fit_arctan_c(self.need_profile("arctan")) if self.c is None else self.c


SCHEDULES: dict[str, Callable[[tuple[int, float, float, str], Options], Array]] = {
    "vp_linear": lambda span, o: time_sigmas(*span, coordinate=o.vp),
    "edm_linear": lambda span, o: time_sigmas(*span, coordinate=EDM()),
    "edm": lambda span, o: edm_sigmas(*span),
    "log_snr": lambda span, o: log_snr_sigmas(*span),
    "cosine": lambda span, o: cosine_sigmas(*span),
    "arctan": lambda span, o: arctan_sigmas(*span, c=o.arctan_c()),
    "entropic": lambda span, o: entropic_sigmas(
        *span, profile=o.need_profile("entropic"), rule=o.rule
    ),
    "rescaled": lambda span, o: rescaled_sigmas(
        *span, profile=o.need_profile("rescaled"), rule=o.rule
    ),
    "spectral": lambda span, o: spectral_sigmas(
        *span, profile=o.need_profile("spectral"), amplitude=o.amplitude, rule=o.rule
    ),
    "infogrid": lambda span, o: infogrid_sigmas(
        *span, profile=o.need_profile("infogrid"), c=o.c, rule=o.rule
    ),
    "las": lambda span, o: las_sigmas(*span, profile=o.need_profile("las"), objective=o.objective),
}


def make_sigmas(
    name: str,
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    profile: Profile | None = None,
    c: float | None = None,
    vp: VP = VP(),  # noqa: B008
    objective: Objective | None = None,
    rule: str = "spline",
    amplitude: str = "mean",
) -> Array:
    """The schedule of that name in `SCHEDULES`; options that it does not use are ignored.

    Args:
        name: Unknown names raise ValueError with a suggestion.
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        profile: For entropic, rescaled, spectral, infogrid and las, and for arctan without c.
        c: For arctan, fitted to the profile if None; for infogrid, the pivot.
        vp: For vp_linear.
        objective: For las; see `theory.schedules.las_levels.las_sigmas`.
        rule: Quadrature of entropic, rescaled, spectral and infogrid; see `rescaled_sigmas`.
        amplitude: For spectral; "mean" or "rms".
    """
    one_of("schedule", name, SCHEDULES)
    span = n_steps, sigma_max, sigma_min, terminal
    return SCHEDULES[name](span, Options(profile, c, vp, objective, rule, amplitude))
