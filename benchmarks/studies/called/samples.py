"""What the level of the call is worth in 32 dimensions: Frechet distances of samples.

Two mixtures of eight Gaussians, drawn once: one whose scales fall as 1/k over the coordinates, as
in images, and one whose coordinates are alike. The mean and covariance of the data are exact, those
of the sampler are of PATHS samples per seed. The row "data" is the distance of samples of the data
themselves with the least noise: what no sampler can fall below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store
from benchmarks.engine.toy_profiles import toy_profile
from benchmarks.measure.frechet import Moments, frechet, statistics_of
from benchmarks.optimum.registry import schedule
from benchmarks.studies.schedule_regret import HIGH, LOW, steps_of
from theory.profiles.profile import Profile
from theory.solvers.registry import REGISTRY, draws_on_profile, make_table
from toys.files import toy_spec
from toys.mixture import Mixture
from toys.sampling import sample

DIM, COMPONENTS, SEED = 32, 8, 1903
PATHS, SEEDS = 50_000, (70, 71, 72)
SCHEDULES, MOST_CALLS = ("edm", "log_snr"), 32
DATA = "data"  # in place of a sampler


@cache
def data_sets() -> dict[str, Mixture]:
    """The two mixtures by name."""
    rng = np.random.default_rng(SEED)
    out = {}
    for name, scales in (
        ("8 Gaussians, d = 32, 1/k", 1.0 / np.arange(1.0, DIM + 1.0)),
        ("8 Gaussians, d = 32, alike", np.ones(DIM)),
    ):
        weights = rng.dirichlet(np.full(COMPONENTS, 3.0))
        means = rng.normal(size=(COMPONENTS, DIM)) * scales
        stds = scales * np.exp(rng.uniform(np.log(0.1), np.log(0.6), size=(COMPONENTS, DIM)))
        out[name] = Mixture(weights, means, stds)
    return out


def moments_of(data: Mixture) -> Moments:
    """Exact mean and covariance of a mixture."""
    centred = data.means - data.mean
    within = np.diag(data.weights @ data.stds**2)
    return Moments(data.mean, within + (centred * data.weights[:, None]).T @ centred)


@cache
def _risk(name: str) -> Profile:
    """The profile of a mixture, by Monte Carlo: two minutes."""
    return toy_profile(toy_spec(data_sets()[name]), LOW, HIGH)


@dataclass(frozen=True)
class SampledCell:
    """The distance of one sampler, or of the data, from the data.

    Args:
        name: A key of `data_sets`.
        sampler: Name of the sampler with its options, or DATA.
        schedule: Name of the schedule.
        calls: Number of network calls.
        seed: Seed of the samples.
    """

    name: str
    sampler: str
    schedule: str
    calls: int
    seed: int

    def run(self) -> float:
        """The squared Frechet distance; infinite where a state leaves the range of float64."""
        data = data_sets()[self.name]
        if self.sampler == DATA:
            x = data.sample(PATHS, self.seed, 0, LOW)
        else:
            solver, options = REGISTRY.parse(self.sampler)
            steps = steps_of(solver, self.calls)
            sigmas = schedule(self.schedule, steps, "edm", None, "stop", LOW, HIGH)
            risk = _risk(self.name) if draws_on_profile(solver, options) else None
            x = sample(
                data, make_table(solver, sigmas, HIGH, profile=risk, **options), PATHS, self.seed
            )
        if not np.isfinite(x).all():
            return float("inf")
        return frechet(statistics_of(x).moments(), moments_of(data))


def sampled_rows(
    store: Store,
    jobs: int | None,
    samplers: tuple[str, ...],
    calls: tuple[int, ...],
    names: tuple[str, ...] | None = None,
) -> pd.DataFrame:
    """One row per mixture, sampler, schedule and number of calls.

    "frechet" is the mean over the seeds, and "frechet_sd" their standard deviation.
    """
    settings = [
        (name, sampler, kind, count)
        for name in names or data_sets()
        for sampler in (DATA, *samplers)
        for kind in SCHEDULES
        for count in calls
        if count <= MOST_CALLS
        if sampler != DATA or (kind, count) == (SCHEDULES[0], calls[0])
    ]
    cells = [SampledCell(*setting, seed) for setting in settings for seed in SEEDS]
    found = np.reshape(run_tasks(cells, store, jobs, "samples in 32 dimensions"), (-1, len(SEEDS)))
    table = pd.DataFrame(settings, columns=["toy", "sampler", "schedule", "calls"])
    table.insert(0, "data", "samples")
    return table.assign(frechet=found.mean(axis=1), frechet_sd=found.std(axis=1, ddof=1))
