"""Paper C's propositions measured on the true, dependent predictions.

The variance is that of an iteration's state, or of its increment, given the clean data x0. On
N(0, c^2) every map is linear, x' = k x, and Var(x' | x0) = (k a)^2. The engine's exact recursion is
compared with products of the slopes of eps, e(sigma) = sigma / (c^2 + sigma^2). There the exact
flow has k = sqrt((c^2 + b^2) / (c^2 + a^2)) and DDIM k = (c^2 + a b) / (c^2 + a^2). By Cauchy's
inequality the exact flow has the larger k, so a more accurate step has the larger variance.
"""

from functools import partial
from typing import Any

import numpy as np
from scipy.integrate import quad

from benchmarks.claims.c_single import levels
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative
from benchmarks.measure.conditional_entropy import predictions
from theory.checks import Array
from theory.gaussian import table_variances
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from toys.mixture import Mixture
from toys.sampling import walk_states

Z_NODES = np.linspace(-9.0, 9.0, 721)
Z_WEIGHTS = np.exp(-0.5 * Z_NODES**2) / np.exp(-0.5 * Z_NODES**2).sum()


def table_of(solver: str, a: float, b: float, form: str | None, stage: str) -> SolverTable:
    """One step of a solver as the engine's table."""
    options: dict[str, Any] = {} if form is None else {"form": form, "stage": stage}
    table = make_table(solver, [a, b], **options)
    if not isinstance(table, SolverTable):
        raise ValueError(f"solver must be a table, got {solver}")
    return table


def std_of(case: Case) -> float:
    """Standard deviation c of Gaussian data."""
    return float(case.toy.stds[0, 0])


def state_variance(
    case: Case, solver: str, other: str, form: str | None = None, stage: str = "sqrt"
) -> Reading:
    """Gaussian data: Var(x' | x0) after `solver` is at most that after `other`."""
    a, b = levels(case)
    found = [
        float(table_variances(table_of(name, a, b, of, stage), std_of(case))[-1])
        for name, of in ((solver, form), (other, form if other == "fd_2" else None))
    ]
    return at_most(found[0], found[1])


def forms_compared(case: Case) -> Reading:
    """Cf. proposition 3.4: at 3.2's inner level (3.7) has less variance in data than noise form."""
    a, b = levels(case)
    found = [
        float(table_variances(table_of("fd_2", a, b, form, "interval"), std_of(case))[-1])
        for form in ("data", "noise")
    ]
    return at_most(found[0], found[1])


def gains(case: Case, s: float, form: str = "noise") -> dict[str, float]:
    """Factors k of the maps x' = k x of one step on N(0, c^2), from the predictions' slopes."""
    (a, b), c2 = levels(case), std_of(case) ** 2

    def e(sigma: float) -> float:
        return sigma / (c2 + sigma**2)

    k_b, k_s = 1.0 + (b - a) * e(a), 1.0 + (s - a) * e(a)
    snr_a, snr_s = a**-2, s**-2
    g = snr_a / (snr_a + snr_s)
    if form == "noise":
        h, d_a, d_s, difference = b - a, e(a), e(s) * k_s, (b - a) / (s - a)
        fd = 1.0 + h * (d_a + 0.5 * difference * (d_s - d_a))
        re = fd + h * g * (d_s - d_a)
    else:
        h, d_a, d_s = 1.0 / b - 1.0 / a, c2 / (c2 + a**2), c2 / (c2 + s**2) * k_s
        fd = b * (1.0 / a + h * (d_a + 0.5 * h / (1.0 / s - 1.0 / a) * (d_s - d_a)))
        re = fd + b * h * g * (d_s - d_a)
    return {
        "ddim": k_b,
        "fd_2": fd,
        "re_single": re,
        "heun": 1.0 + 0.5 * (b - a) * (e(a) + e(b) * k_b),
        "dpm_solver_2": 1.0 + (b - a) * e(s) * k_s,
    }


def middle(case: Case) -> float:
    """The inner level sqrt(a b)."""
    return float(np.sqrt(np.prod(levels(case))))


def state_by_slopes(case: Case, solver: str, other: str, form: str = "noise") -> float:
    """The excess of `state_variance` at the inner level sqrt(a b), from the slopes."""
    k = gains(case, middle(case), form)
    left, right = k[solver] ** 2, k[other] ** 2
    return (left - right) / max(left, right)


def forms_by_slopes(case: Case) -> float:
    """The excess of `forms_compared`: inner levels by bisection, factors from the slopes."""
    a, b = levels(case)
    found = []
    for form in ("data", "noise"):
        low, high = b, a
        for _ in range(200):
            s = 0.5 * (low + high)
            ratio = (a - b) / (a - s) * (1.0 if form == "noise" else s / b)
            low, high = (low, s) if ratio > 4.0 / (1.0 + (s / a) ** 2) else (s, high)
        found.append(gains(case, s, form)["fd_2"] ** 2)
    return (found[0] - found[1]) / max(found)


def assumed_variance(case: Case, of: str) -> Reading:
    """Assumption of propositions 3.2 and 4.2: Var(eps | x0), or Var(D | x0), grows as sigma^2.

    It is measured over the case's first step, by the engine's rule over x0 and z.
    """
    a, b = levels(case)
    found = [predictions(case.toy, sigma)[f"variance_{of}"] for sigma in (a, b)]
    return relative(found[1] / found[0], (b / a) ** 2)


def assumed_by_formula(case: Case, of: str) -> float:
    """The excess of `assumed_variance` on N(0, c^2): (c^2 + sigma^2)^-2 sigma^4, or c^4 sigma^2."""
    (a, b), c2 = levels(case), std_of(case) ** 2
    ratio = (b / a) ** (4 if of == "eps" else 2) * ((c2 + a**2) / (c2 + b**2)) ** 2
    wanted = (b / a) ** 2
    return abs(ratio - wanted) / max(ratio, wanted)


def given_points(toy: Mixture, values: list[Array]) -> float:
    """E Var(values | x0) from values (n,) at Z_NODES around each point."""
    spread = [float(Z_WEIGHTS @ (v - Z_WEIGHTS @ v) ** 2) for v in values]
    return float(toy.weights @ spread)


def point_increments(case: Case, solver: str, other: str) -> Reading:
    """Points: E Var(x' - x | x0), noise form, after `solver` is at most that after `other`.

    The rule in z is trapezoidal for every point. The statement is void where h / h_s lies outside
    the interval of proposition 3.1 with the measured variances.
    """
    (a, b), s, toy = levels(case), middle(case), case.toy
    points = toy.means[:, 0]

    def increments(name: str) -> float:
        table = table_of(name, a, b, None if name == "ddim" else "noise", "sqrt")
        starts = [x0 + a * Z_NODES for x0 in points]
        return given_points(toy, [walk_states(toy, table, x[:, None], 0)[:, 0] - x for x in starts])

    def variance(sigma: float) -> float:
        states = [x0 + sigma * Z_NODES for x0 in points]
        return given_points(toy, [(x - toy.denoise(x, sigma)) / sigma for x in states])

    v_a, v_s = variance(a), variance(s)
    if (a - b) / (a - s) > 4.0 * v_a / (v_s + v_a):
        return Reading(-1.0, 0.0, "h / h_s is outside the interval")
    return at_most(increments(solver), increments(other))


def point_increments_by_quad(case: Case, solver: str, other: str) -> float:
    """The excess of `point_increments` by SciPy's adaptive rule and a plain denoiser."""
    (a, b), s = levels(case), middle(case)
    means, weights = case.toy.means[:, 0], case.toy.weights

    def eps(x: float, sigma: float) -> float:
        logs = np.log(weights) - 0.5 * ((x - means) / sigma) ** 2
        r = np.exp(logs - logs.max())
        return float((x - r @ means / r.sum()) / sigma)

    def step(x: float, name: str) -> float:
        d_a = eps(x, a)
        if name == "ddim":
            return (b - a) * d_a
        d_s = eps(x + (s - a) * d_a, s)
        g = (s / a) ** 2 / (1.0 + (s / a) ** 2) if name == "re_single" else 0.0
        mixed = g * d_s + (1.0 - g) * d_a
        return (b - a) * mixed + 0.5 * (b - a) ** 2 * (d_s - d_a) / (s - a)

    def moment(z: float, x0: float, name: str, power: int) -> float:
        density = float(np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))
        return density * step(x0 + a * z, name) ** power

    found = []
    for name in (solver, other):
        total = 0.0
        for share, x0 in zip(weights, means, strict=True):
            parts = [
                sum(
                    quad(partial(moment, x0=x0, name=name, power=p), low, low + 3.0, epsabs=1e-13)[
                        0
                    ]
                    for low in np.arange(-9.0, 9.0, 3.0)
                )
                for p in (1, 2)
            ]
            total += float(share * (parts[1] - parts[0] ** 2))
        found.append(total)
    return (found[0] - found[1]) / max(found)
