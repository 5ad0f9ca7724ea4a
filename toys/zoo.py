"""The named mixtures (toys) that the studies of the papers use."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from theory.checks import one_of
from toys.mixture import Mixture

CIRCLE_WEIGHTS = (0.22, 0.18, 0.15, 0.12, 0.10, 0.09, 0.08, 0.06)
GRID_WEIGHTS = (0.20, 0.05, 0.15, 0.10, 0.18, 0.07, 0.15, 0.10)


def _random(std: float, count: int = 15) -> Mixture:
    """Components of equal weight and std at random means, with mean 0 and total variance 1."""
    means = np.sort(np.random.default_rng(0).normal(size=count))
    means = (means - means.mean()) / means.std()
    return Mixture(np.ones(count), means * np.sqrt(1.0 - std**2), std)


def _circle8() -> Mixture:
    """Eight Gaussians of std 0.25 on a circle of radius 4 (paper B, inferred settings)."""
    angle = 2.0 * np.pi * np.arange(8) / 8
    return Mixture(CIRCLE_WEIGHTS, 4.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.25)


def _grid8() -> Mixture:
    """Eight Gaussians of std 0.25 on a 3 x 3 lattice of spacing 3 without its centre (paper B)."""
    places = [(x, y) for x in (-3.0, 0.0, 3.0) for y in (-3.0, 0.0, 3.0) if (x, y) != (0.0, 0.0)]
    return Mixture(GRID_WEIGHTS, places, 0.25)


ZOO: dict[str, tuple[str, Callable[[], Mixture]]] = {
    "two_points": ("points at -1 and 1", lambda: Mixture([1, 1], [-1, 1], 0)),
    "points15": ("15 random points, mean 0, std 1 (paper A)", lambda: _random(0.0)),
    "gaussians15_narrow": ("the same means, std 0.02 (paper A)", lambda: _random(0.02)),
    "gaussians15_overlap": ("the same means, std 0.2 (paper A)", lambda: _random(0.2)),
    "gaussians5": ("5 random means, std 0.3 (orders)", lambda: _random(0.3, 5)),
    "circle8": ("8 Gaussians on a circle, 2-D (paper B)", _circle8),
    "grid8": ("8 Gaussians on a lattice, 2-D (paper B)", _grid8),
    "gaussian": ("N(0, 1)", lambda: Mixture([1], [0], 1)),
}


def toy(name: str) -> Mixture:
    """The mixture of that name.

    Args:
        name: Name of the toy; `toys()` lists them.

    Raises:
        ValueError: No toy has that name; the message suggests the closest one.
    """
    return _made(one_of("toy", name, ZOO))


@lru_cache
def _made(name: str) -> Mixture:
    return ZOO[name][1]()


def toys() -> dict[str, str]:
    """Name and one-line description of every mixture that `toy` knows."""
    return {name: description for name, (description, _) in ZOO.items()}
