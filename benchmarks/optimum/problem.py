"""What levels are sought for: a sampler between two noise levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array
from theory.levels import Span
from theory.solvers.called import HasRisk
from theory.solvers.registry import draws_on_profile, make_table, shape_table
from theory.solvers.table import SolverTable

CLOSE = 1e-2  # log-spacing of two levels, in units of the mean, below which they nearly coincide
MOST_STEPS = 64
Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Sampler:
    """A solver with its options and its initial law.

    Args:
        solver: Name of the solver.
        options: Its options, (name, value) pairs.
        start_std: Standard deviation of the initial noise. Default: the first level.
        start: "noise" for that noise, or "data" for the true law at the first level.
    """

    solver: str
    options: Options = ()
    start_std: float | None = None
    start: str = "noise"


@dataclass(frozen=True)
class Problem:
    """The search for the best levels of a sampler in a range.

    Args:
        sampler: The sampler.
        span: Number of steps, range and terminal.
        risk: Profile of the data, if the solver draws on one.

    Raises:
        ValueError: The solver is no table, or there are more than 64 steps.
    """

    sampler: Sampler
    span: Span
    risk: HasRisk | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.span.n_steps > MOST_STEPS:
            raise ValueError(
                f"n_steps must be at most {MOST_STEPS} for schedule 'optimal', "
                f"got {self.span.n_steps}"
            )
        self.shape([self.span.sigma_max, self.span.sigma_min])

    @property
    def draws_on_profile(self) -> bool:
        """Whether the solver's table needs a profile of the data."""
        return draws_on_profile(self.sampler.solver, dict(self.sampler.options))

    def shape(self, sigmas: ArrayLike) -> SolverTable:
        """The table at the levels, for its calls and zeros alone.

        Raises:
            ValueError: The solver is no table.
        """
        table = shape_table(self.sampler.solver, sigmas, None, **dict(self.sampler.options))
        if not isinstance(table, SolverTable):
            raise ValueError(
                "solver must not have weights that depend on the state for schedules 'law' and "
                f"'optimal', got {self.sampler.solver!r}"
            )
        return table

    @cached_property
    def make(self) -> Callable[[Array], SolverTable]:
        """Builds the table from the levels; always the same function."""
        std = self.sampler.start_std
        start_std = self.span.sigma_max if std is None else std
        options = dict(self.sampler.options)
        risk = None
        if self.draws_on_profile and self.risk is not None:
            risk = _Held(self.risk, self.span)

        def make(sigmas: Array) -> SolverTable:
            table = make_table(self.sampler.solver, sigmas, start_std, profile=risk, **options)
            assert isinstance(table, SolverTable)
            return table

        return make

    @property
    def noisy(self) -> bool:
        """Whether the solver adds noise between its steps."""
        middle = float(np.sqrt(self.span.sigma_max * self.span.sigma_min))
        return bool(self.shape([self.span.sigma_max, middle]).noise.any())

    @property
    def first_order(self) -> bool:
        """Whether every step is one row, which uses the row's state and output alone."""
        table = self.shape(np.geomspace(self.span.sigma_max, self.span.sigma_min, 4))
        return (
            table.sigma.size == 3 and not table.keep[:, 1:].any() and not table.weights[:, 1:].any()
        )

    @property
    def form(self) -> str:
        """The form of the schedule `law` for the solver."""
        return "stochastic" if self.noisy else "deterministic"

    def halved(self) -> Problem | None:
        """The problem with half the steps; None if that leaves no inner level."""
        n_steps = self.span.n_steps // 2
        if n_steps < (2 if self.span.terminal == "stop" else 3):
            return None
        span = Span(n_steps, self.span.sigma_max, self.span.sigma_min, self.span.terminal)
        return replace(self, span=span)


@dataclass(frozen=True)
class _Held:
    """A profile that is held at the ends of a range, since differences move them a little.

    Args:
        profile: The profile.
        span: The range.
    """

    profile: HasRisk
    span: Span

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return self.profile.dim

    def mmse_at(self, sigma: ArrayLike, /) -> Array:
        """The mmse at the levels, or at the ends beyond them."""
        return self.profile.mmse_at(np.clip(sigma, self.span.sigma_min, self.span.sigma_max))


@dataclass(frozen=True, eq=False)
class Optimum:
    """Levels that minimise KL(data || sampler), and how they were found.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.
        value: The divergence there, in nats. If the data are not known, that of their model, per
            coordinate, or for a compromise the mean over the models, each in units of its least.
        found: How, as plain values.
        warnings: Reasons to doubt the levels, one sentence each.
    """

    sigmas: Array
    value: float
    found: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def close_levels(sigmas: Array) -> tuple[str, ...]:
    """A warning if two of the best levels nearly coincide, so that a step is of no use."""
    gaps = -np.diff(np.log(sigmas[sigmas > 0]))
    if gaps.size < 2 or gaps.min() >= CLOSE * gaps.mean():
        return ()
    at = int(np.argmin(gaps))
    return (
        f"levels {at} and {at + 1} nearly coincide at {sigmas[at]:.4g}: fewer steps are as good",
    )
