"""samples.png: a picture of the first samples, drawn with Pillow only."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.training.sequences import nearest_letters
from benchmarks.training.targets import Floats
from theory.writing import write_bytes

Pixels = NDArray[np.uint8]
SIDE = 10  # images per row and column
ENLARGE = 4  # side of a pixel of the data, in pixels of the picture
PLOT = 400  # side of a plot, in pixels
LETTER_COLOURS = ((40, 160, 60), (40, 90, 200), (240, 170, 30), (200, 50, 50))  # A, C, G, T


def write_picture(path: Path, samples: Floats) -> None:
    """Draw samples of any of our shapes, replacing the file as a whole.

    Images (n, 1, h, w): the first 100 in a grid, with -1 black and 1 white. Sequences
    (n, 4, length): the first 100 as rows of coloured letters. Points (n, 2): a density plot, darker
    for more points. Values (n, 1): a histogram.
    """
    stream = io.BytesIO()
    Image.fromarray(picture(samples)).save(stream, format="PNG")
    write_bytes(path, stream.getvalue())


def picture(samples: Floats) -> Pixels:
    """The pixels, shape (height, width) in grey or (height, width, 3)."""
    if samples.ndim == 4:
        return _grid(samples[: SIDE**2, 0])
    if samples.ndim == 3:
        letters = nearest_letters(samples[: SIDE**2])
        return _enlarged(np.asarray(LETTER_COLOURS, dtype=np.uint8)[letters], 2 * ENLARGE)
    if samples.shape[1] == 2:
        return _scatter(samples)
    return _histogram(samples[:, 0])


def _grid(images: Floats) -> Pixels:
    n, h, w = images.shape
    rows = -(-n // SIDE)
    out = np.zeros((rows * (h + 1) - 1, SIDE * (w + 1) - 1), dtype=np.uint8)
    grey = np.clip(np.rint(127.5 * (images + 1.0)), 0, 255).astype(np.uint8)
    for i, image in enumerate(grey):
        top, left = i // SIDE * (h + 1), i % SIDE * (w + 1)
        out[top : top + h, left : left + w] = image
    return _enlarged(out, ENLARGE)


def _scatter(points: Floats) -> Pixels:
    reach = float(np.quantile(np.abs(points), 0.999)) * 1.1 or 1.0
    edges = np.linspace(-reach, reach, PLOT // 2 + 1)
    counts = np.histogram2d(points[:, 1], points[:, 0], bins=[edges, edges])[0][::-1]
    dark = np.sqrt(counts / max(counts.max(), 1.0))
    return _enlarged(np.rint(255.0 * (1.0 - dark)).astype(np.uint8), 2)


def _histogram(values: Floats) -> Pixels:
    reach = float(np.quantile(np.abs(values), 0.999)) * 1.1 or 1.0
    counts = np.histogram(values, bins=PLOT, range=(-reach, reach))[0]
    height = np.rint(counts / max(counts.max(), 1) * (PLOT // 2)).astype(np.int64)
    filled = np.arange(PLOT // 2)[::-1, None] < height[None, :]
    return _enlarged(np.where(filled, 0, 255).astype(np.uint8), 1)


def _enlarged(pixels: Pixels, factor: int) -> Pixels:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
