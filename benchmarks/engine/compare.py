"""Schedules and solvers compared on one mixture: settings, their rows, and the table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.engine.recommend import Recommendation
from benchmarks.engine.rows import COLUMNS
from benchmarks.engine.run import run_settings
from benchmarks.engine.setting import Options, Setting, metrics_of, tidy
from benchmarks.measure.divergences import METRICS
from benchmarks.optimum.registry import REGISTRY as SCHEDULES
from theory.checks import monotone, one_of, positive, vector, whole
from theory.levels import TERMINALS, resampled
from theory.names import is_user_function
from theory.noise.processes import named_process
from theory.profiles.files import read_schedule
from theory.reading import looks_like_path
from theory.solvers.calls import equal_steps
from theory.solvers.registry import REGISTRY as SOLVERS
from theory.solvers.registry import shape_table
from theory.solvers.table import SolverTable
from toys.files import load_toy, toy_spec
from toys.mixture import Mixture

if TYPE_CHECKING:
    import pandas as pd

SCHEDULES_SHOWN = ("edm", "log_snr", "rescaled")
STEPS = (4, 8, 16, 32)
MOST_SETTINGS = 10**6


@dataclass(frozen=True)
class Levels:
    """A schedule to compare: a name with its options, or a list of levels.

    Args:
        name: Name of the schedule, or a label for the list.
        options: Options of the schedule.
        sigmas: The list, or None for a schedule by name.
        label: What stands in the column "schedule". Default: the name.
    """

    name: str
    options: Options = ()
    sigmas: tuple[float, ...] | None = None
    label: str | None = None


class Grid(NamedTuple):
    """Settings to compare with the names of their schedules, and the label of the mixture.

    Solvers that cannot make a step have only rows, `left_out`.
    """

    settings: list[Setting]
    names: list[str]
    left_out: list[dict[str, Any]]
    label: str


def compare(
    mixture: str | os.PathLike[str] | Mixture,
    schedules: Any = SCHEDULES_SHOWN,
    solvers: str | Sequence[str] = ("stochastic_ddim",),
    steps: int | Sequence[int] | None = None,
    *,
    nfe: int | Sequence[int] | None = None,
    process: str = "edm",
    terminal: str | None = None,
    start: str = "noise",
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    metrics: str | Sequence[str] = ("kl_data_model",),
    rtol: float | None = None,
    paths: int = 0,
    repeats: int = 1,
    seed: int = 0,
    store: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Compare schedules and solvers on a mixture, in every combination.

    Samplers are compared with the data at their last level, x0 + sigma_min eps.
    Values are exact where the sampler has an exact law. With `paths` the others are estimated by
    Monte Carlo; without, they are null, with the reason. Finished results are kept in the store and
    are not computed again.

    Args:
        mixture: The data: a mixture, the name of a toy, or a mixture file.
        schedules: Names, such as "edm" or "edm:rho=5", schedule files, lists of levels or
            recommendations; or a mapping from labels of your own to these, which stand in the
            column "schedule".
        solvers: Names, such as "ddim" or "stochastic_ddim:eta=0.5", or "all".
        steps: Numbers of steps. Default: 4, 8, 16 and 32. Lists of levels have their own, and
            their own ends too.
        nfe: Numbers of denoiser calls, in place of steps: each solver takes the most steps that
            make at most this number of calls, and lists of levels are resampled in log sigma.
        process: "edm" or "vp", which sets the default levels and the initial law.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0. Default: "stop".
        start: Initial law: "noise" for that of the process, "data" for the true law at sigma_max.
        sigma_min: Lowest positive level, in data units. Default: that of the process.
        sigma_max: Highest level, in data units. Default: that of the process.
        metrics: What is measured: "kl_data_model", "kl_start", "kl_discretisation", "tv", "w1".
        rtol: Relative tolerance of exact values. Default: 1e-8, and 1e-5 for tv and w1.
        paths: Number of Monte Carlo paths per repeat, for samplers without an exact law.
        repeats: Number of Monte Carlo repeats.
        seed: Seed of the paths, an integer in [0, 2**32).
        store: Folder of finished results. Default: the user's own.
        jobs: Number of worker processes. Default: all cores, for runs that take long.

    Returns:
        One row per setting and metric, with the columns of `benchmarks.engine.rows.COLUMNS`.

    Raises:
        ValueError: One line that names the argument, the rule and the value.
    """
    import pandas as pd  # it takes long to import

    found = grid(
        mixture,
        schedules,
        solvers,
        steps,
        nfe=nfe,
        process=process,
        terminal=terminal,
        start=start,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        metrics=metrics,
        rtol=rtol,
        paths=paths,
        repeats=repeats,
        seed=seed,
    )
    if jobs is not None:
        whole("jobs", jobs, 1)
    if not isinstance(store, str | os.PathLike | None):
        raise ValueError(f"store must be a path, got {type(store).__name__}")
    unique = list(dict.fromkeys(found.settings))
    for setting in unique:
        setting.check()
    rows = run_settings(unique, store, jobs, "settings")
    each = len(unique[0].metrics) if unique else 0
    of = {setting: rows[i * each : (i + 1) * each] for i, setting in enumerate(unique)}
    made = [
        row | {"toy": found.label, "schedule": name}
        for setting, name in zip(found.settings, found.names, strict=True)
        for row in of[setting]
    ]
    left_out = [row | {"toy": found.label} for row in found.left_out]
    return pd.DataFrame([*made, *left_out], columns=list(COLUMNS))


def grid(
    mixture: str | os.PathLike[str] | Mixture,
    schedules: Any,
    solvers: str | Sequence[str],
    steps: int | Sequence[int] | None = None,
    *,
    nfe: int | Sequence[int] | None = None,
    process: str = "edm",
    terminal: str | None = None,
    start: str = "noise",
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    metrics: str | Sequence[str] = ("kl_data_model",),
    rtol: float | None = None,
    paths: int = 0,
    repeats: int = 1,
    seed: int = 0,
) -> Grid:
    """The settings of `compare`, not yet checked; the arguments are those of `compare`."""
    spec, label = toy_spec(mixture), _label(mixture)
    items = _numbered([levels_of(item, name) for name, item in _named(schedules)])
    chosen = solvers_of(solvers)
    budgets, by_calls = _budgets(steps, nfe)
    own = named_process(process).name
    ends = {"sigma_min": sigma_min, "sigma_max": sigma_max}
    lists = [item.sigmas for item in items if item.sigmas is not None]
    if len(lists) == len(items):
        _check_lists(lists, None if steps is None else budgets, terminal, ends)
    terminal = "stop" if terminal is None else one_of("terminal", terminal, TERMINALS)
    for name, value in ends.items():
        if value is not None:
            positive(name, value)
    whole("paths", paths, 0)
    whole("repeats", repeats, 1)
    names = tuple(dict.fromkeys(_words("metrics", metrics)))
    for name in names:
        one_of("metrics", name, METRICS)
    base = Setting(
        spec,
        items[0].name,
        1,
        process=own,
        terminal=terminal,
        start=start,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        metrics=metrics_of(names, rtol),
        seed=seed,
    )
    found: dict[tuple[Setting, str], None] = {}
    left_out: list[dict[str, Any]] = []
    for item in items:
        for solver, options in chosen:
            here = replace(base, solver=solver, solver_options=options)
            made = _of_levels(here, item, budgets, by_calls)
            for budget, setting in zip(budgets, made, strict=False):  # a list gives one setting
                shown = item.label or item.name
                if not setting.n_steps:
                    rows = setting.without_steps(budget)
                    left_out += [row | {"schedule": shown} for row in rows]
                    continue
                if paths and not has_exact_law(setting):
                    setting = replace(setting, paths=paths, repeats=repeats)
                found[setting, shown] = None
    if len(found) > MOST_SETTINGS:
        raise ValueError(f"settings must be at most {MOST_SETTINGS}, got {len(found)}")
    return Grid([s for s, _ in found], [name for _, name in found], left_out, label)


def _check_lists(
    lists: list[tuple[float, ...]],
    steps: list[int] | None,
    terminal: str | None,
    ends: Mapping[str, float | None],
) -> None:
    """Refuse arguments that mean nothing to lists of levels where there is no other schedule."""
    for name, value in ends.items():
        if value is not None:
            raise ValueError(f"{name} must not stand with lists of levels alone, got {value}")
    for levels in lists:
        n, own = len(levels) - 1, "zero" if levels[-1] == 0 else "stop"
        if steps is not None and n not in steps:
            got = ", ".join(map(str, steps))
            raise ValueError(f"steps must be those of the lists of levels, as {n}, got {got}")
        if terminal is not None and terminal != own:
            raise ValueError(f"terminal must be that of the lists of levels, {own}, got {terminal}")


def _of_levels(
    base: Setting, item: Levels, budgets: Sequence[int], by_calls: bool
) -> Iterable[Setting]:
    """The settings of one schedule and one solver."""
    if item.sigmas is None:
        base = replace(base, schedule=item.name, schedule_options=item.options)
        for budget in budgets:
            n = steps_within(base, budget) if by_calls else budget
            yield replace(base, n_steps=n)
        return
    levels = np.array(item.sigmas)
    base = replace(base, schedule=item.name, terminal="zero" if levels[-1] == 0 else "stop")
    base = replace(base, sigma_min=None, sigma_max=None)
    if not by_calls:
        yield replace(base, n_steps=levels.size - 1, sigmas=item.sigmas)
        return
    for budget in budgets:
        n = steps_within(base, budget)
        kept = tuple(resampled(levels, n).tolist()) if n else item.sigmas
        yield replace(base, n_steps=n, sigmas=kept)


def steps_within(setting: Setting, calls: int) -> int:
    """The most steps of the setting's solver that make at most this number of calls; 0 if none."""
    zero = setting.terminal == "zero"
    return equal_steps(lambda n: _calls(setting.solver, setting.solver_options, n, zero), calls)


@lru_cache(maxsize=4096)
def _calls(solver: str, options: Options, n: int, zero: bool) -> int:
    """Denoiser calls of a solver in n steps, which do not depend on where the levels are."""
    levels = np.geomspace(80.0, 0.002, n + 1 - zero) if n > 1 or not zero else np.array([80.0])
    return shape_table(solver, np.append(levels, 0.0) if zero else levels, **dict(options)).nfe


def has_exact_law(setting: Setting) -> bool:
    """Whether the sampler of a setting has an exact law, as far as its table shows."""
    if load_toy(setting.toy).dim != 1:
        return False
    options = dict(setting.solver_options)
    table = shape_table(setting.solver, [8.0, 4.0, 2.0, 1.0], **options)
    if not isinstance(table, SolverTable) or not table.noise[:-1].any():
        return True
    for r in range(1, table.nfe):
        for columns in (table.keep, table.weights):
            used = np.flatnonzero(columns[r])
            # A state or an output from before an earlier row with noise.
            if used.size and table.noise[r - int(used[-1]) : r].any():
                return False
    return True


def levels_of(item: Any, label: str | None = None) -> Levels:
    """A schedule to compare, from a name, a file, a list of levels or a recommendation.

    Args:
        item: What it is made from.
        label: Name under which a list appears. Default: its file, its method or its length.
    """
    if isinstance(item, Levels):
        return item
    if isinstance(item, Recommendation):
        return Levels(label or item.method, (), tuple(item.sigmas.tolist()))
    if isinstance(item, str) and not is_file(item):
        name, options = SCHEDULES.parse(item)
        return Levels(name, tidy(options), None, label)
    if isinstance(item, str | os.PathLike):
        found = read_schedule(item)
        return Levels(label or os.fspath(item), (), tuple(found.sigmas.tolist()))
    levels = vector("schedules", item, 2)
    monotone("schedules", levels, falling=True, advice="a schedule runs from high to low noise")
    return Levels(label or f"list of {levels.size - 1} steps", (), tuple(levels.tolist()))


def _numbered(items: list[Levels]) -> list[Levels]:
    """The schedules, with lists of one name but other levels numbered in their order."""
    lists: dict[str, list[tuple[float, ...]]] = {}
    for item in items:
        known = lists.setdefault(item.name, [])
        if item.sigmas is not None and item.sigmas not in known:
            known.append(item.sigmas)
    return [
        replace(item, name=f"{item.name} ({lists[item.name].index(item.sigmas) + 1})")
        if item.sigmas is not None and len(lists[item.name]) > 1
        else item
        for item in items
    ]


def is_file(text: str) -> bool:
    """Whether a schedule given as text is a file, not a name with or without options."""
    name = text.split(":")[0] if ":" in text else text
    if text in SCHEDULES.functions or is_user_function(text) or "=" in text:
        return Path(text).is_file()
    return text == "-" or looks_like_path(name)


def solvers_of(solvers: str | Sequence[str]) -> list[tuple[str, Options]]:
    """Names and options of solvers, "all" being every one of the registry."""
    texts = _words("solvers", solvers)
    out: dict[tuple[str, Options], None] = {}
    for text in texts:
        if text == "all":
            out |= {(name, ()): None for name in SOLVERS.functions}
        else:
            name, options = SOLVERS.parse(text)
            out[(name, tidy(options))] = None
    return list(out)


def _words(name: str, words: str | Sequence[str]) -> list[str]:
    """One or several names as a list of at least one."""
    found = [words] if isinstance(words, str) else words
    if not isinstance(found, Iterable):
        raise ValueError(f"{name} must be names, got {type(words).__name__}")
    out = list(found)
    if not out:
        raise ValueError(f"{name} must name at least one, got none")
    return out


def _named(schedules: Any) -> list[tuple[str | None, Any]]:
    """Pairs of a label, or None, and a schedule."""
    if isinstance(schedules, Mapping):
        pairs: list[tuple[str | None, Any]] = [(str(k), item) for k, item in schedules.items()]
    elif isinstance(schedules, str | os.PathLike | Recommendation | Levels | np.ndarray):
        pairs = [(None, schedules)]
    else:
        if not isinstance(schedules, Iterable):
            raise ValueError(f"schedules must be names or levels, got {type(schedules).__name__}")
        items = list(schedules)
        numbers = items and all(isinstance(item, int | float | np.number) for item in items)
        pairs = [(None, items)] if numbers else [(None, item) for item in items]
    if not pairs:
        raise ValueError("schedules must name at least one, got none")
    return pairs


def _budgets(
    steps: int | Sequence[int] | None, nfe: int | Sequence[int] | None
) -> tuple[list[int], bool]:
    """Numbers of steps or of calls, and whether they are calls."""
    if steps is not None and nfe is not None:
        raise ValueError("steps must not stand with nfe, got both; give one")
    given = STEPS if steps is None and nfe is None else nfe if steps is None else steps
    name = "steps" if nfe is None else "nfe"
    values: list[Any] = list(given) if isinstance(given, Iterable) else [given]
    if not values:
        raise ValueError(f"{name} must hold at least one number, got none")
    return [whole(name, value, 1, MOST_SETTINGS) for value in values], nfe is not None


def _label(mixture: str | os.PathLike[str] | Mixture) -> str:
    return repr(mixture) if isinstance(mixture, Mixture) else os.fspath(mixture)
