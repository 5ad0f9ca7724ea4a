"""Import of matplotlib whatever backend and matplotlibrc the user has, right or wrong."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

BACKEND, SETTINGS = "MPLBACKEND", "MATPLOTLIBRC"


def load_matplotlib() -> None:
    """Import matplotlib with its own settings, then restore those of the user that are valid.

    A wrong name of a backend, or a matplotlibrc that is no text, would stop a plain import.
    """
    spec = find_spec("matplotlib")
    if "matplotlib" in sys.modules or spec is None or spec.origin is None:
        return
    backend, settings = os.environ.pop(BACKEND, None), os.environ.pop(SETTINGS, None)
    own = Path(spec.origin).parent / "mpl-data"
    os.environ[SETTINGS] = str(own / "matplotlibrc")
    try:
        with inside(own):  # matplotlib looks for a matplotlibrc in the working folder first
            import matplotlib
    finally:
        del os.environ[SETTINGS]
        for name, value in ((BACKEND, backend), (SETTINGS, settings)):
            if value is not None:
                os.environ[name] = value
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with contextlib.suppress(Exception):  # the user's errors are no errors of a figure
        matplotlib.rcParams.update(matplotlib.rc_params())
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    logger.setLevel(level)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Context in which a folder is the working folder."""
    try:
        before = os.open(".", os.O_RDONLY)
    except OSError:  # the working folder is gone
        yield
        return
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(before)
        os.close(before)
