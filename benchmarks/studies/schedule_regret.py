"""How far every schedule is from the best levels: KL over the least KL, at equal network calls.

Every schedule of the registry and every published optimiser chooses levels between 80 and 0.002 for
the same samplers on the same one-dimensional mixtures, from their exact profile or denoiser. The
mixtures are in two halves, which were drawn once and are kept in REGRET_MIXTURES: one to look at
while rules are made, and one that is only reported. The whole study takes hours, so its rows are
kept in REGRET_ROWS, from which the figure is drawn, except with the budget "quick".

A row without a value has a reason. Its error is 0 if the KL is infinite, and null if it is unknown.
The least KL is the least known one, of the searches and of all methods, since a search may miss the
best levels of a solver whose map folds often, or fail on a map that is torn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engine.results import RESULTS, results_file, rows_new, rows_now
from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store, write_csv
from benchmarks.engine.toy_profiles import toy_profile
from benchmarks.optimum.exact import best, descents
from benchmarks.optimum.optimal import ProfileOptimum
from benchmarks.optimum.problem import Problem, Sampler
from benchmarks.optimum.published.registry import PUBLISHED
from benchmarks.optimum.registry import OWN, SCHEDULES, schedule
from benchmarks.optimum.stand_in import StandIn, fit_stand_ins
from theory.checks import Array
from theory.levels import Span
from theory.profiles.profile import Profile
from theory.solvers.registry import shape_table
from theory.versions import versions
from toys.files import load_toy, toy_text
from toys.mixture import Mixture

REGRET_ROWS = results_file("schedule_regret")
REGRET_MIXTURES = RESULTS / "regret_mixtures.json"
COMMAND = "entropic figures schedule_regret --recompute"
HIGH, LOW = 80.0, 0.002
SOLVERS = ("stochastic_ddim", "ddim", "dpmpp_2m", "heun", "unipc_2")
CALLS = (4, 8, 16, 32)
# The order of the work: the cheaper solvers first, and the dearest at many calls last.
STAGES = ((SOLVERS[:2], CALLS), (SOLVERS[2:], CALLS[:2]), (SOLVERS[2:], CALLS[2:]))
HALVES = {"look": 1801, "report": 1802}  # seeds of `drawn`
EACH, POINTS = 20, 2  # mixtures per half, and how many of them are points
NOISE = 0.01  # relative noise of the profile of "optimal_noisy"
NOISY = ("stochastic_ddim", "ddim")  # solvers for which it is computed
RTOL = 1e-6
# The registry without `spectral`, which needs a profile by frequency.
REGISTRY = tuple(sorted(set(SCHEDULES) - {*OWN, "spectral"}))
METHODS = ("optimum", "optimal", "optimal_noisy", *REGISTRY, *PUBLISHED)


def drawn(rng: np.random.Generator, smallest: float, largest: float) -> Mixture:
    """A random mixture of mean 0 and variance 1, with 2 to 15 components.

    The stds are of log-uniform size, equal or, in one half of the cases, of log-normal spread 0.5.

    Args:
        rng: Generator.
        smallest: Least size of the stds before the mixture is scaled; both 0 for points.
        largest: Largest size.
    """
    k = int(rng.integers(2, 16))
    size = float(np.exp(rng.uniform(np.log(smallest), np.log(largest)))) if largest else 0.0
    spread = 0.5 * float(rng.integers(0, 2))
    means, weights = rng.normal(size=k), rng.dirichlet(np.full(k, 3.0))
    mixture = Mixture(weights, means, size * np.exp(spread * rng.normal(size=k)))
    return mixture.scaled(float(mixture.mean[0]), 1.0 / float(np.sqrt(mixture.variance)))


def draw_mixtures() -> dict[str, Mixture]:
    """The mixtures of the study as they were drawn; `mixtures` reads the kept ones."""
    out: dict[str, Mixture] = {}
    for half, seed in HALVES.items():
        rng = np.random.default_rng(seed)
        for i in range(EACH):
            sizes = (0.01, 0.6) if i < EACH - POINTS else (0.0, 0.0)
            out[f"{half}-{i + 1:02d}"] = drawn(rng, *sizes)
    return out


@cache
def mixtures() -> dict[str, str]:
    """Text of every mixture of the study by its name, which begins with that of its half."""
    kept = json.loads(REGRET_MIXTURES.read_text(encoding="utf-8"))
    return {name: json.dumps(fields) for name, fields in kept.items()}


def steps_of(solver: str, calls: int) -> int:
    """Number of steps that network calls pay for."""
    per_step = shape_table(solver, np.geomspace(HIGH, LOW, 5), HIGH).nfe / 4
    return round(calls / per_step)


@dataclass(frozen=True)
class StandIns:
    """The stand-ins of a mixture's profile.

    Args:
        toy: The mixture, as text.
        noise: Relative white noise on the profile; 0 for the exact one.
    """

    toy: str
    noise: float = 0.0

    def run(self) -> list[list[Any]]:
        """Mixture as text, misfit, its error and score of every stand-in."""
        fits = fit_stand_ins(profile_of(self.toy, self.noise))
        return [[json.dumps(f.mixture.to_dict()), f.misfit, f.misfit_error, f.score] for f in fits]


def profile_of(toy: str, noise: float = 0.0) -> Profile:
    """The profile of a mixture, with white noise that its text determines."""
    profile = toy_profile(toy, LOW, HIGH)
    if not noise:
        return profile
    rng = np.random.default_rng(np.frombuffer(toy_text(toy).encode(), np.uint8))
    risk = profile.mmse * (1.0 + noise * rng.normal(size=profile.mmse.size))
    return Profile(1, profile.sigma, risk, noise * profile.mmse)


@dataclass(frozen=True)
class RegretCell:
    """All methods for one sampler on one mixture.

    Args:
        toy: The mixture, as text.
        solver: Name of the solver.
        calls: Number of network calls.
        fits: What `StandIns` has found.
        noisy: The same for the noisy profile; empty to leave `optimal_noisy` out.
    """

    toy: str
    solver: str
    calls: int
    fits: tuple[tuple[Any, ...], ...]
    noisy: tuple[tuple[Any, ...], ...] = ()

    def run(self) -> list[dict[str, Any]]:
        """One row per method."""
        span = Span(steps_of(self.solver, self.calls), HIGH, LOW, "stop")
        problem = Problem(Sampler(self.solver), span)
        try:
            found = best([task.run() for task in descents(self.toy, problem)])
        except ValueError as error:  # the map is torn
            rows = [{"schedule": "optimum", "reason": str(error), "error": None}]
        else:
            rows = [self._row("optimum", found.sigmas)]
            rows[0]["sigmas"] = " ".join(f"{sigma:.10g}" for sigma in found.sigmas)
        for method in METHODS[1:]:
            if method == "optimal_noisy" and not self.noisy:
                continue
            try:
                sigmas = self._levels(method, problem)
            except ValueError as error:
                rows.append({"schedule": method, "reason": str(error), "error": None})
            else:
                rows.append(self._row(method, sigmas))
        return rows

    def _levels(self, method: str, problem: Problem) -> Array:
        """The levels that a method chooses."""
        n_steps = problem.span.n_steps
        if method in PUBLISHED:
            return PUBLISHED[method](load_toy(self.toy), n_steps, HIGH, LOW, solver=self.solver)
        noise = NOISE if method == "optimal_noisy" else 0.0
        profile = profile_of(self.toy, noise)
        if method in REGISTRY:
            ends = "stop", LOW, HIGH
            solver = self.solver if method == "law" else None
            return schedule(method, n_steps, "edm", profile, *ends, solver=solver)
        fits = [
            StandIn(load_toy(text), misfit, error, score)
            for text, misfit, error, score in (self.noisy if noise else self.fits)
        ]
        return ProfileOptimum(profile, problem, fits).optimum.sigmas

    def _row(self, method: str, sigmas: Array) -> dict[str, Any]:
        """The exact KL of the sampler on the levels."""
        levels = tuple(sigmas.tolist())
        metrics = (("kl_data_model", RTOL),)
        (found,) = Setting(
            self.toy, method, len(levels) - 1, self.solver, sigmas=levels, metrics=metrics
        ).run()
        kept = {"kl_data_model": found["value"], "error": found["error"]}
        return {"schedule": method, **kept, "reason": found["reason"], "nfe": int(found["nfe"])}


def regret_rows(
    store: Store,
    jobs: int | None,
    names: tuple[str, ...] | None = None,
    solvers: tuple[str, ...] = SOLVERS,
    calls: tuple[int, ...] = CALLS,
) -> Iterator[pd.DataFrame]:
    """The rows of the study, one table per number of calls.

    Args:
        store: Where results are kept.
        jobs: Number of worker processes.
        names: Names of the mixtures. Default: all.
        solvers: Names of the solvers.
        calls: Numbers of network calls.
    """
    toys = {name: mixtures()[name] for name in (names or mixtures())}
    fits = _stand_ins(list(toys.values()), 0.0, store, jobs)
    noisy = _stand_ins([t for n, t in toys.items() if n.startswith("report")], NOISE, store, jobs)
    for count in calls:
        cells = {
            (name, solver): RegretCell(
                toy, solver, count, fits[toy], noisy.get(toy, ()) if solver in NOISY else ()
            )
            for name, toy in toys.items()
            for solver in solvers
        }
        found = run_tasks(list(cells.values()), store, jobs, f"schedule regret, {count} calls")
        rows = []
        for (name, solver), part in zip(cells, found, strict=True):
            data = load_toy(toys[name])
            values = [row.get("kl_data_model") for row in part]
            least = min((value for value in values if value is not None), default=None)
            shared = {
                "half": name.partition("-")[0],
                "toy": name,
                "components": data.size,
                "solver": solver,
                "terminal": "stop",
                "calls": count,
            }
            for row in part:
                value = row.get("kl_data_model")
                regret = None if value is None or least is None else f"{value / least:.7g}"
                shown = None if value is None else f"{value:.10g}"
                error = None if row["error"] is None else f"{row['error']:.2g}"
                own = {"kl_data_model": shown, "error": error, "regret": regret}
                rows.append(shared | row | own)
        yield pd.DataFrame(rows)


def _stand_ins(
    toys: list[str], noise: float, store: Store, jobs: int | None
) -> dict[str, tuple[tuple[Any, ...], ...]]:
    """What `StandIns` finds for every mixture."""
    found = run_tasks([StandIns(toy, noise) for toy in toys], store, jobs, "stand-ins")
    return {toy: tuple(tuple(fit) for fit in part) for toy, part in zip(toys, found, strict=True)}


def compute_study(store: Store, jobs: int | None) -> None:
    """Compute REGRET_ROWS again, for `entropic figures schedule_regret --recompute`.

    The rows of every number of calls are written as soon as they are there.
    """
    parts: list[pd.DataFrame] = []
    for solvers, calls in STAGES:
        for part in regret_rows(store, jobs, None, solvers, calls):
            parts.append(part)
            table = pd.concat(parts, ignore_index=True).assign(**versions())
            table.insert(0, "command", COMMAND)
            write_csv(table, rows_new(REGRET_ROWS))


def regrets(table: pd.DataFrame) -> pd.Series:
    """KL over the least KL: infinite where the KL is, NaN where one of them is unknown."""
    infinite = table["kl_data_model"].isna() & pd.to_numeric(table["error"]).notna()
    return pd.to_numeric(table["regret"]).mask(infinite, np.inf)


def summary(table: pd.DataFrame, half: str = "report") -> pd.DataFrame:
    """Median and ninetieth percentile of KL over the least KL, per method and solver.

    Args:
        table: Rows of the study.
        half: The half of the mixtures that counts.

    Returns:
        One row per method, solver and number of calls, with "median", "high" (the ninetieth
        percentile), "worst", "within" (the share within 1.10) and "count" (of the known values).
        A KL that is infinite counts as such.
    """
    rows = table[(table["half"] == half) & (table["schedule"] != "optimum")]
    rows = rows.assign(regret=regrets(rows)).dropna(subset="regret")
    groups = rows.groupby(["schedule", "solver", "calls"])["regret"]
    return groups.agg(
        median=lambda v: v.quantile(0.5, "lower"),
        high=lambda v: v.quantile(0.9, "nearest"),
        worst="max",
        within=lambda v: float((v <= 1.1).mean()),
        count="size",
    ).reset_index()


def markdown(table: pd.DataFrame, solver: str) -> list[str]:
    """Lines of a Markdown table of a solver: median and ninetieth percentile per method."""
    found = summary(table).query("solver == @solver").set_index(["schedule", "calls"])
    counts = sorted(set(found.index.get_level_values("calls")))
    head = "| levels | " + " | ".join(f"{count} calls" for count in counts) + " |"
    lines = [head, "|---" * (1 + len(counts)) + "|"]
    names = [name for name in METHODS if (name, counts[0]) in found.index]
    order = {name: found.xs(name)["median"].median() for name in names}
    for name in sorted(names, key=lambda name: float(order[name])):
        cells = [
            f"{_shown(found.loc[(name, count), 'median'])}, "
            f"{_shown(found.loc[(name, count), 'high'])}"
            for count in counts
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def _shown(value: float) -> str:
    """A factor with three digits or "> 10⁴"."""
    if value >= 1e4:
        return "> 10⁴"
    return f"{value:.2f}" if value < 10.0 else f"{value:.3g}"


QUICK = (("look-03", "report-10"), ("ddim",), (4, 8))


def schedule_regret(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """KL over the least KL, for every schedule and published optimiser, at equal network calls."""
    if budget == "quick":
        return pd.concat(regret_rows(store, jobs, *QUICK), ignore_index=True)
    if budget == "paper":
        return pd.concat(regret_rows(store, jobs), ignore_index=True)
    return pd.read_csv(rows_now(REGRET_ROWS), dtype={"reason": object}).drop(columns="command")
