"""Statements of our own on optimal levels, which `docs/optimum.md` derives."""

import json

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Claim, Reading, at_most, relative, worst
from benchmarks.engine.results import RESULTS
from benchmarks.measure.divergences import exact_kl
from benchmarks.optimum.exact import model_minimum
from benchmarks.optimum.kernel import ErrorKernel
from benchmarks.optimum.problem import Problem, Sampler
from benchmarks.studies.schedule_regret import HIGH, LOW, drawn
from theory.checks import Array
from theory.gaussian_optimum import gaussian_optimal_sigmas
from theory.levels import Span
from theory.schedules.search import descend
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.derivative import levels_gradient
from theory.solvers.gaussian_kl import gaussian_sum_kl
from theory.solvers.registry import make_table
from toys.files import parse_toy
from toys.information import information
from toys.mixture import Mixture

PAIR = RESULTS / "equal_profiles.json"
EQUAL = 1e-4  # relative difference of R + 0.003 that counts as none
WIDE = 5.0 / 3.0  # factor in which the diagonal of the kernel stays
SEEN = 0.05  # R sqrt(1 - R) below which few steps are taken
STEPS = 64  # and twice as many, from which the limit of many steps is extrapolated


def gaussian_optimum(case: Case) -> Reading:
    """No search from other levels finds a smaller KL of the Gaussian recursion."""
    rng = case.rng
    n_steps, c = int(rng.integers(2, 33)), float(10.0 ** rng.uniform(-1.5, 0.5))
    solver = ("stochastic_ddim", "ddim")[int(rng.integers(2))]
    terminal = ("stop", "zero")[int(rng.integers(2))]
    problem = Problem(Sampler(solver), Span(n_steps, HIGH, LOW, terminal))

    def objective(sigmas: Array) -> tuple[float, Array]:
        kl, gradient = gaussian_sum_kl(problem.make(sigmas), np.ones(1), np.array([c]), "noise")
        return kl, levels_gradient(problem.make, sigmas, gradient)

    ours = gaussian_optimal_sigmas(n_steps, HIGH, LOW, terminal, c=c, solver=solver)
    least = objective(ours)[0]
    found = descend(objective, log_snr_sigmas(n_steps, HIGH, LOW, terminal), vanished=0.0).value
    return Reading(1.0 - found / least, 0.0, f"{solver}, N = {n_steps}: {least:.9g}, {found:.9g}")


def leading_kl(case: Case) -> Reading:
    """KL over 2 times the double sum of K h h tends to 1, extrapolated from two counts of steps."""
    data = drawn(case.rng, 0.15, 0.6)
    first, second = (_share(data, n_steps) for n_steps in (STEPS, 2 * STEPS))
    shown = f"KL over its leading part: {first:.5f}, {second:.5f}"
    return relative(2.0 * second - first, 1.0, shown)


def _share(data: Mixture, n_steps: int) -> float:
    """Exact KL of stochastic DDIM on log-uniform levels over its leading part."""
    sigmas = log_snr_sigmas(n_steps, HIGH, LOW)
    kl = exact_kl(data, make_table("stochastic_ddim", sigmas, HIGH), rtol=1e-7).value
    assert kl is not None  # noise has a density everywhere
    return kl / ErrorKernel(data, sigmas).kl()


def kernel_diagonal(case: Case) -> Reading:
    """(K(u, u)/2)^(1/4) over R sqrt(1 - R), where that is not small."""
    data = drawn(case.rng, 0.05, 0.6)
    sigmas = np.geomspace(20.0, 0.01, 25)
    rate = information.mmse(data, sigmas) / sigmas**2
    law = rate * np.sqrt(1.0 - np.minimum(rate, 1.0))
    diagonal = (np.diag(ErrorKernel(data, sigmas).matrix) / 2.0) ** 0.25
    shares = (diagonal / law)[law > SEEN]
    reading = at_most(np.exp(np.abs(np.log(shares))).max(), WIDE)
    return Reading(reading.value, 0.0, f"between {shares.min():.3f} and {shares.max():.3f}")


def equal_profiles(case: Case) -> Reading:
    """Two saved mixtures: one profile, and best levels that cost the other a quarter more."""
    one, two = (
        parse_toy(json.dumps(kept)) for kept in json.loads(PAIR.read_text("utf-8")).values()
    )
    sigmas = np.geomspace(LOW, HIGH, 200)
    rates = [information.mmse(data, sigmas) / sigmas**2 for data in (one, two)]
    gap = np.max(np.abs(rates[0] - rates[1]) / (rates[0] + 0.003))
    problem = Problem(Sampler("stochastic_ddim"), Span(4, HIGH, LOW, "stop"))
    best = [model_minimum(data, problem, 1e-4)[0] for data in (one, two)]
    costs = []
    for data, own, other in ((one, best[0], best[1]), (two, best[1], best[0])):
        kl = exact_kl(data, problem.make(other.sigmas), rtol=1e-8).value
        costs.append(np.inf if kl is None else kl / own.value)
    reading = worst([at_most(gap, EQUAL), at_most(1.25, min(costs))])
    return Reading(reading.value, 0.0, f"gap {gap:.1e}, costs {costs[0]:.4f} and {costs[1]:.4f}")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "O.gaussian_optimum",
        "docs/optimum.md, Gaussian data",
        "For Gaussian data the closed forms are the levels of least KL at every number of steps.",
        "r_i = (1 + r_{i+1}^2)/2 for stochastic DDIM; equal steps of arctan(sigma/c) for DDIM",
        "optimality",
        "none",
        gaussian_optimum,
        1e-9,
        "the search's tolerance and rounding",
        most=100,
    ),
    Claim(
        "O.leading_kl",
        "docs/optimum.md, the kernel",
        "With many steps the KL of stochastic DDIM is twice the double sum of K h h.",
        "KL / (2 sum K(u_i, u_j) h_i^2 h_j^2) -> 1 as N -> infinity",
        "empirical",
        "none",
        leading_kl,
        1e-2,
        "terms of second order in the step at 64 and 128 steps",
        most=6,
    ),
    Claim(
        "O.kernel_diagonal",
        "docs/optimum.md, the kernel",
        "The kernel's diagonal is nearly the same function of R for all one-dimensional mixtures.",
        "3/5 <= (K(u, u)/2)^(1/4) / (R sqrt(1 - R)) <= 5/3 where R sqrt(1 - R) > 0.05",
        "inequality",
        "none",
        kernel_diagonal,
        0.0,
        "none: the factor is ours",
        most=20,
    ),
    Claim(
        "O.equal_profiles",
        "docs/optimum.md, what a profile leaves open",
        "Two mixtures may have one profile and different best levels.",
        "|R1 - R2|/(R1 + 0.003) <= 1e-4; each one's best levels cost the other 5/4 of its least KL",
        "inequality",
        "none",
        equal_profiles,
        0.0,
        "none: the bounds are ours",
        most=1,
    ),
)
