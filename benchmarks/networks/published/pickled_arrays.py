"""NumPy's dtypes, scalars and arrays in pickles, built from their bytes, without object dtypes."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLAIN = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c8|c16)")
BYTES = bytes | bytearray


class PickledType:
    """A dtype of plain numbers, given by its code and byte order."""

    def __init__(self, code: str) -> None:
        if not isinstance(code, str) or not PLAIN.fullmatch(code):
            raise ValueError(f"has a dtype that is not of plain numbers, {code!r:.40}")
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        """Apply the state (version, byte order, subtype, names, fields, ...)."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "=", "|"):
            raise ValueError("has a dtype without a byte order")
        if any(part is not None for part in state[2:5]):
            raise ValueError("has a dtype of parts")
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


@dataclass(eq=False)
class Array:
    """An array, whose value is set by its state."""

    value: NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        """Apply the state (version, shape, dtype, Fortran order, bytes)."""
        _, shape, kind, fortran, data = state
        if not isinstance(kind, PickledType) or not isinstance(data, BYTES):
            raise ValueError("has an array that is not of plain numbers")
        good = isinstance(shape, tuple) and len(shape) <= 16
        if not good or not all(isinstance(n, int) and 0 <= n < 2**62 for n in shape):
            raise ValueError("has an array of impossible shape")
        if math.prod(shape) * kind.dtype.itemsize != len(data) or (not data and max(shape) > 2**31):
            raise ValueError(f"has an array of shape {shape} in {len(data)} bytes")
        flat = np.frombuffer(bytearray(data), dtype=kind.dtype)
        self.value = flat.reshape(shape, order="F" if fortran is True else "C")


def _dtype(code: Any, *_: Any) -> PickledType:
    return PickledType(code)


def _scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, PickledType) or not isinstance(data, BYTES):
        raise ValueError("has a scalar that is no plain number")
    if len(data) != kind.dtype.itemsize:
        raise ValueError(f"has a scalar of {kind.dtype.itemsize} bytes in {len(data)}")
    return np.frombuffer(data, dtype=kind.dtype)[0].item()


def _reconstruct(*_: Any) -> Array:
    return Array()


def _in_band(data: Any, kind: Any, shape: Any, order: Any) -> Array:
    made = Array()
    made.build((1, shape, kind, order == "F", data))
    return made


def _never(*_: Any) -> Any:
    raise ValueError("makes an array by itself")


_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
ARRAYS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _never,
    **{(module, "scalar"): _scalar for module in _MODULES},
    **{(module, "_reconstruct"): _reconstruct for module in _MODULES},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _in_band for core in ("core", "_core")},
}
