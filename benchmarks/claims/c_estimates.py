"""Paper C, (4.9) to (4.19): two estimates of one state, and the weights that should match them.

All is in the data form, f = x / sigma, k = 1 / sigma, d = D. The one-dimensional states of one draw
form the vector whose norm the paper takes ("vec"). The step goes from level a of t_i to level b of
t_{i-1} by the engine's iteration (4.1), with an inner level s; a1 is the level of t_{i+1}.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.claims.c_process import balance
from benchmarks.claims.c_single import MIXES
from benchmarks.claims.c_solution import derivative
from benchmarks.claims.c_variance import three
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative
from theory.checks import Array
from theory.solvers.ddim import ddim_table
from theory.solvers.differences import re_single_table
from toys.sampling import walk_states

STATES = 20
SMALL = 1e-200  # below this squared norm the predictions agree, and all weights are equivalent


@dataclass(frozen=True)
class Estimates:
    """The vectors of one step, shape (n,), and its numbers.

    Args:
        x: True state at a, from which the step starts.
        end: State at b after (4.1), by the engine.
        h: k_b - k_a.
        mix: Weight g of (4.1).
        d_a: Prediction at (x, a).
        d_s: Prediction at the inner stage.
        d_b: Prediction at (end, b).
        at_a: F(s, t_i).
        at_b: F(s, t_{i-1}).
        a: Level of t_i.
        b: Level of t_{i-1}.
    """

    x: Array
    end: Array
    h: float
    mix: float
    d_a: Array
    d_s: Array
    d_b: Array
    at_a: Array
    at_b: Array
    a: float
    b: float

    def mixed(self, weight: float) -> Array:
        """G of (4.9)."""
        return weight * self.d_s + (1.0 - weight) * self.d_a

    def tilde(self, weight: float) -> Array:
        """State at t_i by (4.9), times sigma."""
        f = self.end / self.b - self.h * self.mixed(weight) - 0.5 * self.h**2 * self.at_a
        return self.a * f

    @property
    def hat(self) -> Array:
        """State at t_i by (4.12), times sigma."""
        return self.a * (self.end / self.b - self.h * self.d_b + 0.5 * self.h**2 * self.at_b)

    @property
    def p(self) -> Array:
        """P of (4.15)."""
        return self.hat + self.a / self.b * self.end - 0.5 * self.a * self.h**2 * self.at_a

    @property
    def p_tilde(self) -> Array:
        """P tilde of lemma 4.1: P minus the part of sigma h G that has no weight."""
        return self.p - self.a * self.h * self.d_a

    @property
    def direction(self) -> Array:
        """The vector that the weight multiplies in (4.15): sigma h D_i."""
        return self.a * self.h * (self.d_s - self.d_a)


def estimates(case: Case) -> Estimates:
    """The vectors of the case's step."""
    _, a, b = three(case)
    x = case.toy.sample_noisy(STATES, a, case.seed)[:, 0]
    table = re_single_table([a, b], form="data")
    s = float(table.sigma[1])
    end = walk_states(case.toy, table, x[:, None], 0)[:, 0]
    d_a, d_b = case.toy.denoise(x, a), case.toy.denoise(end, b)
    d_s = case.toy.denoise(s * (x / a + (1.0 / s - 1.0 / a) * d_a), s)
    at_a, at_b = (d_s - d_a) / (1.0 / s - 1.0 / a), (d_s - d_b) / (1.0 / s - 1.0 / b)
    mix = MIXES["lower"](a**-2, s**-2)
    return Estimates(x, end, 1.0 / b - 1.0 / a, mix, d_a, d_s, d_b, at_a, at_b, a, b)


def rearranged(case: Case) -> Reading:
    """(4.9) with the weight of (4.1) recovers the start of the engine's step."""
    e = estimates(case)
    return balance(e.tilde(e.mix), -e.x)


def objective(case: Case) -> Reading:
    """(4.15): the sum of both estimates is P - sigma h G, with P as printed."""
    e, weight = estimates(case), float(case.rng.uniform(0.05, 1.0))
    return balance(e.tilde(weight), e.hat, -e.p, e.a * e.h * e.mixed(weight))


def objective_of_errors(case: Case) -> Reading:
    """(4.13): the norm of the sum of both errors is that of the sum of both estimates minus 2 x.

    The display adds the errors of two estimates, although the text speaks of their difference.
    """
    e, weight = estimates(case), float(case.rng.uniform(0.05, 1.0))
    tilde, hat = e.tilde(weight), e.hat
    found = np.linalg.norm((tilde - e.x) + (hat - e.x))
    # Errors that are 0 up to rounding are compared on the scale of the state.
    added, size = np.linalg.norm(tilde + hat - 2.0 * e.x), 1e-3 * np.linalg.norm(e.x)
    return relative(found + size, added + size)


def triangle(case: Case, of: str) -> Reading:
    """(4.14) and (4.18): the norm of a difference is at most the sum of both norms."""
    if of == "state":
        e = estimates(case)
        both = e.tilde(float(case.rng.uniform(0.05, 1.0))) + e.hat
        return _triangle(both, 2.0 * e.x)
    b = balance_of(case)
    return _triangle(b.blend(float(case.rng.uniform(0.05, 1.0))), b.slope)


def _triangle(found: Array, known: Array) -> Reading:
    left = float(np.linalg.norm(found - known))
    return at_most(left, float(np.linalg.norm(found) + np.linalg.norm(known)))


@dataclass(frozen=True)
class Balance:
    """Difference quotients around t_i, shape (n,): F(t_{i-1}, t_i), F(t_{i+1}, t_i), d^(1)."""

    ahead: Array
    back: Array
    slope: Array

    def blend(self, weight: float) -> Array:
        """Delta^s with weight eta on the quotient ahead."""
        return weight * self.ahead + (1.0 - weight) * self.back


def balance_of(case: Case) -> Balance:
    """The quotients along the engine's DDIM from t_{i+1} to t_i and t_{i-1}."""
    a1, a, b = three(case)
    toy, x1 = case.toy, case.toy.sample_noisy(STATES, a1, case.seed)
    x = walk_states(toy, ddim_table([a1, a]), x1, 0)
    end = walk_states(toy, ddim_table([a, b]), x, 0)
    d1, d0, d = (toy.denoise(v, s)[:, 0] for v, s in ((x1, a1), (x, a), (end, b)))
    slope = np.asarray(derivative(toy, x[:, 0], a, "data"))
    return Balance((d - d0) / (1.0 / b - 1.0 / a), (d1 - d0) / (1.0 / a1 - 1.0 / a), slope)


def balanced_errors(case: Case) -> Reading:
    """(4.17): the blend of both quotients' errors is the blended quotient minus d^(1)."""
    b, weight = balance_of(case), float(case.rng.uniform(0.05, 1.0))
    errors = weight * (b.ahead - b.slope) + (1.0 - weight) * (b.back - b.slope)
    return balance(errors, -b.blend(weight), b.slope)


def _problem(case: Case, of: str) -> tuple[Array, Array, Array]:
    """For zeta or eta: v and w of the bound |v - weight w|, and what the objective takes off v."""
    if of == "zeta":
        e = estimates(case)
        return e.p_tilde, e.direction, 2.0 * e.x
    b = balance_of(case)
    return b.back, b.back - b.ahead, b.slope


def closed_form(v: Array, w: Array, sign: float) -> float:
    """Lemmas 4.1, 4.2: sign <w, v> / <w, w>, printed with sign -1; least squares has sign 1."""
    return sign * float(w @ v) / float(w @ w)


def lemma(case: Case, of: str, sign: float) -> Reading:
    """The amount by which the least-squares solution improves on the closed form's norm."""
    v, w, _ = _problem(case, of)
    if w @ w < SMALL:
        return Reading(0.0, 0.0, "both predictions agree")
    best = float(np.linalg.lstsq(w[:, None], v, rcond=None)[0][0])
    return _improvement(v, w, closed_form(v, w, sign), best)


def bound_minimised(case: Case, of: str) -> Reading:
    """The amount by which L's own minimiser is better than that of its bound, which C uses."""
    v, w, rest = _problem(case, of)
    if w @ w < SMALL:
        return Reading(0.0, 0.0, "both predictions agree")
    best = float(np.linalg.lstsq(w[:, None], v - rest, rcond=None)[0][0])
    return _improvement(v - rest, w, closed_form(v, w, 1.0), best)


def _improvement(v: Array, w: Array, weight: float, best: float) -> Reading:
    """Decrease of |v - t w| from `weight` to `best`, over |v|.

    The unit is |v| because for parallel vectors the least norm is only rounding.
    """
    found, least = (float(np.linalg.norm(v - t * w)) for t in (weight, best))
    value = (found - least) / float(np.linalg.norm(v))
    return Reading(value, 0.0, f"norm {found:.6g} at {weight:.6g}, {least:.6g} at {best:.6g}")
