"""Mixtures and noise levels that are difficult in double precision, and the engine's values there.

The values are compared with proven enclosures (`benchmarks.measure.certified`, extra `certified`).
"""

from typing import Any, NamedTuple

from benchmarks.measure.certified import certified
from toys.information.information import curves
from toys.mixture import Mixture


class Case(NamedTuple):
    """Arguments of a mixture and a noise level that are difficult in double precision."""

    name: str
    weights: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    sigma: float

    @property
    def toy(self) -> Mixture:
        """The mixture."""
        return Mixture(self.weights, self.means, self.stds)


CASES = (
    Case("two-points-0.3", (1, 1), (0, 1), (0, 0), 0.3),
    Case("two-points-0.6438", (1, 1), (0, 1), (0, 0), 0.6438),
    Case("two-points-mmse-5e-254", (1, 1), (0, 1), (0, 0), 0.0147),
    Case("two-points-below-float64", (1, 1), (0, 1), (0, 0), 0.01),
    Case("two-points-1e-3", (1, 1), (0, 1), (0, 0), 1e-3),
    Case("two-points-1e3", (1, 1), (0, 1), (0, 0), 1e3),
    Case("two-points-a-million-to-one", (1e6, 1), (0, 1), (0, 0), 0.05),
    Case("three-points-six-orders-0.1", (1, 1e-3, 1e-6), (-1, 0.3, 1), (0, 0, 0), 0.1),
    Case("three-points-six-orders-30", (1, 1e-3, 1e-6), (-1, 0.3, 1), (0, 0, 0), 30.0),
    Case("three-points-two-almost-one", (1, 2, 3), (0, 1e-7, 1), (0, 0, 0), 0.05),
    Case("six-points-one-far", (1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 1e4), (0,) * 6, 0.25),
    Case("point-inside-a-density", (1, 1), (0.5, 0), (0, 1), 1e-3),
    Case("narrow-and-wide", (1, 1), (0.5, 0), (1e-3, 1), 0.01),
    Case("narrow-and-rare", (1e-6, 1), (0.5, 0), (1e-3, 1), 0.01),
    Case("wide-and-rare-one-mean", (1, 1e-6), (0, 0), (1e-3, 1), 3e-3),
    Case("almost-one-component", (1, 2), (0, 1e-7), (1, 1 + 1e-7), 1.0),
    Case("point-and-far-density", (1, 2), (0, 1e6), (0, 1), 1e-3),
    Case("three-mixed-0.6438", (1, 1, 1), (-1, 0.2, 1), (0.1, 1, 0), 0.6438),
    Case("six-mixed", (1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5), (0, 0.01, 0, 0.3, 1e-3, 1), 0.05),
)


def check_engine(name: str) -> dict[str, Any]:
    """Enclosures of a case and the values of `toys.information.information.curves`.

    Returns:
        "name", "sigma", "enclosures" and "engine" (by quantity), "distance" (largest relative
        distance of the engine's values from their enclosures, 0 inside) and "width" (largest
        relative width; it is 1 for numbers below the range of float64, whose low end is 0).
    """
    known = {case.name: case for case in CASES}
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}, got {name!r}")
    case = known[name]
    enclosures, found = certified(case.toy, case.sigma), curves(case.toy, case.sigma)
    engine = {quantity: float(getattr(found, quantity)[0]) for quantity in enclosures}
    return {
        "name": name,
        "sigma": case.sigma,
        "enclosures": enclosures,
        "engine": engine,
        "distance": max(enclosures[q].relative_distance(v) for q, v in engine.items()),
        "width": max(enclosure.relative_width for enclosure in enclosures.values()),
    }
