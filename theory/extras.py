"""Modules that need optional libraries."""

from importlib import import_module
from typing import Any


def network_part(module: str, extra: str = "networks") -> Any:
    """A module that needs torch; ValueError where the libraries of the extra are not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] in ("benchmarks", "theory", "toys"):
            raise
        rule = f"be installed for this, as `pip install -e '.[{extra}]'` does"
        raise ValueError(f"the extra {extra} must {rule}, got no module {error.name}") from None
