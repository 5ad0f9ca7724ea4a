"""Paper B's two mixture tables: every schedule and sampler in two dimensions.

All metrics are measured on samples with terminal policy "stop". Batches are added until the
likelihood has the standard error asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engine.results import results_file, rows_new, rows_now
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store, write_csv
from benchmarks.engine.toy_profiles import SAMPLED_POINTS, ToyProfile, to_profile
from benchmarks.measure.plane import (
    HALF,
    PARTS,
    PIXEL,
    SLICED,
    blurred_kls,
    picture_of,
    pixels,
    sliced,
)
from theory.checks import Array
from theory.noise.processes import PROCESSES, named_process
from theory.profiles.profile import Profile
from theory.schedules.las import Objective, Saturating, optimal_grid
from theory.schedules.registry import schedule
from theory.solvers.registry import make_table
from theory.versions import versions
from toys import sampling, zoo
from toys.files import load_toy

BATCH = 2**17
MOST_BATCHES = 1000


@dataclass(frozen=True)
class MixtureSampler:
    """One sampler on a two-dimensional mixture, started from the initial law of its process.

    Metrics:
        nll: -E log p(x), where p is the mixture without noise and x the sampler's output ("lower
            is better" in paper B). `nll_data` is the same for the data's law at the last level.
        kl_data_model, kl_model_data: Of both laws blurred by N(0, BLUR^2 I). They bound the KLs
            of the laws themselves from below.
        sliced_w2: Sliced Wasserstein-2 distance. `sliced_w2_data` is that of as many data samples.
        mode_shares, mode_tv: Share of samples nearest to each mean, and its total variation
            distance from the weights.
        within_std: Standard deviation within modes over that of the data.

    Args:
        toy: Name in the zoo.
        process: "edm" or "vp".
        schedule: Name of the schedule, for the row only.
        sigmas: The levels, falling, all positive.
        solver: Name of the solver.
        most_stderr: Largest accepted standard error of the nll.
        seed: Whole number in [0, 2**32).
    """

    toy: str
    process: str
    schedule: str
    sigmas: tuple[float, ...]
    solver: str
    most_stderr: float = 0.0019
    seed: int = 0

    def run(self) -> dict[str, Any]:
        """One tidy row."""
        toy, end = load_toy(self.toy), self.sigmas[-1]
        start = named_process(self.process).start_std(self.sigmas[0])
        table = make_table(self.solver, np.array(self.sigmas), start)
        counts = np.zeros((PARTS, (2 * HALF) ** 2))
        shares, within, outside = np.zeros(toy.size), 0.0, 0
        total = square = 0.0
        kept: list[Array] = []
        batches, wanted = 0, PARTS
        while batches < wanted:
            x = sampling.sample(toy, table, BATCH, self.seed, batches * BATCH)
            nll = -toy.log_density(x)
            total, square = total + float(nll.sum()), square + float(nll @ nll)
            inside, place = pixels(toy, x)
            counts[batches % PARTS] += np.bincount(place, minlength=counts.shape[1])
            outside += int(np.count_nonzero(~inside))
            gaps = np.sum((x[:, None] - toy.means) ** 2, axis=2)
            shares += np.bincount(gaps.argmin(axis=1), minlength=toy.size)
            within += float(gaps.min(axis=1).sum())
            if len(kept) < SLICED // BATCH:
                kept.append(x)
            batches += 1
            if batches == wanted:
                sd = _sd(total, square, batches * BATCH)
                needed = int(np.ceil((sd / self.most_stderr) ** 2 / BATCH))
                wanted = min(max(wanted, PARTS * -(-needed // PARTS)), MOST_BATCHES)
        n = batches * BATCH
        shares /= n
        sliced_w2 = sliced(toy, end, np.concatenate(kept))
        per_axis = within / n / toy.dim
        truth = float(toy.weights @ np.mean(toy.noisy_stds(end) ** 2, axis=1))
        row: dict[str, Any] = {
            "toy": self.toy,
            "process": self.process,
            "schedule": self.schedule,
            "solver": self.solver,
            "n_steps": len(self.sigmas) - 1,
            "nfe": table.nfe,
            "terminal": "stop",
            "start": "noise",
            "sigma_max": self.sigmas[0],
            "sigma_min": end,
            "paths": n,
            "seed": self.seed,
            "nll": total / n,
            "nll_stderr": _sd(total, square, n) / n**0.5,
            "nll_data": reference(self.toy, end),
        }
        row |= blurred_kls(toy, end, counts, outside)
        row |= {
            "sliced_w2": sliced_w2,
            "sliced_w2_data": _sliced_data(self.toy, end),
            "mode_tv": float(0.5 * np.abs(shares - toy.weights).sum()),
            "mode_shares": " ".join(f"{share:.5f}" for share in shares),
            "within_std": (per_axis / truth) ** 0.5,
            "sigmas": " ".join(repr(s) for s in self.sigmas),
        }
        return row | versions()


def _sd(total: float, square: float, n: int) -> float:
    """Standard deviation of n values from their sum and their sum of squares."""
    return float(max((square - total**2 / n) / (n - 1), 0.0) ** 0.5)


@cache
def reference(name: str, sigma: float) -> float:
    """-E log p(x) for x from the data's law at sigma, by quadrature over the pixel grid."""
    toy = load_toy(name)
    p = np.exp(picture_of(toy, sigma)) * PIXEL**2
    return -float(p @ picture_of(toy, 0.0))


@cache
def _sliced_data(name: str, sigma: float) -> float:
    """Sliced distance of as many data samples as are drawn from a sampler."""
    toy = load_toy(name)
    return sliced(toy, sigma, toy.sample(SLICED, 1, 0, sigma))


MIXTURE_ROWS = results_file("las_mixtures")
VP = PROCESSES["vp"]
MIXTURES = ("circle8", "grid8")
SAMPLERS = ("stochastic_ddim", "sde_dpmpp_2m")
COMPARED = ("las", "vp_linear", "edm", "log_snr", "entropic", "rescaled")
CALLS = (5, 7, 10, 20, 50)
PAPER_LAMBDA = 1.0 / 16.0  # inferred: it reproduces the paper's tables
PAPER_CANDIDATES = 1000  # uniform in t, inferred
QUICK_POINTS = 20  # levels of the profiles in a quick figure
SHOWN, SHOWN_CALLS = 1500, 5  # samples per schedule, and their calls


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
    """Levels of a schedule over the range of the VP process; LAS takes the inferred settings."""
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


def compute_mixture_study(store: Store, jobs: int | None) -> None:
    """Compute the rows of the figure `las_mixtures`, resuming; takes about five minutes."""
    table = mixture_study(store, jobs)
    table.insert(0, "command", "entropic figures las_mixtures --recompute")
    write_csv(table, rows_new(MIXTURE_ROWS))


def las_mixtures(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper B's two mixture tables, and samples to draw.

    Kind "sampler": the rows of the study. Kinds "sample" and "data": SHOWN points (x, y) each, of
    stochastic DDIM after SHOWN_CALLS calls and of the data.
    """
    rows = mixture_study(store, jobs) if budget == "paper" else pd.read_csv(rows_now(MIXTURE_ROWS))
    rows = rows.drop(columns=["command", "kl_reason", "mode_shares", "sigmas"], errors="ignore")
    parts = [rows.assign(kind="sampler")]
    profiles = mixture_profiles(store, jobs, points=profile_points(budget))
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


def profile_points(budget: str) -> int:
    """Number of levels of a sampled profile under this budget."""
    return QUICK_POINTS if budget == "quick" else SAMPLED_POINTS
