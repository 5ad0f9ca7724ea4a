"""Repeats a computation on exact laws of rising resolution and reach until it converges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from theory.solvers.reducing import Solver
from toys.laws.build import Start, laws_of, maps
from toys.laws.law import Law
from toys.laws.transported import FIRST_REACH
from toys.mixture import Mixture
from toys.progress import progress

MAX_PASSES = 8
ROUNDING = 1e-12
ATOL = 2e-12


class Passes:
    """The laws of a solver in passes, each with narrower panels on a wider domain than the last.

    Laws are computed when they are first asked for, and kept.

    Args:
        mixture: One-dimensional data, whose exact denoiser the solver calls.
        table: The solver.
        rtol: The strictest relative tolerance that the values of the laws have to meet.
        blur: Standard deviation of a Gaussian with which the final law is blurred.

    Raises:
        ValueError: The mixture has more than one dimension, or the solver has no exact law.
    """

    def __init__(self, mixture: Mixture, table: Solver, rtol: float, blur: float = 0.0) -> None:
        self.mixture, self.table = mixture, table
        self._flows = maps(mixture, table, blur)
        self._first = float(np.clip(-np.log10(rtol) / 8.0, 0.6, 1.5))
        self._laws: dict[tuple[int, Start], Law | ValueError] = {}

    def law(self, i: int, start: Start, others: Sequence[Start] = ()) -> Law:
        """The law of pass i, from 0, for one initial law.

        Args:
            i: The pass.
            start: Initial law, as for `law_of`.
            others: Initial laws that are wanted too in this pass; to compute them together is
                faster.

        Raises:
            ValueError: The law needs too many nodes.
        """
        if (i, start) not in self._laws:
            new = [s for s in dict.fromkeys([start, *others]) if (i, s) not in self._laws]
            self._laws |= {(i, s): law for s, law in zip(new, self._made(i, new), strict=True)}
        law = self._laws[i, start]
        if isinstance(law, ValueError):
            raise law
        return law

    def _made(self, i: int, starts: list[Start]) -> Sequence[Law | ValueError]:
        """Laws of pass i, or the reason why there is none."""
        given = self.mixture, self.table, self._flows
        try:
            return laws_of(*given, starts, self._first * 1.25**i, FIRST_REACH * 2.0**i)
        except ValueError as error:
            if len(starts) == 1:
                return [error]
            return [law for start in starts for law in self._made(i, [start])]


@dataclass(frozen=True)
class Functional:
    """A number that is wanted from a law.

    Args:
        read: Function from a law to the number.
        rtol: Relative tolerance of its error.
        start: Initial law, as for `law_of`.
    """

    read: Callable[[Law], float]
    rtol: float
    start: Start = "noise"


@dataclass(frozen=True)
class Settled:
    """A number from an exact law.

    Args:
        value: The number; None if it did not settle.
        error: Estimate of its error; infinite if it did not settle.
        reason: Why it did not settle, or None.
        law: The last law that it was read from.
    """

    value: float | None
    error: float
    reason: str | None = None
    law: Law | None = None


def settle(passes: Passes, functionals: Mapping[str, Functional]) -> dict[str, Settled]:
    """Values of functionals, each refined until it converges to its own tolerance.

    Each pass raises the resolution by a quarter and doubles the domain. A functional that has
    settled is not read again. Its error is twice the last change plus 1e-12 of 1 + |value|, for the
    rounding of log densities; it may be at most rtol |value| + 2e-12. A functional that fails
    leaves the others alone.

    Args:
        passes: The laws.
        functionals: The functionals by name.
    """
    readings: dict[str, list[float]] = {name: [] for name in functionals}
    settled: dict[str, Settled] = {}
    for i in progress(range(MAX_PASSES), "passes"):
        waiting = {name: f for name, f in functionals.items() if name not in settled}
        if not waiting:
            break
        starts = [f.start for f in waiting.values()]
        for name, functional in waiting.items():
            try:
                law = passes.law(i, functional.start, starts)
                readings[name].append(functional.read(law))
            except ValueError as error:
                settled[name] = Settled(None, np.inf, str(error))
                continue
            verdict = _verdict(readings[name], functional.rtol, law)
            if verdict is not None:
                settled[name] = verdict
    return {name: settled[name] for name in functionals}


def _verdict(readings: list[float], rtol: float, law: Law) -> Settled | None:
    """The outcome after the last reading; None if another pass is needed."""
    value = readings[-1]
    if len(readings) > 1:
        if np.isinf(value) and value == readings[-2]:
            return Settled(value, 0.0, None, law)
        error = 2.0 * abs(value - readings[-2]) + ROUNDING * (1.0 + abs(value))
        if np.isfinite(value) and error <= rtol * abs(value) + ATOL:
            return Settled(value, error, None, law)
    if len(readings) < MAX_PASSES and not _stalls(readings):
        return None
    shown = ", ".join(f"{r:.13g} at reach {FIRST_REACH * 2.0**i:g}" for i, r in enumerate(readings))
    reason = f"the exact law must settle to {rtol:g} relative, got {shown}; use Monte Carlo (paths)"
    return Settled(None, np.inf, reason)


def _stalls(readings: list[float]) -> bool:
    """Whether further passes would not converge: small changes that no longer fall."""
    with np.errstate(invalid="ignore"):  # two infinite readings
        moves = np.abs(np.diff(readings))
        return bool(
            moves.size > 3 and moves[-1] > 0.5 * moves[-3] and moves[-1] < 0.1 * abs(readings[-1])
        )
