"""The tables of the figures on paper B: its two mixture tables, and what schedules are made of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.experiments import (
    PROFILE_POINTS,
    SAMPLED_POINTS,
    ToyProfile,
    schedule,
    to_profile,
)
from benchmarks.mixture_tasks import MixtureSampler
from benchmarks.pathwise import Pathwise
from benchmarks.run import run_tasks
from benchmarks.store import ROOT, Store, versions, write_csv
from theory.las import Objective, Saturating, optimal_grid
from theory.las_levels import natural_lambda
from theory.noise import PROCESSES
from theory.profile import Profile
from theory.schedules import SCHEDULES
from theory.solvers import make_table
from toys import sampling, zoo
from toys.kernels import Array

MIXTURE_ROWS = ROOT / "benchmarks" / "results" / "las_mixtures.csv"
VP = PROCESSES["vp"]
MIXTURES = ("circle8", "grid8")
SAMPLERS = ("stochastic_ddim", "sde_dpmpp_2m")
COMPARED = ("las", "vp_linear", "edm", "log_snr", "entropic", "rescaled")
CALLS = (5, 7, 10, 20, 50)
PAPER_LAMBDA = 1.0 / 16.0  # inferred: with it the paper's tables come out
PAPER_CANDIDATES = 1000  # uniform in t, as inferred
QUICK_POINTS = 20  # levels of the profiles in a quick figure
SHOWN, SHOWN_CALLS = 1500, 5  # samples a schedule in the figure, of stochastic DDIM

EDM = PROCESSES["edm"]
LINE_TOY = "gaussians15_overlap"
LINE_STEPS = (2, 4, 8, 16, 32, 64)
FOLLOWED = 10  # steps of the schedules that are followed level by level
LAMBDA_STEPS = (5, 10, 20)
LAMBDAS = np.geomspace(1e-5, 10.0, 25)
LINE_SCHEDULES = ("las_0", "las", "edm", "log_snr", "entropic", "rescaled")
# Spectral needs images, and InfoGrid's gate is for networks.
ALL_COMPARED = tuple(name for name in SCHEDULES if name not in ("spectral", "infogrid"))
COMPARED_TOY, COMPARED_STEPS = "circle8", 10


def mixture_profiles(
    store: Store,
    jobs: int | None,
    names: Sequence[str] = MIXTURES,
    points: int = SAMPLED_POINTS,
) -> dict[str, Profile]:
    """Profiles of mixtures over the VP process."""
    tasks = [ToyProfile(name, VP.sigma_min, VP.sigma_max, points) for name in names]
    rows = run_tasks(tasks, store, jobs, "profiles")
    return {t.toy: to_profile(row, {"toy": t.toy}) for t, row in zip(tasks, rows, strict=True)}


def mixture_sigmas(name: str, calls: int, profile: Profile) -> Array:
    """Levels of a schedule between the ends of the VP process; LAS with the inferred settings."""
    if name != "las":
        return schedule(name, calls, "vp", profile)
    t = np.linspace(
        float(VP.coordinate.time(VP.sigma_max)),
        float(VP.coordinate.time(VP.sigma_min)),
        PAPER_CANDIDATES,
    )
    sigma = VP.coordinate.sigma(t)
    sigma[[0, -1]] = VP.sigma_max, VP.sigma_min
    risk = profile.mmse_at(sigma)
    goal = Objective(Saturating(PAPER_LAMBDA))
    return np.asarray(sigma[optimal_grid(sigma**-2.0, risk, calls, goal).indices])


def mixture_study(store: Store, jobs: int | None) -> pd.DataFrame:
    """Every schedule and sampler on both mixtures."""
    profiles = mixture_profiles(store, jobs)
    tasks = [
        MixtureSampler(toy, "vp", name, tuple(mixture_sigmas(name, n, profiles[toy]).tolist()), s)
        for toy in MIXTURES
        for s in SAMPLERS
        for name in COMPARED
        for n in CALLS
    ]
    return pd.DataFrame(run_tasks(tasks, store, jobs, "mixtures"))


def compute_mixture_study(store: Store, jobs: int | None, path: Path = MIXTURE_ROWS) -> None:
    """The rows of the figure `las_mixtures`, about five minutes; resumes, replaces them whole."""
    table = mixture_study(store, jobs)
    table.insert(0, "command", "entropic figures las_mixtures --recompute")
    write_csv(table, path)


def las_mixtures(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper B's two mixture tables: kind "sampler", from the study, and "sample", points to see.

    Kind "sample" (and "data"): SHOWN samples (x, y) of stochastic DDIM after SHOWN_CALLS calls.
    """
    rows = mixture_study(store, jobs) if budget == "paper" else pd.read_csv(MIXTURE_ROWS)
    rows = rows.drop(columns=["command", "kl_reason", "mode_shares", "sigmas"], errors="ignore")
    parts = [rows.assign(kind="sampler")]
    profiles = mixture_profiles(store, jobs, points=_points(budget))
    for name, profile in profiles.items():
        toy = zoo.toy(name)
        drawn = {"data": toy.sample(SHOWN, 0, 0, VP.sigma_min)}
        for label in COMPARED:
            sigmas = mixture_sigmas(label, SHOWN_CALLS, profile)
            table = make_table("stochastic_ddim", sigmas, VP.start_std())
            drawn[label] = sampling.sample(toy, table, SHOWN, seed=0)
        parts += [
            pd.DataFrame({"x": x[:, 0], "y": x[:, 1]}).assign(
                kind="data" if label == "data" else "sample",
                toy=name,
                process="vp",
                terminal="stop",
                start="noise",
                schedule=label,
                solver="stochastic_ddim",
                nfe=SHOWN_CALLS,
                seed=0,
                **versions(),
            )
            for label, x in drawn.items()
        ]
    return pd.concat(parts, ignore_index=True)


def _points(budget: str) -> int:
    """Levels of a sampled profile."""
    return QUICK_POINTS if budget == "quick" else SAMPLED_POINTS


def pathwise_vs_terminal(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Stochastic DDIM's pathwise KL against the exact KL of the terminal laws, start "data".

    kind "steps": schedules over numbers of steps. kind "level": along FOLLOWED steps, the KL of
    the laws at each level and the pathwise KL up to there. kind "lambda": LAS over lambda.
    Schedule las_0 is LAS with lambda 0, the least pathwise KL; las that of `natural_lambda`.
    """
    quick = budget == "quick"
    points = 3 * QUICK_POINTS if quick else PROFILE_POINTS
    grid = ToyProfile(LINE_TOY, EDM.sigma_min, EDM.sigma_max, points)
    profile = to_profile(run_tasks([grid], store, jobs, "profile")[0], {"toy": LINE_TOY})
    tasks: list[Pathwise] = []
    labels: list[dict[str, float | str]] = []

    def add(kind: str, name: str, n: int, levels: int | None = None, at: float = np.nan) -> None:
        natural = natural_lambda(profile, n)
        lam = {"las": natural, "las_0": 0.0}.get(name, np.nan) if np.isnan(at) else at
        goal = Objective(Saturating(0.0 if np.isnan(lam) else lam))
        sigmas = schedule(name.removesuffix("_0"), n, "edm", profile, objective=goal)
        tasks.append(Pathwise(LINE_TOY, name, tuple(sigmas[:levels].tolist())))
        labels.append({"kind": kind, "of_steps": n, "lambda": lam, "natural_lambda": natural})

    for name in LINE_SCHEDULES:
        for n in LINE_STEPS[:3] if quick else LINE_STEPS:
            add("steps", name, n)
        for levels in range(2, FOLLOWED + 2, 3 if quick else 1):
            add("level", name, FOLLOWED, levels)
    for n in LAMBDA_STEPS:
        for lam in LAMBDAS[::8] if quick else LAMBDAS:
            add("lambda", "las", n, at=float(lam))
    table = pd.DataFrame(run_tasks(tasks, store, jobs, "pathwise KL"))
    return pd.concat([pd.DataFrame(labels), table], axis=1)


def schedules_compared(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Levels of every schedule on one target: kind "level"; and its curves: kind "curve"."""
    profiles = mixture_profiles(store, jobs, (COMPARED_TOY,), _points(budget))
    profile = profiles[COMPARED_TOY]
    parts = [
        pd.DataFrame(
            {
                "kind": "curve",
                "sigma": profile.sigma,
                "mmse": profile.mmse,
                "noise_risk": profile.mmse / profile.sigma**2,
            }
        )
    ]
    for name in ALL_COMPARED:
        sigmas = schedule(name, COMPARED_STEPS, "vp", profile)
        parts.append(
            pd.DataFrame(
                {"kind": "level", "schedule": name, "step": range(sigmas.size), "sigma": sigmas}
            )
        )
    return pd.concat(parts, ignore_index=True).assign(
        toy=COMPARED_TOY,
        process="vp",
        terminal="stop",
        natural_lambda=natural_lambda(profile, COMPARED_STEPS),
        **versions(),
    )
