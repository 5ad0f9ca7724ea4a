"""KL(data || sampler) of one sampler as one number with its error."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measure.divergences import exact_kl
from theory.solvers.reducing import Solver
from toys.mixture import Mixture


@dataclass(frozen=True, repr=False)
class KL:
    """KL(data || sampler) in nats; `float` gives the value.

    Args:
        value: The divergence; infinite where the sampler has no mass and the data have some.
        error: The engine's own estimate of the numerical error of the value.
        reason: Why the value is infinite, or None.
    """

    value: float
    error: float
    reason: str | None = None

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        reason = "" if self.reason is None else f", reason={self.reason!r}"
        return f"KL(value={self.value:.6g}, error={self.error:.0e}{reason})"


def kl(mixture: str | Mixture, table: Solver, start: str = "noise", rtol: float = 1e-8) -> KL:
    """KL(data || sampler) in nats, from the sampler's exact law.

    The data are those at the sampler's last level, x0 + table.end eps. Points after a last level
    of 0 are compared by bins around them.

    Args:
        mixture: One-dimensional data, whose exact denoiser the sampler calls; also the name of a
            toy, or a mixture file.
        table: The solver, from `entropic.solver`.
        start: "noise" for the solver's own initial noise, or "data" for the true law there.
        rtol: Relative tolerance; the law is refined until it is met.

    Returns:
        The value with its error.

    Raises:
        ValueError: The mixture has more than one dimension, the solver has no exact law, or the
            value does not settle to the tolerance.
    """
    found = exact_kl(mixture, table, start, rtol)
    value = float("inf") if found.value is None else found.value
    return KL(value, found.error or 0.0, found.reason)
