"""What a benchmark on mixtures is about, as one frozen record: mixture, schedule, solver, metrics.

The record holds plain values only. Its dictionary is the key under which the store keeps its
result, which is one row (`benchmarks.engine.rows`) for every metric.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import Any

import numpy as np

from benchmarks.engine.rows import row_of
from benchmarks.engine.toy_profiles import ends, toy_profile
from benchmarks.measure import samples, solver_errors
from benchmarks.measure.divergences import METRICS, check_terminal, measures
from benchmarks.measure.measured import Measured, without
from benchmarks.measure.pathwise import pathwise_kl
from benchmarks.optimum import registry as schedules
from benchmarks.optimum.problem import Problem, Sampler
from theory.checks import Array, check_seed, number, one_of, vector, whole
from theory.levels import Span
from theory.names import Option, is_user_function, show_options
from theory.noise.processes import named_process
from theory.profiles.profile import Profile
from theory.solvers import registry as solvers
from theory.solvers.reducing import Solver
from theory.versions import versions
from toys.files import load_toy, toy_text
from toys.mixture import Mixture

Options = tuple[tuple[str, Option], ...]
RTOL = 1e-8
FINEST_RTOL = 1e-13
DISTANCE_RTOL = 1e-5  # of tv and w1, whose kinks cost digits
# Metrics that are not read from the exact law, and the tolerance of each.
OTHERS = ("path_rms", "path_median", "moment", "pathwise_kl", "ks")
ALL_METRICS = (*METRICS, *OTHERS)
TOLERANCES = {"tv": DISTANCE_RTOL, "w1": DISTANCE_RTOL}


@dataclass(frozen=True)
class Setting:
    """One sampler on one mixture, and what is measured of it.

    Args:
        toy: Name of a toy, or the text of a mixture file (`toys.files.toy_spec`).
        schedule: Name of the schedule, or of the list in `sigmas`.
        n_steps: Number of steps.
        solver: Name of the solver, or "module:function" of your own.
        process: "edm" or "vp", which sets the default range and the initial law.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        start: Initial law: "noise" for that of the process, "data" for the true law at sigma_max.
        sigma_min: Lowest positive level, in data units. Default: that of the process.
        sigma_max: Highest level, in data units. Default: that of the process.
        schedule_options: Options of the schedule, (name, value) pairs.
        solver_options: Options of the solver, (name, value) pairs.
        sigmas: Levels given as a list, shape (n_steps + 1,), in place of a schedule by name.
        metrics: Names of the metrics, each with its relative tolerance.
        smoothing: Standard deviation of a Gaussian with which the sampler's law is blurred before
            the comparison, as in paper A's kernel estimate.
        paths: Number of Monte Carlo paths per repeat; 0 for exact values.
        repeats: Number of Monte Carlo repeats.
        quantiles: Number of quantiles of the initial law from which w1 is computed; 0 for the exact
            law.
        seed: Seed of the paths, an integer in [0, 2**32).
    """

    toy: str
    schedule: str
    n_steps: int
    solver: str = "stochastic_ddim"
    process: str = "edm"
    terminal: str = "stop"
    start: str = "noise"
    sigma_min: float | None = None
    sigma_max: float | None = None
    schedule_options: Options = ()
    solver_options: Options = ()
    sigmas: tuple[float, ...] | None = None
    metrics: tuple[tuple[str, float], ...] = (("kl_data_model", RTOL),)
    smoothing: float = 0.0
    paths: int = 0
    repeats: int = 1
    quantiles: int = 0
    seed: int = 0

    @property
    def computed_by(self) -> tuple[str, ...]:
        """Modules of the schedule and the solver, for the key of the stored result."""
        return tuple(getattr(f, "func", f).__module__ for f in self._functions())

    @property
    def own_code(self) -> str:
        """What the key of the stored result needs beside the names and the modules of the suite.

        These are the mixture, the arguments that the registries fix, and what the user's own
        schedule and solver give.
        """
        texts = [toy_text(self.toy), self._made()]
        fixed = [(f.args, f.keywords) for f in self._functions() if isinstance(f, partial)]
        return "\n".join([*texts, repr(fixed)])

    def _made(self) -> str:
        """The levels or the table of the user's own functions, whose code may import any other."""
        own_solver = is_user_function(self.solver)
        if not own_solver and (self.sigmas is not None or not is_user_function(self.schedule)):
            return ""
        try:
            sigmas = self.levels()
            table = self.table(sigmas) if own_solver else None
        except ValueError as error:
            return str(error)
        parts = [] if table is None else [str(getattr(table, f.name)) for f in fields(table)]
        with np.printoptions(floatmode="unique", threshold=sys.maxsize):
            return "\n".join([str(sigmas), *parts])

    def _functions(self) -> list[Callable[..., Any]]:
        """The functions of the solver and of the schedule, if it has a name."""
        found = [solvers.REGISTRY.function(self.solver)]
        if self.sigmas is None:
            found.append(schedules.REGISTRY.function(self.schedule))
        return found

    def check(self) -> None:
        """Raise ValueError if the setting has no meaning, before any work."""
        one_of("start", self.start, ("noise", "data"))
        for name, rtol in self.metrics:
            one_of("metric", name, ALL_METRICS)
            if number("rtol", rtol, FINEST_RTOL) >= 1.0:
                raise ValueError(f"rtol must be below 1, got {rtol:g}")
        check_seed(self.seed)
        whole("paths", self.paths, 0)
        whole("repeats", self.repeats, 1)
        toy = load_toy(self.toy)
        if self.sigmas is None:
            name = schedules.REGISTRY.name(self.schedule)
            schedules.REGISTRY.checked(name, dict(self.schedule_options))
            low, high = ends(self.process, self.sigma_min, self.sigma_max)
            span = Span(self.n_steps, high, low, self.terminal)
            if name == "optimal":
                Problem(self.sampler(high), span)
            levels = [high, *([low] if self.n_steps > 1 else []), 0.0]
            levels = levels if self.terminal == "zero" else [high, low]
        else:
            levels = vector("sigmas", self.sigmas, 2).tolist()
        table = solvers.shape_table(self.solver, levels, None, **dict(self.solver_options))
        check_terminal(toy, table.end)

    def levels(self) -> Array:
        """The noise levels, shape (n_steps + 1,), strictly decreasing, in data units."""
        if self.sigmas is not None:
            return np.array(self.sigmas)
        low, high = ends(self.process, self.sigma_min, self.sigma_max)
        options, needs = dict(self.schedule_options), schedules.REGISTRY.needs(self.schedule)
        supplied: dict[str, Any] = {}
        if "mixture" in needs:
            supplied["mixture"] = load_toy(self.toy)
        if "solver" in needs or schedules.REGISTRY.name(self.schedule) == "law":
            supplied["solver"] = self.sampler(high)
        draws = schedules.draws_on_profile(self.schedule, options)
        if draws and not ("mixture" in needs and supplied["mixture"].dim == 1):
            supplied["profile"] = profile_of(self.toy, low, high)
        supplied |= {"terminal": self.terminal, "sigma_min": low, "sigma_max": high, **options}
        return schedules.schedule(self.schedule, self.n_steps, self.process, **supplied)

    def sampler(self, sigma_max: float) -> Sampler:
        """The sampler that the levels are for."""
        std = named_process(self.process).start_std(sigma_max)
        return Sampler(self.solver, self.solver_options, std, self.start)

    def table(self, sigmas: Array, start_std: float | None = None) -> Solver:
        """The solver at the levels, as a table or a state-dependent iteration.

        Args:
            sigmas: The levels.
            start_std: Standard deviation of the initial noise. Default: that of the process.
        """
        if start_std is None:
            start_std = named_process(self.process).start_std(float(sigmas[0]))
        options, profile = dict(self.solver_options), None
        if solvers.draws_on_profile(self.solver, options):
            profile = profile_of(self.toy, float(sigmas[sigmas > 0].min()), float(sigmas[0]))
        return solvers.make_table(self.solver, sigmas, start_std, profile=profile, **options)

    def run(self) -> list[dict[str, Any]]:
        """One row for every metric; a value that cannot be computed is null, with the reason.

        Raises:
            ValueError: The levels or the solver cannot be made.
        """
        sigmas = self.levels()
        table = self.table(sigmas)
        labels = self.labels(sigmas) | {"nfe": table.nfe}
        try:
            measured = self._measured(load_toy(self.toy), table, sigmas)
        except ValueError as error:  # no exact law, or a solver that diverges
            measured = [without(str(error), "none") for _ in self.metrics]
        rows = []
        for (name, rtol), found in zip(self.metrics, measured, strict=True):
            own = {"metric": name, "tolerance": None if found.paths else rtol}
            own["seed"] = self.seed if found.paths else None
            rows.append(row_of(labels, own | found.as_fields()))
        return rows

    def without_steps(self, calls: int) -> list[dict[str, Any]]:
        """The rows of a solver whose single step takes more than this number of calls."""
        labels = self.labels(np.full(2, np.nan)) | dict.fromkeys(("sigma_max", "sigma_min"))
        reason = f"a step takes more than {calls} denoiser calls"
        return [
            row_of(labels, {"metric": name, "reason": reason, "tolerance": rtol, "paths": 0})
            for name, rtol in self.metrics
        ]

    def labels(self, sigmas: Array) -> dict[str, Any]:
        """The columns that identify the setting."""
        return {
            "toy": self.toy,
            "process": self.process,
            "schedule": self.schedule,
            "schedule_options": show_options(dict(self.schedule_options)),
            "solver": self.solver,
            "solver_options": show_options(dict(self.solver_options)),
            "n_steps": self.n_steps,
            "terminal": self.terminal,
            "start": self.start,
            "sigma_max": float(sigmas[0]),
            "sigma_min": float(sigmas[-1] or sigmas[-2]),
            "smoothing": self.smoothing,
        } | versions()

    def _measured(self, toy: Mixture, table: Solver, sigmas: Array) -> list[Measured]:
        """The measured values, in the order of the metrics."""
        wanted = dict(self.metrics)
        found: dict[str, Measured] = {}
        if self.paths and not set(wanted) & {"path_rms", "path_median", "moment"}:
            found = samples.measures(
                toy, table, tuple(wanted), self.start, self.paths, self.repeats, self.seed
            )
            return [found[name] for name in wanted]
        if {"path_rms", "path_median"} & set(wanted):
            found |= solver_errors.path_errors(toy, table, self.paths, self.seed)
        if "moment" in wanted:
            true_std = float(np.hypot(toy.stds[0, 0], sigmas[0])) if toy.size == 1 else None
            own = self.table(sigmas, true_std)
            found["moment"] = solver_errors.moment_error(toy, own, self.paths, self.seed)
        if "pathwise_kl" in wanted:
            found["pathwise_kl"] = pathwise_kl(toy, sigmas)
        if self.quantiles and "w1" in wanted:
            found["w1"] = solver_errors.quantile_w1(toy, table, self.quantiles)
        exact = {name: rtol for name, rtol in wanted.items() if name not in found}
        if exact:
            found |= measures(toy, table, self.start, exact, blur=self.smoothing)
        return [found[name] for name in wanted]


def metrics_of(names: tuple[str, ...], rtol: float | None = None) -> tuple[tuple[str, float], ...]:
    """Names of metrics with their tolerances: the given one, or the default of each."""
    return tuple(
        (one_of("metric", n, ALL_METRICS), TOLERANCES.get(n, RTOL) if rtol is None else rtol)
        for n in names
    )


def tidy(options: dict[str, Any]) -> Options:
    """Options as (name, value) pairs in the order of their names, with 5 for 5.0."""
    plain = {
        k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in options.items()
    }
    return tuple(sorted(plain.items()))


@lru_cache(maxsize=64)
def profile_of(toy: str, low: float, high: float) -> Profile:
    """The profile of a mixture between two levels."""
    return toy_profile(toy, low, high)
