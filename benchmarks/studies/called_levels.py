"""What the level of the call is worth: exact KL of first-order samplers at equal calls and levels.

The mixtures are those of `schedule_regret`, whose second half is only reported. Every sampler goes
down EDM's grid, levels uniform in log SNR, those of `law` from the exact profile, and its own best
levels. Products of Gaussians have the divergence in closed form, and mixtures in 32 dimensions are
sampled (`benchmarks.studies.called.samples`). The study takes hours, so its rows are kept in
CALLED_ROWS, from which the figure is drawn, except with the budget "quick". Those of trained
networks are in CALLED_NETWORK_ROWS (`benchmarks.training.called`).

A row without a value has a reason. Its error is 0 if the KL is infinite, and null if it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engine.results import results_file, rows_new, rows_now
from benchmarks.engine.run import run_tasks
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store, write_csv
from benchmarks.optimum.exact import best, descents
from benchmarks.optimum.problem import Problem, Sampler
from benchmarks.optimum.registry import schedule
from benchmarks.studies.called import ceiling
from benchmarks.studies.called.samples import sampled_rows
from benchmarks.studies.schedule_regret import (
    HIGH,
    LOW,
    REGRET_ROWS,
    mixtures,
    profile_of,
    steps_of,
)
from theory.checks import Array
from theory.levels import Span
from theory.solvers.gaussian_kl import gaussian_sum_kl
from theory.solvers.registry import REGISTRY, draws_on_profile, make_table
from theory.solvers.table import SolverTable
from theory.versions import versions
from toys.files import load_toy

CALLED_ROWS = results_file("called_levels")
CALLED_NETWORK_ROWS = results_file("called_networks")
COMMAND = "entropic figures called_levels --recompute"
# Every sampler by the name in the rows, as `solvers` of the commands take it.
FIRST_ORDER = (
    "ddim",
    "called_ddim",
    "ddim:call=matched",
    "stochastic_ddim",
    "called_ancestral",
    "stochastic_ddim:call=matched",
    "analytic_ddpm",
)
SAMPLERS = (*FIRST_ORDER, "dpmpp_2m", "unipc_2", "deis_2", "heun")
SCHEDULES = ("edm", "log_snr", "law")
CALLS = (4, 8, 16, 32, 64)
# Calls up to which the best levels are sought, on the mixtures on which nothing was chosen. Points
# are left out, on which a search takes up to an hour.
SEARCHED = {
    "called_ddim": 16,
    "called_ancestral": 16,
    "ddim:call=matched": 8,
    "stochastic_ddim:call=matched": 8,
    "analytic_ddpm": 8,
}
RTOL = 1e-6
TRAININGS = 3  # of a network
T_THREE = 4.302652729911275  # 97.5 % quantile of Student's t with two degrees of freedom
PRODUCTS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "1/k, d = 64": (64, lambda k: 1.0 / k),
    "1/k, d = 4096": (4096, lambda k: 1.0 / k),
    "1/sqrt(k), d = 64": (64, lambda k: k**-0.5),
    "1/sqrt(k), d = 4096": (4096, lambda k: k**-0.5),
    "two scales, d = 64": (64, lambda k: np.where(k <= 16, 1.0, 0.05)),
}


@dataclass(frozen=True)
class CalledCell:
    """One sampler on one mixture, on the named schedules or on its best levels.

    Args:
        toy: The mixture, as text.
        sampler: Name of the sampler, with its options.
        calls: Number of network calls.
        best: Whether its levels are its best ones.
        known: Its best levels, if they are known.
    """

    toy: str
    sampler: str
    calls: int
    best: bool = False
    known: tuple[float, ...] = ()

    def run(self) -> list[dict[str, Any]]:
        """One row per schedule."""
        name, options = REGISTRY.parse(self.sampler)
        own = tuple(sorted(options.items()))
        span = Span(steps_of(name, self.calls), HIGH, LOW, "stop")
        if not self.best:
            return [self._row(kind, self._levels(kind, span, own), own) for kind in SCHEDULES]
        found = np.array(self.known)
        if not found.size:
            tasks = descents(self.toy, Problem(Sampler(name, own), span))
            found = best([task.run() for task in tasks]).sigmas
        sigmas = " ".join(f"{sigma:.6g}" for sigma in found)
        return [self._row("optimal", found, own) | {"sigmas": sigmas}]

    def _levels(self, kind: str, span: Span, own: tuple[tuple[str, Any], ...]) -> Array:
        """The levels of a schedule."""
        profile, form = None, {}
        if kind == "law":
            profile, sampler = profile_of(self.toy), Sampler(self.sampler.partition(":")[0], own)
            form = {"form": Problem(sampler, span).form}
        return schedule(kind, span.n_steps, "edm", profile, "stop", LOW, HIGH, **form)

    def _row(self, kind: str, sigmas: Array, own: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
        """The exact KL of the sampler on the levels."""
        levels = tuple(sigmas.tolist())
        (found,) = Setting(
            self.toy, kind, len(levels) - 1, self.sampler.partition(":")[0], solver_options=own,
            sigmas=levels, metrics=(("kl_data_model", RTOL),),
        ).run()  # fmt: skip
        kept = {"kl_data_model": found["value"], "error": found["error"]}
        return {"schedule": kind, **kept, "reason": found["reason"], "nfe": int(found["nfe"])}


@cache
def _best_levels() -> dict[tuple[str, str, int], tuple[float, ...]]:
    """The best levels that `schedule_regret` has found, by mixture, solver and calls."""
    table = pd.read_csv(REGRET_ROWS, dtype=str, keep_default_na=False)
    found = table[(table["schedule"] == "optimum") & (table["sigmas"] != "")]
    columns = (found[name] for name in ("toy", "solver", "calls", "sigmas"))
    return {
        (toy, solver, int(calls)): tuple(float(v) for v in sigmas.split())
        for toy, solver, calls, sigmas in zip(*columns, strict=True)
    }


def mixture_rows(
    store: Store,
    jobs: int | None,
    names: tuple[str, ...] | None = None,
    samplers: tuple[str, ...] = SAMPLERS,
    calls: tuple[int, ...] = CALLS,
) -> Iterator[pd.DataFrame]:
    """The rows of the mixtures, one table per number of calls; those of best levels last.

    Args:
        store: Where results are kept.
        jobs: Number of worker processes.
        names: Names of the mixtures. Default: all.
        samplers: Names of the samplers.
        calls: Numbers of network calls.
    """
    toys = {name: mixtures()[name] for name in (names or mixtures())}
    known = _best_levels()
    searched = {n for n, toy in toys.items() if n[:6] == "report" and load_toy(toy).has_density}
    for best_ones in (False, True):
        for count in calls:
            cells = {}
            for name, toy in toys.items():
                for sampler in samplers:
                    levels = known.get((name, sampler, count), ())
                    sought = count <= SEARCHED.get(sampler, 0) and name in searched
                    if not best_ones:
                        cells[name, sampler] = CalledCell(toy, sampler, count)
                    elif levels or sought:
                        cells[name, sampler] = CalledCell(toy, sampler, count, True, levels)
            label = f"{'best levels' if best_ones else 'called levels'}, {count} calls"
            found = run_tasks(list(cells.values()), store, jobs, label)
            yield pd.DataFrame(
                {"data": "mixture", "half": name.partition("-")[0], "toy": name}
                | {"sampler": sampler, "calls": count}
                | row
                for (name, sampler), part in zip(cells, found, strict=True)
                for row in part
            )


@dataclass(frozen=True)
class _ProductRisk:
    """The profile of a product of Gaussians.

    Args:
        scales: Standard deviations of the coordinates.
    """

    scales: Array

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.scales.size

    def mmse_at(self, sigma: Any, /) -> Array:
        """The mmse, summed over coordinates."""
        s = np.asarray(sigma, dtype=np.float64)[..., None]
        return np.asarray(((s * self.scales / np.hypot(s, self.scales)) ** 2).sum(axis=-1))


def product_rows() -> pd.DataFrame:
    """KL per coordinate of all samplers on products of Gaussians, in closed form."""
    rows = []
    for label, (dim, spectrum) in PRODUCTS.items():
        every = np.asarray(spectrum(np.arange(1.0, dim + 1.0)))
        scales, sizes = np.unique(every, return_counts=True)
        risk = _ProductRisk(every)
        for sampler in SAMPLERS:
            name, options = REGISTRY.parse(sampler)
            profile = risk if draws_on_profile(name, options) else None
            for count in CALLS:
                for kind in ("edm", "log_snr"):
                    sigmas = schedule(kind, steps_of(name, count), "edm", None, "stop", LOW, HIGH)
                    table = make_table(name, sigmas, HIGH, profile=profile, **options)
                    assert isinstance(table, SolverTable)
                    value = gaussian_sum_kl(table, sizes / dim, scales)[0]
                    found = {"kl_data_model": value, "error": 0.0, "nfe": table.nfe}
                    own = {"toy": label, "sampler": sampler, "calls": count, "schedule": kind}
                    rows.append({"data": "product", "half": "report", **own, **found})
    return pd.DataFrame(rows)


def compute_study(store: Store, jobs: int | None) -> None:
    """Compute CALLED_ROWS and the free tables again; rows are written as they come."""
    ceiling.compute_study(store, jobs)
    parts = [product_rows(), sampled_rows(store, jobs, SAMPLERS, CALLS)]
    for part in mixture_rows(store, jobs):
        parts.append(part)
        table = pd.concat(parts, ignore_index=True).assign(**versions())
        table.insert(0, "command", COMMAND)
        write_csv(table, rows_new(CALLED_ROWS))


QUICK = (("report-03", "report-10"), ("ddim", "called_ddim", "dpmpp_2m"), (4, 8))


def called_levels(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """KL of first-order samplers with the call below the state's level, at equal calls."""
    if budget == "quick":
        parts = [product_rows(), *mixture_rows(store, jobs, *QUICK)]
        return pd.concat(parts, ignore_index=True)
    if budget == "paper":
        parts = [product_rows(), sampled_rows(store, jobs, SAMPLERS, CALLS)]
        return pd.concat([*parts, *mixture_rows(store, jobs)], ignore_index=True)
    rows = pd.read_csv(rows_now(CALLED_ROWS), dtype={"reason": object}).drop(columns="command")
    return pd.concat([rows, network_rows()], ignore_index=True)


def network_rows() -> pd.DataFrame:
    """Scores of trained networks, one row per target, sampler, share of the shift and calls.

    "score" is the mean over trainings and seeds of the noise, and "score_half" half the width of
    its 95 % interval, by Student's t over the trainings. "ratio" is the geometric mean over the
    trainings of the score over that with a share of 0 of the same training and seeds, with its
    95 % interval from "ratio_low" to "ratio_high".
    """
    rows = pd.read_csv(rows_now(CALLED_NETWORK_ROWS), low_memory=False)
    scores = rows[(rows["kind"] == "score") & (rows["told_shift"] == 0.0)]
    keys = ["target", "sampler", "share", "calls"]
    each = scores.groupby([*keys, "training"])["score"].mean()
    plain = each.xs(0.0, level="share").rename("plain")
    joined = each.reset_index().merge(
        plain.reset_index(), on=["target", "sampler", "calls", "training"]
    )
    joined["log"] = np.log(joined["score"] / joined["plain"])
    groups = joined.groupby(keys)
    found = groups.agg(
        score=("score", "mean"), spread=("score", "std"), count=("score", "size"),
        log=("log", "mean"), log_spread=("log", "std"),
    ).reset_index()  # fmt: skip
    enough = found["count"] == TRAININGS
    half, width = (
        (T_THREE * found[name] / found["count"] ** 0.5).where(enough)
        for name in ("spread", "log_spread")
    )
    found["calls"] = found["calls"].astype(int)
    return pd.DataFrame(
        {"data": "network", "toy": found["target"], "schedule": "edm"}
        | {key: found[key] for key in (*keys[1:], "score")}
        | {"score_half": half, "ratio": np.exp(found["log"])}
        | {"ratio_low": np.exp(found["log"] - width), "ratio_high": np.exp(found["log"] + width)}
    )
