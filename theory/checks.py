"""The array type of the package and the checks that its functions share.

Every failed check raises a ValueError of one line: `<argument> must <rule>, got <value>`.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Any])


def scalars(function: F) -> F:
    """Decorator that turns a result without dimensions into a float."""

    @wraps(function)
    def answered(*args: Any, **kwargs: Any) -> Any:
        return plain(function(*args, **kwargs))

    return answered  # type: ignore[return-value]


def plain(values: Any) -> Any:
    """The value as given, or a float if it is an array without dimensions."""
    return float(values) if isinstance(values, np.ndarray) and values.ndim == 0 else values


def require(
    good: ArrayLike, name: str, values: Array, rule: str, lines: Sequence[int] | None = None
) -> None:
    """Raise ValueError for the first of `values` whose entry of `good` is False.

    Args:
        good: Whether each entry is valid, of the shape of `values`.
        name: Name of the argument in the message.
        values: The values checked.
        rule: What they must be, to follow "must" in the message.
        lines: Line of the file that each entry came from. Default: the message gives the index.
    """
    mask = np.asarray(good, dtype=bool)
    if mask.all():
        return
    first = np.argwhere(~np.atleast_1d(mask))[0]
    value = np.atleast_1d(values)[tuple(first)]
    index = first[0] if first.size == 1 else tuple(int(i) for i in first)
    place = f" at index {index}" if np.ndim(values) else ""
    place = place if lines is None else f" on line {lines[first[0]]}"
    raise ValueError(f"{name} must {rule}, got {value:g}{place}")


def floats(name: str, value: ArrayLike) -> Array:
    """The value as a new float64 array of any shape; every entry must be finite."""
    try:
        given = np.asarray(value)
        if value is None or given.dtype.kind == "c":  # NumPy makes NaN and a real part of them
            raise TypeError
        out = np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be numbers, got {value!r:.80}") from None
    require(np.isfinite(out), name, out, "be finite")
    return out


def within(name: str, value: ArrayLike, low: float, high: float = np.inf) -> Array:
    """The value as a new float64 array of any shape; every entry must be in [low, high)."""
    out = floats(name, value)
    rule = f"be at least {low:g}" if high == np.inf else f"be in [{low:g}, {high:g})"
    require((out >= low) & (out < high), name, out, rule)
    return out


def above_zero(name: str, value: ArrayLike) -> Array:
    """The value as a new float64 array of any shape; every entry must be positive."""
    out = floats(name, value)
    require(out > 0, name, out, "be positive")
    return out


def vector(name: str, value: ArrayLike, least: int = 1) -> Array:
    """The value as a new float64 vector; it must have at least `least` entries, all finite."""
    out = floats(name, value)
    if out.ndim != 1 or out.size < least:
        raise ValueError(f"{name} must be a list of at least {least}, got shape {out.shape}")
    return out


def monotone(name: str, values: Array, *, falling: bool = False, advice: str = "") -> None:
    """Raise ValueError unless `values`, shape (m,), strictly increase (or decrease)."""
    good = np.diff(values) < 0 if falling else np.diff(values) > 0
    if not good.all():
        i = int(np.argmin(good)) + 1
        rule = "fall strictly" if falling else "rise strictly"
        got = f"{values[i]:.17g} after {values[i - 1]:.17g} at index {i}"
        raise ValueError(f"{name} must {rule}, got {got}{advice and '; ' + advice}")


def positive(name: str, value: float) -> float:
    """The number as a float; it must be finite and positive."""
    out = floats(name, value)
    if out.ndim:
        raise ValueError(f"{name} must be one number, got shape {out.shape}")
    require(out > 0, name, out, "be positive")
    return float(out)


def number(name: str, value: float, low: float) -> float:
    """The number as a float; it must be finite and at least `low`."""
    out = floats(name, value)
    if out.ndim:
        raise ValueError(f"{name} must be one number, got shape {out.shape}")
    require(out >= low, name, out, f"be at least {low:g}")
    return float(out)


def whole(name: str, value: int, low: int, high: int | None = None) -> int:
    """The number as an int; it must be integral, not a bool, and in low..high."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or value < low or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"in {low}..{high}"
        raise ValueError(f"{name} must be a whole number {span}, got {value!r}")
    return int(value)


def one_of(name: str, value: str, known: Iterable[str]) -> str:
    """The value, which must be one of the known names; the error suggests the closest one."""
    names = list(known)
    if value in names:
        return value
    close = difflib.get_close_matches(str(value), names, n=1)
    advice = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}{advice}")


def check_seed(seed: int) -> None:
    """Raise ValueError unless the seed is an integer in [0, 2**32)."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number in [0, 2**32), got {seed!r}")
