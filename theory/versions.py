"""Versions of the libraries that a number depends on."""

from functools import cache
from importlib.metadata import version

LIBRARIES = ("numpy", "scipy", "numba")


@cache
def versions() -> dict[str, str]:
    """Versions that a number depends on."""
    return {name: version(name) for name in LIBRARIES}
