"""From a mixture, a profile or a loss log to levels for a sampler, with band and warnings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from numbers import Integral
from typing import Any

import numpy as np

from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, default_store
from benchmarks.engine.toy_profiles import ends, toy_profile
from benchmarks.optimum import exact
from benchmarks.optimum.optimal import ProfileOptimum
from benchmarks.optimum.problem import Optimum, Problem, Sampler
from benchmarks.optimum.registry import REGISTRY, draws_on_profile, sampler_of, schedule
from theory.checks import Array, check_seed
from theory.levels import Span
from theory.names import show_options
from theory.profiles.files import read_profile, write_schedule
from theory.profiles.level_errors import LevelErrors
from theory.profiles.loss_files import (
    Logged,
    loss_log,
    loss_profile,
    one_source,
    refuse_logged,
)
from theory.profiles.loss_log import LossLog
from theory.profiles.profile import Profile
from theory.reading import StrPath
from theory.schedules.las_levels import las_objective
from theory.schedules.law import law_warnings
from theory.schedules.recommend import (
    band,
    broken_laws,
    describe,
    drawing,
    far_apart,
    kept_errors,
    no_band,
    replicates_of,
    rests_on,
)
from toys.files import load_toy, toy_spec
from toys.mixture import Mixture
from toys.progress import progress

OPTIMAL_REPLICATES = 40
BAND_RULE = "replicates and seed must come with noisy risks"
BINNED = ("las", "optimal")  # schedules that take a loss log in bins


@dataclass(frozen=True, eq=False)
class Recommendation:
    """A schedule with what it rests on.

    Args:
        method: Name of the schedule.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.
        terminal: "stop" or "zero".
        source: Where it comes from, as plain values; `band` under it holds the bootstrap band.
        warnings: Reasons to doubt the levels, one sentence each.
    """

    method: str
    sigmas: Array
    terminal: str
    source: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        low, high = self.sigmas[-1], self.sigmas[0]
        more = f", {len(self.warnings)} warnings" if self.warnings else ""
        steps = f"{self.sigmas.size - 1} steps of {self.method}"
        return f"<Recommendation of {steps}, sigma {high:g} to {low:g}{more}>"

    @property
    def band(self) -> tuple[Array, Array] | None:
        """Lower and upper levels of the bootstrap band, (n_steps + 1,) each, or None."""
        found = self.source.get("band")
        if not found or found["low"] is None:
            return None
        return np.array(found["low"]), np.array(found["high"])

    def to_dict(self) -> dict[str, Any]:
        """The fields of a schedule file, and the warnings."""
        return {
            "kind": "schedule",
            "method": self.method,
            "sigmas": self.sigmas.tolist(),
            "terminal": self.terminal,
            "source": self.source,
            "warnings": list(self.warnings),
        }

    def write(self, path: StrPath) -> None:
        """Write a schedule file, whole or not at all."""
        given = self.method, self.sigmas, self.terminal, self.source, self.warnings
        write_schedule(path, *given)


@dataclass(frozen=True, eq=False)
class _Risks:
    """The risks that a schedule draws on, and what they come from."""

    profile: Profile | None = None
    log: LossLog | None = None
    errors: LevelErrors | None = None
    measured: bool = False
    named: Mapping[str, Any] = field(default_factory=dict)

    @property
    def noisy(self) -> bool:
        """Whether a bootstrap can draw the risks again."""
        if self.profile is None:
            return False
        return drawing(self.profile, self.log, self.errors, False) is not None


def recommend(
    method: str,
    n_steps: int,
    *,
    toy: str | os.PathLike[str] | Mixture | None = None,
    profile: StrPath | Profile | None = None,
    losses: StrPath | None = None,
    prediction: str | None = None,
    times: str | None = None,
    betas: str | None = None,
    zero_snr: bool | None = None,
    weight: str | None = None,
    dim: int | None = None,
    sigma_data: float | None = None,
    reduction: str | None = None,
    columns: Mapping[str, str] | None = None,
    after: int | None = None,
    last: int | None = None,
    process: str = "edm",
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    terminal: str = "stop",
    isotonic: bool = False,
    bins: int | None = None,
    replicates: int | None = None,
    seed: int | None = None,
    solver: str | None = None,
    **options: Any,
) -> Recommendation:
    """Noise levels for a sampler from a mixture, a profile or a loss log, with band and warnings.

    A schedule that draws on the data needs exactly one of `toy`, `profile` and `losses`. An option
    that means nothing to the schedule or to the source is refused.

    Args:
        method: Name of the schedule, or "module:function" of your own.
        n_steps: Number of steps, 1 to 10^6.
        toy: A mixture, the name of a toy, or a mixture file.
        profile: A profile, or a profile file.
        losses: A loss log: CSV of any dialect, JSON lines or Parquet
            (`theory.profiles.loss_files.read_losses`).
        prediction: Target of the losses: "eps", "x0", "v", "flow" or "edm". This and the arguments
            up to `last` are those of `theory.profiles.loss_files.Logged`.
        times: Meaning of the column of levels or times. Default: what its name says.
        betas: Betas of the times "ddpm" or "vp".
        zero_snr: Whether the betas of "ddpm" were rescaled so that the last level is pure noise.
        weight: Weight that the losses were multiplied by, such as "min-snr:5".
        dim: Number of coordinates of x0. Default: 1.
        sigma_data: EDM's sigma_data, in data units. Default: 0.5.
        reduction: Whether losses are the "sum" or the "mean" over coordinates. Default: "sum".
        columns: Names of columns by role: "loss", "sigma", "weight", "samples", "step".
        after: Training step after which rows count.
        last: Number of rows that count, from the last training step backwards.
        process: "edm" or "vp", which sets the default levels.
        sigma_min: Lowest positive level, in data units. Default: the lowest of a given profile or
            log, otherwise that of the process.
        sigma_max: Highest level, in data units. Default: likewise.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        isotonic: Whether risks that fall with sigma are pooled; las and optimal from losses only.
        bins: Number of bins for logs with more levels; las and optimal from losses only.
            Default: 64.
        replicates: Number of replicates of the bootstrap band, 0 for no band. Default: 200, or 20
            for las with a penalty, or 40 for optimal.
        seed: Seed of the bootstrap, an integer in [0, 2**32). Default: 0.
        solver: The solver that the levels are for, with its options as in
            "stochastic_ddim:eta=0.5"; for optimal, which needs it, and for law.
        **options: Options of the schedule, such as rho of edm. The quadrature rule is by default
            "trapezoid" for a profile with standard errors, otherwise "spline".

    Returns:
        The levels, their origin, the band and the warnings.

    Raises:
        ValueError: One line that names the argument, the rule and the value.
    """
    name = REGISTRY.name(method)
    given = REGISTRY.checked(name, options)
    logged = Logged(
        prediction, times, betas, zero_snr, weight, dim, sigma_data, reduction, columns, after, last
    )
    drawn = draws_on_profile(name, given)
    _check(name, isotonic, bins, replicates, seed, solver)
    if drawn or any(source is not None for source in (toy, profile, losses)):
        one_source(toy=toy, profile=profile, losses=losses)
    risks = _risks(name, profile, losses, logged, isotonic, bins)
    if replicates or seed:
        if not drawn:
            raise ValueError(f"{BAND_RULE}, got schedule {name!r}")
        if toy is None and not risks.noisy:
            raise ValueError(f"{BAND_RULE}, got a profile without errors")
        if toy is not None and load_toy(toy_spec(toy)).dim == 1:
            raise ValueError(f"{BAND_RULE}, got a mixture of dim 1, whose risks are exact")
    if risks.profile is not None:  # a measured profile states how far it reaches
        reach = risks.profile.sigma[[0, -1]].tolist()
        sigma_min = reach[0] if sigma_min is None else sigma_min
        sigma_max = reach[1] if sigma_max is None else sigma_max
    low, high = ends(process, sigma_min, sigma_max)
    span = Span(n_steps, high, low, terminal)  # checks before work
    sampler = None if solver is None else sampler_of(solver, span, process)
    spec = None if toy is None else toy_spec(toy)
    if name == "optimal":
        return _optimal(span, sampler, spec, toy, risks, process, replicates, seed, isotonic)
    if toy is not None:
        assert spec is not None
        grid = toy_profile(spec, low, high) if drawn else None
        named = repr(toy) if isinstance(toy, Mixture) else os.fspath(toy)
        risks = _Risks(grid, named={"toy": named})
    given |= _quadrature(name, risks, given)

    def make(data: Profile | None, **other: Any) -> Array:
        at = (name, n_steps, process, data, terminal, low, high)
        return schedule(*at, solver=sampler, **{**given, **other})

    sigmas = make(risks.profile)
    source: dict[str, Any] = {**risks.named, "process": process, "n_steps": n_steps}
    source |= {"version": version("entropic")} | {k.rstrip("_"): v for k, v in given.items()}
    source |= {} if solver is None else {"solver": solver}
    warnings = _doubts(risks)
    if name == "law":
        assert risks.profile is not None  # the law draws on it
        warnings += law_warnings(risks.profile) + _of_higher_order(sampler, span)
    if given.get("rule") == "left":
        moved = max(n_steps - (terminal == "zero"), 1)
        better = make(risks.profile, rule="trapezoid")
        source["left_bias"] = float(np.abs(sigmas[:moved] / better[:moved] - 1.0).max())
        warnings.append(
            f"the left sum moves levels by up to {100.0 * source['left_bias']:.2g} % from those of "
            "the trapezoid rule"
        )
    goal = None
    if name == "las" and risks.profile is not None:
        kept = {key: given.get(key) for key in ("lambda_", "power")}
        goal = las_objective(risks.profile, n_steps, terminal, mu=given.get("mu", 0.0), **kept)
        source["las"] = describe(goal)
        if risks.log is not None:
            source["rests_on"] = rests_on(risks.log, isotonic)
    if drawn:
        wanted = replicates_of(goal, n_steps) if replicates is None else replicates
        source["band"] = _band(name, risks, make, wanted, replicates, seed, isotonic)
    return Recommendation(name, sigmas, terminal, source, tuple(warnings))


def _optimal(
    span: Span,
    sampler: Sampler | None,
    spec: str | None,
    toy: str | os.PathLike[str] | Mixture | None,
    risks: _Risks,
    process: str,
    replicates: int | None,
    seed: int | None,
    isotonic: bool,
) -> Recommendation:
    """The levels of the schedule `optimal` with what the search has found."""
    if sampler is None:
        raise ValueError("solver must be given for schedule 'optimal', got None")
    problem = Problem(sampler, span)
    source: dict[str, Any] = {**risks.named, "process": process, "n_steps": span.n_steps}
    if toy is not None:
        source["toy"] = repr(toy) if isinstance(toy, Mixture) else os.fspath(toy)
    source |= {"version": version("entropic"), "solver": _named(sampler)}
    warnings = _doubts(risks)
    if spec is not None and load_toy(spec).dim == 1:
        found = _exact(spec, problem)
    else:
        profile = risks.profile
        if spec is not None:
            profile = toy_profile(spec, span.sigma_min, span.sigma_max)
        assert profile is not None  # one source is given
        base = ProfileOptimum(profile, problem)
        found = base.optimum
        wanted = OPTIMAL_REPLICATES if replicates is None else replicates
        held = _Risks(profile, risks.log, risks.errors, risks.measured, risks.named)
        source["band"] = _band("optimal", held, base.again, wanted, replicates, seed, isotonic)
        if risks.log is not None:
            source["rests_on"] = rests_on(risks.log, isotonic)
    return Recommendation(
        "optimal", found.sigmas, span.terminal, source | found.found, (*warnings, *found.warnings)
    )


def _of_higher_order(sampler: Sampler | None, span: Span) -> list[str]:
    """A warning if the law is asked for a solver that it was not derived for."""
    if sampler is None or Problem(sampler, replace(span, n_steps=1)).first_order:
        return []
    return [
        f"the law is derived for solvers of first order, and {sampler.solver} is not one: its "
        "divergence may be many times the least one; the schedule optimal serves it"
    ]


def _named(sampler: Sampler) -> str:
    """The solver with its options, as they are given."""
    options = show_options(dict(sampler.options)).split()
    return ":".join([sampler.solver, ",".join(options)] if options else [sampler.solver])


def _exact(spec: str, problem: Problem) -> Optimum:
    """The best levels of a mixture; finished descents are stored."""
    store = Store(default_store())
    return exact.best(run_tasks(exact.descents(spec, problem), store, title="optimum"))


def _check(
    name: str,
    isotonic: bool,
    bins: int | None,
    replicates: int | None,
    seed: int | None,
    solver: str | None,
) -> None:
    """Check the options of a loss log and of the band before any work."""
    for option, value in (("isotonic", isotonic or None), ("bins", bins)):
        if value is not None and name not in BINNED:
            raise ValueError(f"{option} must come with las or optimal, got it with {name!r}")
    if solver is not None and name not in ("optimal", "law"):
        raise ValueError(f"solver must come with optimal or law, got {solver!r} with {name!r}")
    if replicates and not (isinstance(replicates, Integral) and replicates >= 10):
        raise ValueError(f"replicates must be 0 or a whole number at least 10, got {replicates!r}")
    check_seed(seed or 0)


def _risks(
    name: str,
    profile: StrPath | Profile | None,
    losses: StrPath | None,
    logged: Logged,
    isotonic: bool,
    bins: int | None,
) -> _Risks:
    """The risks of a profile or of a loss log; none for a mixture, whose range is not yet known."""
    if losses is None:
        refuse_logged(logged, bins=bins, isotonic=isotonic or None)
    if isinstance(profile, Profile):
        return _Risks(profile, measured=True, named={"profile": dict(profile.source)})
    if profile is not None:
        grid = read_profile(profile)
        named = {"profile": os.fspath(profile)}
        return _Risks(grid, None, kept_errors(profile, grid), True, named)
    if losses is None:
        return _Risks()
    if name not in BINNED:
        risks = loss_profile(losses, logged)
        return _Risks(risks, measured=True, named=_of_log(risks))
    log = loss_log(losses, bins, logged)
    risks = log.profile(monotone=isotonic)
    return _Risks(risks, log, None, True, _of_log(risks))


def _doubts(risks: _Risks) -> list[str]:
    """Warnings about measured risks."""
    if not risks.measured or risks.profile is None:
        return []
    return [*broken_laws(risks.profile), *far_apart(risks.profile)]


def _of_log(risks: Profile) -> dict[str, Any]:
    """What a schedule remembers of the log: its file, rows left out, and what was assumed."""
    kept = ("losses", "left_out", "notes")
    return {name: risks.source[name] for name in kept if name in risks.source}


def _quadrature(name: str, risks: _Risks, given: Mapping[str, Any]) -> dict[str, Any]:
    """The rule of a schedule that integrates a profile: a spline needs smooth risks."""
    found = {k: v for k, v in REGISTRY.options(name).items() if k in ("rule", "amplitude")}
    if "rule" not in found:
        return {}
    data = risks.profile
    noisy = risks.measured and data is not None and data.stderr is not None
    found["rule"] = "trapezoid" if noisy else "spline"
    return found | {key: given[key] for key in found if key in given}


def _band(
    name: str,
    risks: _Risks,
    make: Callable[[Profile], Array],
    wanted: int | None,
    replicates: int | None,
    seed: int | None,
    isotonic: bool,
) -> dict[str, Any] | None:
    """The bootstrap band of a schedule, or None for exact risks or 0 replicates."""
    assert risks.profile is not None  # the schedule draws on it
    draw = drawing(risks.profile, risks.log, risks.errors, isotonic)
    if draw is None:
        return None
    if replicates == 0:
        return None
    if wanted is None:
        reason = "a replicate takes long with this penalty: give the number of replicates"
        return no_band(reason, 0, seed or 0)
    if name == "spectral":
        reason = "the split over frequencies is kept as means, not by sample"
        return no_band(reason, 0, seed or 0)
    return band(draw, make, wanted, seed or 0, lambda loop: progress(loop, "bootstrap"))
