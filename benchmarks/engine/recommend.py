"""From a mixture, a profile or a loss log to levels for a sampler."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.engine.toy_profiles import ends, toy_profile
from theory.checks import Array, one_of, whole
from theory.levels import MOST_STEPS
from theory.profiles.files import read_profile, write_schedule
from theory.profiles.loss_files import loss_log, loss_profile, one_source, refuse_logged
from theory.profiles.loss_log import LossLog
from theory.profiles.profile import Profile
from theory.reading import StrPath
from theory.schedules.recommend import (
    aim,
    band,
    check_log_options,
    describe,
    kept_errors,
    network_band,
    quadrature,
    rests_on,
)
from theory.schedules.registry import SCHEDULES, needs_profile, refuse_c, schedule
from toys.files import toy_spec
from toys.mixture import Mixture


@dataclass(frozen=True, eq=False)
class Recommendation:
    """A schedule with what it rests on.

    Args:
        method: Name of the schedule.
        sigmas: Noise levels, shape (n_steps + 1,), falling, in data units.
        terminal: "stop" or "zero".
        source: Where it comes from, as plain values; `band` under it holds the bootstrap band.
    """

    method: str
    sigmas: Array
    terminal: str
    source: dict[str, Any]

    @property
    def band(self) -> tuple[Array, Array] | None:
        """Lower and upper levels of the bootstrap band, (n_steps + 1,) each, or None."""
        found = self.source.get("band")
        if not found or found["low"] is None:
            return None
        return np.array(found["low"]), np.array(found["high"])

    def to_dict(self) -> dict[str, Any]:
        """The fields of a schedule file."""
        return {
            "kind": "schedule",
            "method": self.method,
            "sigmas": self.sigmas.tolist(),
            "terminal": self.terminal,
            "source": self.source,
        }

    def write(self, path: StrPath) -> None:
        """Write a schedule file, whole or not at all."""
        write_schedule(path, self.method, self.sigmas, self.terminal, self.source)


def recommend(
    method: str,
    n_steps: int,
    *,
    toy: str | Mixture | None = None,
    profile: StrPath | Profile | None = None,
    losses: StrPath | None = None,
    parametrisation: str | None = None,
    dim: int | None = None,
    sigma_data: float | None = None,
    reduction: str | None = None,
    process: str = "edm",
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    terminal: str = "stop",
    c: float | None = None,
    lambda_: float | None = None,
    mu: float | None = None,
    power: float | None = None,
    axis: str | None = None,
    rule: str | None = None,
    amplitude: str | None = None,
    isotonic: bool = False,
    bins: int | None = None,
    replicates: int | None = None,
    seed: int | None = None,
) -> Recommendation:
    """Noise levels for a sampler from a mixture, a profile or a loss log, with their band.

    Exactly one of `toy`, `profile` and `losses` must be given for a schedule that draws on the
    data. An option that means nothing to the schedule or to the source is refused.

    Args:
        method: Name of the schedule.
        n_steps: Number of steps.
        toy: A mixture, the name of a toy, or a mixture file.
        profile: A profile, or a profile file.
        losses: A CSV file of losses.
        parametrisation: What the losses are of: "eps", "x0", "v" or "edm".
        dim: Number of coordinates of x0 (default 1).
        sigma_data: EDM's sigma_data (default 0.5).
        reduction: Whether losses are the "sum" (default) or the "mean" over coordinates.
        process: "edm" or "vp": default levels, and the meaning of a column `t` of losses.
        sigma_min: Lowest positive level; the process's, or the lowest of the profile or log.
        sigma_max: Highest level, likewise.
        terminal: "stop" or "zero".
        c: Data scale of arctan, or pivot of infogrid.
        lambda_: LAS: variance that damps high SNR.
        mu: LAS: penalty on changes of the step size in log-SNR.
        power: LAS: exponent of that penalty.
        axis: LAS: "saturating" or "exponential".
        rule: Quadrature of schedules that integrate a profile: "spline", "trapezoid" or "left".
        amplitude: Spectral schedule: "mean" or "rms" modulus of a frequency.
        isotonic: LAS from losses: pool risks that fall with sigma.
        bins: LAS from losses: number of bins if there are more levels than that.
        replicates: Number of replicates of the bootstrap band; 0 for no band.
        seed: Seed of the bootstrap, in [0, 2**32).

    Raises:
        ValueError: One line that names the argument, the rule and the value.
    """
    given = {"lambda_": lambda_, "mu": mu, "power": power, "axis": axis}
    kept = {"isotonic": isotonic, "bins": bins, "replicates": replicates, "seed": seed}
    logged: dict[str, Any] = {"parametrisation": parametrisation, "dim": dim}
    logged |= {"sigma_data": sigma_data, "reduction": reduction}
    one_of("method", method, SCHEDULES)
    whole("steps", n_steps, 1, MOST_STEPS)
    refuse_c(method, c)
    goal = aim(method, given)
    check_log_options(method, kept)
    needs = needs_profile(method, c)
    if needs or any(s is not None for s in (toy, profile, losses)):
        one_source(toy=toy, profile=profile, losses=losses)
    grid: Profile | None = None
    log: LossLog | None = None
    if profile is not None:
        grid = profile if isinstance(profile, Profile) else read_profile(profile)
    if losses is not None and method == "las":
        log = loss_log(losses, process, bins, **logged)
        grid = log.profile(monotone=isotonic)
    elif losses is not None:
        grid = loss_profile(losses, process, **logged)
    else:
        refuse_logged(logged | {"bins": bins, "isotonic": isotonic or None})
    if grid is not None:  # a measured profile says itself how far it reaches
        sigma_min = float(grid.sigma[0]) if sigma_min is None else sigma_min
        sigma_max = float(grid.sigma[-1]) if sigma_max is None else sigma_max
    low, high = ends(process, sigma_min, sigma_max)
    schedule("log_snr", n_steps, process, None, terminal, low, high)  # checks before work
    if toy is not None:
        spec = toy_spec(toy)
        grid = toy_profile(spec, low, high) if needs else None
    moved = max(n_steps - (terminal == "zero"), 1)
    options = quadrature(method, profile is not None, grid, rule, amplitude)

    def make(data: Profile | None, **other: Any) -> Array:
        objective = goal(data, moved) if method == "las" and data is not None else None
        return schedule(
            method,
            n_steps,
            process,
            data,
            terminal,
            low,
            high,
            c,
            objective,
            **{**options, **other},
        )

    sigmas = make(grid)
    source = _named(toy=toy, profile=profile, losses=losses)
    source |= {"process": process, "n_steps": n_steps, "version": version("entropic")} | options
    if options.get("rule") == "left":
        better = make(grid, rule="trapezoid")
        source["left_bias"] = float(np.abs(sigmas[:moved] / better[:moved] - 1.0).max())
    errors = None
    if grid is not None and profile is not None and not isinstance(profile, Profile):
        errors = kept_errors(profile, grid)
    if method == "las" and grid is not None:
        aimed = goal(grid, moved)
        source["las"] = describe(aimed)
        if log is not None:
            source["rests_on"] = rests_on(log, isotonic)
        source["band"] = band(grid, log, errors, make, aimed, n_steps, replicates, seed, isotonic)
    elif needs:
        source["band"] = network_band(errors, make, method, replicates, seed)
    elif replicates or seed:
        raise ValueError(f"--replicates and --seed must come with noise, got {method!r}")
    return Recommendation(method, sigmas, terminal, source)


def _named(**given: Any) -> dict[str, Any]:
    """What the levels come from: names as texts, a profile by its own source."""
    return {
        key: value.source
        if isinstance(value, Profile)
        else os.fspath(value)
        if isinstance(value, str | os.PathLike)
        else repr(value)
        for key, value in given.items()
        if value is not None
    }
