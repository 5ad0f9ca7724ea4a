"""Tensors and storages of pickles, built only from bytes that the file has.

A storage is a file by an old `torch.save`. It has four pickles: a magic number, a version, facts of
the system, and the storage's type, key and size in a persistent identity. A list of keys follows,
then the size and the numbers.
"""

import io
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
TYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "BoolStorage": torch.bool,
}
STORAGES = {("torch", name) for name in TYPES}
MOST_DIMS = 16


class Parts:
    """Type, key and number of elements of a storage, from its persistent identity."""

    def __init__(self) -> None:
        self.dtype, self.key, self.count = torch.uint8, "", -1

    def claim(self, identity: Any) -> "Parts":
        """Read ("storage", type, key, location, elements, view); only one per file is allowed."""
        kind, named, key, _, count, view = identity
        if self.count >= 0 or kind != "storage" or view is not None:
            raise ValueError("has a storage that is not one whole storage")
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ValueError("has a storage of no whole number of elements")
        self.dtype, self.key, self.count = TYPES[named.name], key, count
        return self


def load_storage(data: Any, run: Callable[[Parts, Any], Any]) -> Tensor:
    """The numbers of a storage, shape (n,).

    Args:
        data: The bytes of its file.
        run: Reads one pickle from a stream, and passes the identity of a storage to the parts.
    """
    if not isinstance(data, bytes | bytearray):
        raise ValueError("has a storage that is no bytes")
    stream, parts = io.BytesIO(data), Parts()
    if run(parts, stream) != MAGIC or run(parts, stream) != PROTOCOL:
        raise ValueError("has a storage of another format than torch's first")
    system = run(parts, stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("has a storage that is not little-endian")
    if run(parts, stream) is not parts or run(parts, stream) != [parts.key]:
        raise ValueError("has a storage file that holds something else")
    place = stream.tell()
    count = int.from_bytes(data[place : place + 8], "little", signed=True)
    size = torch.empty([], dtype=parts.dtype).element_size()
    if count != parts.count or len(data) - place - 8 != count * size:
        raise ValueError(
            f"has a storage of {parts.count} elements with {len(data) - place - 8} bytes"
        )
    if parts.dtype == torch.bool:
        return (
            torch.frombuffer(bytearray(data[place + 8 :] or b"\0"), dtype=torch.uint8)[:count] != 0
        )
    if count == 0:
        return torch.empty(0, dtype=parts.dtype)
    return torch.frombuffer(bytearray(memoryview(data)[place + 8 :]), dtype=parts.dtype)


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """A view of a storage, after a check that all its elements are inside the storage.

    Args:
        storage: Numbers, shape (n,).
        offset: Offset of the first element.
        size: Shape of the tensor.
        stride: Elements from one entry to the next, by dimension.
    """
    if not isinstance(storage, Tensor) or storage.ndim != 1:
        raise ValueError("has a tensor without a storage")
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)):
        raise ValueError("has a tensor whose size and stride are not of one length")
    whole = (offset, *size, *stride)
    if len(size) > MOST_DIMS or not all(
        isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**62 for n in whole
    ):
        raise ValueError("has a tensor with an impossible size, stride or offset")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    elements = math.prod(size)
    if elements and (last >= storage.numel() or elements > storage.numel()):
        raise ValueError(f"has a tensor of size {size} in a storage of {storage.numel()}")
    if not elements:
        return storage.new_empty(size) if max(size, default=0) <= storage.numel() + 1 else _beyond()
    return storage.as_strided(size, stride, offset)


def _beyond() -> Tensor:
    raise ValueError("has an empty tensor of impossible size")
