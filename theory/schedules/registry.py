"""Schedules by name: strictly decreasing noise levels, shape (n_steps + 1,), with exact ends.

Every schedule function begins with the arguments of `theory.levels.Span`: n_steps, sigma_max,
sigma_min and terminal. sigmas[0] is sigma_max for either terminal. A new schedule needs one
function and one line in `SCHEDULES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    """Name and one-line description of every schedule that `schedule` knows."""
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
    rule: str = "spline",
    amplitude: str = "mean",
) -> Array:
    """Noise levels of a schedule by its name, shape (n_steps + 1,), strictly decreasing.

    Args:
        name: Name of the schedule; `schedules()` lists them.
        n_steps: Number of steps, 1 to 10^6.
        process: "edm" or "vp", whose range of levels is used. Default: the range of the profile,
            or that of "edm" if there is no profile.
        profile: Profile of the data, for the schedules that need one.
        terminal: "stop": n_steps + 1 levels from sigma_max to sigma_min. "zero": n_steps levels
            from sigma_max to sigma_min, and then 0.
        sigma_min: Lowest positive noise level, in data units. Default: that of the range above.
        sigma_max: Highest noise level, in data units. Default: that of the range above.
        c: Data scale of arctan or pivot of infogrid, in data units. Default: found from the
            profile.
        objective: Objective of las, a `theory.schedules.las.Objective`: the axis on which it sums
            and the weight of its penalty. Default: that of `theory.schedules.las_levels`.
        rule: Quadrature rule of entropic, rescaled, spectral and infogrid: "spline", "trapezoid" or
            "left". `entropic.recommend` takes "trapezoid" for profiles with standard errors.
        amplitude: Amplitude of spectral, "mean" or "rms".

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: The name is unknown, an argument is out of its range, or a profile is missing.
    """
    one_of("schedule", name, SCHEDULES)
    if profile is not None and not isinstance(profile, Profile):
        got = type(profile).__name__
        raise ValueError(f"profile must be a Profile, got {got}; read_profile reads a file")
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
        rule=rule,
        amplitude=amplitude,
    )


def needs_profile(name: str, c: float | None = None) -> bool:
    """Whether the schedule of that name needs a profile; arctan does without c only."""
    drawing = ("entropic", "rescaled", "spectral", "infogrid", "las")
    return name in drawing or (name == "arctan" and c is None)


def refuse_c(method: str, c: float | None) -> None:
    """Refuse c for schedules that have neither a data scale nor a pivot."""
    if c is not None and method not in ("arctan", "infogrid"):
        raise ValueError(f"--c must come with arctan or infogrid, got {c} with {method!r}")


@dataclass(frozen=True)
class Options:
    """Options of the schedules by name; each uses those it needs and ignores the rest.

    Args:
        profile: Profile of the data, or None.
        c: Data scale of arctan or pivot of infogrid, in data units, or None.
        vp: Process of vp_linear.
        objective: Objective of las; None for its default.
        rule: Quadrature rule of entropic, rescaled, spectral and infogrid.
        amplitude: Amplitude of spectral, "mean" or "rms".
    """

    profile: Profile | None
    c: float | None
    vp: VP
    objective: Objective | None = None
    rule: str = "spline"
    amplitude: str = "mean"

    def need_profile(self, name: str) -> Profile:
        """The profile; ValueError with the schedule's name if there is none."""
        if self.profile is None:
            raise ValueError(f"profile must be given for schedule {name!r}, got None")
        return self.profile

    def arctan_c(self) -> float:
        """The data scale c as given, or fitted to the profile."""
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
    """Levels of the schedule of that name in `SCHEDULES`, which ignores options it does not use.

    Args:
        name: Name of the schedule.
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        profile: Profile of the data, for entropic, rescaled, spectral, infogrid and las, and for
            arctan without c.
        c: Data scale of arctan or pivot of infogrid, in data units. Default: found from the
            profile.
        vp: Process of vp_linear.
        objective: Objective of las; see `theory.schedules.las_levels.las_sigmas` for the default.
        rule: Quadrature rule of entropic, rescaled, spectral and infogrid: "spline", "trapezoid" or
            "left".
        amplitude: Amplitude of spectral, "mean" or "rms".

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: The name is unknown, an argument is out of its range, or a profile is missing.
    """
    one_of("schedule", name, SCHEDULES)
    span = n_steps, sigma_max, sigma_min, terminal
    return SCHEDULES[name](span, Options(profile, c, vp, objective, rule, amplitude))
