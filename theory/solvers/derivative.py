"""Derivatives with respect to the levels of a schedule, through the table of any solver.

A number that depends on a table has a derivative with respect to each of the table's entries. The
chain rule leads from there to the levels, and needs the derivatives of the entries. These are taken
by differences, so that every solver has them, including a user's own.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from theory.checks import Array, monotone, require, vector
from theory.solvers.table import SolverTable

Make = Callable[[Array], SolverTable]
Moved = Callable[[Array], Array]  # from shares of the steps to the entries of the moved table

# Share of the smaller neighbouring gap in log sigma. The formula errs by about (share)^6 of the
# derivative, and rounding by 1e-16 / share; both were measured for every solver of the registry.
SHARE = 0.005
STENCIL = ((1, 45.0 / 60.0), (2, -9.0 / 60.0), (3, 1.0 / 60.0))  # central, of order 6
ROUNDING = 8.0 * np.finfo(np.float64).eps  # relative change of an entry that counts as none
FINER = 6  # times that a step is quartered so that no entry becomes 0, or ceases to be
CLOSE = 1e-3  # relative; a plain central difference over a step errs by about SHARE^2


@dataclass(frozen=True, eq=False)
class TableGradient:
    """Derivatives of a number with respect to the entries of a `SolverTable`.

    Args:
        sigma: Derivatives with respect to the levels of the calls, shape (rows,).
        keep: Derivatives with respect to the weights of the states, shape (rows, H_x).
        weights: Derivatives with respect to the weights of the outputs, shape (rows, H_D).
        noise: Derivatives with respect to the standard deviations of the noise, shape (rows,).
    """

    sigma: Array
    keep: Array
    weights: Array
    noise: Array


@dataclass(frozen=True, eq=False)
class _Pattern:
    """Groups of levels that may be moved together, because no entry depends on two of a group.

    Args:
        mask: Which entries of the table were not 0, shape (entries,).
        levels: Number of levels.
        groups: For each group the level that every entry depends on, or -1, shape (entries,).
    """

    mask: np.ndarray
    levels: int
    groups: list[np.ndarray]


_PATTERNS: WeakKeyDictionary[Make, _Pattern] = WeakKeyDictionary()


def levels_gradient(make: Make, sigmas: Array, gradient: TableGradient) -> Array:
    """Derivatives with respect to log sigma of every level, shape (n_steps + 1,).

    The entries of the table are differenced in log sigma by the central formula of order 6, with a
    step of 0.005 of the smaller neighbouring gap, or less where the table jumps nearby. Levels that
    share no entry are moved together. An entry that does not depend on a level contributes exactly
    0. The first and the last level count through the rows of the table only: neither start_std nor
    end is a part of the gradient. The derivative for a last level 0 is 0.

    The groups of levels are kept for each function `make` and found again when the table shows
    another structure. It therefore pays to pass the same function object at every call.

    Args:
        make: Builds the table from the levels; start_std and the options are bound.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        gradient: Derivatives of the number with respect to the entries of make(sigmas).

    Raises:
        ValueError: The levels do not decrease, or the shapes of the tables and of the gradient
            differ.
    """
    levels = vector("sigmas", sigmas, 2)
    monotone("sigmas", levels, falling=True)
    require(levels[:-1] > 0, "sigmas", levels[:-1], "be positive, but for a last 0")
    table = make(levels)
    slopes, entries = _flat(gradient, "gradient", table), _flat(table, "make", table)
    steps = _steps(levels)

    def moved(shares: Array) -> Array:
        """The entries after every level has moved by a multiple of its step, as one vector."""
        return _flat(make(levels * np.exp(shares * steps)), "make", table)

    # Where the table jumps nearby, as that of churn at its lowest and highest level does.
    for _ in range(FINER):
        if all(np.array_equal(moved(far) != 0, entries != 0) for far in _farthest(levels.size)):
            break
        steps /= 4.0
    pattern, changes = _kept(make, entries, levels.size), []
    if pattern is not None:
        changes = _changes(moved, pattern)
        pattern = pattern if _agrees(moved, pattern, changes, entries) else None
    if pattern is None:
        pattern = _pattern(moved, entries, steps)
        changes = _changes(moved, pattern)
    with suppress(TypeError):  # an object without a hash or without weak references is not kept
        _PATTERNS[make] = pattern
    out = np.zeros_like(levels)
    for owner, change in zip(pattern.groups, changes, strict=True):
        owned = owner >= 0
        out += np.bincount(owner[owned], (slopes * change)[owned], levels.size)
    moves = steps > 0
    out[moves] /= steps[moves]
    return out


def _farthest(levels: int) -> list[Array]:
    """The two ends of the formula of differences, for all levels at once."""
    return [np.full(levels, sign * STENCIL[-1][0]) for sign in (1.0, -1.0)]


def _kept(make: Make, entries: Array, levels: int) -> _Pattern | None:
    """The groups found at an earlier call with the same function and zeros, if there was one."""
    pattern = None
    with suppress(TypeError):
        pattern = _PATTERNS.get(make)
    if pattern is None or pattern.levels != levels:
        return None
    return pattern if np.array_equal(pattern.mask, entries != 0) else None


def _steps(levels: Array) -> Array:
    """The step of each level in log sigma, shape (n_steps + 1,); 0 for a last level 0."""
    positive = levels[levels > 0]
    gaps = np.log1p(-np.diff(positive) / positive[1:])  # not 0 for neighbouring floats
    steps = np.zeros_like(levels)
    if not gaps.size:  # the one level above 0 has no neighbour
        steps[: positive.size] = SHARE
        return steps
    gaps = np.minimum(gaps, 1.0)
    steps[: positive.size] = SHARE * np.minimum(np.append(gaps, gaps[-1]), np.append(gaps[0], gaps))
    return steps


def _flat(given: SolverTable | TableGradient, name: str, like: SolverTable) -> Array:
    """The entries as one vector, after a check that they have the shapes of the table `like`."""
    fields = [np.asarray(getattr(given, f)) for f in ("sigma", "keep", "weights", "noise")]
    want = [getattr(like, f).shape for f in ("sigma", "keep", "weights", "noise")]
    shapes = [field.shape for field in fields]
    if shapes != want:
        raise ValueError(f"{name} must have the shapes {want} of the table, got {shapes}")
    return np.concatenate([field.ravel() for field in fields])


def _pattern(moved: Moved, entries: Array, steps: Array) -> _Pattern:
    """The groups of levels, found by moving every level once and colouring greedily."""
    groups: list[np.ndarray] = []
    for i in np.flatnonzero(steps):
        new = moved(np.where(np.arange(steps.size) == i, 3.0, 0.0))
        depends = np.abs(new - entries) > ROUNDING * np.maximum(np.abs(new), np.abs(entries))
        for owner in groups:
            if not (depends & (owner >= 0)).any():
                owner[depends] = i
                break
        else:
            groups.append(np.where(depends, i, -1))
    return _Pattern(entries != 0, steps.size, groups)


def _changes(moved: Moved, pattern: _Pattern) -> list[Array]:
    """Changes of the entries per step of the level that each depends on, one vector per group."""
    out = []
    for owner in pattern.groups:
        members = np.zeros(pattern.levels)
        members[owner[owner >= 0]] = 1.0
        pairs = [weight * (moved(k * members) - moved(-k * members)) for k, weight in STENCIL]
        out.append(np.sum(pairs, axis=0))
    return out


def _agrees(moved: Moved, pattern: _Pattern, changes: list[Array], entries: Array) -> bool:
    """Whether the changes of the groups add up to those of a movement of all levels together.

    They do not if an entry depends on more levels than when the groups were found.
    """
    shares = np.cos(1.0 + 2.4 * np.arange(pattern.levels))  # any numbers without a rule
    groups = zip(pattern.groups, changes, strict=True)
    parts = [np.where(owner >= 0, change * shares[owner], 0.0) for owner, change in groups]
    gap = np.abs(0.5 * (moved(shares) - moved(-shares)) - np.sum(parts, axis=0))
    return bool((gap <= CLOSE * np.abs(parts).sum(axis=0) + ROUNDING * np.abs(entries)).all())
