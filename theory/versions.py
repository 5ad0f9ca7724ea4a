"""Versions of the libraries on which computed numbers depend."""

from functools import cache
from importlib.metadata import version

LIBRARIES = ("numpy", "scipy", "numba")


@cache
def versions() -> dict[str, str]:
    """Installed version of each library in `LIBRARIES`, by name."""
    return {name: version(name) for name in LIBRARIES}
