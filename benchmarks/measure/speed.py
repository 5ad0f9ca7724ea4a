"""Speed of the samplers, as ratios within one run on one machine.

The kernel is compared with one exp per path, step and component. That exp is the faster of NumPy's
and the suite's on an array that stays in the L1 cache, on one thread like the kernel.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import divergences, samples
from theory.checks import Array
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.ddim import stochastic_ddim_table
from theory.solvers.registry import SOLVERS, shape_table
from theory.solvers.table import SolverTable
from toys import kernels, sampling, zoo
from toys.mixture import Mixture
from toys.progress import meter

N_STEPS = 16
PATHS = 1 << 15
EXPS = 1024
MC_REPEATS = 24
MC_PATHS = 10_000
TOY = "gaussians15_overlap"


def measure() -> dict[str, Any]:
    """Times and ratios by key; `text` names the unit and the meaning of each."""
    bar = meter(5, "speed")
    toy = zoo.toy("gaussians15_narrow")
    table = stochastic_ddim_table(log_snr_sigmas(N_STEPS, 80.0, 0.002))
    x, out = -30.0 * np.random.default_rng(0).random(EXPS), np.empty(EXPS)
    states = sampling.start_states(toy, table, PATHS, 0)
    work = PATHS * N_STEPS * toy.size

    def own() -> None:
        for _ in range(200):
            kernels.exp_array(x, out)

    def numpys() -> None:
        for _ in range(200):
            np.exp(x, out=out)

    # Interleaved, so that a change of the clock rate affects all three.
    times: dict[str, list[float]] = {"own": [], "numpy": [], "kernel": []}
    for _ in range(15):
        times["own"].append(_seconds(own) / (200 * EXPS))
        times["numpy"].append(_seconds(numpys) / (200 * EXPS))
        times["kernel"].append(_seconds(lambda: sampling.walk_states(toy, table, states, 0)) / work)
    own_ns, numpy_ns, kernel_ns = (1e9 * min(times[k][1:]) for k in ("own", "numpy", "kernel"))
    bar.update()
    oracle = min(_seconds(lambda: numpy_walk(toy, table, states, 0)) for _ in range(3))
    threaded = min(_seconds(lambda: sampling.sample(toy, table, PATHS, 0)) for _ in range(9))
    bar.update()
    exact_toy = zoo.toy(TOY)
    sigma_end = float(log_snr_sigmas(N_STEPS, 80.0, 0.002)[-1])
    divergences.exact_kl(exact_toy, table)
    exact_seconds = min(_seconds(lambda: divergences.exact_kl(exact_toy, table)) for _ in range(5))
    exact = divergences.exact_kl(exact_toy, table)
    assert exact.value is not None  # a Gaussian kernel is positive everywhere
    bar.update()
    values, seconds = [], []
    for r in range(MC_REPEATS):
        begin = time.perf_counter()
        states = sampling.sample(exact_toy, table, MC_PATHS, 0, r * MC_PATHS)
        found = samples.kernel_kl(exact_toy, states, sigma_end, 0, r * samples.KDE_POINTS)
        seconds.append(time.perf_counter() - begin)
        assert found.value is not None
        values.append(found.value)
    sd = float(np.std(values, ddof=1))
    needed = (sd / (1e-2 * exact.value)) ** 2  # repeats for a standard error of 1 %
    bar.update(2)
    bar.close()
    return {
        "exp_ns": min(own_ns, numpy_ns),
        "own_exp_ns": own_ns,
        "numpy_exp_ns": numpy_ns,
        "kernel_ns": kernel_ns,
        "kernel_over_exp": kernel_ns / min(own_ns, numpy_ns),
        "numpy_over_kernel": oracle / threaded,
        "numpy_over_kernel_one_thread": 1e9 * oracle / work / kernel_ns,
        "exact_seconds": exact_seconds,
        "exact_relative_error": (exact.error or 0.0) / exact.value,
        "mc_seconds_1e-2": needed * float(np.median(seconds)),
        "mc_repeats_1e-2": needed,
        "mc_kde_bias": float(np.mean(values)) - exact.value,
        "mc_kde_bias_stderr": sd / MC_REPEATS**0.5,
        "kl_exact": exact.value,
        "solver_ratios": solver_ratios(),
        "threads": sampling.available_threads(),
    }


def solver_ratios(repeats: int = 7) -> dict[str, float]:
    """Time per denoiser call of every solver, relative to stochastic DDIM, on one thread."""
    toy, sigmas = zoo.toy("gaussians15_narrow"), log_snr_sigmas(N_STEPS, 80.0, 0.002)
    tables = {name: shape_table(name, sigmas) for name in SOLVERS}
    states = {n: sampling.start_states(toy, table, PATHS, 0) for n, table in tables.items()}
    best = dict.fromkeys(tables, float("inf"))
    for _ in range(repeats):
        for name, table in tables.items():
            seconds = _seconds(lambda n=name, t=table: sampling.walk_states(toy, t, states[n], 0))  # type: ignore[misc]
            best[name] = min(best[name], seconds / table.nfe)
    return {name: found / best["stochastic_ddim"] for name, found in best.items()}


def text(row: dict[str, Any]) -> str:
    """The measurements as lines of text."""
    return "\n".join(
        [
            f"exp, the faster of two            {row['exp_ns']:9.3f} ns "
            f"(own {row['own_exp_ns']:.3f}, NumPy {row['numpy_exp_ns']:.3f})",
            f"stochastic DDIM, 15 components    {row['kernel_ns']:9.3f} ns a path, step, component",
            f"  over exp                        {row['kernel_over_exp']:9.2f}",
            f"  NumPy loop over it              {row['numpy_over_kernel']:9.1f} "
            f"on {row['threads']} threads, {row['numpy_over_kernel_one_thread']:.1f} on one",
            _ratio_line(row["solver_ratios"]),
            f"exact law, 15 Gaussians, N = 16   {row['exact_seconds']:9.3f} s "
            f"to {row['exact_relative_error']:.0e} relative (KL {row['kl_exact']:.6g} nats)",
            f"Monte Carlo to 1 % standard error {row['mc_seconds_1e-2']:9.3f} s "
            f"({row['mc_repeats_1e-2']:.0f} repeats of {MC_PATHS} paths)",
            f"  bias of its kernel estimate     {row['mc_kde_bias']:9.2g} nats "
            f"+- {row['mc_kde_bias_stderr']:.1g}, which more paths a repeat, not repeats, reduce",
        ]
    )


def _ratio_line(ratios: dict[str, float]) -> str:
    """The line about the slowest table solver and the state-dependent iterations."""
    tables = {n: v for n, v in ratios.items() if n not in ("re_multi", "re_multi_2025", "evodiff")}
    slowest = max(tables, key=lambda name: tables[name])
    return (
        f"  a call in the slowest table over it {tables[slowest]:5.2f} ({slowest}); re_multi "
        f"{ratios['re_multi']:.2f}, evodiff {ratios['evodiff']:.2f}"
    )


def numpy_walk(toy: Mixture, table: SolverTable, states: Array, seed: int) -> Array:
    """End states of the table in plain NumPy with its own generator, to compare the kernel with."""
    rng = np.random.default_rng(seed)
    x = states[:, 0]
    log_w, means, stds = np.log(toy.weights), toy.means[:, 0], toy.stds[:, 0]
    for r in range(table.nfe):
        var = stds**2 + table.sigma[r] ** 2
        logs = log_w - 0.5 * np.log(var) - 0.5 * (x[:, None] - means) ** 2 / var
        p = np.exp(logs - logs.max(axis=1, keepdims=True))
        rho = stds**2 / var
        pulled = means + rho * (x[:, None] - means)
        denoised = (p * pulled).sum(axis=1) / p.sum(axis=1)
        x = table.keep[r, 0] * x + table.weights[r, 0] * denoised
        x = x + table.noise[r] * rng.normal(size=x.size)
    return np.asarray(x)


def _seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
