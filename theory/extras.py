"""Import of modules that need optional libraries."""

from importlib import import_module
from typing import Any

PACKAGES = ("entropic", "toys", "theory", "benchmarks", "figures")


def network_part(module: str, extra: str = "networks") -> Any:
    """The module of that name, which needs the libraries of an extra.

    Args:
        module: Full name of the module.
        extra: Name of the extra in `pyproject.toml`.

    Raises:
        ValueError: A library of the extra is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] in PACKAGES:
            raise
        rule = f"be installed for this (entropic[{extra}])"
        raise ValueError(f"the extra {extra} must {rule}, got no module {error.name}") from None
