"""Networks from files: the official pickles, safetensors, and plain torch state dicts.

The type of a file is recognised by its first bytes, not by its name. No code in a file is run; see
pickles.py.
"""

import hashlib
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from benchmarks.networks.published.edm import Edm
from benchmarks.networks.published.edm2 import SIGMA_DATA, Edm2
from benchmarks.networks.published.layouts import network_of
from benchmarks.networks.published.pickles import Record, RefusedError, read_pickle

CHUNK = 1 << 22
# Classes of EDM's and EDM2's networks with EDM's preconditioning, as their files record them.
PRECONDITIONED = ("EDMPrecond", "Precond")
MOST_MODULES, DEEPEST = 10_000, 50
BROKEN: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, KeyError, IndexError, OverflowError, ArithmeticError),
    *(RuntimeError, AttributeError, EOFError, struct.error, MemoryError, RecursionError),
)


def load_network(path: str | Path, sha256: str | None = None) -> Edm2 | Edm:
    """The network in a file, with its tensors in their stored dtype, for inference.

    Args:
        path: An official pickle (its "ema" is used), a safetensors file or a torch state dict.
        sha256: Hexadecimal digest that the file must have, checked before anything is read.

    Raises:
        ValueError: One line with the file and the reason.
    """
    tensors = read_tensors(path, sha256)
    try:
        return network_of(tensors)
    except BROKEN as error:
        raise ValueError(f"{path}: {one_line(error)}") from None


def read_tensors(path: str | Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Names and tensors in such a file; the arguments are those of `load_network`."""
    try:
        with open(path, "rb") as file:
            if sha256 is not None:
                verify(file, sha256)
            start = file.read(16)
            file.seek(0)
            if start[:2] == b"PK":
                return _state_dict(path, file)
            if len(start) == 16 and start[8:9] == b"{":
                return _safetensors(path)
            return module_tensors(_preconditioned(_ema(read_pickle(file))))
    except OSError as error:
        raise ValueError(f"{path}: the file must be readable, got {error.strerror}") from None
    except RefusedError as error:
        raise ValueError(f"{path}: the file must be data, got {one_line(error)}") from None
    except BROKEN as error:
        raise ValueError(
            f"{path}: the file must hold a network, got one that {one_line(error)}"
        ) from None


def verify(file: BinaryIO, sha256: str) -> None:
    """Raise ValueError unless the file has this digest; its position returns to the start."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    file.seek(0)
    if digest.hexdigest() != sha256.strip().lower():
        raise ValueError(f"has SHA-256 {digest.hexdigest()}, not {sha256}")


def module_tensors(record: Record) -> dict[str, Tensor]:
    """Parameters and buffers of a module and all its submodules, by their dotted names."""
    found: dict[str, Tensor] = {}
    for count, (prefix, part) in enumerate(_modules(record, "", 0)):
        if count > MOST_MODULES:
            raise ValueError(f"has more than {MOST_MODULES} modules")
        for kind in ("_parameters", "_buffers"):
            for name, value in _entries(part.state.get(kind)):
                if value is None:
                    continue
                if not isinstance(value, Tensor):
                    raise ValueError(f"has {prefix + name!r} that is no tensor")
                found[prefix + name] = value
    return found


def _modules(record: Record, prefix: str, depth: int) -> Iterator[tuple[str, Record]]:
    if depth > DEEPEST:
        raise ValueError(f"has modules more than {DEEPEST} deep")
    yield prefix, record
    for name, part in _entries(record.state.get("_modules")):
        if part is None:
            continue
        if not isinstance(part, Record):
            raise ValueError(f"has {prefix + name!r} that is no module")
        yield from _modules(part, f"{prefix}{name}.", depth + 1)


def _entries(table: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of a table; nothing if there is no table."""
    if not isinstance(table, dict | None):
        raise ValueError("has a module whose state is no table")
    for name, value in (table or {}).items():
        if not isinstance(name, str):
            raise ValueError("has a module with a part that has no name")
        yield name, value


def _ema(content: Any) -> Record:
    """The network of an official file, which is a module or a table with it as "ema"."""
    found = content.get("ema") if isinstance(content, dict) else content
    if not isinstance(found, Record):
        raise ValueError("has no module under 'ema'")
    return found


def _preconditioned(record: Record) -> Record:
    """The record, whose class must have EDM's preconditioning with the usual sigma_data.

    Tensors of the networks with other preconditioning have the same names and shapes.
    """
    if record.class_name not in PRECONDITIONED:
        known = " or ".join(PRECONDITIONED)
        raise ValueError(
            f"is a {record.class_name:.40}, whose preconditioning is not that of {known}"
        )
    found = record.state.get("sigma_data", SIGMA_DATA)
    if not isinstance(found, int | float) or float(found) != SIGMA_DATA:
        raise ValueError(f"has sigma_data {found!r:.20}, not {SIGMA_DATA}")
    return record


def _safetensors(path: str | Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except SafetensorError as error:
        raise ValueError(f"safetensors cannot read: {error}") from None


def _state_dict(path: str | Path, file: BinaryIO) -> dict[str, Tensor]:
    """The contents of a `torch.save` file, uncompressed, by torch's weights-only loader."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
        whole = sum(m.file_size for m in members)
    if not stored or whole > Path(path).stat().st_size:
        raise RefusedError("a compressed archive")
    found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(found, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in found.items()
    ):
        raise ValueError("has something else than tensors by name")
    return dict(found)


def one_line(error: BaseException) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
