"""Acceptance checks of the best levels: `python -m benchmarks.acceptance.optimum`.

The checks are gradient (against Richardson differences, with its cost), search (agreement of the
starts, times, and small moves of the levels), points (against random starts), products (Gaussians
of many coordinates, from their profile), profile (mixtures of one coordinate, from theirs), and
command (one command from a loss log).
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.acceptance.report import Check, run
from benchmarks.engine.store import Store, default_store
from benchmarks.measure.divergences import exact_kl
from benchmarks.optimum import exact
from benchmarks.optimum.problem import Problem, Sampler
from benchmarks.studies.schedule_regret import HIGH, LOW, drawn, schedule_regret
from theory.checks import Array
from theory.levels import Span
from theory.profiles.profile import Profile
from theory.schedules.gaussian_sum import (
    GaussianSum,
    fit_gaussian_sum,
    gaussian_sum_optimum,
    gaussian_sum_starts,
)
from theory.schedules.registry import schedule
from theory.solvers.derivative import Make, levels_gradient
from theory.solvers.gaussian_kl import gaussian_sum_kl
from theory.solvers.registry import make_table
from toys.files import toy_spec
from toys.laws.gradient import DifferentiableKL
from toys.mixture import Mixture

SOLVERS = ("stochastic_ddim", "ddim", "heun", "dpm_solver_2", "edm_stochastic", "dpmpp_2m",
           "dpmpp_3m", "unipc_1", "unipc_2", "unipc_3", "deis_2", "deis_3")  # fmt: skip
CASES, LEAST_KL = 60, 1e-3
USUAL, NARROW = (0.03, 0.6), (0.009, 0.011)  # sizes of the stds before mixtures are scaled
WEIGHTS = ((1, 0.8), (2, -0.2), (3, 4.0 / 105.0), (4, -1.0 / 280.0))


def problem(solver: str, n_steps: int, terminal: str = "stop") -> Problem:
    """The search between EDM's levels."""
    return Problem(Sampler(solver), Span(n_steps, HIGH, LOW, terminal))


def kl(data: Mixture, solver: str, sigmas: Array) -> float:
    """The exact divergence; infinite where the sampler misses the data."""
    value = exact_kl(data, make_table(solver, sigmas, HIGH), rtol=1e-8).value
    return np.inf if value is None else value


def gradient() -> Iterator[Check]:
    """Gradients of random cases against differences of order 8, and their cost."""
    rng, worst, ratios, count = np.random.default_rng(18), 0.0, [], 0
    while count < CASES:
        solver, terminal = SOLVERS[count % len(SOLVERS)], ("stop", "zero")[count % 2]
        fewest = 2 if terminal == "stop" else 3  # with a level between the ends
        sigmas = schedule("log_snr", int(rng.integers(fewest, 25)), terminal=terminal)
        gaps = rng.uniform(0.6, 1.4, np.count_nonzero(sigmas) - 1)
        logs = np.cumsum(gaps / gaps.sum())[:-1] * np.log(HIGH / LOW)
        sigmas[1 : 1 + logs.size] = HIGH * np.exp(-logs)
        data = drawn(rng, *USUAL)
        make = problem(solver, sigmas.size - 1, terminal).make
        try:
            level = settled(data, make, sigmas)
        except ValueError:
            continue
        at = partial(_law, data, make, level)
        if at(sigmas).value < LEAST_KL:
            continue
        times = [time.perf_counter()]
        law = at(sigmas)
        times.append(time.perf_counter())
        found = levels_gradient(make, sigmas, law.gradient())
        times.append(time.perf_counter())
        ratios.append((times[2] - times[0]) / (times[1] - times[0]))
        worst = max(worst, _distance(at, sigmas, found))
        count += 1
    yield Check("gradient against differences, 60 cases", "<= 1e-6", f"{worst:.1e}", worst <= 1e-6)
    high = float(np.quantile(ratios, 0.9))
    yield Check("KL and gradient over KL", "<= 3.5", f"{high:.2f} (90 % of cases)", high <= 3.5)


def _law(data: Mixture, make: Make, level: int, sigmas: Array) -> DifferentiableKL:
    return DifferentiableKL(data, make(sigmas), "noise", 1.25**level, 20.0 * 2.0**level)


def settled(data: Mixture, make: Make, sigmas: Array) -> int:
    """The first pass that the next one confirms to 1e-10."""
    for level in range(5):
        one, two = (_law(data, make, i, sigmas).value for i in (level, level + 1))
        if abs(one - two) <= 1e-10 * two:
            return level
    raise ValueError("the KL must settle, got values that move")


def _distance(at: Callable[[Array], DifferentiableKL], sigmas: Array, found: Array) -> float:
    """Largest difference from differences of order 8, over the largest component."""
    logs = np.log(sigmas[sigmas > 0])
    expected = np.zeros_like(sigmas)
    for i in range(1, logs.size - 1):
        gap = min(logs[i - 1] - logs[i], logs[i] - logs[i + 1])
        tried = []
        for step in (4e-3 * gap, 1e-3 * gap, 2.5e-4 * gap):  # where folds are born, the least
            tried.append(0.0)
            for k, weight in WEIGHTS:
                for sign in (1, -1):
                    moved = sigmas.copy()
                    moved[i] *= np.exp(sign * k * step)
                    tried[-1] += sign * weight * at(moved).value / step
        expected[i] = tried[1 + int(np.argmin(np.abs(np.diff(tried))))]
    inner = slice(1, logs.size - 1)
    return float(np.abs((found - expected)[inner]).max() / np.abs(expected[inner]).max())


def search() -> Iterator[Check]:
    """Two starts, times and small moves on 20 mixtures, stochastic DDIM."""
    rng = np.random.default_rng(20)
    mixtures = [drawn(rng, *USUAL) for _ in range(20)]
    agree, each, whole, better = [], [], [], 0
    for data in mixtures:
        for n_steps in (4, 8, 16, 32):
            results, begin = [], time.perf_counter()
            for task in exact.descents(toy_spec(data), problem("stochastic_ddim", n_steps)):
                start = time.perf_counter()
                results.append(task.run())
                each.append(time.perf_counter() - start)
            whole.append(time.perf_counter() - begin)
            values = np.sort([r["value"] for r in results if r["value"] is not None])
            agree.append(values.size > 1 and values[1] / values[0] - 1.0 <= 1e-3)
            best = exact.best(results)
            least = kl(data, "stochastic_ddim", best.sigmas)
            for i in range(1, n_steps):
                for factor in (0.99, 1.01):
                    moved = best.sigmas.copy()
                    moved[i] *= factor
                    better += kl(data, "stochastic_ddim", moved) < least
    share = float(np.mean(agree))
    yield Check("two starts agree to 1e-3", ">= 90 %", f"{share:.0%}", share >= 0.9)
    for name, times, most in (
        ("per start, median", each, 3.0),
        ("altogether, median", whole, 10.0),
    ):
        middle = float(np.median(times))
        yield Check(f"seconds {name}", f"< {most:g}", f"{middle:.2f}", middle < most)
    yield Check("seconds altogether, worst", "< 60", f"{max(whole):.1f}", max(whole) < 60)
    yield Check("moves of 1 % that lower the KL", "0", str(better), better == 0)


def points() -> Iterator[Check]:
    """`optimal` against the best of 20 random starts on points and narrow components."""
    rng, worst = np.random.default_rng(5), 0.0
    for i in range(10):
        terminal = ("stop", "zero")[i % 2]
        data = drawn(rng, *NARROW)
        if i % 2:
            data = Mixture(data.weights, data.means, 0.0)
        target = problem("stochastic_ddim", (4, 8)[i // 5], terminal)
        found = exact.exact_optimum(toy_spec(data), target).value
        other = np.inf
        for _ in range(20):
            gaps = rng.exponential(size=target.span.fractions.size + 1)
            logs = np.cumsum(gaps / gaps.sum())[:-1] * np.log(HIGH / LOW)
            try:
                start = target.span.finish(HIGH * np.exp(-logs))
                other = min(other, exact.minimum(data, target, start)[0].value)
            except ValueError:
                continue
        worst = max(worst, found / other - 1.0)
    yield Check(
        "optimal over the best of 20 random starts", "<= 1 %", f"{worst:.2%}", worst <= 0.01
    )


SPECTRA: dict[str, Callable[[int], Array]] = {
    "1/k": lambda d: 1.0 / np.arange(1.0, d + 1),
    "1/sqrt(k)": lambda d: np.arange(1.0, d + 1) ** -0.5,
    "two scales": lambda d: np.where(np.arange(d) < d // 4, 1.0, 0.05),
}


def products() -> Iterator[Check]:
    """Levels from exact and noisy profiles of products of Gaussians, against the true optimum.

    Those of DPM-Solver++(2M) are compared with the better of EDM's grid and log-SNR.
    """
    for dim in (64, 4096):
        for name, spectrum in SPECTRA.items():
            scales, sizes = np.unique(spectrum(dim), return_counts=True)
            truth = GaussianSum(sizes / dim, scales, 0.0, None)
            for solver in ("stochastic_ddim", "ddim", "heun", "dpmpp_2m"):
                found = [_product(truth, dim, problem(solver, n)) for n in (4, 8, 16)]
                label = f"{solver}, {name}, d = {dim}"
                if solver != "dpmpp_2m":
                    exactly = max(value / best for best, _, value, _ in found)
                    noisy = [value / best for best, _, _, draws in found for value in draws]
                    yield Check(label, "<= 1.01", f"{exactly:.5f}", exactly <= 1.01)
                    middle = float(np.median(noisy))
                    yield Check(f"{label}, 2 % noise", "<= 1.05", f"{middle:.4f}", middle <= 1.05)
                    continue
                for n, (best, usual, value, draws) in zip((4, 8, 16), found, strict=True):
                    own, middle = value / usual, float(np.median(draws)) / usual
                    text = f"{own:.3g}, with 2 % noise {middle:.3g} (optimum {best / usual:.3g})"
                    good = own <= 1 / 20 and middle <= 1 / 10
                    target = "<= 1/20, with noise 1/10, of EDM or log-SNR"
                    yield Check(f"{label}, N = {n}", target, text, good)


def _product(
    truth: GaussianSum, dim: int, target: Problem
) -> tuple[float, float, float, list[float]]:
    """KL of a product of Gaussians: least, on usual levels, on those from profiles.

    Returns:
        The least KL; the better of EDM's grid and log-SNR; that of levels from the exact profile;
        and those from ten profiles with 2 % noise.
    """

    def kl_on(sigmas: Array) -> float:
        return gaussian_sum_kl(target.make(sigmas), truth.weights, truth.scales)[0]

    def levels_of(fit: GaussianSum) -> Array:
        starts = gaussian_sum_starts(fit, target.make, target.span)
        return gaussian_sum_optimum(fit, target.make, starts).sigmas

    grid = np.geomspace(LOW, HIGH, 200)
    scales = truth.scales
    shrunk = (grid[:, None] * scales / np.hypot(scales, grid[:, None])) ** 2
    mmse = dim * (shrunk @ truth.weights)
    error, rng, draws = 0.02 * mmse, np.random.default_rng(3), []
    for _ in range(10):
        risk = mmse + error * rng.normal(size=mmse.size)
        draws.append(kl_on(levels_of(fit_gaussian_sum(Profile(dim, grid, risk, error)))))
    ends = "stop", LOW, HIGH
    usual = min(
        kl_on(schedule(name, target.span.n_steps, "edm", None, *ends))
        for name in ("edm", "log_snr")
    )
    exactly = kl_on(levels_of(fit_gaussian_sum(Profile(dim, grid, mmse))))
    return kl_on(levels_of(truth)), usual, exactly, draws


def profile() -> Iterator[Check]:
    """Levels from exact and noisy profiles over the optimum: the kept rows of the reported half.

    `entropic figures schedule_regret --recompute` computes them again.
    """
    table = schedule_regret("default", Store(default_store()), None)
    for solver, share in (("stochastic_ddim", 0.85), ("ddim", 0.75)):
        rows = table[(table["half"] == "report") & (table["solver"] == solver)]
        counts = ", ".join(str(count) for count in sorted(set(rows["calls"])))
        ratios = {
            name: rows[rows["schedule"] == name]["regret"].fillna(np.inf).to_numpy()
            for name in ("optimal", "law", "optimal_noisy")
        }
        within = float(np.mean(ratios["optimal"] <= 1.1))
        text = f"{within:.0%}, worst {ratios['optimal'].max():.3g}, N = {counts}"
        yield Check(f"{solver}: optimal within 1.10", f">= {share:.0%}", text, within >= share)
        limits = {"optimal": 1.03 if share > 0.8 else 1.1, "law": 1.15, "optimal_noisy": 1.1}
        for name, most in limits.items():
            middle = float(np.median(ratios[name]))
            yield Check(f"{solver}: {name}, median", f"<= {most}", f"{middle:.4f}", middle <= most)


def command() -> Iterator[Check]:
    """One command from a loss log, without and with a band."""
    data, rng = (
        Mixture([0.3, 0.3, 0.4], [-1.0, -0.2, 1.1], [0.1, 0.15, 0.2]),
        np.random.default_rng(0),
    )
    levels = np.geomspace(LOW, HIGH, 100)
    lines = ["sigma,loss"]
    for sigma in levels:
        x0, noise = data.sample(200, int(rng.integers(2**31)))[:, 0], rng.normal(size=200)
        x = x0 + sigma * noise
        losses = ((x - data.denoise(x, float(sigma))) / sigma - noise) ** 2
        lines += [f"{sigma:.9g},{loss:.9g}" for loss in losses]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        words = "schedule --losses log.csv --prediction eps --method optimal "
        words += "--solver dpmpp_2m --steps 10 --replicates"
        for replicates, most in ((0, 15), (40, 60)):
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "entropic", *words.split(), str(replicates)],
                cwd=folder, capture_output=True, text=True, check=False,
            )  # fmt: skip
            seconds = time.perf_counter() - begin
            good = done.returncode == 0 and seconds < most
            label = f"from a loss log, {replicates} replicates"
            text = f"exit {done.returncode}, {seconds:.1f} s"
            yield Check(label, f"exit 0 in < {most} s", text, good)


CHECKS = {
    "gradient": gradient,
    "search": search,
    "points": points,
    "products": products,
    "profile": profile,
    "command": command,
}


if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
