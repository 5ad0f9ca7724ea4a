"""Generated images on disk: one shard per batch of seeds, written as a whole or not at all.

Batch k has the images of the seeds kB .. (k + 1)B - 1, whatever range was asked for. An image
depends on its seed, the batch size B and the type of device, but not on ranks, interruptions or
ranges.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.engine.store import make_folder
from benchmarks.networks.data import read_data
from theory.checks import one_of
from theory.reading import naming
from theory.writing import clear_parts, write_bytes

FORMS = ("png", "array")
ENDINGS = {"png": ".zip", "array": ".npy"}
SEEDS_A_FOLDER = 1000
EPOCH = (1980, 1, 1, 0, 0, 0)  # time of every member, so that equal images give equal files
MOST_WAITING = 2  # most batches in the writer's queue

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Shards:
    """A folder of shards.

    Args:
        folder: The folder.
        batch: Seeds per batch, B.
        form: "png" for zips of PNG images, "array" for .npy files of bytes (B, C, h, w).
    """

    folder: Path
    batch: int
    form: str = "png"

    def __post_init__(self) -> None:
        one_of("images", self.form, FORMS)

    def path(self, k: int) -> Path:
        """File of batch k."""
        return self.folder / f"{k:08d}{ENDINGS[self.form]}"

    def seeds(self, k: int) -> range:
        """Seeds of batch k."""
        return range(k * self.batch, (k + 1) * self.batch)

    def batches(self, seeds: range) -> list[int]:
        """Batches that contain these consecutive seeds."""
        return batches_of(seeds, self.batch)

    def missing(self, seeds: range) -> list[int]:
        """Batches of these seeds that do not exist yet."""
        return [k for k in self.batches(seeds) if not self.path(k).is_file()]

    def clear_parts(self) -> None:
        """Make the folder, and delete files that interrupted processes left unfinished."""
        clear_parts(make_folder(self.folder))

    def write(self, k: int, images: Pixels) -> None:
        """Write batch k, (B, C, h, w), replacing the file as a whole."""
        write_bytes(self.path(k), self._content(k, images))

    def _content(self, k: int, images: Pixels) -> bytes:
        stream = io.BytesIO()
        if self.form == "array":
            np.save(stream, np.ascontiguousarray(images))
            return stream.getvalue()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for seed, pixels in zip(self.seeds(k), images, strict=True):
                archive.writestr(zipfile.ZipInfo(image_name(seed), EPOCH), to_png(pixels))
        return stream.getvalue()

    def read(self, k: int) -> Pixels:
        """Images of batch k, (B, C, h, w); ValueError, one line with the path."""
        path = self.path(k)
        with naming(path):
            found = self._zipped(k) if self.form == "png" else read_data(str(path)).values
            if len(found) != self.batch or found.dtype != np.uint8 or found.ndim != 4:
                got = f"{found.dtype} of shape {found.shape}"
                raise ValueError(f"a shard must hold {self.batch} images, got {got}")
            return np.asarray(found)

    def _zipped(self, k: int) -> Pixels:
        """Images of a zip in the order of their seeds, which can differ from that of the names."""
        try:
            with zipfile.ZipFile(self.path(k)) as archive:
                found = [from_png(archive.read(image_name(seed))) for seed in self.seeds(k)]
            return np.stack(found)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            got = f"{str(error)!s:.100}"
            raise ValueError(f"a shard must hold {self.batch} PNG images, got {got}") from None

    def rows(self, k: int, seeds: range) -> slice:
        """Positions in batch k of the images of these seeds."""
        return rows_of(k, seeds, self.batch)


def batches_of(seeds: range, batch: int) -> list[int]:
    """Batches that contain these consecutive seeds."""
    return list(range(seeds.start // batch, (seeds.stop - 1) // batch + 1))


def rows_of(k: int, seeds: range, batch: int) -> slice:
    """Positions of these seeds in batch k."""
    first = k * batch
    return slice(max(seeds.start - first, 0), min(seeds.stop - first, batch))


def image_name(seed: int) -> str:
    """Name of a seed's image inside a zip, which has one folder per thousand seeds."""
    return f"{seed - seed % SEEDS_A_FOLDER:06d}/{seed:06d}.png"


def to_png(pixels: Pixels) -> bytes:
    """PNG file of an image (C, h, w), grey for C = 1."""
    stream = io.BytesIO()
    flat = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(flat)).save(stream, "png", compress_level=1)
    return stream.getvalue()


def from_png(content: bytes) -> Pixels:
    """Image (C, h, w) from a PNG file."""
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    return np.asarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


class Writer:
    """Copies batches off the device and writes them while the next one is computed."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.pool = ThreadPoolExecutor(1)
        self.waiting: list[Future[None]] = []

    def put(self, k: int, images: Tensor) -> None:
        """Queue batch k, bytes (B, C, h, w) on any device; raises the error of an earlier write."""
        copied = None
        if images.is_cuda:
            held = torch.empty(images.shape, dtype=images.dtype, pin_memory=True)
            held.copy_(images, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
            images = held
        self.waiting.append(self.pool.submit(self._write, k, images, copied))
        while len(self.waiting) > MOST_WAITING:
            self.waiting.pop(0).result()

    def _write(self, k: int, images: Tensor, copied: Any) -> None:
        if copied is not None:
            copied.synchronize()
        self.shards.write(k, images.numpy())

    def close(self) -> None:
        """Wait for all queued batches; raises the error of a failed write."""
        try:
            while self.waiting:
                self.waiting.pop(0).result()
        finally:
            self.pool.shutdown()


def numbered(shards: Shards, seeds: range) -> Iterator[tuple[int, Pixels]]:
    """Pairs of seed and image of a range, in order."""
    for k in shards.batches(seeds):
        rows = shards.rows(k, seeds)
        yield from zip(shards.seeds(k)[rows], shards.read(k)[rows], strict=True)
