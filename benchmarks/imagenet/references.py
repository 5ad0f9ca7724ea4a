"""Published reference statistics: EDM2's pickles, EDM's and ADM's archives of arrays.

EDM2 has a pickle {"num_images", "fid": {"mu", "sigma"}, "fd_dinov2": {"mu", "sigma"}}. EDM has an
.npz with mu and sigma of Inception features. ADM adds mu_s and sigma_s of spatial features, and
possibly arr_0, the images of the reference. The type of a file is recognised by its first bytes.
"""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from benchmarks.measure.frechet import Moments
from benchmarks.networks.published.checkpoints import one_line
from benchmarks.networks.published.pickled_arrays import Array as PickledArray
from benchmarks.networks.published.pickles import RefusedError, read_pickle
from theory.checks import whole
from theory.reading import naming

LARGEST = 8192  # features; the published files have at most 2048
MOST_IMAGES = 2**33  # bytes of arr_0; ADM's files have 2^31
UNEQUAL = 1e-6  # largest difference of a covariance and its transpose, over its largest number
BROKEN: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, KeyError, IndexError, OverflowError, ArithmeticError, MemoryError),
    *(RuntimeError, AttributeError, EOFError, struct.error, RecursionError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError),
)


@dataclass(frozen=True, eq=False)
class Reference:
    """Statistics of a data set's images. What the file does not have is None.

    Args:
        source: The file.
        inception: Moments of Inception's 2048 features, for FID.
        dinov2: Moments of DINOv2's 1024 features, for FD-DINOv2.
        spatial: Moments of Inception's 2023 spatial features, for sFID.
        images: Images of the reference, bytes (n, h, w, 3), for precision and recall.
        count: Number of images behind the statistics.
    """

    source: str
    inception: Moments | None = None
    dinov2: Moments | None = None
    spatial: Moments | None = None
    images: NDArray[np.uint8] | None = None
    count: int | None = None


def read_reference(path: str | Path) -> Reference:
    """The statistics in a reference file; ValueError, one line starting with the path."""
    with naming(path):
        try:
            with open(path, "rb") as file:
                is_archive = file.read(2) == b"PK"
                file.seek(0)
                found = _archive(file) if is_archive else _pickle(read_pickle(file))
        except OSError as error:
            raise ValueError(f"the file must be readable, got {error.strerror}") from None
        except RefusedError as error:
            raise ValueError(f"the file must be data, got {one_line(error)}") from None
        except BROKEN as error:
            reason = one_line(error)
            raise ValueError(f"the file must hold reference statistics, got {reason}") from None
        made = Reference(str(path), **found)
        if all(m is None for m in (made.inception, made.dinov2, made.spatial)):
            raise ValueError("the file must hold reference statistics, got no mu and sigma")
        return made


def _pickle(content: Any) -> dict[str, Any]:
    """The statistics in EDM2's table."""
    if not isinstance(content, Mapping):
        raise ValueError("something else than a table")
    found: dict[str, Any] = {}
    for key, name in (("fid", "inception"), ("fd_dinov2", "dinov2")):
        part = content.get(key)
        if part is None:
            continue
        if not isinstance(part, Mapping):
            raise ValueError(f"{key} that is no table")
        arrays = [part.get(n) for n in ("mu", "sigma")]
        plain = [a.value if isinstance(a, PickledArray) else a for a in arrays]
        found[name] = _moments(key, *plain)
    count = content.get("num_images")
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    return found | {"count": None if count is None else whole("num_images", count, 1)}


def _archive(file: IO[bytes]) -> dict[str, Any]:
    """The statistics in EDM's or ADM's arrays."""
    with zipfile.ZipFile(file) as archive:
        names = {n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")}
        found: dict[str, Any] = {}
        for name, mu, sigma in (("inception", "mu", "sigma"), ("spatial", "mu_s", "sigma_s")):
            if {mu, sigma} <= names:
                arrays = (_member(archive, n, 8 * LARGEST**2) for n in (mu, sigma))
                found[name] = _moments(mu, *arrays)
        if "arr_0" in names:
            images = _member(archive, "arr_0", MOST_IMAGES)
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
                raise ValueError(f"arr_0 of {images.dtype} {images.shape}, no images of bytes")
            found["images"] = images
        return found


def _member(archive: zipfile.ZipFile, name: str, most: int) -> NDArray[Any]:
    """An array of plain numbers, whose size is known and bounded before it is read."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} of a compression that NumPy does not write")  # size has no bound
    with archive.open(info) as member:
        version = npy.read_magic(member)
        if version != (1, 0):  # later versions allow headers of up to 4 GiB
            raise ValueError(f"{name} of version {version}")
        shape, is_fortran, dtype = npy.read_array_header_1_0(member)
        size = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
        if dtype.hasobject or dtype.kind not in "fiu" or not 0 <= size <= most:
            raise ValueError(f"{name} of {dtype} {shape}, no array of numbers that is expected")
        left = info.file_size - member.tell()
        if left != size:
            raise ValueError(f"{name} of {dtype} {shape} in {left} bytes")
        data = member.read(size + 1)
    if len(data) != size:
        raise ValueError(f"{name} of {dtype} {shape} in {len(data)} bytes")
    flat = np.frombuffer(data, dtype=dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _moments(name: str, mu: Any, sigma: Any) -> Moments:
    """Mean and covariance in float64, checked; the covariance is made symmetric."""
    if not isinstance(mu, np.ndarray) or not isinstance(sigma, np.ndarray):
        raise ValueError(f"{name} without arrays mu and sigma")
    if mu.ndim != 1 or not 1 <= mu.size <= LARGEST or sigma.shape != (mu.size, mu.size):
        raise ValueError(f"{name} with a mean of shape {mu.shape} and covariance {sigma.shape}")
    if mu.dtype.kind not in "fiu" or sigma.dtype.kind not in "fiu":
        raise ValueError(f"{name} with a mean of {mu.dtype} and covariance of {sigma.dtype}")
    with np.errstate(over="ignore"):  # an overflow is refused as not finite or not symmetric
        mean, covariance = np.asarray(mu, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
        if not np.isfinite(mean).all() or not np.isfinite(covariance).all():
            raise ValueError(f"{name} with numbers that are not finite")
        if np.abs(covariance - covariance.T).max() > UNEQUAL * np.abs(covariance).max():
            raise ValueError(f"{name} with a covariance that is not symmetric")
    return Moments(mean, covariance / 2.0 + covariance.T / 2.0)
