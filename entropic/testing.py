"""Hypothesis strategies for property tests: mixtures, schedules and solver tables.

This module needs hypothesis (`pip install hypothesis`, or the extra `test`). Examples shrink to few
components, round numbers and short schedules. They are printed as the call that makes them. A test
reads::

    from hypothesis import given
    from entropic.testing import mixtures, schedules

    @given(mixtures(dim=1), schedules(zero=False))
    def test_the_denoiser_stays_between_the_means(mixture, sigmas):
        ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ModuleNotFoundError as error:
    raise ImportError("entropic.testing needs hypothesis, got no module hypothesis") from error

from theory.checks import one_of, positive, whole
from theory.solvers.reducing import Solver
from theory.solvers.registry import SOLVERS, draws_on_profile, make_table
from toys.mixture import Mixture

KINDS = ("any", "points", "densities")
WEIGHTS = (1, 9)  # range of integers, which the mixture normalises
PLACES = 30  # in tenths, so that means are in [-3, 3]
STDS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
SIGMA_RANGE = (0.002, 80.0)


def mixtures(
    dim: int | None = None, kind: str = "any", max_components: int = 8
) -> SearchStrategy[Mixture]:
    """Strategy for Gaussian mixtures of spread about 1, with round weights, means and stds.

    Args:
        dim: Number of coordinates. Default: 1 to 4.
        kind: "points" (every std 0), "densities" (every std positive) or "any".
        max_components: Largest number of components.
    """
    one_of("kind", kind, KINDS)
    whole("max_components", max_components, 1)
    dims = st.integers(1, 4) if dim is None else st.just(whole("dim", dim, 1))
    sizes = st.integers(1, max_components)
    return st.tuples(sizes, dims).flatmap(lambda shape: _mixtures(*shape, kind))


def _mixtures(size: int, dim: int, kind: str) -> SearchStrategy[Mixture]:
    place = st.integers(-PLACES, PLACES).map(lambda tenths: tenths / 10)
    mean: SearchStrategy[Any] = place
    if dim > 1:
        mean = st.lists(place, min_size=dim, max_size=dim)
    width = st.sampled_from((*STDS, 0.0) if kind == "any" else STDS)
    std: SearchStrategy[Any] = st.just(0.0) if kind == "points" else width
    if dim > 1 and kind != "points":  # first one width for all axes, then one for each
        std = std.map(lambda one: [one] * dim) | st.lists(width, min_size=dim, max_size=dim)
    return st.builds(
        Mixture,
        st.lists(st.integers(*WEIGHTS), min_size=size, max_size=size),
        st.lists(mean, min_size=size, max_size=size),
        st.lists(std, min_size=size, max_size=size),
    )


def levels(low: float = SIGMA_RANGE[0], high: float = SIGMA_RANGE[1]) -> SearchStrategy[float]:
    """Strategy for log-uniform noise levels of three digits; they shrink to 1 if it is in range.

    Args:
        low: Lowest level, positive, in data units.
        high: Highest level, in data units.
    """
    if not positive("low", low) < positive("high", high):
        raise ValueError(f"low must be below high {high:g}, got {low:g}")
    bottom, top = float(np.log10(low)), float(np.log10(high))
    return st.floats(bottom, top).map(lambda x: min(max(float(f"{10.0**x:.3g}"), low), high))


def schedules(
    max_steps: int = 8,
    zero: bool | None = None,
    low: float = SIGMA_RANGE[0],
    high: float = SIGMA_RANGE[1],
) -> SearchStrategy[np.ndarray]:
    """Strategy for random schedules: decreasing levels of three digits, shape (n_steps + 1,).

    Args:
        max_steps: Largest number of steps.
        zero: Whether the last level is 0. Default: either.
        low: Lowest positive level, in data units.
        high: Highest level, in data units.
    """
    whole("max_steps", max_steps, 1)

    def ending(last: bool) -> SearchStrategy[np.ndarray]:
        few = 2 - last
        drawn = st.lists(
            levels(low, high), min_size=few, max_size=max_steps + 1 - last, unique=True
        )
        return drawn.map(lambda some: np.array(sorted(some, reverse=True) + [0.0] * last))

    return st.booleans().flatmap(ending) if zero is None else ending(zero)


def tables(
    solvers: Sequence[str] | None = None,
    max_steps: int = 8,
    zero: bool | None = None,
) -> SearchStrategy[Solver]:
    """Strategy for solvers at random levels, with their default options.

    Args:
        solvers: Names to draw from. Default: all solvers that need no profile.
        max_steps: Largest number of steps.
        zero: Whether the last level is 0. Default: either.
    """
    names = [name for name in SOLVERS if not draws_on_profile(name)]
    if solvers is not None:
        names = [one_of("solver", solver, names) for solver in solvers]
    return st.builds(make_table, st.sampled_from(names), schedules(max_steps, zero))
