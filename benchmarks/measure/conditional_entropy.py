"""Paper C's conditional entropies, measured over one step of an iteration from x0 + a eps.

The paper calls an iteration good when the variance of its predictions given the clean data is
small. It makes two assumptions: predictions at two levels are independent, and Var(eps | x0) is
proportional to sigma^2 = 1 / SNR (propositions 3.1, 3.2, 4.1), or Var(D | x0) to sigma^2
(proposition 4.2). On a 1-D mixture both sides are integrals: E over x0 of the variance, given x0,
of any function of x = x0 + a z. A step is the solver's own table on two levels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from theory.checks import Array, one_of
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from toys.files import load_toy
from toys.laws.flow import Flow, Stretch
from toys.mixture import Mixture

NODES, FEWEST_Z, Z_REACH = 200_000, 601, 9.0  # nodes in z and x0 together, fewest in z, range of z
X0_WIDTH, X0_REACH = 0.2, 7.0  # spacing and range of the rule for x0, in stds
MOST_X0 = 4000
FLOW_STEPS = 24  # steps of UniPC-3 that replace the exact flow: to 1e-5 for a / b = 4


@dataclass(frozen=True)
class Step:
    """The map of one step: a solver, one of its forms, and the number of substeps."""

    name: str
    solver: str
    form: str | None = None
    parts: int = 1

    def table(self, a: float, b: float) -> SolverTable:
        """The step from a to b as a table."""
        options: dict[str, Any] = {} if self.form is None else {"form": self.form}
        table = make_table(self.solver, log_snr_sigmas(self.parts, a, b), **options)
        assert isinstance(table, SolverTable)
        return table


STEPS = (
    Step("ddim", "ddim"),
    Step("fd_2 noise", "fd_2", "noise"),
    Step("fd_2 data", "fd_2", "data"),
    Step("re_single noise", "re_single", "noise"),
    Step("re_single data", "re_single", "data"),
    Step("heun", "heun"),
    Step("dpm_solver_2", "dpm_solver_2"),
    Step("exact flow", "unipc_3", parts=FLOW_STEPS),
)


def _data_rule(toy: Mixture) -> tuple[Array, Array]:
    """Nodes and weights of a rule for E over x0: the points, or a trapezoidal rule."""
    if toy.is_points:
        return toy.means[:, 0], toy.weights
    if not toy.has_density:
        raise ValueError("toy must have either points only or no point at all")
    means, stds = toy.means[:, 0], toy.stds[:, 0]
    low, high = (means - X0_REACH * stds).min(), (means + X0_REACH * stds).max()
    count = 1 + int(np.ceil((high - low) / (X0_WIDTH * stds.min())))
    if count > MOST_X0:
        least = stds.min() * count / MOST_X0
        raise ValueError(f"toy must have stds of at least {least:.3g}, got {stds.min():g}")
    x0 = np.linspace(low, high, count)
    weights = np.exp(toy.log_density(x0))
    return x0, weights / weights.sum()


class Conditional:
    """Means over x0 of moments, given x0, of functions of x = x0 + a z, on a 1-D mixture."""

    def __init__(self, toy: Mixture, a: float) -> None:
        if toy.dim != 1:
            raise ValueError(f"toy must have d = 1, got d = {toy.dim}")
        self.x0, self.weights = _data_rule(toy)
        self.z = np.linspace(-Z_REACH, Z_REACH, max(FEWEST_Z, NODES // self.x0.size))
        self.z_weights = np.exp(-0.5 * self.z**2)
        self.z_weights /= self.z_weights.sum()
        self.a = a
        self.x = self.x0[:, None] + a * self.z

    def mean(self, values: Array) -> float:
        """E of values given at x."""
        return float(self.weights @ (values @ self.z_weights))

    def variances(self, values: Array) -> Array:
        """Var(values | x0) for every node of x0, values given at x."""
        centred = values - (values @ self.z_weights)[:, None]
        return np.asarray(centred**2 @ self.z_weights)

    def variance(self, values: Array) -> float:
        """E Var(values | x0)."""
        return float(self.weights @ self.variances(values))

    def gaussian_entropy(self, values: Array) -> float:
        """Paper C (3.10), E of log(2 pi e Var(values | x0)) / 2, in nats."""
        return float(self.weights @ (0.5 * np.log(2.0 * np.pi * np.e * self.variances(values))))


def predictions(toy: Mixture, sigma: float) -> dict[str, float]:
    """E Var(eps | x0) and E Var(D | x0) of the optimal predictions at one level.

    The variance of D is in squared data units; eps = (x - D) / sigma has no unit.
    """
    at = Conditional(toy, sigma)
    denoised = toy.denoise(at.x.ravel(), sigma).reshape(at.x.shape)
    # Written with x - x0 = sigma z: a variance given x0 does not depend on x0 itself.
    eps = at.z - (denoised - at.x0[:, None]) / sigma
    return {"variance_eps": at.variance(eps), "variance_d": at.variance(denoised)}


def paper_change(step: Step, a: float, b: float, variances: Callable[[float], float]) -> float:
    """The paper's change of conditional entropy against the first-order step, in nats.

    Predictions are taken as independent. For fd_2 the change is half the log of
    (1 - r / 2)^2 + r^2 / 4 V_s / V_a with r = h / h_s (proposition 3.1). For re_single it is half
    the log of (1 - g)^2 + g^2 V_s / V_a (4.3), g being the lower end of its interval.

    Args:
        step: A step of fd_2 or re_single.
        a: Level at the start of the step.
        b: Level at the end of the step.
        variances: Variance of the prediction as a function of sigma.
    """
    one_of("solver", step.solver, ("fd_2", "re_single"))
    s = float(np.sqrt(a * b))
    ratio = variances(s) / variances(a)
    if step.solver == "re_single":
        g = s**2 / (a**2 + s**2)
        return float(0.5 * np.log((1.0 - g) ** 2 + g**2 * ratio))
    r = (a - b) / (a - s) * (1.0 if step.form == "noise" else s / b)
    return float(0.5 * np.log((1.0 - 0.5 * r) ** 2 + 0.25 * r**2 * ratio))


def step_rows(toy_name: str, sigmas: Array) -> list[dict[str, Any]]:
    """One row per step between positive levels and per kind of step.

    variance is E Var(x' | x0) after the step, and increment is E Var(x' - x | x0), which in the
    noise form is the part due to the prediction. change_state and change_increment are half the log
    of their ratio to DDIM's. entropy is E H(x' | x0) by (3.10). entropy_exact is
    H(x | x0) + E log |F'(x)|, or None where the step is not monotone.
    """
    toy = load_toy(toy_name)
    rows = []
    for a, b in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        at = Conditional(toy, a)
        first: dict[str, float] = {}
        spread = {key: _memo(toy, key) for key in ("variance_eps", "variance_d")}
        for step in STEPS:
            table = step.table(a, b)
            value, slope = Flow(toy, table, Stretch(0, table.nfe, 0.0))(at.x)
            found = {
                "variance": at.variance(value),
                "increment": at.variance(value - at.x),
                "entropy": at.gaussian_entropy(value),
            }
            first = first or found
            monotone = bool((slope > 0).all())
            exact = 0.5 * np.log(2.0 * np.pi * np.e * a**2)
            with np.errstate(divide="ignore"):
                exact += at.mean(np.log(np.abs(slope)))
            row: dict[str, Any] = {
                "kind": "step",
                "toy": toy_name,
                "step": step.name,
                "sigma": a,
                "sigma_next": b,
                **found,
                "entropy_exact": float(exact) if monotone else None,
                "change_state": float(0.5 * np.log(found["variance"] / first["variance"])),
                "change_increment": float(0.5 * np.log(found["increment"] / first["increment"])),
                "predicted": None,
                "predicted_measured_variance": None,
            }
            if step.form is not None:
                measured = spread["variance_eps" if step.form == "noise" else "variance_d"]
                row["predicted"] = paper_change(step, a, b, lambda sigma: sigma**2)
                row["predicted_measured_variance"] = paper_change(step, a, b, measured)
            rows.append(row)
    return rows


def _memo(toy: Mixture, key: str) -> Callable[[float], float]:
    """The variance of one of the two predictions as a function of sigma, cached by level."""
    return cache(lambda sigma: predictions(toy, sigma)[key])


def level_rows(toy_name: str, sigmas: Array) -> list[dict[str, Any]]:
    """One row per level: the variances of both predictions and their local exponents in sigma."""
    toy = load_toy(toy_name)
    rows: list[dict[str, Any]] = []
    for sigma in sigmas.tolist():
        row: dict[str, Any] = {"kind": "level", "toy": toy_name, "sigma": sigma}
        row |= predictions(toy, sigma)
        low, high = predictions(toy, sigma / 1.02), predictions(toy, sigma * 1.02)
        for key, value in low.items():
            good = value > 0 and high[key] > 0
            slope = float(np.log(high[key] / value) / (2.0 * np.log(1.02))) if good else None
            row[key.replace("variance", "exponent")] = slope
        rows.append(row)
    return rows
