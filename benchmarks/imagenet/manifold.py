"""Precision and recall by neighbourhoods (Kynkaanniemi et al. 2019), k = 3.

The manifold of a set is the union of balls around its features, each of which reaches to the k-th
neighbour. Precision is the share of images inside the reference's manifold. Recall is the share of
reference images inside that of the images.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toys.progress import progress

NEIGHBOURS = 3
ROWS = 1024  # rows per block of distances


def precision_recall(
    reference: NDArray[np.float32], images: NDArray[np.float32], device: torch.device | str = "cpu"
) -> tuple[float, float]:
    """Precision and recall from features, shapes (n, d) and (m, d), with more than 3 rows each.

    Raises:
        ValueError: There are too few rows.
    """
    for name, rows in (("reference", reference), ("images", images)):
        if len(rows) <= NEIGHBOURS:
            raise ValueError(f"{name} must have more than {NEIGHBOURS} features, got {len(rows)}")
    a, b = (torch.from_numpy(rows).to(device, torch.float32) for rows in (reference, images))
    return _inside(b, a, _radii(a)), _inside(a, b, _radii(b))


def _radii(x: Tensor) -> Tensor:
    """Distance of each row to its k-th neighbour, excluding itself, shape (n,)."""
    parts = progress(range(0, len(x), ROWS), "neighbours")
    found = [torch.cdist(x[i : i + ROWS], x).kthvalue(NEIGHBOURS + 1, dim=1).values for i in parts]
    return torch.cat(found)


def _inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of the points that are inside any of the balls."""
    found = [
        (torch.cdist(points[i : i + ROWS], centres) <= radii).any(dim=1)
        for i in progress(range(0, len(points), ROWS), "manifold")
    ]
    return float(torch.cat(found).double().mean())
