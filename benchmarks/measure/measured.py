"""One measured value with its error, the kind of the error, and the route that gave it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Measured:
    """A value with its error.

    Args:
        value: The value; None with a reason where it is infinite (the error is then 0) or could not
            be computed (the error is then None).
        error: Error of the value, of the kind of `error_kind`, or None.
        error_kind: "exact" for the engine's own estimate of its numerical error, "standard" for a
            standard error.
        route: How the value was computed.
        reason: Why there is no value, or a warning about it.
        gap: Estimate of a bias that the error does not contain, or None.
        paths: Number of Monte Carlo paths per repeat; 0 for exact values.
        repeats: Number of Monte Carlo repeats; 0 for exact values.
        sd: Standard deviation over repeats, or None.
        finite_mean: Mean over the repeats whose value is finite, or None.
        infinite_repeats: Number of repeats with an infinite value, or None.
        empty_bins: Number of points whose bin the sampler leaves empty, or None.
    """

    value: float | None
    error: float | None = None
    error_kind: str = "exact"
    route: str = "exact law"
    reason: str | None = None
    gap: float | None = None
    paths: int = 0
    repeats: int = 0
    sd: float | None = None
    finite_mean: float | None = None
    infinite_repeats: int | None = None
    empty_bins: int | None = None

    @property
    def is_infinite(self) -> bool:
        """Whether the value is infinite, which is known without error."""
        return self.value is None and self.error == 0.0

    def known(self) -> Measured:
        """The same; raises ValueError with the reason if the value could not be computed."""
        if self.value is None and not self.is_infinite:
            raise ValueError(self.reason)
        return self

    def as_fields(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


def without(reason: str, route: str = "exact law", **fields: Any) -> Measured:
    """A value that does not exist, with the reason."""
    return Measured(None, None, route=route, reason=reason, **fields)
