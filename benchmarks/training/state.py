"""A training run's state on disk, saved as a whole or not at all, and read without running code."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from theory.reading import naming
from theory.writing import write_bytes

FILE = "state.pt"
KEYS = ("step", "network", "ema", "adam", "scaler", "noise", "log", "history", "seconds")
State = dict[str, Any]


def save_state(folder: Path, state: State) -> None:
    """Write `state.pt`, which may contain tensors, arrays, numbers, strings, lists and dicts."""
    stream = io.BytesIO()
    torch.save({key: _packed(state[key]) for key in KEYS}, stream)
    write_bytes(folder / FILE, stream.getvalue())


def load_state(folder: Path) -> State | None:
    """The state in a folder, on the CPU. None if there is none, ValueError if it is damaged."""
    path = folder / FILE
    with naming(path):
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"the file must be a whole training state, got {first:.120}") from None
        if not isinstance(state, dict) or set(state) != set(KEYS):
            raise ValueError(f"the file must be a training state, got {type(state).__name__}")
        return {key: _unpacked(value) for key, value in state.items()}


def _packed(value: Any) -> Any:
    """The value with marked tensors for NumPy's arrays and Python's numbers for NumPy's."""
    if isinstance(value, np.ndarray):
        return {"__array__": torch.from_numpy(np.ascontiguousarray(value).copy())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _packed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item) for item in value]
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return value["__array__"].numpy()
        return {key: _unpacked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    return value
