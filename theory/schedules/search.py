"""Search for the levels that minimise a positive number, such as a divergence.

The objective maps noise levels, shape (n_steps + 1,), to its value and to the derivatives of the
value with respect to log sigma of every level, shape (n_steps + 1,). It may fail at some levels: by
a ValueError, or by a value that is not a positive finite number.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from theory.checks import Array, monotone, one_of, require, vector, whole
from theory.levels import MOST_STEPS, TERMINALS

Objective = Callable[[Array], tuple[float, Array]]

VANISHED = 1e-9  # in nats
FLAT = 1e-7  # derivatives of log(value) that count as 0
PENALTY = 3.0  # above log(value) of the start, where the objective has no value
MOST_ITERATIONS = 300  # of one run of BFGS
RUNS = 4  # of BFGS, each from the best levels, while a failed line search gains more than GAIN
GAIN = 1e-3
LEAST_GAP = 1e-4  # least log-spacing of two levels, in units of the mean
PATIENCE, PROGRESS = 60, 1e-4  # evaluations without a relative gain of PROGRESS that end a search
STUCK = 2  # scipy's status of a run whose line search failed


@dataclass(frozen=True, eq=False)
class Minimum:
    """The best levels that a search has seen.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing.
        value: The objective there.
        evaluations: Number of evaluations of the objective.
        inverse: The inverse of the second derivatives of log(value) by the log-spacings there, as
            far as the search has learnt it; a similar search may begin with it.
    """

    sigmas: Array
    value: float
    evaluations: int
    inverse: Array | None = None


def descend(
    objective: Objective,
    start: Array,
    flat: float = FLAT,
    vanished: float = VANISHED,
    inverse: Array | None = None,
    patience: int = PATIENCE,
) -> Minimum:
    """The minimum of an objective over the inner levels, found by BFGS from given levels.

    The search minimises log(value) over the log-spacings of the levels, which are the softmax of
    unconstrained numbers, so that the levels always decrease and the ends stay exact. A last level
    0 stays 0, and the ends are then the first and the last positive level. Where the objective has
    no value the line search backs off. Errors of solvers of higher order can cancel almost wholly,
    and a search would follow them to rounding. It therefore ends when the value has vanished, and
    also when `patience` evaluations have gained less than 1e-4 of it.

    Args:
        objective: Maps levels to the value and its derivatives; see the module.
        start: First levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        flat: Derivatives of log(value) by the search's own variables that count as 0. The relative
            excess of the value is then about the square.
        vanished: A value, at least 0, below which there is nothing left to gain.
        inverse: That of the minimum of a similar objective, for fewer evaluations.
        patience: Evaluations without a relative gain of 1e-4 that end the search.

    Returns:
        The best levels seen. They are the start if there is no inner level to move.

    Raises:
        ValueError: The levels do not decrease, or the objective has no value at the start.
    """
    from scipy.optimize import minimize

    sigmas = _checked("start", start)
    value, gradient = objective(sigmas)
    if not (0.0 < value < np.inf and np.isfinite(gradient).all()):
        raise ValueError(f"objective must be positive and finite at the start, got {value:g}")
    search = _Search(objective, Minimum(sigmas, float(value), 1), vanished, patience)
    options: dict[str, Any] = {"gtol": flat, "maxiter": MOST_ITERATIONS, "hess_inv0": inverse}
    learnt = None
    for _ in range(RUNS):
        before = search.best.value
        if search.place.size < 2 or before < vanished:
            break
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of line searches that fail
                end = minimize(search, search.place, jac=True, method="BFGS", options=options)
        except _EndError:
            break
        learnt, options["hess_inv0"] = _symmetric(end.hess_inv), None
        if end.status != STUCK or search.best.value > before * (1.0 - GAIN):
            break
    return Minimum(search.best.sigmas, search.best.value, search.evaluations, learnt)


def doubled(sigmas: Array, n_steps: int, terminal: str = "stop") -> Array:
    """Levels of another number of steps between the same ends, a good start for their search.

    The monotone cubic (PCHIP) of log sigma over i / N is read at the finer fractions. It is meant
    for the step from an optimum of N / 2 levels to N. With terminal "zero" it treats the positive
    levels alone.

    Args:
        sigmas: Noise levels, shape (m + 1,), strictly decreasing; the last is 0 if and only if the
            terminal is "zero".
        n_steps: Number of steps of the result.
        terminal: "stop" or "zero".

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, with the ends of `sigmas`.

    Raises:
        ValueError: The levels do not decrease, do not end as the terminal says, or have only one
            positive level.
    """
    from scipy.interpolate import PchipInterpolator

    levels = _checked("sigmas", sigmas)
    count = whole("n_steps", n_steps, 1, MOST_STEPS)
    ends_at_zero = one_of("terminal", terminal, TERMINALS) == "zero"
    if ends_at_zero != (levels[-1] == 0.0):
        rule = "end at 0" if ends_at_zero else "end above 0"
        raise ValueError(f"sigmas must {rule} for terminal {terminal!r}, got {levels[-1]:g}")
    positive = levels[levels > 0]
    if positive.size < 2:
        raise ValueError(f"sigmas must have two positive levels or more, got {positive.size}")
    curve = PchipInterpolator(np.linspace(0.0, 1.0, positive.size), np.log(positive))
    out = np.exp(curve(np.linspace(0.0, 1.0, count + (not ends_at_zero))))
    out[-1], out[0] = positive[-1], positive[0]  # the one level of [sigma_max, 0] is sigma_max
    return np.append(out, 0.0) if ends_at_zero else out


def _checked(name: str, sigmas: Array) -> Array:
    """The levels, after a check that they decrease and that only the last may be 0."""
    levels = vector(name, sigmas, 2)
    monotone(name, levels, falling=True)
    good = (levels > 0) | ((levels == 0) & (np.arange(levels.size) == levels.size - 1))
    require(good, name, levels, "be positive, but for a last 0")
    return levels


def _symmetric(inverse: Array) -> Array | None:
    """The symmetric part of an inverse, or None if rounding has left it without a meaning."""
    even = 0.5 * (inverse + inverse.T)
    least = np.linalg.eigvalsh(even)[0] if np.isfinite(even).all() else 0.0
    return even if least > 0.0 else None


class _EndError(Exception):
    """The value has vanished, or has not fallen for long, which ends a search."""


class _Search:
    """log(value) as a function of unconstrained numbers, and the best point seen.

    Args:
        objective: Maps levels to the value and its derivatives.
        start: First levels and the value there.
        vanished: A value below which the search ends.
        patience: Evaluations without a gain that end it.
    """

    def __init__(
        self, objective: Objective, start: Minimum, vanished: float, patience: int
    ) -> None:
        self.objective, self.best, self.evaluations = objective, start, start.evaluations
        self.vanished, self.patience = vanished, patience
        positive = start.sigmas[start.sigmas > 0]
        self.top, self.reach = np.log(positive[0]), np.log(positive[0] / positive[-1])
        gaps = np.log(positive[:-1] / positive[1:])
        # A share of almost 0 has almost no slope, so that levels that coincide would stay together.
        self.place = np.log(np.maximum(gaps, LEAST_GAP * gaps.mean())) if gaps.size else gaps
        self.ceiling = np.log(start.value) + PENALTY
        self.mark = start  # the last best point that was a gain of PROGRESS over the one before

    def __call__(self, place: Array) -> tuple[float, Array]:
        """log(value) and its derivatives, or the ceiling without slope where there is no value."""
        shares = np.exp(place - place.max())
        shares /= shares.sum()
        sigmas = self.best.sigmas.copy()
        sigmas[1 : place.size] = np.exp(self.top - self.reach * np.cumsum(shares)[:-1])
        if shares.min() < 0.1 * LEAST_GAP / shares.size or not (np.diff(sigmas) < 0.0).all():
            return self.ceiling, np.zeros_like(place)
        self.evaluations += 1
        try:
            value, gradient = self.objective(sigmas)
        except ValueError:
            return self.ceiling, np.zeros_like(place)
        if not (0.0 < value < np.inf and np.isfinite(gradient).all()):
            return self.ceiling, np.zeros_like(place)
        # A share of the range moves all the inner levels below it.
        below = np.cumsum(gradient[1 : place.size][::-1])[::-1] / value
        by_share = -self.reach * np.append(below, 0.0)
        slopes = shares * (by_share - shares @ by_share)
        if value < self.best.value:
            self.best, self.place = Minimum(sigmas, float(value), self.evaluations), place.copy()
        if value < self.mark.value * (1.0 - PROGRESS):
            self.mark = self.best
        if value < self.vanished or self.evaluations > self.mark.evaluations + self.patience:
            raise _EndError
        return float(np.log(value)), slopes
