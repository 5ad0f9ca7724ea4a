"""The best levels of a known one-dimensional mixture: descents on the exact KL from several starts.

The gradient is that of the exact law (`toys.laws.gradient`), through the solver's table. Widely
separated scales of the data give local minima, which differ by how many levels stand above and
below the gap, so that the best of several starts is kept and the others are reported. Solvers of
higher order have many more, for which a family of levels is scanned (`benchmarks.optimum.scan`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from benchmarks.measure.divergences import exact_kl
from benchmarks.optimum.problem import Optimum, Problem, close_levels
from benchmarks.optimum.scan import family
from theory.checks import Array
from theory.levels import Span
from theory.profiles.profile import Profile
from theory.schedules.registry import schedule
from theory.schedules.search import PATIENCE, VANISHED, Minimum, descend, doubled
from theory.solvers.derivative import levels_gradient
from toys.files import load_toy, toy_text
from toys.information import information
from toys.laws.flow import stretches
from toys.laws.gradient import DifferentiableKL
from toys.laws.transported import FIRST_REACH
from toys.mixture import Mixture
from toys.progress import progress

STARTS = ("law", "half", "log_snr", "scan")
MODEL_STARTS = ("law", "half", "scan")  # for data that are only a model
SCANNED, APART = 6, 0.08  # lists searched on, and their distance in units of the log range
SCAN_RTOL, SCAN_POINTS = 1e-4, 100_000  # of the quadrature for a family
POINTS_OF_MAP = 500_000  # on all branches of a last map; good levels need far fewer
POINTS = 200  # levels of the profile that the law is made from
RESOLUTION, RTOL = 0.6, 1e-7  # of the first pass, whose KL is right to about 1e-7
ROUNDING = 1e-14  # of a KL, in nats; less counts as nothing
SETTLED = 1e-5  # relative change of the KL from one pass to the next that a search allows
MOST_PASSES = 5
FLAT = 1e-4  # derivatives of log KL that end a search; the excess is about their square
COARSE = 0.3  # the same, of searches of which only the best goes on
IMPATIENT = 15  # evaluations without a gain that end a search for a model of the data
FAR_WORSE = 10.0  # times the KL of the first levels
NEAR, OTHER = 0.1, 0.1  # relative excess of a minimum worth a word, and shift in mean log-spacings


@dataclass(frozen=True)
class Descent:
    """One descent on the exact KL, which is the key of its stored result.

    Args:
        toy: Name of a toy, or the text of a mixture file (`toys.files.toy_spec`).
        problem: The sampler and the range.
        begin: Where it starts: "law", "log_snr", "half" for the best levels of half the steps, or
            "scan" for the best lists of a family.
    """

    toy: str
    problem: Problem
    begin: str
    computed_by: ClassVar[tuple[str, ...]] = ()

    @property
    def own_code(self) -> str:
        """The mixture, for the key of the stored result."""
        return toy_text(self.toy)

    def run(self) -> dict[str, Any]:
        """The levels, the KL in nats and the number of evaluations, or the reason for none."""
        data, problem = load_toy(self.toy), self.problem
        if problem.draws_on_profile:
            problem = replace(problem, risk=_profile(data, problem.span))
        try:
            starts = _starts(data, problem, self.begin, FLAT, PATIENCE)
            if len(starts) > 1:
                starts = [_raced(data, problem, starts).sigmas]
            found, _ = minimum(data, problem, starts[0])
        except ValueError as error:
            return {"begin": self.begin, "sigmas": None, "value": None, "reason": str(error)}
        return {
            "begin": self.begin,
            "sigmas": found.sigmas.tolist(),
            "value": found.value,
            "evaluations": found.evaluations,
        }


def exact_optimum(toy: str, problem: Problem) -> Optimum:
    """The best levels of a sampler on a mixture.

    Args:
        toy: Name of a toy, or the text of a mixture file.
        problem: The sampler and the range.

    Raises:
        ValueError: The mixture has more than one dimension, the solver has no exact law, or no
            start has a finite KL.
    """
    tasks = descents(toy, problem)
    return best([task.run() for task in progress(tasks, "optimum")])


def descents(toy: str, problem: Problem) -> list[Descent]:
    """The descents from which `best` chooses."""
    data = load_toy(toy)
    if data.dim != 1:
        raise ValueError(
            f"toy must have d = 1 for schedule 'optimal', got d = {data.dim}; its profile is enough"
        )
    if not has_exact_law(problem):
        raise ValueError(
            "solver must have an exact law for schedule 'optimal' of a mixture, got "
            f"{problem.sampler.solver!r}; give the mixture's profile instead"
        )
    return [Descent(toy, problem, begin) for begin in _begins(problem, STARTS)]


def has_exact_law(problem: Problem) -> bool:
    """Whether the law of the sampler on a mixture of one coordinate is known."""
    span = problem.span
    try:
        stretches(problem.shape(np.geomspace(span.sigma_max, span.sigma_min, 5)))
    except ValueError:
        return False
    return True


def _begins(problem: Problem, names: Sequence[str]) -> list[str]:
    """Those of the starts that a problem has."""
    has = {"half": problem.halved() is not None, "scan": not problem.first_order}
    return [name for name in names if has.get(name, True)]


def best(results: Sequence[Mapping[str, Any]]) -> Optimum:
    """The best of the results of descents, with what the others found.

    Raises:
        ValueError: No descent has found a finite KL.
    """
    found = [result for result in results if result["sigmas"] is not None]
    if not found:
        raise ValueError(f"levels must give a finite KL, got: {results[0]['reason']}")
    first = min(found, key=lambda result: float(result["value"]))
    others = {
        str(r["begin"]): None if r["value"] is None else r["value"] / first["value"] - 1.0
        for r in results
    }
    warnings = list(close_levels(np.array(first["sigmas"])))
    if first["value"] < VANISHED:
        warnings.append(
            "the divergence vanishes on these levels, and on many others: they are not determined"
        )
    elif any(_is_another(r, first) for r in results):
        near = min(r["value"] for r in results if _is_another(r, first)) / first["value"] - 1.0
        warnings.append(
            f"another minimum is only {100.0 * near:.2g} % worse, with other levels; small changes "
            "of the data may exchange the two"
        )
    return Optimum(
        np.array(first["sigmas"]),
        float(first["value"]),
        {"optimum": "exact", "kl_data_model": first["value"], "excess_of_starts": others},
        tuple(warnings),
    )


def _is_another(result: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Whether a descent has found a minimum nearly as good as the first, with other levels."""
    if result["sigmas"] is None or result["value"] > (1.0 + NEAR) * first["value"]:
        return False
    logs = [np.log([level for level in one["sigmas"] if level > 0]) for one in (result, first)]
    gap = (logs[0][0] - logs[0][-1]) / max(logs[0].size - 1, 1)
    return bool(np.abs(logs[0] - logs[1]).max() > OTHER * gap)


def minimum(
    data: Mixture, problem: Problem, start: Array, flat: float = FLAT, patience: int = PATIENCE
) -> tuple[Minimum, int]:
    """The minimum of the exact KL that a descent from given levels reaches.

    The resolution and the domain of the quadrature are those at which the KL has settled, at the
    start and at the end.

    Args:
        data: One-dimensional data.
        problem: The sampler and the range.
        start: Levels from which the search starts.
        flat: Derivatives of log KL that end it.
        patience: Evaluations without a gain that end it.

    Returns:
        The minimum, and the pass of the quadrature at which it was found.

    Raises:
        ValueError: The KL is infinite at the start, or does not settle.
    """
    if not problem.span.fractions.size:  # nothing to search for, and often a KL of thousands
        return _only(data, problem, start), 0
    level, value = _settled(data, problem, start, 0)
    if value < VANISHED:  # a step may be exact for the data, as one with the matched call
        return Minimum(start, max(value, ROUNDING), 1), level
    most, evaluations = FAR_WORSE * value, 0
    while True:
        objective = Objective(data, problem, level, most)
        found = descend(objective, start, flat, patience=patience)
        evaluations += found.evaluations
        after, _ = _settled(data, problem, found.sigmas, level)
        if after == level:
            return replace(found, evaluations=evaluations), level
        level, start = after, found.sigmas


def model_minimum(data: Mixture, problem: Problem, flat: float) -> tuple[Minimum, int]:
    """The minimum for data that are only a model: of some starts, the best one is searched on.

    Args:
        data: One-dimensional data.
        problem: The sampler and the range.
        flat: Derivatives of log KL that end the search.

    Returns:
        The minimum, and the pass of the quadrature at which it was found.

    Raises:
        ValueError: No start has a finite KL that settles.
    """
    starts: list[Array] = []
    reason = ""
    for begin in _begins(problem, MODEL_STARTS):
        try:
            starts += _starts(data, problem, begin, COARSE, IMPATIENT)
        except ValueError as error:
            reason = str(error)
    if not starts:
        raise ValueError(reason)
    return minimum(data, problem, _raced(data, problem, starts).sigmas, flat, IMPATIENT)


def _raced(data: Mixture, problem: Problem, starts: Sequence[Array]) -> Minimum:
    """The best of the rough minima that short descents reach.

    Raises:
        ValueError: No start has a finite KL that settles.
    """
    found: list[Minimum] = []
    reason = ""
    for start in starts:
        try:
            found.append(minimum(data, problem, start, COARSE, IMPATIENT)[0])
        except ValueError as error:
            reason = str(error)
    if not found:
        raise ValueError(f"levels must give a finite KL, got: {reason}")
    return min(found, key=lambda one: one.value)


class Objective:
    """KL(data || sampler) and its derivatives by log sigma of every level, at one pass.

    Args:
        data: One-dimensional data.
        problem: The sampler and the range.
        level: Number of the pass, which sets resolution and domain.
        most: Largest value that is of use. Levels that are worse are refused, because maps of bad
            levels take long and a search has to turn back there anyway.
    """

    def __init__(self, data: Mixture, problem: Problem, level: int, most: float = np.inf) -> None:
        self._data, self._problem, self._level, self._most = data, problem, level, most

    def law(self, sigmas: Array) -> DifferentiableKL:
        """The divergence at the levels."""
        table = self._problem.make(sigmas)
        given = self._data, table, self._problem.sampler.start
        resolution, reach = RESOLUTION * 1.25**self._level, FIRST_REACH * 2.0**self._level
        return DifferentiableKL(*given, resolution, reach, POINTS_OF_MAP, RTOL)

    def __call__(self, sigmas: Array) -> tuple[float, Array]:
        """Value and derivatives."""
        law = self.law(sigmas)
        if not law.value < self._most:
            raise ValueError(f"levels must have a KL below {self._most:g}, got {law.value:g}")
        return law.value, levels_gradient(self._problem.make, sigmas, law.gradient())


def _settled(data: Mixture, problem: Problem, sigmas: Array, level: int) -> tuple[int, float]:
    """The first pass, from a given one, whose KL the next pass confirms, and the KL."""
    value = Objective(data, problem, level).law(sigmas).value
    for after in range(level + 1, MOST_PASSES + 1):
        finer = Objective(data, problem, after).law(sigmas).value
        if abs(finer - value) <= max(SETTLED * abs(finer), ROUNDING):
            return after - 1, finer
        value = finer
    raise ValueError(
        f"n_steps must give levels whose KL is found to {SETTLED:g} relative, got values that "
        f"still move, {value:g} nats at last; take more steps"
    )


def _only(data: Mixture, problem: Problem, sigmas: Array) -> Minimum:
    """The levels of a range without an inner level, with their KL."""
    found = exact_kl(data, problem.make(sigmas), problem.sampler.start, SETTLED)
    if found.value is None or not np.isfinite(found.value):
        raise ValueError(found.reason or "the KL of the only levels is infinite")
    return Minimum(sigmas, found.value, 1)


def _starts(data: Mixture, problem: Problem, begin: str, flat: float, patience: int) -> list[Array]:
    """Levels from which descents start."""
    if begin == "scan":
        return _scanned(data, problem)
    if begin == "half":
        fewer = problem.halved()
        assert fewer is not None
        found, _ = minimum(data, fewer, _law(data, fewer), flat, patience)
        return [doubled(found.sigmas, problem.span.n_steps, problem.span.terminal)]
    if begin == "law":
        return [_law(data, problem)]
    span = problem.span
    ends = span.terminal, span.sigma_min, span.sigma_max
    return [schedule("log_snr", span.n_steps, None, None, *ends)]


def _scanned(data: Mixture, problem: Problem) -> list[Array]:
    """The best lists of the family that differ, best first.

    Raises:
        ValueError: None of them has a finite KL.
    """
    start = problem.sampler.start
    values: list[tuple[float, Array]] = []
    reason = "no levels that differ"
    for sigmas in family(problem.span):
        given = start, RESOLUTION, FIRST_REACH, SCAN_POINTS, SCAN_RTOL
        try:
            value = DifferentiableKL(data, problem.make(sigmas), *given).value
        except ValueError as error:
            reason = str(error)
            continue
        values.append((value if value > 0 else np.inf, sigmas))
    ranked = sorted((pair for pair in values if pair[0] < np.inf), key=lambda pair: pair[0])
    least = APART * np.log(problem.span.sigma_max / problem.span.sigma_min)
    chosen: list[Array] = []
    for _, sigmas in ranked:
        inner = slice(0, np.count_nonzero(sigmas))
        logs = np.log(sigmas[inner])
        if all(np.abs(logs - np.log(other[inner])).max() > least for other in chosen):
            chosen.append(sigmas)
        if len(chosen) == SCANNED:
            break
    if not chosen:
        raise ValueError(f"levels must give a finite KL, got: {reason}")
    return chosen


def _law(data: Mixture, problem: Problem) -> Array:
    """The levels of the law, from the mixture's profile."""
    span = problem.span
    ends = span.terminal, span.sigma_min, span.sigma_max
    return schedule("law", span.n_steps, None, _profile(data, span), *ends, form=problem.form)


def _profile(data: Mixture, span: Span) -> Profile:
    """The mixture's profile in the range."""
    grid = np.geomspace(span.sigma_min, span.sigma_max, POINTS)
    grid[0], grid[-1] = span.sigma_min, span.sigma_max
    return Profile(1, grid, information.mmse(data, grid))
