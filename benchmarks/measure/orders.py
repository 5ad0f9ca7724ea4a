"""Fitted orders of convergence: `entropic order`.

Solvers without noise have a strong order. Its error is the root mean square distance of the ends of
their paths from those of the reference flow from the same initial states. Solvers with noise have a
weak order, started from the true law at sigma_max. Its error is the relative error of the second
moment, from the exact recursion for Gaussian data and from the exact law for other 1-D data. All
grids are log-SNR grids with terminal policy "stop".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from theory.checks import Array
from theory.gaussian import table_variances
from theory.levels import Span
from theory.names import Option
from theory.profiles.profile import Profile
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.called import GaussianRisk, HasRisk
from theory.solvers.reducing import ReducingIteration, Solver
from theory.solvers.registry import draws_on_profile, make_table, shape_table
from toys import reference, sampling
from toys.files import load_toy, toy_spec
from toys.information import information
from toys.laws.build import law_of
from toys.laws.transported import FIRST_REACH
from toys.mixture import Mixture, normals

STRONG_TOY, WEAK_TOY = "gaussians5", "gaussian"
# On one-dimensional mixtures some of evodiff's paths overflow beyond 20 steps, because it divides
# by a zeta that vanishes where two denoised values coincide. In two dimensions they do not.
OWN_TOY = {"evodiff": "circle8"}
# On Gaussian data called_ancestral has order 2, and Analytic-DPM and the matched call are exact.
OWN_TOY |= dict.fromkeys(("called_ancestral", "analytic_ddpm"), STRONG_TOY)
STARTS = 200
POINTS = 400  # levels of a profile
FEWEST, MOST = 16, 2**17
WINDOW = (1e-10, 1e-2)  # range of the errors that are fitted
AGREE = 0.05  # two successive local slopes must differ by less
FLOOR = 0.25  # below this slope the error has stopped falling
LOW_SIGMA_MAX = 2.0  # started here, the order shows a first-order start-up row

# Options without which a solver's error stops falling, so that no order can be fitted.
CONSISTENT: dict[str, dict[str, Option]] = {
    "edm_stochastic": {"s_noise": 1.0},  # with other values the limit is not the data
    "evodiff": {"special_last": False},  # the special last step shrinks the state at any step size
}


@dataclass(frozen=True)
class OrderFit:
    """A fitted order: slope of log error against log steps over two doublings that agree.

    stderr is the larger of the fit's standard error and the difference of the two slopes. It does
    not cover a term of lower order that is still too small to show in the window.
    """

    order: float
    stderr: float
    n_steps: tuple[int, ...]
    errors: tuple[float, ...]


def order(
    solver: str,
    toy: str | os.PathLike[str] | Mixture | None = None,
    sigma_max: float = 80.0,
    sigma_min: float = 0.002,
    options: Mapping[str, Option] | None = None,
) -> dict[str, Any]:
    """Fit a solver's order of convergence: strong without noise, weak with it.

    Strong: root mean square distance of the final states from those of the exact flow, from the
    same starts. Weak: relative error of the second moment. Errors are taken on the log-SNR grid at
    doubling numbers of steps until two successive slopes agree.

    Args:
        solver: Name of the solver.
        toy: Name of a toy or text of a mixture file. Default: N(0, 1) for solvers with noise,
            circle8 for evodiff, five Gaussians for the others.
        sigma_max: Highest level.
        sigma_min: Lowest level.
        options: Options of the solver; they override those of CONSISTENT.

    Raises:
        ValueError: If no window of errors in [1e-10, 1e-2] has two successive local slopes
            that differ by less than 0.05.
    """
    chosen: dict[str, Any] = CONSISTENT.get(solver, {}) | dict(options or {})
    Span(FEWEST, sigma_max, sigma_min)
    table = shape_table(solver, [sigma_max, sigma_min], **chosen)
    weak = has_noise(solver, chosen)
    spec = OWN_TOY.get(solver, WEAK_TOY if weak else STRONG_TOY)
    if toy is not None:  # the text of a mixture file names a mixture too
        spec = toy if isinstance(toy, str) and toy.startswith("{") else toy_spec(toy)
    found = fit(error_of(solver, spec, sigma_max, sigma_min, chosen))
    low: dict[str, Any] | None = None
    if sigma_max > LOW_SIGMA_MAX > sigma_min:
        try:
            capped = fit(error_of(solver, spec, LOW_SIGMA_MAX, sigma_min, chosen))
            low = {"order": capped.order, "stderr": capped.stderr}
        except ValueError as error:
            low = {"order": None, "stderr": None, "reason": str(error)}
    return {
        "solver": solver,
        "options": dict(chosen),
        "toy": spec,
        "kind": "weak" if weak else "strong",
        "order": found.order,
        "stderr": found.stderr,
        "declared": table.order,
        "n_steps": list(found.n_steps),
        "errors": list(found.errors),
        "sigma_max": sigma_max,
        "sigma_min": sigma_min,
        "from_sigma_max_2": low,
    }


def has_noise(solver: str, options: Mapping[str, Any]) -> bool:
    """Whether the solver draws noise after its initial state."""
    table = shape_table(solver, log_snr_sigmas(8, 10.0, 0.1), 10.0, **options)
    return not isinstance(table, ReducingIteration) and bool(table.noise.any())


def error_of(
    solver: str, toy: str, sigma_max: float, sigma_min: float, options: Mapping[str, Any]
) -> Callable[[int], float]:
    """Error of the solver on the toy as a function of the number of steps."""
    data = load_toy(toy)
    risk = _risk(data, sigma_min, sigma_max) if draws_on_profile(solver, options) else None

    def table_of(n: int, start_std: float | None = None) -> Solver:
        sigmas = log_snr_sigmas(n, sigma_max, sigma_min)
        return make_table(solver, sigmas, start_std, profile=risk, **options)

    if has_noise(solver, options):
        return lambda n: _moment_error(data, table_of, n)
    starts = sigma_max * normals(STARTS, data.dim, 0, 0, 0)
    ends = reference.flow(data, starts, np.array([sigma_max, sigma_min]))[-1]
    return lambda n: path_error(sampling.walk_states(data, table_of(n), starts, 0), ends)


def _risk(data: Mixture, low: float, high: float) -> HasRisk:
    """The profile of the data, for a solver that draws on it."""
    if data.size == 1 and data.dim == 1:
        return GaussianRisk(float(data.stds[0, 0]))
    grid = np.geomspace(low, high, POINTS)
    grid[0], grid[-1] = low, high
    return Profile(data.dim, grid, information.mmse(data, grid))


def path_error(states: Array, ends: Array) -> float:
    """Root mean square distance of states (n, d) from the correct ends (n, d)."""
    return float(np.sqrt(np.mean(np.sum((states - ends) ** 2, axis=1))))


def _moment_error(toy: Mixture, table_of: Callable[..., Solver], n: int) -> float:
    """Relative error of the second moment, started from the true law at the first level."""
    table = table_of(n)
    if toy.size == 1 and not toy.means.any():
        c = float(toy.stds[0, 0])
        table = table_of(n, float(np.hypot(c, table.begin)))
        assert not isinstance(table, ReducingIteration)  # those have no noise
        true = c**2 + table.end**2
        return abs(float(table_variances(table, c)[-1]) / true - 1.0)
    if toy.dim > 1:
        raise ValueError(f"toy must have d = 1 for a solver with noise, got d = {toy.dim}")
    law = law_of(toy, table, "data", 1.5, FIRST_REACH)
    true = toy.variance + float(toy.mean[0]) ** 2 + table.end**2
    return abs(law.moments()[1] / true - 1.0)


def fit(error: Callable[[int], float], fewest: int = FEWEST) -> OrderFit:
    """Order from errors at doubling steps, as soon as two successive local slopes agree."""
    steps: list[int] = []
    errors: list[float] = []
    n = fewest
    while n <= MOST:
        steps.append(n)
        errors.append(error(n))
        if errors[-1] < WINDOW[0] and len(errors) > 1:
            break
        last = np.array(errors[-3:])
        if last.size == 3 and last.max() <= WINDOW[1]:
            slopes = np.log2(last[:-1] / last[1:])
            if abs(slopes[1] - slopes[0]) < AGREE:
                x, y = np.log(steps[-3:]), np.log(last)
                slope, offset = np.polyfit(x, y, 1)
                spread = np.sum((y - slope * x - offset) ** 2) / np.sum((x - x.mean()) ** 2)
                if slopes[1] < FLOOR:
                    break
                stderr = float(max(np.sqrt(spread), abs(slopes[1] - slopes[0])))
                return OrderFit(float(-slope), stderr, tuple(steps[-3:]), tuple(last.tolist()))
        n *= 2
    shown = ", ".join(f"{e:.3g} at {n}" for n, e in zip(steps, errors, strict=True))
    raise ValueError(
        f"errors must fall at a steady rate within {WINDOW[0]:g} .. {WINDOW[1]:g}, got {shown}"
    )
