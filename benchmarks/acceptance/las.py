"""Acceptance checks of paper B's schedules: `python -m benchmarks.acceptance.las [CHECK ...]`.

The checks are gaussian (closed form), tests (brute force, identities), speed (a million
candidates), pathwise (500 random cases), tables (the two mixture tables), lambda (the rule for
lambda) and fresh (a clone with empty caches). All run by default.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from benchmarks.acceptance.report import ROOT, Check, by_tests, fresh, run
from benchmarks.engine.results import printed_file
from benchmarks.engine.run import run_tasks
from benchmarks.engine.store import Store
from benchmarks.measure.divergences import start_kl
from benchmarks.measure.pathwise import split, terminal_kl
from benchmarks.studies.las_mixtures import MixtureSampler, mixture_profiles, mixture_sigmas
from theory.gaussian import gaussian_mmse
from theory.profiles.profile import Profile
from theory.schedules.las import Objective, Saturating, optimal_grid
from theory.schedules.las_levels import las_sigmas, natural_lambda
from toys import zoo
from toys.information import information
from toys.information.wrong import WrongDenoiser
from toys.mixture import Mixture
from toys.progress import progress

CASES = 500
LEVELS = (80.0, 0.589, 0.319, 0.194, 0.122, 0.078, 0.05)  # docs/papers/b.md, Check values
# NLL of an earlier run of ours with the settings of docs/papers/b.md, at NFE 5, 7 and 10.
SECTION = {
    ("circle8", "stochastic_ddim"): {
        "las": (1.991, 1.647, 1.608), "vp_linear": (4.034, 2.398, 1.782),
        "edm": (6.628, 3.954, 2.513), "log_snr": (4.30, 3.05, 2.23),
    },
    ("circle8", "sde_dpmpp_2m"): {
        "las": (1.721, 1.485, 1.596), "vp_linear": (3.343, 2.073, 1.665),
        "edm": (5.540, 6.993, 3.878), "log_snr": (5.06, 5.13, 2.74),
    },
    ("grid8", "stochastic_ddim"): {
        "las": (2.112, 1.677, 1.656), "vp_linear": (4.608, 2.604, 1.893),
        "edm": (6.009, 4.286, 2.724), "log_snr": (4.30, 3.27, 2.40),
    },
    ("grid8", "sde_dpmpp_2m"): {
        "las": (1.855, 1.499, 1.612), "vp_linear": (3.712, 2.244, 1.697),
        "edm": (5.061, 6.329, 3.792), "log_snr": (4.74, 4.89, 2.81),
    },
}  # fmt: skip
SECTION_PATHS = 50_000
PUBLISHED = printed_file("B")
ALLOWED = {"las": 0.15, "vp_linear": 0.35, "edm": 0.6}
NAMES = {
    "LAS": "las",
    "linear time": "vp_linear",
    "EDM (rho = 7)": "edm",
    "DDIM (eta = 1)": "stochastic_ddim",
    "SDE-DPM++(2M)": "sde_dpmpp_2m",
}  # name in the paper -> name in the suite
COLUMNS = (5, 7, 10)


def gaussian() -> Iterator[Check]:
    """The optimum on Gaussian data in closed form (docs/papers/b.md, Check values)."""
    sigma = np.geomspace(0.05, 80.0, 2000)
    profile = Profile(1, sigma, gaussian_mmse(sigma, 0.7))
    found = las_sigmas(6, 80.0, 0.05, profile=profile, lambda_=0.0)
    value = Objective()(found**-2.0, gaussian_mmse(found, 0.7))
    yield Check("J of the Gaussian", "8.472939", f"{value:.9f}", round(value, 6) == 8.472939)
    gaps = np.abs(found - LEVELS).max()
    shown = ", ".join(f"{s:.4g}" for s in found)
    yield Check("its levels", f"{LEVELS} as printed", shown, bool(gaps < 6e-4))
    u = 0.7**-2.0 + found**-2.0
    exact = np.geomspace(u[0], u[-1], 7)
    moved = float(np.abs(u / exact - 1).max())
    yield Check("geometric in snr + 1 / c^2", "relative 1e-7", f"{moved:.1e}", moved < 1e-7)


def tests() -> Iterator[Check]:
    """Checks that are tests of the test suite."""
    yield from by_tests(
        {
            "brute force over all grids": (
                "equal, 1200 random curves, N <= 14, K <= 6, 4 axes, mu = 0 and > 0",
                ["tests/test_theory_las.py", "-k", "brute"],
            ),
            "quick programmes = the paper's quadratic one, beam >= exact": (
                "1e-13; gap reported",
                ["tests/test_theory_las.py", "-k", "quick or beam"],
            ),
            "(3.2) = (3.3) = (5.1), wrong denoisers": (
                "1e-9 by two-dimensional quadrature; Monte Carlo within 4 standard errors",
                ["tests/test_theory_bounds.py", "-k", "forms or carlo"],
            ),
            "loss logs": ("bins, samples, bands", ["tests/test_theory_loss_log.py"]),
        }
    )


def speed() -> Iterator[Check]:
    """Time and memory for a million candidates, each measured in its own process."""
    for kind, most in (("falling", 10.0), ("noisy", 60.0), ("random", 60.0), ("rising", 60.0)):
        command = [sys.executable, "-m", "benchmarks.acceptance.las", "--million", kind]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        yield Check(
            f"10^6 candidates, K = 64, {kind} risks",
            f"< {most:g} s, < 2 GiB",
            f"{row['seconds']:.1f} s ({row['programme']}), peak {row['gib']:.2f} GiB",
            row["seconds"] < most and row["gib"] < 2.0,
        )
    snr, risk = _candidates(10_000)
    for kind, risks in (("falling", risk), ("noisy", _risks("noisy", risk))):
        optimal_grid(snr[:50], risks[:50], 4)
        optimal_grid(snr[:50], risks[:50], 4, method="quadratic")
        quick = min(_seconds(lambda r=risks: optimal_grid(snr, r, 64)) for _ in range(3))  # type: ignore[misc]
        slow = _seconds(lambda r=risks: optimal_grid(snr, r, 64, method="quadratic"))  # type: ignore[misc]
        yield Check(
            f"10^4 candidates, {kind} risks, against the quadratic programme",
            ">= 50 times as fast",
            f"{slow / quick:.0f} times ({slow:.2f} s, {quick:.4f} s)",
            slow >= 50 * quick,
        )
    x = np.linspace(-9.0, 12.0, 1000)
    risk, goal = 1.0 / (2.0 + np.exp(x)), Objective(Saturating(0.06), 0.01)
    optimal_grid(np.exp(x[::100]), risk[::100], 3, goal, "beam")
    for n in (10, 20):
        exact = _seconds(lambda n=n: optimal_grid(np.exp(x), risk, n, goal))  # type: ignore[misc]
        found = optimal_grid(np.exp(x), risk, n, goal, "beam")
        yield Check(
            f"second order, 1000 candidates, K = {n}",
            "a finding",
            f"exact in {exact:.2f} s; beam and window {found.gap:.2%} above it",
            None,
        )


def _candidates(n: int) -> tuple[np.ndarray, np.ndarray]:
    snr = np.exp(np.linspace(-9.0, 12.0, n))
    return snr, 1.0 / (1.0 / 0.49 + snr)


def _risks(kind: str, risk: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return {
        "falling": risk,
        "noisy": risk * np.exp(0.2 * rng.normal(size=risk.size)),
        "random": rng.exponential(size=risk.size),
        "rising": risk[::-1].copy(),
    }[kind]


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _million(kind: str) -> None:
    """Print the time and memory of one optimisation; `speed` runs this in its own process."""
    snr, risk = _candidates(10**6)
    risks = _risks(kind, risk)
    optimal_grid(snr[:50], risks[:50], 4)  # loads the compiled code
    begin = time.perf_counter()
    found = optimal_grid(snr, risks, 64)
    row = {"seconds": time.perf_counter() - begin, "programme": found.programme}
    row["gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(row))


def random_case(seed: int) -> tuple[Mixture, WrongDenoiser, np.ndarray]:
    """A mixture, a wrong denoiser and a grid."""
    rng = np.random.default_rng(seed)

    def mixture() -> Mixture:
        k = int(rng.integers(1, 6))
        return Mixture(rng.uniform(0.2, 1.0, k), rng.uniform(-2, 2, k), rng.uniform(0.03, 0.6, k))

    truth, model = mixture(), mixture()
    wrong = WrongDenoiser(model, float(rng.uniform(0.8, 1.1)), float(rng.uniform(-0.05, 0.05)))
    ends = np.exp(rng.uniform(np.log([0.02, 3.0]), np.log([0.3, 30.0])))
    low, high = np.log(ends).tolist()
    inner = np.exp(rng.uniform(low, high, int(rng.integers(0, 12))))
    return truth, wrong, np.sort([*ends, *inner])[::-1].copy()


def _margins(seed: int) -> tuple[float, float, float]:
    """Bound minus exact KL, over the bound: exact denoiser, wrong one, wrong one from noise."""
    truth, wrong, sigmas = random_case(seed)
    disc, approx = (float(part.sum()) for part in split(truth, sigmas, wrong))
    start = start_kl(truth, float(sigmas[0]), float(sigmas[0]))[0]
    kinds = ((None, "data", disc), (wrong, "data", disc + approx))
    out = []
    for used, begin, bound in (*kinds, (wrong, "noise", disc + approx + start)):
        found = terminal_kl(truth, sigmas, used, begin, 1e-6)
        assert found.value is not None
        out.append((bound - found.value) / bound)
    return out[0], out[1], out[2]


def pathwise() -> Iterator[Check]:
    """Pathwise KL >= exact terminal KL on random cases."""
    loop = progress(range(CASES), "pathwise")
    margins = np.array(Parallel(n_jobs=-1)(delayed(_margins)(seed) for seed in loop))
    for name, column in zip(
        ("exact denoiser", "wrong denoiser", "wrong denoiser, start noise"), margins.T, strict=True
    ):
        yield Check(
            f"pathwise KL >= terminal KL, {name}",
            f"in every one of {CASES} random cases",
            f"{int(np.sum(column < 0))} violations; share of the bound left over: least "
            f"{column.min():.2g}, median {np.median(column):.2g}",
            bool((column >= 0).all()),
        )


def tables() -> Iterator[Check]:
    """The two mixture tables with the settings of docs/papers/b.md."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        profiles = mixture_profiles(store, None)
        tasks = [
            MixtureSampler(toy, "vp", name, tuple(mixture_sigmas(name, n, profiles[toy])), sampler)
            for (toy, sampler), rows in SECTION.items()
            for name in rows
            for n in COLUMNS
        ]
        rows = run_tasks(tasks, store, None, "mixtures")
    worst = max(row["nll_stderr"] for row in rows)
    yield Check("standard errors of the NLL", "< 0.002", f"largest {worst:.5f}", worst < 0.002)
    gaps, zs, far = [], [], []
    for row in rows:
        theirs = SECTION[row["toy"], row["solver"]][row["schedule"]][COLUMNS.index(row["nfe"])]
        gaps.append(row["nll"] - theirs)
        zs.append(gaps[-1] / (row["nll_stderr"] * (row["paths"] / SECTION_PATHS) ** 0.5))
        if abs(gaps[-1]) > 0.03:
            far.append(
                f"{row['toy']} {row['solver']} {row['schedule']} NFE {row['nfe']} {gaps[-1]:+.3f} "
                f"(z {zs[-1]:+.1f})"
            )
    yield Check(
        "the section's own table",
        "48 cells within 0.03 nats",
        f"{48 - len(far)} within, median {np.median(np.abs(gaps)):.3f}; r.m.s. over the standard "
        f"errors of its {SECTION_PATHS} samples {np.sqrt(np.mean(np.square(zs))):.2f}; "
        + "; ".join(far),
        not far,
    )
    ours = {(r["toy"], r["solver"], r["schedule"], r["nfe"]): float(r["nll"]) for r in rows}
    printed = published()
    for name, allowed in ALLOWED.items():
        gaps = [ours[key] - value for key, value in printed.items() if key[2] == name]
        yield Check(
            f"published tables, {name}",
            f"12 cells within {allowed}",
            f"largest {max(map(abs, gaps)):.3f} of {len(gaps)}: "
            + ", ".join(f"{gap:+.3f}" for gap in gaps),
            len(gaps) == 12 and max(map(abs, gaps)) < allowed,
        )
    wrong = []
    for toy, sampler in SECTION:
        for n in COLUMNS:
            first, second = (
                sorted(ALLOWED, key=lambda name: table[toy, sampler, name, n])
                for table in (printed, ours)
            )
            if first != second:
                wrong.append(f"{toy} {sampler} {n}")
    text = f"{12 - len(wrong)} equal {', '.join(wrong)}"
    yield Check("orderings", "equal in all 12 columns", text, not wrong)


def published() -> dict[tuple[str, str, str, int], float]:
    """The printed values by toy, solver, schedule and NFE."""
    out = {}
    for row in pd.read_csv(PUBLISHED).to_dict("records"):
        solver, schedule = NAMES.get(row["solver"]), NAMES.get(row["schedule"])
        if row["dataset"] in ("circle8", "grid8") and solver and schedule:
            key = (str(row["dataset"]), solver, schedule, int(row["nfe"]))
            out[key] = float(row["value"])
    return out


def rule() -> Iterator[Check]:
    """KL of stochastic DDIM on LAS: lambda by the rule relative to the best lambda of a grid."""
    toys = {
        name: zoo.toy(name)
        for name in ("gaussian", "gaussians5", "gaussians15_narrow", "gaussians15_overlap")
    }
    toys["two of std 0.1"] = Mixture([1, 1], [-1, 1], 0.1)
    toys["two of std 0.5"] = Mixture([1, 1], [-1, 1], 0.5)
    toys["three uneven"] = Mixture([3, 1, 1], [-1, 0, 1.5], [0.05, 0.3, 0.5])
    for name, toy in toys.items():
        sigma = np.geomspace(0.002, 80.0, 400)
        profile = Profile(1, sigma, information.mmse(toy, sigma))
        shares = []
        for n in (5, 10, 20, 40):
            lams = [*np.geomspace(1e-5, 10.0, 25), natural_lambda(profile, n)]
            *others, own = Parallel(n_jobs=-1)(delayed(_las_kl)(toy, profile, n, x) for x in lams)
            shares.append(own / min(others))
        text = ", ".join(f"{share:.2f}" for share in shares)
        yield Check(f"lambda by rule on {name}", "a finding: KL over the best", text, None)


def _las_kl(toy: Mixture, profile: Profile, n: int, lam: float) -> float:
    sigmas = las_sigmas(n, 80.0, 0.002, profile=profile, lambda_=lam)
    found = terminal_kl(toy, sigmas, rtol=1e-4).value
    assert found is not None
    return found


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "gaussian": gaussian,
    "tests": tests,
    "speed": speed,
    "pathwise": pathwise,
    "tables": tables,
    "lambda": rule,
    "fresh": fresh,
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--million"]:
        _million(sys.argv[2])
    else:
        sys.exit(run(CHECKS, sys.argv[1:]))
