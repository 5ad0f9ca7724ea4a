"""Clean samples from common formats: .npy and .npz arrays, folders and zips of images, labels.

Images of bytes x become numbers x / 127.5 - 1 in [-1, 1], channels first, those of 16 bits
x / 32767.5 - 1. Arrays of floats are taken as they are. Nothing is unpickled.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from theory.reading import naming
from toys.progress import progress

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
ARRAY_KEYS = ("images", "data", "x", "arr_0")
LABEL_KEYS = ("labels", "arr_1")
MOST_CHANNELS = 4
MOST_COMPARED = 200  # samples that are opened to tell which of two unlike ones is the odd one


@dataclass(frozen=True, eq=False)
class Data:
    """Clean samples.

    Args:
        values: Shape (n, *shape), channels first, uint8, uint16 or float.
        labels: Class of each sample, shape (n,), int64, or None.
        source: Path that they were read from.
    """

    values: NDArray[Any]
    labels: NDArray[np.int64] | None
    source: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample."""
        return tuple(self.values.shape[1:])

    def take(self, index: NDArray[np.int64] | slice) -> Tensor:
        """Chosen samples in data units, shape (b, *shape); float32, or float64 if stored so."""
        part = self.values[index]
        if part.dtype == np.uint8:
            return torch.from_numpy(part.astype(np.float32)) / 127.5 - 1.0
        if part.dtype == np.uint16:
            return torch.from_numpy(part.astype(np.float32)) / 32767.5 - 1.0
        wide = part.dtype if part.dtype in (np.float32, np.float64) else np.dtype(np.float32)
        return torch.from_numpy(np.array(part, dtype=wide))  # a copy: the file is unchanged

    def fingerprint(self) -> str:
        """Hash of shape, dtype and values."""
        digest = hashlib.sha256(f"{self.values.shape} {self.values.dtype}".encode())
        for i in range(0, len(self.values), 1024):
            digest.update(np.ascontiguousarray(self.values[i : i + 1024]).tobytes())
        return digest.hexdigest()[:16]


def read_data(path: str, most: int | None = None) -> Data:
    """Samples of a .npy or .npz file, or of a folder or .zip of images.

    An .npz has a single array, or one named `images`, `data` or `x` and perhaps `labels`. Bytes are
    (n, H, W), (n, C, H, W) or (n, H, W, C) with at most 4 channels. Images of a folder or zip, at
    any depth, are taken in the order of their names. Their labels are in its `dataset.json`:
    {"labels": [[name, class], ...]} or {"labels": {name: class, ...}}. A folder or zip without
    images may contain samples as .npy files, as EDM2's zips of latents do.

    Args:
        path: Path of the file or folder.
        most: Largest number of images to read from a folder or zip, drawn without replacement and
            the same at every call. None reads all. Arrays are always read as a whole.

    Raises:
        ValueError: One line starting with the path.
    """
    place = Path(path)
    with naming(path):
        if not place.exists():
            raise ValueError("the data must be a file or folder, got nothing there")
        if place.is_dir():
            return _from_images(_Folder(place), path, most)
        if place.suffix.lower() == ".zip":
            return _from_zip(place, most)
        if place.suffix.lower() not in (".npy", ".npz"):
            raise ValueError(f"the data must be .npy, .npz, .zip or a folder, got {place.suffix!r}")
        values, labels = _arrays(place)
        if values.dtype == np.uint8:
            values = _channels_first(values)
        elif not np.issubdtype(values.dtype, np.floating):
            raise ValueError(f"the array must hold uint8 or floats, got {values.dtype}")
        elif not np.isfinite(values).all():
            raise ValueError("the array must hold finite numbers, got some that are not")
        if values.ndim < 2 or 0 in values.shape:
            raise ValueError(f"the array must have shape (n, ...), got {values.shape}")
        return Data(values, _labels(labels, len(values)), path)


def _arrays(place: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The array of a .npy or .npz file, and its labels."""
    try:
        if place.suffix.lower() == ".npy":
            return np.load(place, mmap_mode="r", allow_pickle=False), None
        with np.load(place, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, AttributeError) as error:
        reason = "objects" if "pickle" in str(error) else str(error)[:80]
        raise ValueError(f"the file must be a whole NumPy file of numbers, got {reason}") from None
    key = next((k for k in ARRAY_KEYS if k in arrays), None)
    if key is None and len(arrays) == 1:
        key = next(iter(arrays))
    if key is None:
        held = ", ".join(arrays)[:100] or "none"
        raise ValueError(f"the archive must hold an array {' or '.join(ARRAY_KEYS)}, got {held}")
    label = next((k for k in LABEL_KEYS if k in arrays), None)
    return arrays[key], None if label is None else arrays[label]


def _channels_first(values: NDArray[Any]) -> NDArray[Any]:
    """Images of bytes as (n, C, H, W)."""
    if values.ndim == 3:
        return values[:, None]
    if values.ndim == 4 and values.shape[1] <= MOST_CHANNELS:
        return values
    if values.ndim == 4 and values.shape[3] <= MOST_CHANNELS:
        return values.transpose(0, 3, 1, 2)
    raise ValueError(
        f"images of bytes must be (n, H, W), (n, C, H, W) or (n, H, W, C), got {values.shape}"
    )


def _labels(labels: Any, n: int) -> NDArray[np.int64] | None:
    """Classes (n,), with one-hot rows turned into their index."""
    if labels is None:
        return None
    found = np.asarray(labels)
    if found.ndim == 2:
        found = found.argmax(axis=1)
    if found.shape != (n,) or not np.issubdtype(found.dtype, np.number) or found.min() < 0:
        raise ValueError(f"labels must be {n} classes from 0, got shape {found.shape}")
    if np.any(found != np.floor(found)):
        raise ValueError("labels must be whole numbers, got fractions")
    return found.astype(np.int64)


def _is_own(name: str) -> bool:
    """Whether a file belongs to the data: archives of macOS hold companions of every file."""
    parts = name.split("/")
    return parts[0] != "__MACOSX" and not parts[-1].startswith("._")


class _Folder:
    """Files of a folder by their relative names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> Iterator[str]:
        for path in self.folder.rglob("*"):
            if path.is_file():
                name = path.relative_to(self.folder).as_posix()
                if _is_own(name):
                    yield name

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


class _Zip:
    """Files of an open zip archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive

    def names(self) -> Iterator[str]:
        names = (name for name in self.archive.namelist() if not name.endswith("/"))
        yield from (name for name in names if _is_own(name))

    def read(self, name: str) -> bytes:
        return self.archive.read(name)


def _from_zip(place: Path, most: int | None) -> Data:
    try:
        with zipfile.ZipFile(place) as archive:
            return _from_images(_Zip(archive), str(place), most)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"the file must be a whole zip archive, got {error}") from None


def _from_images(files: _Folder | _Zip, source: str, most: int | None) -> Data:
    """Images that share one size and mode, with the labels of dataset.json if it exists."""
    names = sorted(files.names())
    images = [name for name in names if Path(name).suffix.lower() in SUFFIXES]
    images = images or [name for name in names if Path(name).suffix.lower() == ".npy"]
    if not images:
        raise ValueError(f"the data must hold images {', '.join(SUFFIXES)}, got none")
    if most is not None and len(images) > most:
        chosen = np.random.default_rng(0).permutation(len(images))[:most]
        images = [images[i] for i in np.sort(chosen)]
    first = _sample(files, images[0])
    values = np.empty((len(images), *first.shape), dtype=first.dtype)
    for i, name in enumerate(progress(images, "read data")):
        found = _sample(files, name)
        if (found.shape, found.dtype) != (first.shape, first.dtype):
            raise _unlike(files, images, name)
        values[i] = found
    labels = _named_labels(files, images) if "dataset.json" in names else None
    return Data(values, labels, source)


def _sample(files: _Folder | _Zip, name: str) -> NDArray[Any]:
    """An image or an array."""
    return _latents(files, name) if name.lower().endswith(".npy") else _pixels(files, name)


def _unlike(files: _Folder | _Zip, names: list[str], met: str) -> ValueError:
    """The error for samples that are not alike, which names one of the fewest.

    Args:
        files: The files.
        names: Names of all samples.
        met: The first that is unlike the first of all.
    """
    kinds: dict[str, list[str]] = {}
    for name in names[: max(MOST_COMPARED, names.index(met) + 1)]:
        found = _sample(files, name)
        bits = f", {8 * found.dtype.itemsize} bits" if found.dtype.kind == "u" else ""
        kinds.setdefault(f"{found.shape}{bits}", []).append(name)
    rare = min(kinds, key=lambda kind: len(kinds[kind]))
    usual = max(kinds, key=lambda kind: (len(kinds[kind]), kind != rare))
    return ValueError(f"{kinds[rare][0]} must have shape {usual} as most samples, got {rare}")


def _latents(files: _Folder | _Zip, name: str) -> NDArray[np.float32]:
    """The numbers of a .npy file as float32, which must be finite."""
    try:
        found = np.load(io.BytesIO(files.read(name)), allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{name} must be a NumPy file of numbers, got {error!s:.80}") from None
    if not np.issubdtype(found.dtype, np.floating) or not np.isfinite(found).all():
        raise ValueError(f"{name} must hold finite floats, got {found.dtype} or worse")
    return np.asarray(found, dtype=np.float32)


def _pixels(files: _Folder | _Zip, name: str) -> NDArray[Any]:
    """An image (C, H, W), uint8 or uint16: grey has one channel, colour three.

    Colour of 16 bits is read with 8. Transparent pixels and inks have no one colour; they are
    refused.
    """
    try:
        with Image.open(io.BytesIO(files.read(name))) as image:
            if image.mode.startswith("I;16") or image.mode == "I":
                return _deep_grey(name, np.asarray(image))
            if image.mode in ("1", "L"):
                return np.asarray(image.convert("L"))[None]
            if image.mode not in ("RGB", "RGBA", "RGBX", "LA", "P", "YCbCr"):
                raise ValueError(f"{name} must be grey or RGB, got an image of mode {image.mode}")
            if image.mode in ("RGBA", "LA") or "transparency" in image.info:
                if np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                    raise ValueError(f"{name} must be opaque, got transparent pixels")
                if image.mode == "LA":
                    return np.asarray(image.convert("L"))[None]
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} must be an image, got {str(error)[:80]}") from None


def _deep_grey(name: str, pixels: NDArray[Any]) -> NDArray[np.uint16]:
    """Grey of 16 bits, (1, H, W)."""
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"{name} must have at most 16 bits, got {pixels.max()}")
    return pixels[None].astype(np.uint16)


def _named_labels(files: _Folder | _Zip, images: list[str]) -> NDArray[np.int64] | None:
    """Labels of dataset.json in the order of the images; None if it states that it has none."""
    try:
        fields = json.loads(files.read("dataset.json"))
        pairs = fields.get("labels") if isinstance(fields, dict) else None
        table = None if pairs is None else dict(pairs)
    except (ValueError, TypeError) as error:
        raise ValueError(f"dataset.json must hold labels by name, got {str(error)[:80]}") from None
    if table is None:
        return None
    missing = [name for name in images if name not in table]
    if missing:
        raise ValueError(f"dataset.json must label every image, got none for {missing[0]}")
    return _labels([table[name] for name in images], len(images))
