"""Paper C, (3.2) to (3.6), (4.10): the score integral along the exact flow, and its Taylor series.

Left sides come from the engine's reference flow and denoiser. Right sides are written out here:
they use the prediction's derivatives along the flow, in closed form from the posterior's moments.
The noise form has d = eps, k = sigma, the data form d = D, k = 1 / sigma. Each case is one step of
six paths.
"""

from typing import Any, NamedTuple

import numpy as np

from benchmarks.claims.c_process import balance, processes
from benchmarks.claims.c_process import clock as engine_clock
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, worst
from theory.checks import Array
from theory.solvers.ddim import ddim_table
from toys import reference
from toys.mixture import Mixture
from toys.sampling import walk_states

RATIO = 1.25  # largest a / b of a step, over which 24 nodes resolve the flow of any mixture
PATHS = 6
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)
FORMS = ("noise", "data")
STEP = 1e-30


def moments(toy: Mixture, x: Any, sigma: Any) -> tuple[Any, Any, Any]:
    """Posterior mean, variance and third central moment of 1-D x0 given x; complex x and sigma.

    Args:
        toy: The data.
        x: States, shape (n,).
        sigma: Level.
    """
    mean, s2 = toy.means[:, 0], toy.stds[:, 0] ** 2
    v = s2 + sigma**2
    gap = x[:, None] - mean
    logs = np.log(toy.weights) - 0.5 * np.log(v) - 0.5 * gap**2 / v
    logs = logs - np.real(logs).max(axis=1, keepdims=True)
    r = np.exp(logs)
    r = r / r.sum(axis=1, keepdims=True)
    # Moments about the most likely component's mean do not cancel where that component dominates.
    own = mean + s2 / v * gap
    top = np.real(r).argmax(axis=1)[:, None]
    offset = own - np.take_along_axis(own, top, axis=1)
    shift = (r * offset).sum(axis=1, keepdims=True)
    u, spread = offset - shift, s2 * sigma**2 / v
    first = (np.take_along_axis(own, top, axis=1) + shift)[:, 0]
    second = (r * (spread + u**2)).sum(axis=1)
    third = (r * (u**3 + 3.0 * u * spread)).sum(axis=1)
    return first, second, third


def derivative(toy: Mixture, x: Any, sigma: Any, form: str) -> Any:
    """d^(1), the total derivative of the prediction in k along the flow, at x (n,).

    dD / dsigma = (M3 - (x - D) V) / sigma^3 with the posterior's moments. The noise form has
    deps / dsigma = -(dD / dsigma) / sigma, the data form dD / dk = -sigma^2 dD / dsigma.
    """
    m, v, third = moments(toy, x, sigma)
    rate = (third - (x - m) * v) / sigma**3
    return -rate / sigma if form == "noise" else -(sigma**2) * rate


def second_derivative(toy: Mixture, x: Array, sigma: float, form: str) -> Array:
    """d^(2), by a complex step of `derivative` along the flow."""
    along = 1.0 if form == "noise" else -(sigma**2)
    eps = (x - moments(toy, x, sigma)[0]) / sigma
    moved = derivative(toy, x + 1j * STEP * along * eps, sigma + 1j * STEP * along, form)
    return np.asarray(np.imag(moved) / STEP)


class Step(NamedTuple):
    """A step of the exact flow from level a down to b, with nodes between.

    Args:
        a: Level of the start.
        b: Level of the end, a / RATIO or higher.
        start: States at a, shape (n,).
        end: States at b, shape (n,).
        levels: Nodes between, rising, shape (m,).
        states: States there, shape (m, n).
        weights: Weights of an integral over sigma from a to b, negative, shape (m,).
    """

    a: float
    b: float
    start: Array
    end: Array
    levels: Array
    states: Array
    weights: Array


def step_of(case: Case) -> Step:
    """The case's first step, shortened; its paths follow the flow up from the data's law at b."""
    a = float(case.sigmas[0])
    b = max(float(case.sigmas[1]), a / RATIO)
    levels = 0.5 * (a + b) + 0.5 * (a - b) * NODES
    start = case.toy.sample_noisy(PATHS, b, case.seed)
    path = reference.flow(case.toy, start, np.concatenate([[b], levels, [a]]))[:, :, 0]
    return Step(a, b, path[-1], path[0], levels, path[1:-1], -0.5 * (a - b) * WEIGHTS)


def scale(x: Array | float, sigma: Any, form: str) -> Any:
    """The paper's f(x): the state over alpha (noise form) or over s = alpha sigma (data form)."""
    return x if form == "noise" else x / sigma


def clock(sigma: Any, form: str) -> Any:
    """The paper's kappa: sigma (noise form) or 1 / sigma (data form)."""
    return sigma if form == "noise" else 1.0 / sigma


def prediction(toy: Mixture, x: Array, sigma: float, form: str) -> Array:
    """The engine's D, or eps = (x - D) / sigma."""
    denoised = toy.denoise(x, sigma)
    return denoised if form == "data" else np.asarray((x - denoised) / sigma)


def over_kappa(step: Step, values: Array, form: str) -> Array:
    """Integral over kappa from start to end of values (m, n) at the step's nodes."""
    per = np.ones_like(step.levels) if form == "noise" else -1.0 / step.levels**2
    return np.asarray((step.weights * per) @ values)


def along(case: Case, step: Step, form: str) -> Array:
    """The engine's predictions at the step's nodes, shape (m, n)."""
    pairs = zip(step.states, step.levels.tolist(), strict=True)
    return np.array([prediction(case.toy, x, s, form) for x, s in pairs])


def score_integral(case: Case, backwards: bool = False) -> Reading:
    """(3.2): f(x_t) - f(x_s) is the integral of the prediction over kappa; backwards, (4.10)."""
    step, readings = step_of(case), []
    sign = -1.0 if backwards else 1.0
    for form in FORMS:
        total = sign * over_kappa(step, along(case, step, form), form)
        end, start = scale(step.end, step.b, form), scale(step.start, step.a, form)
        readings.append(balance(sign * end, -sign * start, -total))
    return worst(readings)


def derivative_of_f(case: Case) -> Reading:
    """Remark 1: along (2.5) or (2.6), f(x_t) changes by d per unit of kappa.

    The ODE's right side is written with the paper's f and g^2. The rates of f(x_t) and of kappa
    also need the slopes of alpha and sigma, which come from the engine.
    """
    sigma, y = case.sigma, case.states()[:, 0]
    eps, denoised = (prediction(case.toy, y, sigma, form) for form in FORMS)
    readings = []
    for process in processes(case):
        t, alpha, s, f, g2 = process.at(sigma)
        x, rate = alpha * y, float(process.coordinate.dsigma_dtime(t))
        own = engine_clock(process.coordinate, t)
        noise = ((f * x + 0.5 * g2 / s * eps) / alpha, -own * x / alpha)
        readings.append(balance(*noise, -rate * eps))
        growth = f + 0.5 * g2 / s**2
        data = (
            (growth * x - 0.5 * alpha * g2 / s**2 * denoised) / s,
            -(own + rate / sigma) * x / s,
        )
        readings.append(balance(*data, rate / sigma**2 * denoised))
    return worst(readings)


def _taylor(case: Case, form: str, integrated: bool) -> tuple[list[Array], Array, Array]:
    """Terms of (3.3) or (3.4) at n = 1, the remainder's integral, and d^(2) at the nodes."""
    step, toy = step_of(case), case.toy
    k_a, k_b = clock(step.a, form), clock(step.b, form)
    h = k_b - k_a
    first = np.real(derivative(toy, step.start, step.a, form))
    pairs = zip(step.states, step.levels.tolist(), strict=True)
    second = np.array([second_derivative(toy, x, s, form) for x, s in pairs])
    left = (k_b - clock(step.levels, form))[:, None]
    d_a = prediction(toy, step.start, step.a, form)
    if integrated:
        end, start = scale(step.end, step.b, form), scale(step.start, step.a, form)
        rest = over_kappa(step, 0.5 * left**2 * second, form)
        return [end, -start, -h * d_a, -0.5 * h**2 * first], rest, second
    d_b = prediction(toy, step.end, step.b, form)
    return [d_b, -d_a, -h * first], over_kappa(step, left * second, form), second


def taylor(case: Case, integrated: bool) -> Reading:
    """(3.3) and (3.4) at n = 1, with the remainder as an integral of d^(2) over the step.

    d_b = d_a + h d_a^(1) + int (k_b - k) d^(2) dk, and u = h d_a + h^2 / 2 d_a^(1) +
    int (k_b - k)^2 / 2 d^(2) dk; the remainders are O(h^2) and O(h^3) as the paper says.
    """
    readings = []
    for form in FORMS:
        terms, rest, _ = _taylor(case, form, integrated)
        readings.append(balance(*terms, -rest))
    return worst(readings)


def difference_quotient(case: Case) -> Reading:
    """(3.6) at k = 1: h times the quotient's error is int (k_s - k) d^(2) dk, so it is O(h).

    This is (3.3) again. The integral is at most h^2 / 2 times the largest d^(2) on the step.
    """
    step, readings = step_of(case), []
    for form in FORMS:
        terms, rest, second = _taylor(case, form, False)
        h = clock(step.b, form) - clock(step.a, form)
        readings.append(balance(*terms, -rest))
        readings.append(at_most(np.abs(rest), 0.5 * h**2 * np.abs(second).max(axis=0)))
    return worst(readings)


def first_terms(case: Case, form: str, terms: int) -> Reading:
    """(3.5): the first `terms` terms of (3.4) are DDIM; the paper's n = 1 has two terms."""
    step, toy = step_of(case), case.toy
    h = clock(step.b, form) - clock(step.a, form)
    d_a = prediction(toy, step.start, step.a, form)
    found = h * d_a
    if terms > 1:
        found = found + 0.5 * h**2 * np.real(derivative(toy, step.start, step.a, form))
    ends = walk_states(toy, ddim_table([step.a, step.b]), step.start[:, None], 0)[:, 0]
    return balance(scale(ends, step.b, form), -scale(step.start, step.a, form), -found)


def ddim_step(case: Case) -> Reading:
    """(3.5) in both forms is the engine's DDIM."""
    return worst([first_terms(case, form, 1) for form in FORMS])


def second_term_on_gaussian(case: Case) -> float:
    """The excess of "(3.4) at n = 1 is DDIM" on N(0, c^2), noise form, in closed form.

    eps = sigma x / v with v = c^2 + sigma^2, and eps^(1) = c^2 x / v^2 along the flow. The terms
    are those of `first_terms`, all proportional to x.
    """
    step, c2 = step_of(case), float(case.toy.stds[0, 0] ** 2)
    v, h = c2 + step.a**2, step.b - step.a
    first, second = h * step.a / v, 0.5 * h**2 * c2 / v**2
    return abs(second) / max(1.0, abs(1.0 + first), abs(first + second))
