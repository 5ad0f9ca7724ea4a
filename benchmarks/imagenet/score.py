"""Scores of images (Frechet distances, Inception score, precision, recall), or why one is missing.

Features are kept batch by batch, so that an interruption loses at most one batch. Statistics are
merged pairwise in the order of the batches, so that they do not depend on which process computed
which batch.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.engine.store import make_folder
from benchmarks.imagenet.manifold import NEIGHBOURS, precision_recall
from benchmarks.imagenet.ranks import Ranks, fitting
from benchmarks.imagenet.references import Reference
from benchmarks.imagenet.shards import Pixels, batches_of, rows_of
from benchmarks.measure.frechet import Moments, frechet, merge_all, statistics_of
from benchmarks.networks.data import Data
from theory.checks import Array
from theory.writing import clear_parts, write_bytes
from toys.progress import progress

METRICS = ("fid", "fd_dinov2", "sfid", "is", "precision", "recall")
FRECHET = {"fid": "inception", "fd_dinov2": "dinov2", "sfid": "spatial"}  # metric to feature
SPLIT = 5000  # images per split of the Inception score
Features = dict[str, NDArray[np.float32]]


class Batches(Protocol):
    """Images in batches of a fixed size, addressed by seed; see `shards.Shards`."""

    @property
    def batch(self) -> int:
        """Number of images per batch."""

    def batches(self, seeds: range) -> list[int]:
        """Batches that contain these seeds."""

    def read(self, k: int) -> Pixels:
        """Images of batch k, (B, C, h, w)."""

    def rows(self, k: int, seeds: range) -> slice:
        """Positions in batch k of the images of these seeds."""


@dataclass(frozen=True)
class Given:
    """Images from any source as batches; the seed of an image is its index."""

    data: Data
    batch: int

    def batches(self, seeds: range) -> list[int]:
        """Batches that contain these seeds."""
        return batches_of(seeds, self.batch)

    def read(self, k: int) -> Pixels:
        """Images of batch k, (B, C, h, w)."""
        return np.asarray(self.data.values[k * self.batch : (k + 1) * self.batch])

    def rows(self, k: int, seeds: range) -> slice:
        """Positions in batch k of the images of these seeds."""
        return rows_of(k, seeds, self.batch)


@dataclass(frozen=True)
class Extractor:
    """A feature network.

    Args:
        name: "inception" or "dinov2".
        tag: Hash of everything that its features depend on.
        answer: Maps bytes (B, C, h, w) to named features (B, d).
        missing: The reason for each feature that is not available, by name.
        device: Device of the network.
    """

    name: str
    tag: str
    answer: Callable[[Tensor], dict[str, Tensor]]
    missing: Mapping[str, str]
    device: torch.device

    def features(self, images: Pixels, path: Path | None = None) -> Features:
        """Features of a batch, kept in the file `path` if it is given."""
        if path is not None and path.is_file():
            return _read(path)
        with torch.inference_mode():
            answer = self.answer(torch.from_numpy(np.array(images)).to(self.device))
            found = {name: rows.to(torch.float32).cpu().numpy() for name, rows in answer.items()}
        if path is not None:
            stream = io.BytesIO()
            np.savez(stream, **found)  # type: ignore[arg-type]
            write_bytes(path, stream.getvalue())
        return found


def extract(
    images: Batches, seeds: range, extractor: Extractor, folder: Path, ranks: Ranks
) -> Callable[[], Iterator[Features]]:
    """Features of these seeds, computed by all ranks; returns an iterator over the batches."""
    if ranks.first:
        clear_parts(make_folder(folder))
    ranks.wait()
    every = images.batches(seeds)
    missing = [k for k in every if not _path(folder, k).is_file()]
    ranks.wait()
    mine = ranks.mine(missing)
    with ranks.meter(len(mine), f"features {extractor.name}") as tick, fitting(images.batch):
        for k in mine:
            extractor.features(images.read(k), _path(folder, k))
            if tick is not None:
                tick()
    ranks.wait()

    def parts() -> Iterator[Features]:
        for k in every:
            rows = images.rows(k, seeds)
            yield {name: values[rows] for name, values in _read(_path(folder, k)).items()}

    return parts


def scores(
    images: Batches,
    seeds: range,
    reference: Reference,
    extractors: list[Extractor],
    folder: Path,
    ranks: Ranks,
) -> dict[str, Any]:
    """Values by metric on the first rank, or None with a reason; {} on all other ranks.

    Args:
        images: Images to be scored.
        seeds: Their seeds, at least 2.
        reference: Published statistics.
        extractors: Feature networks, at most one of each name.
        folder: Folder of the features.
        ranks: The processes that share the work.
    """
    if len(seeds) < 2:
        raise ValueError(f"seeds must name at least 2 images, got {len(seeds)}")
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    reasons: dict[str, str] = {}
    by_feature: dict[str, tuple[Extractor, Callable[[], Iterator[Features]]]] = {}
    for extractor in extractors:
        parts = extract(images, seeds, extractor, folder / extractor.tag, ranks)
        for name in next(parts()):
            by_feature[name] = extractor, parts
    if not ranks.first:
        return {}
    for metric, feature in FRECHET.items():
        moments: Moments | None = getattr(reference, feature)
        reason = _without(feature, extractors, by_feature)
        if reason is None and moments is None:
            reason = f"{reference.source} has no statistics of {feature} features"
        if reason is not None or moments is None:
            reasons[metric] = str(reason)
            continue
        parts = by_feature[feature][1]
        total = merge_all(statistics_of(part[feature]) for part in parts())
        values[metric] = frechet(total.moments(), moments)
    reason = _without("probabilities", extractors, by_feature)
    if reason is None:
        rows = np.concatenate([p["probabilities"] for p in by_feature["probabilities"][1]()])
        values["is"] = inception_score(rows)
    else:
        reasons["is"] = reason
    reason = _without("inception", extractors, by_feature)
    if reason is None and reference.images is None:
        reason = f"{reference.source} has no images to compare with"
    elif reason is None and len(seeds) <= NEIGHBOURS:
        reason = f"needs more than {NEIGHBOURS} images, got {len(seeds)}"
    if reason is None and reference.images is not None:
        extractor, parts = by_feature["inception"]
        theirs = _reference_features(extractor, reference.images)
        ours = np.concatenate([part["inception"] for part in parts()])
        both = precision_recall(theirs, ours, extractor.device)
        values["precision"], values["recall"] = both
    else:
        reasons["precision"] = reasons["recall"] = str(reason)
    return {
        "kind": "scores",
        "seeds": [seeds.start, seeds.stop - 1],
        "images": len(seeds),
        "values": values,
        "reasons": reasons,
        "reference": Path(reference.source).name,
        "features": {e.name: e.tag for e in extractors},
        "versions": {"entropic": version("entropic"), "torch": torch.__version__},
    }


def inception_score(probabilities: NDArray[np.float32]) -> float:
    """Mean of exp(mean KL(p(y | x) || p(y))) over splits of 5000 images (Salimans et al. 2016)."""
    found = []
    for i in range(0, len(probabilities), SPLIT):
        p: Array = np.asarray(probabilities[i : i + SPLIT], dtype=np.float64)
        tiny = np.finfo(np.float64).tiny
        ratio = np.log(np.maximum(p, tiny)) - np.log(np.maximum(p.mean(axis=0), tiny))
        found.append(np.exp(np.mean(np.sum(p * ratio, axis=1))))
    return float(np.mean(found))


def _without(feature: str, extractors: list[Extractor], found: Mapping[str, Any]) -> str | None:
    """The reason why a feature is not available, or None if it is."""
    if feature in found:
        return None
    maker = "dinov2" if feature == "dinov2" else "inception"
    used = next((e for e in extractors if e.name == maker), None)
    if used is None:
        return f"needs the network {'dino' if maker == 'dinov2' else maker}"
    return used.missing.get(feature, f"{maker} does not answer with {feature}")


def _reference_features(extractor: Extractor, images: Pixels) -> NDArray[np.float32]:
    """Inception features of a reference's own images (n, h, w, C)."""
    parts = progress(range(0, len(images), 64), "reference features")
    found = [
        extractor.features(images[i : i + 64].transpose(0, 3, 1, 2))["inception"] for i in parts
    ]
    return np.concatenate(found)


def _path(folder: Path, k: int) -> Path:
    return folder / f"{k:08d}.npz"


def _read(path: Path) -> Features:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: the file must hold features, got {error}; delete it?") from None
