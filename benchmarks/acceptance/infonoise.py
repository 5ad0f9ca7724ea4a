"""Acceptance checks of InfoNoise: `python -m benchmarks.acceptance.infonoise [CHECK ...]`.

The checks are posterior (the simulated losses), density (total variation between the density from
simulated losses of the exact denoiser and that from the exact mmse), speed (time per training step)
and overhead (share of a small U-Net's training step; needs the extra `networks`). All run by
default. The settings are K = 64 bins on 0.002..80, a log-uniform warm-up of 5000 steps of 256
samples (20,000 per bin, so that every bin's store is full), then 50 refreshes, one per M = 100
steps, beta = 0.9, and the onset pivot.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from benchmarks.acceptance.report import Check, run
from theory.checks import Array
from theory.infonoise.allocation import InfoNoise
from theory.profiles.pivots import allocate
from toys import zoo
from toys.information import information
from toys.mixture import Mixture
from toys.progress import progress

DENSITIES = ("gaussian", "gaussians5", "gaussians15_overlap", "gaussians15_narrow")
POINTS = ("two_points", "points15")
TOYS = (*DENSITIES, *POINTS)
EDGES = np.linspace(np.log(0.002), np.log(80.0), 65)
MIDDLES = np.exp(0.5 * (EDGES[1:] + EDGES[:-1]))
FLOOR = 1e-4
BATCH, REFRESHES, LAST = 256, 50, 20
SEEDS = range(3)


def simulate(toy: Mixture, sigma: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Data x0, states x0 + sigma eps and losses |x0 - E[x0|x]|^2 of a 1-D mixture, (n,) each.

    Args:
        toy: One-dimensional data.
        sigma: Noise levels, one per sample, shape (n,).
        rng: Generator of the data and the noise.
    """
    means, stds = toy.means[:, 0], toy.stds[:, 0]
    picks = np.searchsorted(np.cumsum(toy.weights)[:-1], rng.random(sigma.size), side="right")
    x0 = means[picks] + stds[picks] * rng.standard_normal(sigma.size)
    x = x0 + sigma * rng.standard_normal(sigma.size)
    total = np.hypot(stds, sigma[:, None])  # (n, K)
    logs = np.log(toy.weights) - np.log(total) - 0.5 * ((x[:, None] - means) / total) ** 2
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    pulled = means + (stds / total) ** 2 * (x[:, None] - means)
    # The differences come first: for points, x0 - D itself would be only rounding error.
    error = np.sum(odds * (x0[:, None] - pulled), axis=1) / odds.sum(axis=1)
    return x0, x, error**2


class Run(NamedTuple):
    """One training run with the losses of the exact denoiser."""

    toy: str
    capacity: int
    seed: int
    pivot: str = "onset"

    def variations(self) -> Array:
        """Total variation from the density of the exact mmse after each refresh, (REFRESHES,)."""
        toy, rng = zoo.toy(self.toy), np.random.default_rng(self.seed)
        noise = InfoNoise(1, capacity=self.capacity, pivot=self.pivot)
        risk = information.mmse(toy, MIDDLES)
        exact = allocate(MIDDLES, risk, pivot=self.pivot, floor=FLOOR).mass
        found: list[float] = []
        while len(found) < REFRESHES:
            sigma = noise.sample(BATCH, rng)
            noise.record(sigma, simulate(toy, sigma, rng)[2])
            if noise.refreshes > len(found):
                mass = noise.density(MIDDLES) * MIDDLES * np.diff(EDGES)
                found.append(0.5 * float(np.abs(mass - exact).sum()))
        return np.array(found)


def posterior() -> Iterator[Check]:
    """The simulated losses agree with the denoiser of `toys.mixture`."""
    for name in TOYS:
        toy, rng, worst = zoo.toy(name), np.random.default_rng(0), 0.0
        for sigma in MIDDLES.tolist():
            x0, x, loss = simulate(toy, np.full(100, sigma), rng)
            gap = np.abs(x0 - toy.denoise(x, sigma)) - np.sqrt(loss)
            worst = max(worst, float(np.abs(gap).max()))
        yield Check(f"losses of {name} at 64 levels", "1e-13", f"{worst:.1e}", worst < 1e-13)


def density() -> Iterator[Check]:
    """Total variation of the density, as the median over the last refreshes of every run."""
    kinds = [(name, size, "onset") for name in TOYS for size in (2048, 256)]
    kinds += [(name, size, "slope") for name in POINTS for size in (2048, 256)]
    runs = [Run(name, size, seed, rule) for name, size, rule in kinds for seed in SEEDS]
    loop = progress(runs, "density")
    found = Parallel(n_jobs=-1)(delayed(run.variations)() for run in loop)
    for i, (name, size, rule) in enumerate(kinds):
        rows = np.array(found[i * len(SEEDS) : (i + 1) * len(SEEDS)])[:, -LAST:]
        medians = np.median(rows, axis=1)
        most = 0.08 if name in POINTS else 0.03
        is_bar = size == 2048 and rule == "onset"
        yield Check(
            f"total variation, {name}, B = {size}, {rule} pivot",
            f"median of the last {LAST} refreshes <= {most:.0%}" if is_bar else "a finding",
            f"medians of {len(SEEDS)} seeds {', '.join(f'{m:.2%}' for m in medians)}; "
            f"range {rows.min():.2%}..{rows.max():.2%}",
            bool(medians.max() <= most) if is_bar else None,
        )


def speed() -> Iterator[Check]:
    """Time that a training step of 256 samples spends in the sampler, refreshes included."""
    rng, loss = np.random.default_rng(0), np.ones(BATCH)
    for capacity in (256, 2048):
        noise = InfoNoise(1, capacity=capacity, warmup=0)
        seconds = []
        for _ in range(20):
            begin = time.perf_counter()
            for _ in range(100):
                noise.record(noise.sample(BATCH, rng), loss)
            seconds.append((time.perf_counter() - begin) / 100)
        each = min(seconds)
        shown = f"{1e6 * each:.0f} us (least of 20 means over 100 steps)"
        yield Check(f"sample and record, B = {capacity}", "< 1 ms a step", shown, each < 1e-3)


class Timed:
    """A training noise whose calls are timed."""

    def __init__(self, noise: InfoNoise) -> None:
        self.noise, self.seconds = noise, 0.0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.noise, name)

        def timed(*args: Any) -> Any:
            begin = time.perf_counter()
            out = call(*args)
            self.seconds += time.perf_counter() - begin
            return out

        return timed


def overhead() -> Iterator[Check]:
    """Share of the small U-Net's training step that InfoNoise takes, refreshes included."""
    from benchmarks.networks.network import chosen_device
    from benchmarks.training.recipe import PRESETS
    from benchmarks.training.targets import make_target
    from benchmarks.training.train import Trainer

    devices = ["cpu"]
    with suppress(ValueError):  # there is no GPU
        devices.append(chosen_device("cuda").type)
    quick = PRESETS["digits-quick"]
    options = {"warmup": 100, "refresh": 20, "least": 1}
    for device in devices:
        recipe = replace(quick, noise="infonoise", noise_options=options)
        trainer = Trainer(recipe, make_target("digits"), 0, device)
        timed = Timed(trainer.noise)  # type: ignore[arg-type]
        trainer.noise = timed
        for _ in range(110):
            trainer.step()
        begin, timed.seconds = time.perf_counter(), 0.0
        for _ in range(200):
            trainer.step()
        step = (time.perf_counter() - begin) / 200
        share = timed.seconds / 200 / step
        shown = f"{100 * share:.2f} % of {1e3 * step:.1f} ms, a refresh every 20 steps"
        yield Check(f"sampler, weight and record on {device}, batch {recipe.batch}", "< 1 %", shown,
                  share < 0.01)  # fmt: skip


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "posterior": posterior,
    "density": density,
    "speed": speed,
    "overhead": overhead,
}

if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
